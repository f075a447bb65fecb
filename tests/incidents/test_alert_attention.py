"""Alerts as what needs a person: grouped, ranked, and never said twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from incidents.alerts.attention import URGENCY, describe_firing, put_first
from incidents.alerts.desk import AlertView
from incidents.alerts.kinds import KINDS
from incidents.enums import AlertState
from metrics.headline import Finding, Kind, Name

AT = datetime.fromisoformat("2026-03-02T09:00:00")


def make_view(kind: str, filter_name: str | None = "guard", **fields: object) -> AlertView:
    given = {
        "alert_id": f"{kind}/{filter_name}",
        "rule_name": kind,
        "kind": kind,
        "filter_name": filter_name,
        "rule_id": None,
        "source": None,
        "state": AlertState.FIRING,
        "since": AT,
        "fired_at": AT,
        "window_end": AT,
        "breached_at": AT,
        "group_id": filter_name,
        "sentence": "says so",
        "evidence": {"observed": 1.0},
        **dict.fromkeys(("silenced_until", "silenced_by", "silence_reason", "acked_by", "acked_at")),
    }
    return AlertView(**(given | fields))  # type: ignore[arg-type]  # every field is given


def make_finding(kind: Kind, filter_name: str | None = None) -> Finding:
    return Finding(kind, ("something",), filter_name, None, None, {}, 1.0)


def test_every_kind_has_its_urgency() -> None:
    assert sorted(URGENCY) == sorted(KINDS)


def test_a_group_is_one_finding_and_the_most_urgent_comes_first() -> None:
    found = describe_firing(
        [
            make_view("latency"),
            make_view("rate_change", "blocklist", rule_id="kw-1"),
            make_view("rate_change", "blocklist", alert_id="whole"),
            make_view("silence"),
        ]
    )
    assert [finding.sentence() for finding in found] == [
        "guard says so (and 1 more alert)",
        "rule kw-1 of blocklist says so (and 1 more alert)",
    ]
    assert [finding.alert_kind for finding in found] == ["silence", "rate_change"]
    assert found[0].weight > found[1].weight
    assert all(isinstance(part, Name) for finding in found for part in finding.parts if "guard" in str(part)[:12])


def test_only_what_fires_needs_a_person() -> None:
    calm = [state for state in AlertState if state is not AlertState.FIRING]
    assert describe_firing([make_view("silence", state=state) for state in calm]) == []


def test_what_an_alert_says_is_not_said_again() -> None:
    alerts = describe_firing([make_view("silence"), make_view("escalation_backlog", None)])
    others = [
        make_finding(Kind.SILENT, "guard"),
        make_finding(Kind.MOVED, "blocklist"),
        make_finding(Kind.LAGGING, None),
        make_finding(Kind.WAITING),
    ]
    assert put_first(alerts, others) == [*alerts, others[1], others[2]]
    assert put_first([], others) == others


def test_all_filters_and_waiting_people_have_their_sentences() -> None:
    found = describe_firing([make_view("no_data", None), make_view("escalation_backlog", None, group_id="b")])
    assert [finding.sentence() for finding in found] == ["all filters says so", "says so"]


def test_a_source_that_stopped_is_named_and_its_lag_not_told_beside() -> None:
    """The Overview's own finding says the same of the source, and of no other."""
    view = make_view("source_stopped", None, source="eu", sentence="brought nothing; 60 records expected")
    (alert,) = describe_firing([view])
    assert alert.sentence() == "source eu brought nothing; 60 records expected"
    lags = [replace(alert, kind=Kind.LAGGING, source=name, alert_kind="") for name in ("eu", "us")]
    assert [(found.kind, found.source) for found in put_first([alert], lags)] == [
        (Kind.ALERT, "eu"),
        (Kind.LAGGING, "us"),
    ]
