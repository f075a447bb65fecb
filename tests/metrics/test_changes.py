"""The report `changes`: what is new, against what, and the rates before and after."""

from __future__ import annotations

from datetime import timedelta

import pytest
from canonical_rows import START, Row, add

from core.events import EventStore
from metrics.changes import Noted, list_changes, list_moments
from metrics.query import Query
from metrics.run import run_report

DAY = timedelta(days=1)


def make_checks(day: int, *, hits: int, of: int, **facts: object) -> list[Row]:
    """Checks of one day, the first `hits` of which trigger."""
    return [
        {
            "request_id": f"{facts.get('filter_name', 'guard')}-{facts.get('filter_version')}-{day}-{number}",
            "ts": START + day * DAY,
            "filter_name": "guard",
            "triggered": number < hits,
            **facts,
        }
        for number in range(of)
    ]


def put(events: EventStore, *batches: list[Row]) -> None:
    add(events, checks=[row for batch in batches for row in batch])


def test_a_version_is_a_change_with_the_rates_of_both(events: EventStore) -> None:
    put(
        events,
        *(make_checks(day, hits=1, of=20, filter_version="1") for day in range(3)),
        *(make_checks(day, hits=4, of=20, filter_version="2") for day in range(3, 5)),
    )
    (row,) = run_report(events, "changes", Query()).rows.to_dicts()
    assert (row["at"], row["what"], row["filter_name"]) == (START + 3 * DAY, "filter version", "guard")
    assert (row["from"], row["to"], row["evaluated"]) == ("1", "2", 40)
    assert (row["rate_before"]["estimate"], row["rate_after"]["estimate"]) == (0.05, 0.2)
    difference = row["difference"]
    assert difference["estimate"] == pytest.approx(0.15)
    assert difference["low"] < 0.15 < difference["high"]
    assert difference["n"] == 40


def test_no_more_than_a_week_on_either_side_counts(events: EventStore) -> None:
    put(
        events,
        make_checks(0, hits=20, of=20, filter_version="1"),
        make_checks(9, hits=2, of=20, filter_version="1"),
        make_checks(10, hits=0, of=20, filter_version="2"),
        make_checks(17, hits=20, of=20, filter_version="2"),
    )
    (row,) = run_report(events, "changes", Query()).rows.to_dicts()
    assert (row["rate_before"]["numerator"], row["rate_after"]["numerator"]) == (2, 0)


def test_what_was_there_from_the_beginning_is_no_change(events: EventStore) -> None:
    put(events, make_checks(0, hits=1, of=5), make_checks(0, hits=1, of=5, filter_name="other", rule_id="r"))
    assert run_report(events, "changes", Query()).rows.is_empty()


def test_a_filter_that_comes_later_is_one(events: EventStore) -> None:
    put(events, make_checks(0, hits=1, of=5), make_checks(2, hits=1, of=5, filter_name="other", filter_version="a"))
    (row,) = run_report(events, "changes", Query()).rows.to_dicts()
    assert (row["what"], row["name"], row["from"], row["to"]) == ("filter", "other", None, "a")
    assert row["rate_before"]["estimate"] is None
    assert row["difference"]["estimate"] is None


def test_a_rule_is_new_only_if_it_would_have_fired_before(events: EventStore) -> None:
    quiet = [make_checks(day, hits=0, of=100) for day in range(5)]
    often = make_checks(5, hits=30, of=30, rule_id="often")
    seldom = make_checks(5, hits=1, of=1, rule_id="seldom")
    put(events, *quiet, often, seldom, make_checks(5, hits=0, of=69))
    (row,) = run_report(events, "changes", Query()).rows.to_dicts()
    assert (row["what"], row["name"], row["at"]) == ("rule", "often", START + 5 * DAY)
    # A rule that logs only its hits is tried as often as its filter.
    assert (row["rate_before"]["denominator"], row["rate_after"]["denominator"]) == (500, 100)
    assert row["rate_after"]["estimate"] == pytest.approx(0.3)


