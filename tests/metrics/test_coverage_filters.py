"""Which filters were due on a turn and which ran, and how well sources tell of their turns: by hand, and against a plain count."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import Any

import orjson
import pytest
from canonical_rows import START, add
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.events import EventStore
from core.settings import Settings
from ingest.load import load_records
from metrics.coverage import compute_coverage
from metrics.query import Query
from metrics.run import run_report
from metrics.telemetry import measure_sources

ALL = '["blocklist","guard"]'
HOUR = timedelta(hours=1)


def coverage_of(events: EventStore, query: Query | None = None) -> dict[tuple[Any, ...], tuple[int, int]]:
    asked = query or Query()
    rows = run_report(events, "coverage", asked).rows.to_dicts()
    return {(*(row[name] for name in asked.by), row["filter_name"]): (row["ran"], row["due"]) for row in rows}


def make_turns(count: int, *, first: int = 0, **facts: Any) -> list[dict[str, Any]]:
    return [
        {"request_id": f"r{first + n}", "outcome": "pass", "app": "tutor", "filters": ALL, **facts}
        for n in range(count)
    ]


def test_a_filter_that_ran_on_92_percent_says_so(events: EventStore) -> None:
    add(events, turns=make_turns(92) + make_turns(8, first=92, filters='["blocklist"]'))
    (low, high) = run_report(events, "coverage", Query()).rows.to_dicts()
    assert (low["filter_name"], low["ran"], low["due"], low["missed"]) == ("blocklist", 100, 100, 0)
    assert (high["filter_name"], high["ran"], high["due"], high["missed"]) == ("guard", 92, 100, 8)
    assert high["coverage"]["estimate"] == pytest.approx(0.92)
    assert 0.85 < high["coverage"]["low"] < 0.92 < high["coverage"]["high"] < 0.97
    coverage = compute_coverage(events.backend(), Query())
    assert (coverage["due"], coverage["ran"], coverage["ran_share"]) == (200, 192, 0.96)


def test_what_was_stopped_or_never_meant_for_it_is_not_due(events: EventStore) -> None:
    add(
        events,
        turns=[
            *make_turns(10),
            *make_turns(3, first=10, filters='["blocklist"]', is_stopped=True),
            *make_turns(2, first=13, filters='["blocklist"]', outcome="refusal"),
            *make_turns(20, first=15, app="search", filters='["blocklist"]'),
            *make_turns(5, first=35, app="search"),
            *make_turns(7, first=40, filters=None),
        ],
    )
    assert coverage_of(events, Query(by=("app",))) == {
        ("search", "blocklist"): (25, 25),
        ("tutor", "blocklist"): (15, 15),
        ("tutor", "guard"): (10, 10),
    }


def test_a_turn_without_any_filter_log_lowers_every_filter(events: EventStore) -> None:
    add(events, turns=make_turns(9) + make_turns(1, first=9, filters="[]"))
    assert coverage_of(events) == {("blocklist",): (9, 10), ("guard",): (9, 10)}


def test_a_filter_that_died_before_the_window_is_due_in_it(events: EventStore) -> None:
    dead = [{**turn, "filters": '["blocklist"]', "ts": START + HOUR} for turn in make_turns(6, first=10)]
    add(events, turns=make_turns(10) + dead)
    window = Query(since=START + HOUR, until=START + 2 * HOUR)
    assert coverage_of(events, window) == {("blocklist",): (6, 6), ("guard",): (0, 6)}


def make_check(turn: str, name: str, at: int, **changes: Any) -> dict[str, Any]:
    moment = (START + timedelta(seconds=at)).isoformat()
    return {"ts": moment, "request_id": turn, "filter_name": name, "triggered": False, "decision": "allow", **changes}


@given(data=st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rollup_and_turns_hold_what_a_plain_count_gives__in_any_order_of_arrival(
    data: st.DataObject, events: EventStore
) -> None:
    events.write(
        lambda c: [c.execute(f"DELETE FROM {t}") for t in ("turns", "checks", "check_rollup", "turn_rollup", "ingests")]
    )
    names = st.sampled_from(["kw", "clf", "guard"])
    kinds = st.sampled_from(
        [
            {},
            {"triggered": True, "decision": "block", "enforced": True},
            {"triggered": None, "decision": "error", "error": "timeout"},
            {"mode": "shadow"},
        ]
    )
    checks = data.draw(st.lists(st.tuples(st.sampled_from("abcd"), names, kinds, st.integers(0, 90)), max_size=8))
    records = [("filter_log", make_check(turn, name, at, **kind)) for turn, name, kind, at in checks]
    models = data.draw(st.sets(st.sampled_from("abcd")))
    records += [
        ("model_log", {"ts": START.isoformat(), "request_id": turn, "outcome": "pass"}) for turn in sorted(models)
    ]
    arrived = data.draw(st.permutations(records))
    for kind, batch in groupby(arrived, key=lambda item: item[0]):
        load_records(events, kind, [record for _, record in batch], source=kind, settings=Settings())
    ran: dict[str, set[str]] = {turn: set() for turn in models}
    stopped = {turn for turn, _, kind, _ in checks if kind.get("decision") == "block"}
    for turn, name, kind, _ in checks:
        ran.setdefault(turn, set()).update({name} if not kind.get("error") and kind.get("mode") != "shadow" else ())
    stored = events.read("SELECT request_id, filters, is_stopped FROM turns").rows()
    assert {turn: (set(orjson.loads(filters)), is_stopped) for turn, filters, is_stopped in stored} == {
        turn: (found, turn in stopped) for turn, found in ran.items()
    }
    sums = (
        "SELECT date_trunc('minute', ts) AS minute, outcome, model, app, language, filters, count(*), count(*) FILTER (NOT is_logged), "
        "count(*) FILTER (is_stopped) FROM turns GROUP BY ALL ORDER BY ALL"
    )
    rolled = (
        "SELECT minute, outcome, model, app, language, filters, sum(turns)::INT, sum(orphans)::INT, sum(stopped)::INT FROM turn_rollup "
        "GROUP BY ALL HAVING sum(turns) <> 0 ORDER BY ALL"
    )
    assert events.read(rolled).rows() == events.read(sums).rows()


def test_sources__joined_late_orphaned_and_refused(events: EventStore) -> None:
    log = Settings()
    at = START.isoformat()
    answers = [{"ts": at, "request_id": f"r{n}", "outcome": "pass"} for n in range(8)]
    checks = [make_check(f"r{n}", "kw", n) for n in range(2, 12)]
    checks[0]["category"] = "something new"
    checks[1]["category"] = "hate"
    load_records(events, "filter_log", [*checks, {"ts": at}], source="filters", settings=log)
    load_records(events, "model_log", answers, source="gateway", settings=log)
    load_records(events, "filter_log", checks[:5], source="filters", settings=log)
    # Half an hour after it happened, and at once.
    moments = {"filters": START + timedelta(minutes=30), "gateway": START}
    for source, moment in moments.items():
        events.write(
            lambda c, s=source, m=moment: c.execute("UPDATE ingests SET ingested_at = ? WHERE source = ?", [m, s])
        )
    filters, gateway = measure_sources(events, Query(since=START, until=START + HOUR, min_sample=1)).to_dicts()
    assert _parts(filters["join_rate"]) == (6, 10)
    assert (filters["source"], filters["turns"], filters["orphans"], filters["unchecked"]) == ("filters", 10, 4, 0)
    assert _parts(filters["late"])[0] == _parts(filters["late"])[1] > 0
    assert _parts(filters["duplicates"]) == (5, 16)
    assert _parts(filters["quarantined"]) == (1, 16)
    assert _parts(filters["unmapped"]) == (1, 2)
    assert _parts(gateway["join_rate"]) == (6, 8)
    assert (gateway["source"], gateway["turns"], gateway["orphans"], gateway["unchecked"]) == ("gateway", 8, 0, 2)
    assert _parts(gateway["late"]) == (0, 8)
    assert gateway["unmapped"]["estimate"] is None


def _parts(rate: dict[str, Any]) -> tuple[float, float]:
    return rate["numerator"], rate["denominator"]
