"""One turn is one row, and the rollup of turns counts the rows: in whatever order, batches and times the logs come."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.events import EventStore
from core.settings import Settings
from ingest.batch import REJECT_SCHEMA, Batch
from ingest.formats import FORMATS
from ingest.formats.base import Selects
from ingest.load import load_batch, load_records
from tests.ingest.logs import make_check, make_turn
from tests.soak import repeats

on_one_store = settings(
    deadline=None,
    max_examples=repeats(6, full=300),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
START = datetime(2026, 3, 2, 9)
NAMES = itertools.count()


def load(events: EventStore, *records: dict[str, Any]) -> None:
    """Loads records made by `tell`: a batch of each log that they are of."""
    for log in ("model_log", "filter_log"):
        if rows := [record for record in records if ("filter_name" in record) == (log == "filter_log")]:
            load_records(events, log, rows, source="test", settings=Settings())


def tell(request: str, hours: float, *, by: str | None = None, **facts: Any) -> dict[str, Any]:
    """A check by the filter `by`, else the model log's record, of a request."""
    when = {"ts": (START + timedelta(hours=hours)).isoformat() + "Z", "request_id": request}
    return make_check(0, **when, filter_name=by, **facts) if by else make_turn(0, **when, **facts)


class BothLogs:
    """Records of the model log and of the filter log in one batch, as formats hold them that yield turns and checks."""

    key = "both_logs"
    title = description = ""
    yields = ("turns", "checks")
    structure = {**FORMATS["model_log"].structure, **FORMATS["filter_log"].structure}
    rules = ()

    def sniff(self, record: Any) -> float:
        return 0.0

    def selects(self, settings: Settings) -> Selects:
        def of(log: str, condition: str) -> Any:
            return FORMATS[log].selects(settings), (
                f"WITH accepted AS (SELECT * FROM temp.accepted WHERE r.filter_name {condition})"
            )

        (turns, logged), (checks, checked) = of("model_log", "IS NULL"), of("filter_log", "IS NOT NULL")
        return Selects(turns=f"{logged} {turns.turns}", checks=f"{checked} {checks.checks}")


def load_together(events: EventStore, *records: dict[str, Any]) -> None:
    """Loads records of both logs as one batch, in the order in which `load` has them."""
    ordered = sorted(records, key=lambda record: "filter_name" in record)
    lines = pa.table(
        {
            "line_no": pa.array(range(1, len(ordered) + 1), pa.int64()),
            "line": pa.array([orjson.dumps(record).decode() for record in ordered], pa.large_string()),
        }
    )
    batch = Batch(lines, REJECT_SCHEMA.empty_table(), "test")
    events.write(lambda connection: load_batch(connection, BothLogs(), batch, settings=Settings()))


def turns_of(events: EventStore, request: str) -> list[tuple[Any, ...]]:
    """Hours since the start, whether the model log has it, and its filters, of each row of a request."""
    rows = events.read(
        "SELECT epoch(ts - ?) / 3600 AS hours, is_logged, filters FROM turns WHERE request_id = ? ORDER BY ALL",
        [START, request],
    ).rows()
    return [(hours, is_logged, json.loads(filters)) for hours, is_logged, filters in rows]


def assert_counted(events: EventStore) -> None:
    """The rollup of turns is that of the rows."""
    keys = "minute, outcome, model, app, language, filters"
    rows = events.read(
        f"SELECT {keys}, count(*)::INT, sum((NOT is_logged)::INT)::INT, sum(is_stopped::INT)::INT, "
        "count(*) FILTER (is_escalated OR outcome = 'human_escalation')::INT FROM (SELECT *, date_trunc('minute', ts) AS minute FROM turns) GROUP BY ALL ORDER BY ALL"
    ).rows()
    counted = events.read(
        f"SELECT {keys}, sum(turns)::INT, sum(orphans)::INT, sum(stopped)::INT, sum(escalated)::INT FROM turn_rollup "
        "GROUP BY ALL HAVING sum(turns) <> 0 OR sum(orphans) <> 0 OR sum(stopped) <> 0 OR sum(escalated) <> 0 ORDER BY ALL"
    ).rows()
    assert rows == counted


