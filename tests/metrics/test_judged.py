"""What is kept at hand of judged turns is what a walk through the store finds, however it grew."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any, Literal

import polars as pl
import pytest
from canonical_rows import START, add
from polars.testing import assert_frame_equal

from core.events import Connection, EventStore
from ingest.schema import get_data_version
from metrics import errors
from metrics.events import checks, fetch, turns
from metrics.judged import judged
from metrics.query import Query
from metrics.reviews import fetch_verdicts

HOUR = timedelta(hours=1)
Name = Literal["checks", "turns"]


def assert_at_hand(events: EventStore) -> None:
    """Compares both tables with the join that they stand for."""
    names: tuple[Name, ...] = ("checks", "turns")
    for name in names:
        found = fetch(events.backend(), judged(events.backend(), name))
        walked = events.read(
            f"SELECT {', '.join(found.columns)} FROM {name} WHERE request_id IN (SELECT request_id FROM labels)"
        )
        assert_frame_equal(found, walked, check_row_order=False)


def grow(events: EventStore, random: Random, ingest_id: int) -> None:
    """One ingest of any kind: turns, checks and votes, each of turns that are new or known, or that nothing else tells of."""
    pick = [f"r{random.randrange(30)}" for _ in range(random.randrange(6))]
    at = START + random.randrange(24) * HOUR
    kinds: dict[str, Any] = {
        "turns": [{"request_id": name, "ts": at, "conversation_id": "c", "outcome": "pass"} for name in pick],
        "checks": [
            {"request_id": name, "ts": at, "score": random.random(), "triggered": True, "decision": "escalate"}
            for name in pick
        ],
        "labels": [{"request_id": name, "ts": at, "harmful": random.random() < 0.5} for name in [*pick, None]],
    }
    chosen = random.choice(list(kinds))
    known = events.read("SELECT request_id FROM turns")["request_id"].to_list()
    if chosen == "turns":
        kinds["turns"] = [row for row in kinds["turns"] if row["request_id"] not in known]
    if chosen == "checks":
        # As ingest does: what only a check tells of is a turn, too.
        missing = sorted(set(pick) - set(known))
        add(
            events,
            checks=kinds["checks"],
            turns=[{"request_id": name, "ts": at} for name in missing],
            ingest_id=ingest_id,
        )
    else:
        add(events, **{chosen: kinds[chosen]}, ingest_id=ingest_id)


@pytest.mark.parametrize("seed", range(3))
def test_it_grows_as_the_store_does(events: EventStore, seed: int) -> None:
    random = Random(seed)
    assert_at_hand(events)
    for ingest_id in range(1, 25):
        grow(events, random, ingest_id)
        assert_at_hand(events)


def complete(connection: Connection) -> None:
    """A model log that arrives later moves its turn and fills it."""
    connection.execute(
        "UPDATE turns SET ts = ts - INTERVAL 1 HOUR, outcome = 'refusal', ingest_id = 3 WHERE request_id = 'late'"
    )
    connection.execute("INSERT INTO ingests BY NAME SELECT 3 AS ingest_id, now()::TIMESTAMP AS ingested_at")


def test_a_judged_turn_that_is_completed_is_seen_so(events: EventStore) -> None:
    add(events, turns=[{"request_id": "late", "ts": START + HOUR}], checks=[{"request_id": "late", "ts": START + HOUR}])
    add(events, labels=[{"request_id": "late", "harmful": True}], ingest_id=2)
    assert_at_hand(events)
    events.write(complete)
    assert_at_hand(events)
    assert fetch(events.backend(), turns(events.backend(), Query(), of_judged=True))["outcome"].to_list() == ["refusal"]


def test_what_is_removed_is_gone(events: EventStore) -> None:
    add(events, turns=[{"request_id": "a"}, {"request_id": "b"}], checks=[{"request_id": "a"}, {"request_id": "b"}])
    add(events, labels=[{"request_id": "a", "harmful": True}, {"request_id": "b", "harmful": True}], ingest_id=2)
    assert_at_hand(events)
    before = events.removals
    events.write(lambda connection: connection.execute("DELETE FROM checks WHERE request_id = 'a'"))
    events.forget()
    assert_at_hand(events)
    events.rebuild()
    assert_at_hand(events)
    assert events.removals == before + 2
    assert fetch_verdicts(events.backend()).height == 2


def test_checks_whose_turn_has_aged_out_are_still_found(events: EventStore) -> None:
    add(events, turns=[{"request_id": "other"}], checks=[{"request_id": "bare", "ts": START + 90 * HOUR}])
    assert_at_hand(events)
    add(events, labels=[{"request_id": "bare", "harmful": True}], ingest_id=2)
    assert_at_hand(events)
    assert fetch(events.backend(), checks(events.backend(), Query(), of_judged=True)).height == 1


def test_many_who_ask_at_once_cost_one_answer(events: EventStore) -> None:
    add(events, labels=[{"request_id": "a", "harmful": True}])
    built: list[int] = []
    for key in (1, 1, 2):
        with ThreadPoolExecutor(10) as pool:
            answers = list(
                pool.map(lambda _, key=key: events.remember("it", key, lambda: built.append(key)), range(50))
            )
        assert answers == [None] * 50
    assert built == [1, 2]
    with ThreadPoolExecutor(10) as pool:
        frames = list(pool.map(lambda _: fetch_verdicts(events.backend()), range(10)))
    assert all(frame is frames[0] for frame in frames)


def test_the_data_version_is_read_once_between_two_writes(events: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    original = events.read
    monkeypatch.setattr(events, "read", lambda sql: asked.append(sql) or original(sql))
    assert [get_data_version(events) for _ in range(3)] == [0, 0, 0]
    for ingest_id in (1, 2):
        add(events, labels=[{"request_id": "a", "harmful": True}], ingest_id=ingest_id)
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(lambda _: get_data_version(events), range(8))) == {ingest_id}
    assert len(asked) == 3


def test_new_votes_change_the_verdicts(events: EventStore) -> None:
    add(events, labels=[{"request_id": "a", "harmful": True}])
    assert fetch_verdicts(events.backend())["harmful"].to_list() == [True]
    add(events, labels=[{"request_id": "a", "harmful": False, "ts": START + HOUR}], ingest_id=2)
    assert fetch_verdicts(events.backend())["harmful"].to_list() == [False]


def test_the_tiles_rates_are_those_of_the_report(events: EventStore) -> None:
    random = Random(5)
    rows = [(str(n), random.random() < 0.4, random.random() < 0.3) for n in range(120)]
    add(
        events,
        turns=[{"request_id": name, "conversation_id": f"c{int(name) // 3}"} for name, _, _ in rows],
        checks=[
            {"request_id": name, "triggered": fired, "mode": mode, "filter_name": mode, "score": 0.5 + fired / 4}
            for name, fired, _ in rows
            for mode in ("enforce", "shadow")
        ],
        labels=[
            {"request_id": name, "harmful": harmful, "stratum": str(fired), "inclusion_probability": 0.2 + fired / 2}
            for name, fired, harmful in rows
        ],
    )
    for probability in (None, 1.0):
        if probability:
            events.write(lambda connection: connection.execute("UPDATE labels SET inclusion_probability = 1.0"))
            events.forget()
        whole = errors.compute(events.backend(), Query(filters=(("mode", "enforce"),))).row(0, named=True)
        tiles = errors.judge(events.backend(), Query())
        assert tiles == {name: whole[name] for name in ("reviewed", *errors.TILES)}
        assert tiles["reviewed"] == 120
        assert pl.Series([tiles["missed_harm_rate"]["method"]]).is_in(["korn-graubard-mover", "wilson"]).all()
