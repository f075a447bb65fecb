"""Reports on demo traffic against its truth, which no log holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.demo.fill import fill_demo
from ingest.schema import create_tables
from metrics.overblocking import rank_rules
from metrics.query import Query
from metrics.run import run_report

UNTIL = datetime(2026, 3, 2, 9)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EventStore, dict[str, Any]]]:
    home = Settings(home=tmp_path_factory.mktemp("demo"))
    events = EventStore(home.events_path, threads=1)
    create_tables(events)
    summary = fill_demo(events, settings=home, days=30, seed=1, until=UNTIL)
    yield events, summary.facts
    events.close()


def test_the_rule_that_blocks_too_much_is_number_one(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, facts = demo
    truth = facts["over_blocking"]
    rules = rank_rules(events, Query()).drop_nulls("rule_id")
    first = rules.row(0, named=True)
    assert (first["filter_name"], first["rule_id"]) == (truth["filter_name"], truth["rule_id"])
    assert first["triggered"] == truth["triggered"]
    assert first["low_per_day"] * 30 <= truth["wrong_blocks"] * 1.01
    assert first["high_per_day"] * 30 >= truth["wrong_blocks"] * 0.99


def test_the_shadow_version_is_judged_right(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, facts = demo
    truth = facts["shadow"]
    (row,) = run_report(events, "shadow", Query()).rows.to_dicts()
    assert row["reference"] == f"{truth['filter_name']}@{truth['reference']}"
    assert row["candidate"] == f"{truth['filter_name']}@{truth['candidate']}"
    assert row["verdict"] == truth["verdict"]
    assert row["pairs"] == truth["pairs"]


def test_a_threshold_s_rates_hold_the_truth_of_the_one_in_force(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, facts = demo
    version = facts["shadow"]["reference"]
    query = Query(filters=(("filter_name", "toxicity-clf"), ("filter_version", version)))
    rows = {row["threshold"]: row for row in run_report(events, "thresholds", query).rows.to_dicts()}
    truth = facts["filters"]["toxicity-clf"]
    row = rows[0.8]
    assert row["triggers"] == truth["tp"] + truth["fp"]
    assert row["precision"]["low"] <= 1 - truth["wrong_block_share"] <= row["precision"]["high"]
    assert row["recall"]["low"] <= 1 - truth["missed_harm_rate"] <= row["recall"]["high"]