def test_rows_of_one_request_years_apart__a_batch_completes_the_one_near_it(events: EventStore) -> None:
    years = 30 * 365 * 24
    load(events, tell("a", -years, by="old"))
    load(events, tell("a", 0, by="new"))
    # Other records of the batch reach over both rows; the rollup lost a turn and gained one with two updates.
    load(events, tell("a", 0, model="m-2"), tell("b", -years), tell("c", 1))
    assert_counted(events)
    assert turns_of(events, "a") == [(-years, False, ["old"]), (0, True, ["new"])]
    load(events, tell("a", -years, by="late", latency_ms=1.5), tell("c", 1, by="late"))
    assert_counted(events)
    assert turns_of(events, "a") == [(-years, False, ["late", "old"]), (0, True, ["new"])]


def test_one_damaged_time_in_a_batch__the_turns_other_checks_stay_with_it(events: EventStore) -> None:
    load(events, tell("a", 0))
    load(events, tell("a", 1, by="one"), tell("a", -90_000, by="damaged"), tell("a", 2, by="two"))
    assert_counted(events)
    assert turns_of(events, "a") == [(-90_000, False, ["damaged"]), (0, True, ["one", "two"])]


def test_an_id_given_out_again__as_many_turns_in_one_batch_as_in_several(events: EventStore) -> None:
    days = [tell("again", 48 * day, response=f"answer {day}") for day in range(5)]
    alone = [tell("alone", 48 * day, response=f"answer {day}") for day in range(5)]
    load(events, *days)
    for record in alone:
        load(events, record)
    assert turns_of(events, "again") == turns_of(events, "alone") == [(48 * day, True, []) for day in range(5)]
    load(events, *days, *alone)
    assert events.read("SELECT count(DISTINCT response) FROM turns WHERE request_id = 'again'").item() == 5
    assert events.read("SELECT count(*) FROM turns").item() == 10
    assert_counted(events)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_time_between_two_rows__the_nearest_row_is_meant(order: list[int], events: EventStore) -> None:
    rows = [tell("a", 0, by="early"), tell("a", 30, by="late")]
    for number in order:
        load(events, rows[number])
    load(events, tell("a", 20))
    assert turns_of(events, "a") == [(0, False, ["early"]), (20, True, ["late"])]
    assert_counted(events)


def test_two_times_near_one_row__the_nearest_takes_it(events: EventStore) -> None:
    load(events, tell("a", 20, by="middle"))
    load(events, tell("a", 0), tell("a", 30))
    assert turns_of(events, "a") == [(0, True, []), (30, True, ["middle"])]
    load(events, tell("a", 0), tell("a", 30))
    assert len(turns_of(events, "a")) == 2
    assert_counted(events)


# A turn's logs lie within a day; the same id means another turn two days later.
MOMENTS = st.tuples(st.integers(0, 3), st.floats(0, 23, width=16))
RECORDS = st.tuples(
    st.sampled_from("ab"),
    MOMENTS,
    st.sampled_from([None, None, "blocklist", "guard", "judge"]),
    st.fixed_dictionaries(
        {}, optional={"outcome": st.sampled_from(["pass", "refusal"]), "model": st.sampled_from(["m-1", "m-2"])}
    ),
)