def test_policies_and_models_have_versions_too(events: EventStore) -> None:
    turns = [
        {"request_id": f"t{day}", "ts": START + day * DAY, "model": "m", "model_version": version}
        for day, version in ((0, "a"), (2, "b"))
    ]
    policies = [
        row
        for day, version in ((0, "v1"), (3, "v2"))
        for row in make_checks(day, hits=1, of=6, policy_id="safety", policy_version=version)
    ]
    add(events, turns=turns, checks=policies)
    rows = run_report(events, "changes", Query()).rows.to_dicts()
    assert [(row["what"], row["name"], row["from"], row["to"]) for row in rows] == [
        ("policy version", "safety", "v1", "v2"),
        ("model version", "m", "a", "b"),
    ]
    assert rows[0]["rate_before"]["denominator"] == 6


def test_the_window_and_the_filters_choose_but_history_tells_what_is_new(events: EventStore) -> None:
    put(
        events,
        *(
            make_checks(day, hits=1, of=5, filter_name=name, filter_version=version)
            for name in ("a", "b")
            for day, version in ((0, "1"), (2, "2"), (4, "3"))
        ),
    )
    rows = run_report(events, "changes", Query(since=START + 3 * DAY, filters=(("filter_name", "a"),))).rows.to_dicts()
    assert [(row["filter_name"], row["from"], row["to"]) for row in rows] == [("a", "2", "3")]


def test_noted_changes_stand_among_them_with_rates(events: EventStore) -> None:
    put(events, make_checks(0, hits=1, of=10), make_checks(2, hits=5, of=10))
    noted = (
        Noted(START + DAY, "guard", "list cleaned"),
        Noted(START + DAY, "other", "not of this filter"),
        Noted(START - DAY, None, "before the window"),
    )
    query = Query(since=START, filters=(("filter_name", "guard"),))
    (row,) = list_changes(events, query, noted=noted).to_dicts()
    assert (row["what"], row["name"], row["filter_name"]) == ("registered", "list cleaned", "guard")
    assert (row["rate_before"]["estimate"], row["rate_after"]["estimate"]) == (0.1, 0.5)


def test_moments_are_narrowed_by_what_their_own_log_says(events: EventStore) -> None:
    days = range(5)
    add(
        events,
        turns=[
            {
                "request_id": f"{name}-{day}",
                "ts": START + day * DAY,
                "app": app,
                "model": name,
                "model_version": day // 3,
            }
            for name, app in (("a", "shop"), ("b", "forum"))
            for day in days
        ],
        checks=[
            {
                "request_id": f"{name}-{day}",
                "ts": START + day * DAY,
                "filter_name": name,
                "filter_version": day // 2,
                "policy_id": "safety",
                "policy_version": day // 2,
            }
            for name in ("a", "b")
            for day in days
        ],
    )

    def list_names(*filters: tuple[str, str]) -> list[tuple[str, str | None, str, str]]:
        query = Query(since=START + 3 * DAY, filters=filters)
        found = list_moments(events, query, noted=()).select("what", "filter_name", "name", "to")
        return sorted(found.rows(), key=str)

    of_shop = [
        ("filter version", "a", "a", "2"),
        ("model version", None, "a", "1"),
        ("policy version", "a", "safety", "2"),
    ]
    assert list_names(("app", "shop")) == of_shop
    # The filter ran in the window on turns of the model alone; a filter's name says nothing of models.
    assert list_names(("model", "a")) == of_shop
    assert list_names(("filter_name", "a")) == [of_shop[0], of_shop[1], ("model version", None, "b", "1"), of_shop[2]]
    exact = run_report(events, "changes", Query(since=START + 3 * DAY)).rows
    assert list_names() == sorted(exact.select("what", "filter_name", "name", "to").rows(), key=str)
