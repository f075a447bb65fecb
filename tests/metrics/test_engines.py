"""Every report says the same on DuckDB and on ClickHouse's own engine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from polars.testing import assert_frame_equal

from core.clickhouse import ClickHouse, open_clickhouse
from core.errors import ConfigError
from core.events import EventStore
from core.settings import load_settings
from ingest.demo.fill import fill_demo
from metrics import REPORTS
from metrics.coverage import compute_coverage
from metrics.query import Query
from metrics.report import Report
from service.home import open_home
from tests.metrics.clickhouse import copy_store, open_engine

# What a report must be asked about, since scores of several filters share no threshold.
ASKED = {"thresholds": (("filter_name", "toxicity-clf"), ("filter_version", "1.8.2"))}


# A curve of points for every group: by two columns they take longer than all other reports together.
COLUMNS = {"frontier": {"language"}}


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EventStore, ClickHouse]]:
    """Two days of demo traffic, in both."""
    settings = load_settings(tmp_path_factory.mktemp("engines") / "home")
    with open_home(settings) as home:
        fill_demo(home.events, settings=settings, days=2, seed=3)
        engine = open_engine()
        copy_store(home.events, engine)
        yield home.events, engine
        engine.con.close()


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_report__equal_on_both(report: Report, engines: tuple[EventStore, ClickHouse]) -> None:
    events, engine = engines
    last = events.read("SELECT max(ts) AS last FROM turns").item()
    filled = 0
    for by, since in (
        ((), None),
        (
            tuple(sorted(COLUMNS.get(report.key, {"day", "language"}) & set(report.dimensions))),
            last - timedelta(hours=20),
        ),
    ):
        query = Query(by=by, since=since, filters=ASKED.get(report.key, ()))
        ours, theirs = (report.compute(backend, query) for backend in (events.backend(), engine))
        assert_frame_equal(ours, theirs, rel_tol=1e-9, check_row_order=True)
        filled += ours.height
    assert filled


def test_coverage__equal_on_both(engines: tuple[EventStore, ClickHouse]) -> None:
    events, engine = engines
    last = events.read("SELECT max(ts) AS last FROM turns").item()
    query = Query(since=last - timedelta(hours=20))
    assert compute_coverage(engine, query) == compute_coverage(events.backend(), query)


def test_quantile__exact_on_both(engines: tuple[EventStore, ClickHouse]) -> None:
    events, engine = engines
    shares = (0.5, 0.95, 0.99)
    found = []
    for backend in (events.backend(), engine):
        latency = backend.table("checks").latency_ms
        found.append(
            backend.to_polars(backend.table("checks").aggregate(**{f"q{s}": latency.quantile(s) for s in shares}))
        )
    assert_frame_equal(*found)
    exact = events.read("SELECT latency_ms FROM checks")["latency_ms"].drop_nulls()
    assert found[1].row(0) == pytest.approx([exact.quantile(share, "linear") for share in shares])


def test_nobody_there__said_without_the_password() -> None:
    with pytest.raises(ConfigError) as error:
        open_clickhouse("clickhouse://me:s3cret@127.0.0.1:9/weir")
    assert "s3cret" not in error.value.sentence()
    assert "127.0.0.1:9" in error.value.sentence()