@on_one_store
@given(st.lists(st.lists(RECORDS, min_size=1, max_size=5), min_size=1, max_size=5))
def test_turns__as_many_rows_as_there_were_turns_whatever_the_batches(events: EventStore, batches: Any) -> None:
    example = next(NAMES)
    filters: dict[tuple[str, int], set[str]] = defaultdict(set)
    logged = set()
    told = []
    for batch in batches:
        told.append(
            [tell(f"{example}-{name}", day * 72 + hour, by=by, **facts) for name, (day, hour), by, facts in batch]
        )
        for name, (day, _), by, _ in batch:
            filters[name, day] |= {by} - {None}
            logged |= {(name, day)} if by is None else set()
    for records in [*told, *told]:
        load(events, *records)
        assert_counted(events)
    found = {
        (name, int(hours // 72)): (is_logged, set(names))
        for name in "ab"
        for hours, is_logged, names in turns_of(events, f"{example}-{name}")
    }
    assert found == {turn: (turn in logged, names) for turn, names in filters.items()}
    assert events.read("SELECT count(*) FROM turns WHERE starts_with(request_id, ?)", [f"{example}-"]).item() == len(
        found
    )


@on_one_store
@given(
    st.lists(
        st.lists(
            st.tuples(st.floats(0, 100, width=16), st.sampled_from([None, "guard", "judge"])), min_size=1, max_size=4
        ),
        min_size=1,
        max_size=6,
    )
)
def test_times_however_close_or_far__the_rollup_counts_the_rows(events: EventStore, batches: Any) -> None:
    example = next(NAMES)
    for batch in batches:
        load(events, *[tell(f"{example}", hours, by=by) for hours, by in batch])
        assert_counted(events)
    filters = {by for batch in batches for _, by in batch if by}
    assert set().union(*(names for *_, names in turns_of(events, f"{example}"))) == filters


DECIDED = {
    "guard": {"triggered": True, "decision": "block", "enforced": True},
    "judge": {"triggered": True, "decision": "escalate", "enforced": True},
}


@on_one_store
@given(st.lists(st.lists(RECORDS, min_size=1, max_size=6), min_size=1, max_size=4))
def test_logs_in_one_batch__the_turns_are_those_of_a_model_log_and_a_filter_log_after_it(
    events: EventStore, batches: Any
) -> None:
    rows = []
    for load_logs, example in ((load, next(NAMES)), (load_together, next(NAMES))):
        for batch in batches:
            load_logs(
                events,
                *[
                    tell(f"{example}-{name}", day * 20 + hour, by=by, **facts, **DECIDED.get(by, {}))
                    for name, (day, hour), by, facts in batch
                ],
            )
            assert_counted(events)
        found = events.read(
            "SELECT * EXCLUDE (request_id, ingest_id) FROM turns WHERE starts_with(request_id, ?) ORDER BY ALL",
            [f"{example}-"],
        )
        rows.append(found.rows())
    assert rows[0] == rows[1]


def test_a_turn_and_its_check_in_one_batch__the_turn_is_stored_once(events: EventStore) -> None:
    check = tell("a", 1, by="guard", user_id="u", outcome="refusal", triggered=True, decision="block", enforced=True)
    load_together(events, tell("a", 0, prompt="question", outcome=None), check, tell("b", 0), tell("c", 3, by="guard"))
    columns = "request_id, is_logged, prompt, user_id, outcome, filters, is_stopped, source"
    rows = events.read(f"SELECT {columns} FROM turns ORDER BY request_id").rows()
    assert rows[0] == ("a", True, "question", "u", "refusal", '["guard"]', True, "test")
    assert [row[:2] for row in rows[1:]] == [("b", True), ("c", False)]
    # Not counted, taken out and counted anew.
    assert events.read("SELECT min(turns)::INT FROM turn_rollup").item() == 1
    assert_counted(events)


def test_a_check_stored_before_the_batch__its_facts_stay_before_those_of_the_batch(events: EventStore) -> None:
    load(events, tell("a", 0, by="guard", outcome="refusal"))
    load_together(events, tell("a", 1, outcome=None), tell("a", 2, by="judge", outcome="pass"))
    assert events.read("SELECT outcome, is_logged, filters FROM turns").rows() == [
        ("refusal", True, '["guard","judge"]')
    ]
    assert_counted(events)
