"""What the server says of itself to Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from core.clock import now
from core.events import EventStore
from ingest.commit import Outcome
from ingest.schema import get_data_version
from metrics.freshness import freshness

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Telemetry:
    """Counters of one running intake, and gauges that are read from its store when asked."""

    def __init__(self, events: EventStore, get_depth: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "weir_intake_requests", "Intake requests by HTTP status.", ["status"], registry=self._registry
        )
        self._records = Counter(
            "weir_intake_records", "Records taken by the intake: new ones and those known already.",
            ["format", "result"], registry=self._registry,
        )  # fmt: skip
        self._rejects = Counter(
            "weir_intake_rejects", "Records refused by the intake.", ["format", "reason"], registry=self._registry
        )
        depth = Gauge("weir_intake_queue_requests", "Requests that wait to be stored.", registry=self._registry)
        depth.set_function(get_depth)
        self._registry.register(_StoreCollector(events))

    def count_request(self, status: int) -> None:
        """Counts an answer."""
        self._requests.labels(str(status)).inc()

    def count_outcome(self, format_key: str, outcome: Outcome) -> None:
        """Counts what became of a request's records."""
        self._records.labels(format_key, "accepted").inc(outcome.accepted)
        self._records.labels(format_key, "duplicate").inc(outcome.duplicates)
        for reason, count in outcome.rejections.items():
            self._rejects.labels(format_key, reason).inc(count)

    def render(self) -> bytes:
        """All of it as Prometheus text."""
        return generate_latest(self._registry)


class _StoreCollector(Collector):
    def __init__(self, events: EventStore) -> None:
        self._events = events

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The data version, and how long ago each source's newest event happened."""
        yield GaugeMetricFamily("weir_data_version", "Changes with new data.", value=get_data_version(self._events))
        lag = GaugeMetricFamily("weir_source_lag_seconds", "Age of the newest event.", labels=["source", "format"])
        moment = now()
        for row in freshness(self._events).iter_rows(named=True):
            if row["last_event_at"] is not None:
                age = (moment - row["last_event_at"]).total_seconds()
                lag.add_metric([row["source"] or "", row["format"] or ""], age)
        yield lag

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: names are not looked up in the store when the collector is registered."""
        return iter(())
