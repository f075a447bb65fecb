"""What is kept at hand of policies' versions is what a walk through the store finds, however it grew."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from canonical_rows import START, Row, add
from polars.testing import assert_frame_equal

from core.events import EventStore
from ingest.policies import KEYS
from metrics.first_seen import find_first_seen
from metrics.query import Query

MINUTE = timedelta(minutes=1)


def assert_at_hand(events: EventStore, query: Query) -> None:
    """Compares the changes with those of a walk: the same question, put so that every check has the category asked for."""
    walked = find_first_seen(events.backend(), Query(until=query.until, filters=(*query.filters, ("category", "c"))))
    assert "category" not in KEYS
    assert_frame_equal(find_first_seen(events.backend(), query), walked)


def draw_checks(random: Random) -> list[Row]:
    return [
        {
            "request_id": f"r{random.randrange(10**9)}",
            "ts": START + random.randrange(3000) * MINUTE,
            "filter_name": random.choice("fg"),
            "layer": random.choice("ab"),
            "policy_id": random.choice(["p", None]),
            "policy_version": random.choice(["1", "2", "3", None]),
            "category": "c",
        }
        for _ in range(random.randrange(5))
    ]


@pytest.mark.parametrize("seed", range(2))
def test_it_grows_as_the_store_does(events: EventStore, seed: int) -> None:
    random = Random(seed)
    queries = (Query(), Query(filters=(("layer", "a"),)), Query(until=START + 900 * MINUTE))
    for ingest_id in range(1, 12):
        add(events, checks=draw_checks(random), ingest_id=ingest_id)
        for query in queries:
            assert_at_hand(events, query)
    assert set(find_first_seen(events.backend(), Query())["what"]) >= {"policy version"}


def test_what_is_removed_is_gone(events: EventStore) -> None:
    facts = {"filter_name": "f", "policy_id": "p", "category": "c"}
    add(
        events,
        checks=[
            {"request_id": version, "ts": START + day * MINUTE, "policy_version": version, **facts}
            for day, version in enumerate("123")
        ],
    )
    assert find_first_seen(events.backend(), Query())["to"].to_list() == ["3", "2"]
    events.write(lambda connection: connection.execute("DELETE FROM checks WHERE policy_version = '2'"))
    events.forget()
    assert find_first_seen(events.backend(), Query())["to"].to_list() == ["3"]
    events.rebuild()
    assert_at_hand(events, Query())
