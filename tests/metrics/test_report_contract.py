"""What every report keeps: on an empty store, on one row, for every dimension and filter."""

from __future__ import annotations

import json
import pkgutil
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from canonical_rows import START, add

import metrics
from core.errors import UsageError
from core.events import EventStore
from metrics import REPORTS
from metrics.estimate import MEASURE, RATE
from metrics.query import DIMENSIONS, Query
from metrics.report import Report, plain
from metrics.run import run_report

# What the one row of `fill` holds, where it is not the column's own name.
VALUES = {"hour": "2026-03-02T09:00", "day": "2026-03-02", "mode": "enforce", "category": "hate", "outcome": "pass"}
RATE_FIELDS = {"estimate", "low", "high", "numerator", "denominator", "method"}
MEASURE_FIELDS = {"estimate", "low", "high", "method", "n"}
# What a report compares by itself, and hence takes no filter on.
COMPARED = {"shadow": ("mode", "filter_version"), "drift": ("filter_version",), "changes": ("filter_version",)}
# Rows that the one turn of `fill` gives, where they are more than one.
POINTS = {"frontier": 4}
every_report = pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))


def fill(events: EventStore, report: Report) -> None:
    """One turn of every kind of fact, and what the report compares it with."""
    turn_facts = {name: name for name in ("model", "app", "language", "suite", "arm")}
    check_facts = {name: name for name in ("filter_name", "filter_version", "layer", "stage", "rule_id")}
    add(
        events,
        turns=[
            {"request_id": "r", "conversation_id": "c", "outcome": "pass", "filters": '["filter_name"]', **turn_facts}
        ],
        checks=[
            {
                "request_id": "r",
                **check_facts,
                "category": "hate",
                "score": 0.7,
                "triggered": True,
                "decision": "block",
                "enforced": True,
                "latency_ms": 5.0,
            }
        ],
        labels=[
            {
                "request_id": "r",
                "reviewer": "reviewer",
                "harmful": True,
                "category": "hate",
                "inclusion_probability": 0.5,
                "principle_id": "principle_id",
            }
        ],
    )
    if report.key == "shadow":
        candidate = {**check_facts, "filter_version": "next"}
        add(events, checks=[{"request_id": "r", **candidate, "category": "hate", "triggered": False, "mode": "shadow"}])
    if report.key == "appeals":
        claim = {"request_id": "r", "reviewer": "user:1", "harmful": None, "selection": "appeal"}
        add(events, labels=[claim], ingest_id=2)
    if report.key in ("drift", "changes"):
        candidate = {**check_facts, "filter_version": "next", "ts": START + timedelta(minutes=1)}
        row = {"request_id": "r", **candidate, "category": "hate", "triggered": True, "score": 0.6}
        add(events, checks=[row], ingest_id=2)


@every_report
def test_an_empty_store_gives_a_document(events: EventStore, report: Report) -> None:
    document = run_report(events, report.key, Query()).to_json()
    assert set(document) == {"report", "generated_at", "window", "rows", "coverage", "notes"}
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["coverage"] == {
        "turns": 0,
        "checks": 0,
        "errors": 0,
        "not_run": 0,
        "orphans": 0,
        "rejected": 0,
        "evaluated_share": None,
        "due": 0,
        "ran": 0,
        "ran_share": None,
    }


@every_report
def test_columns_are_the_declared_ones_of_one_type(events: EventStore, report: Report) -> None:
    empty = {by: report.compute(events.backend(), Query(by=by)).schema for by in _groupings(report)}
    fill(events, report)
    for by, schema in empty.items():
        rows = report.compute(events.backend(), Query(by=by))
        assert rows.columns == [*by, *report.columns]
        assert rows.schema == schema
        assert rows.height == POINTS.get(report.key, 1)
        for dtype in rows.schema.values():
            assert not isinstance(dtype, pl.Struct) or dtype in (RATE, MEASURE)


@every_report
def test_rates_are_the_contracts_records(events: EventStore, report: Report) -> None:
    fill(events, report)
    rows = run_report(events, report.key, Query(min_sample=1)).rows.to_dicts()
    assert rows
    for rate in (value for row in rows for value in row.values() if isinstance(value, dict)):
        assert set(rate) >= (RATE_FIELDS if "numerator" in rate else MEASURE_FIELDS)
        if rate["estimate"] is not None:
            assert ("numerator" not in rate) or rate["low"] >= 0
            assert rate["low"] <= rate["estimate"] <= rate["high"] <= 1


