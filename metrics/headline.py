"""The sentences on top of the Overview: what changed beyond chance and needs a person, most urgent first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum

import polars as pl
from ibis.backends import BaseBackend

from core.events import EventStore
from metrics.compare import Counts, discoveries, exceeds_effect
from metrics.events import fetch, within
from metrics.movers import close_window, compare_windows, count_both
from metrics.query import Query, previous_window
from metrics.series import count_checks
from metrics.silence import Silence, find_silences

NOTHING = "Nothing needs a person."
_LEAST_BASELINE = 0.2
# Fewer triggers than these give no factor that a person could use.
_LEAST_TIMES = 5
MINIMUM_EFFECT = 1.25
_FALSE_DISCOVERIES = 0.05
_BUCKETS = 288
# A source is live, and so can lag, once it has come in this often; it lags after some of its own longest pauses.
_LIVE_INGESTS = 5
_PAUSES = 3
_LEAST_LAG = timedelta(minutes=10)


class Kind(IntEnum):
    """What a finding is about; the order is the ranking."""

    ALERT = 0
    STOPPED = 1
    SILENT = 2
    LAGGING = 3
    MOVED = 4
    WAITING = 5


@dataclass(frozen=True, slots=True)
class Name:
    """A name out of a log: hostile text, to be shown as text only."""

    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that needs a person.

    Attributes:
        kind: What it is about.
        parts: The sentence in pieces: our own words, and names from logs.
        filter_name: The filter, if it is about one.
        rule_id: The rule, if it is about one.
        source: The source, if it is about one.
        evidence: The numbers behind it, by name.
        weight: Strength of the evidence within its kind; larger is stronger.
        alert_kind: What the alert watches, if it is one.
    """

    kind: Kind
    parts: tuple[str | Name, ...]
    filter_name: str | None
    rule_id: str | None
    source: str | None
    evidence: dict[str, float]
    weight: float
    alert_kind: str = ""

    def sentence(self) -> str:
        """The parts as plain text."""
        return "".join(part.text if isinstance(part, Name) else part for part in self.parts)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Escalations that nobody has taken up, from the decision store: how many, and the oldest one's age in seconds."""

    count: int
    oldest_s: float


def compute_headline(
    events: EventStore, query: Query, *, at: datetime, waiting: Waiting | None = None
) -> list[Finding]:
    """What needs a person, most urgent first; an empty list means `NOTHING`.

    A trigger rate moved when its ratio to the window before lies beyond 1.25x either way with 95 % confidence, false
    discoveries among all filters and rules held to 5 %.

    Args:
        events: The store.
        query: Window and filters; its `by` is not used.
        at: The present moment, naive UTC.
        waiting: Escalations that wait, if the caller knows.
    """
    backend = events.backend()
    closed = close_window(backend, replace(query, by=()))
    findings = _waiting(waiting)
    if closed is not None:
        findings += _moved(backend, closed) + _silent(backend, closed) + _lagging(backend, closed, at)
    return sorted(findings, key=lambda finding: (finding.kind, -finding.weight, finding.sentence()))


def summarize(findings: list[Finding]) -> str:
    """The first sentence: how many things need a person."""
    match len(findings):
        case 0:
            return NOTHING
        case 1:
            return "One thing needs a person."
        case count:
            return f"{count} things need a person."


def _moved(backend: BaseBackend, query: Query) -> list[Finding]:
    counts = count_both(backend, query)
    filters = compare_windows(counts, by="filter_name", confidence=query.confidence)
    rules = compare_windows(counts, by="rule_id", confidence=query.confidence)
    rows = pl.concat([rules, filters]).filter(pl.col("ratio").is_not_null(), pl.col("filter_name").is_not_null())
    # A window before that holds next to nothing is no baseline: everything would have moved.
    rows = rows.filter(pl.col("evaluated_before") >= _LEAST_BASELINE * pl.col("evaluated"))
    if rows.is_empty():
        return []
    now, before = (
        Counts(rows[hits].cast(pl.Float64).to_numpy(), rows[of].cast(pl.Float64).to_numpy())
        for hits, of in (("triggered", "evaluated"), ("triggered_before", "evaluated_before"))
    )
    stands = discoveries(exceeds_effect(now, before, effect=MINIMUM_EFFECT), rate=_FALSE_DISCOVERIES)
    is_beyond = (pl.col("ratio_low") > MINIMUM_EFFECT) | (pl.col("ratio_high") < 1 / MINIMUM_EFFECT)
    moved = rows.filter(pl.Series(stands)).filter(is_beyond)
    # A rule that explains its filter's move says it more precisely.
    explained = {(row["filter_name"], row["ratio"] > 1) for row in moved.to_dicts() if row["rule_id"] is not None}
    return [
        _move(row)
        for row in moved.to_dicts()
        if row["rule_id"] is not None or (row["filter_name"], row["ratio"] > 1) not in explained
    ]