@every_report
def test_every_filter_keeps_what_matches_and_drops_the_rest(events: EventStore, report: Report) -> None:
    fill(events, report)
    backend = events.backend()
    whole = report.compute(backend, Query(min_sample=1))
    names = [name for name in DIMENSIONS if name not in COMPARED.get(report.key, ())]
    matching = tuple((name, VALUES.get(name, name)) for name in names)
    assert report.compute(backend, Query(min_sample=1, filters=matching)).equals(whole)
    assert _mass(whole) > 0
    for name in names:
        other = {"hour": "2026-03-02T10:00", "day": "2026-03-03"}.get(name, "something else")
        assert _mass(report.compute(backend, Query(filters=((name, other),)))) == 0, name


@every_report
def test_the_window_is_half_open(events: EventStore, report: Report) -> None:
    fill(events, report)
    hour = timedelta(hours=1)
    assert _mass(report.compute(events.backend(), Query(since=START, until=START + hour))) > 0
    assert _mass(report.compute(events.backend(), Query(since=START - hour, until=START))) == 0


@every_report
def test_unknown_names_are_refused_with_the_valid_ones(events: EventStore, report: Report) -> None:
    wrong = [
        Query(by=("nonsense",)),
        Query(by=("reviewer",)),
        Query(by=("day", "day")),
        Query(filters=(("ts; DROP TABLE checks", "1"),)),
        Query(filters=(("hour", "yesterday"),)),
        Query(filters=(("day", "2026-03-02T09:00"),)),
        Query(since=START, until=START),
    ]
    for query in wrong:
        with pytest.raises(UsageError) as error:
            run_report(events, report.key, query)
        assert error.value.hint
    with pytest.raises(UsageError, match="nonsense"):
        run_report(events, "nonsense", Query())


@every_report
def test_hostile_values_are_only_values(events: EventStore, report: Report) -> None:
    fill(events, report)
    for hostile in ("' OR '1'='1", '"; DROP TABLE turns; --', "\x00", "‮%s{}"):
        rows = report.compute(events.backend(), Query(filters=(("filter_name", hostile),)))
        assert _mass(rows) == 0
    assert _mass(report.compute(events.backend(), Query())) > 0


def test_the_empty_value_stands_for_not_logged(events: EventStore) -> None:
    add(events, checks=[{"request_id": "a", "rule_id": "x"}, {"request_id": "b"}, {"request_id": "c", "rule_id": "y"}])
    counts = {
        values: run_report(events, "triggers", Query(filters=tuple(("rule_id", value) for value in values))).rows[
            "evaluated"
        ][0]
        for values in (("",), ("x",), ("x", ""), ("x", "y"))
    }
    assert counts == {("",): 1, ("x",): 1, ("x", ""): 2, ("x", "y"): 2}


def test_every_module_with_a_report_is_registered() -> None:
    found = set()
    for module in pkgutil.iter_modules(metrics.__path__):
        loaded = __import__(f"metrics.{module.name}", fromlist=["REPORT"])
        if hasattr(loaded, "REPORT"):
            assert loaded.REPORT.key == module.name
            found.add(module.name)
    assert found == set(REPORTS)


def test_json_knows_times_and_no_nan() -> None:
    values = {"at": datetime(2026, 3, 2, 9), "day": date(2026, 3, 2), "bad": float("nan"), "list": [float("inf"), 1]}
    assert plain(values) == {"at": "2026-03-02T09:00:00Z", "day": "2026-03-02", "bad": None, "list": [None, 1]}
    with pytest.raises(TypeError):
        plain(object())


def _groupings(report: Report) -> list[tuple[str, ...]]:
    return [(), report.dimensions]


def _mass(rows: pl.DataFrame) -> int:
    """How many things the rows count."""
    counted = {
        "evaluated",
        "reviewed",
        "turns",
        "reached",
        "measured",
        "triggers",
        "pairs",
        "votes",
        "reference_scores",
        "appealed",
        "due",
    } & set(rows.columns)
    return int(rows.select(pl.sum_horizontal(pl.col(sorted(counted)).sum())).item())