def _move(row: dict[str, float | str | None]) -> Finding:
    evidence = {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
    filter_name, rule_id = str(row["filter_name"]), row["rule_id"]
    subject: tuple[str | Name, ...] = (Name(filter_name),)
    if isinstance(rule_id, str):
        subject = ("rule ", Name(rule_id), " of ", Name(filter_name))
    tail = (
        f"{_times(evidence['ratio'], evidence['triggered_before'])}"
        f" ({evidence['rate']:.2%} now, {evidence['rate_before']:.2%} before, n {evidence['evaluated']:,.0f})"
    )
    return Finding(
        kind=Kind.MOVED,
        parts=(*subject, tail),
        filter_name=filter_name,
        rule_id=rule_id if isinstance(rule_id, str) else None,
        source=None,
        evidence=evidence,
        weight=abs(evidence["z"]),
    )


def _times(ratio: float, before: float) -> str:
    if before < _LEAST_TIMES:
        return " fires, and hardly did in the window before"
    times = f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x"
    return f" fires {times} as often as in the window before"


def _silent(backend: BaseBackend, query: Query) -> list[Finding]:
    window = previous_window(query)
    if window is None or query.until is None:
        return []
    start = window[0]
    minutes = (query.until - start).total_seconds() / 60
    bucket_s = 60 * max(1, round(minutes / 2 / _BUCKETS))
    asked = replace(query, by=("filter_name",), since=start)
    counts = count_checks(backend, asked, bucket_s=bucket_s, names=("evaluated", "triggered"))
    return [_hush(silence, query.until) for silence in find_silences(counts, bucket_s=bucket_s)]


def _hush(silence: Silence, until: datetime) -> Finding:
    length = _duration((until - silence.since).total_seconds())
    what = "has not run" if silence.is_stopped else "has not triggered"
    noun = "checks" if silence.is_stopped else "triggers"
    return Finding(
        kind=Kind.STOPPED if silence.is_stopped else Kind.SILENT,
        parts=(Name(silence.filter_name), f" {what} for {length}; {silence.expected:,.0f} {noun} expected"),
        filter_name=silence.filter_name,
        rule_id=None,
        source=None,
        evidence={
            "trials": silence.trials,
            "expected": silence.expected,
            "probability": silence.probability,
            "seconds": (until - silence.since).total_seconds(),
        },
        weight=silence.expected,
    )


def _lagging(backend: BaseBackend, query: Query, at: datetime) -> list[Finding]:
    """Sources that came in steadily in the window and have been quiet for far longer than their pauses."""
    ingests = within(backend.table("ingests"), "ingested_at", query.since, None)
    times = fetch(backend, ingests.select("source", "ingested_at")).sort("source", "ingested_at", nulls_last=True)
    pause = pl.col("ingested_at").diff().max()
    sources = times.group_by("source", maintain_order=True).agg(
        last=pl.col("ingested_at").max(), pause=pause, ingests=pl.len()
    )
    findings = []
    for row in sources.filter(pl.col("ingests") >= _LIVE_INGESTS, pl.col("source").is_not_null()).to_dicts():
        lag: timedelta = at - row["last"]
        if lag <= max(_LEAST_LAG, _PAUSES * row["pause"]):
            continue
        findings.append(
            Finding(
                kind=Kind.LAGGING,
                parts=("source ", Name(row["source"]), f" has sent nothing for {_duration(lag.total_seconds())}"),
                filter_name=None,
                rule_id=None,
                source=row["source"],
                evidence={"lag_s": lag.total_seconds(), "longest_pause_s": row["pause"].total_seconds()},
                weight=lag / max(row["pause"], timedelta(seconds=1)),
            )
        )
    return findings


def _waiting(waiting: Waiting | None) -> list[Finding]:
    if waiting is None or not waiting.count:
        return []
    verb = "escalation waits" if waiting.count == 1 else "escalations wait"
    return [
        Finding(
            kind=Kind.WAITING,
            parts=(f"{waiting.count} {verb} for a person, the oldest for {_duration(waiting.oldest_s)}",),
            filter_name=None,
            rule_id=None,
            source=None,
            evidence={"count": waiting.count, "oldest_s": waiting.oldest_s},
            weight=waiting.oldest_s,
        )
    ]


def _duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    minutes = int(seconds // 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{minutes} min"
