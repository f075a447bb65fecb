"""`weir incidents`: from opening to closing, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.home import Home
from tests.service.commands import run


def act(home: Home, number: int, action: str, *facts: str) -> dict[str, object]:
    options = [option for fact in facts for option in ("--set", fact)]
    outcome = run("incidents", "act", str(number), action, *options, "--json", home=home)
    assert outcome.status == 0, outcome.err
    document: dict[str, object] = outcome.document
    return document


def test_an_incident_goes_from_opening_to_closing(home: Home) -> None:
    opened = run("incidents", "open", "--title", "Guard is silent", "--link", "filter=guard", "--json", home=home)
    assert opened.status == 0
    assert opened.document["links"] == ["filter=guard"]
    assert opened.document["next_steps"] == {
        "acknowledge": [],
        "triage": ["severity", "owner"],
        "dismiss": ["dismissal", "reason"],
    }
    act(home, 1, "triage", "severity=high", "owner=ana")
    act(home, 1, "start", "summary=Nothing is flagged since noon")
    run("incidents", "note", "1", "vendor informed", home=home)
    act(home, 1, "stabilise", "mitigation=Restarted")
    added = run(
        *("incidents", "follow-up", "1", "--title", "Alert on silence", "--owner", "ben", "--due", "2026-04-01"),
        *("--json",),
        home=home,
    ).document
    number = added["follow_ups"][0]["number"]
    run("incidents", "follow-up", "1", "--done", str(number), home=home)
    closed = act(home, 1, "close", "resolution=outside", "cause=Expired key")
    assert (closed["state"], closed["owner"], closed["ending"]) == ("closed", "ana", "outside")
    assert closed["sections"] == {
        "summary": "Nothing is flagged since noon",
        "mitigation": "Restarted",
        "cause": "Expired key",
    }
    assert run("incidents", "list", "--json", home=home).document == {"incidents": []}
    (row,) = run("incidents", "list", "--all", "--json", home=home).document["incidents"]
    assert row["follow_ups"][0]["done_by"]
    shown = run("incidents", "show", "1", home=home)
    assert "finish_follow_up" in shown.out


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("open",), 2, "title"),
        (("open", "--title", "t", "--link", "person=ana"), 2, "alert, case, filter, rule"),
        (("open", "--alert", "a", "--since", "2h"), 2, "Leave out"),
        (("open", "--alert", "none"), 1, "No such alert"),
        (("act", "1", "close"), 1, "triage, dismiss"),
        (("act", "1", "triage", "--set", "owner"), 2, "name=value"),
        (("act", "1", "triage", "--set", "owner=ana", "--set", "severity=grave"), 1, "low, medium, high, critical"),
        (("act", "1", "vanish"), 2, "acknowledge"),
        (("show", "9"), 1, "No such incident"),
        (("follow-up", "1", "--title", "t", "--owner", "ana", "--due", "soon"), 1, "due"),
    ],
)
def test_what_cannot_be_is_said_with_what_can(home: Home, arguments: tuple[str, ...], status: int, says: str) -> None:
    run("incidents", "open", "--title", "one", home=home)
    outcome = run("incidents", *arguments, "--json", home=home)
    assert outcome.status == status
    assert says in outcome.err
    assert outcome.out == ""


def test_the_postmortem_is_printed_or_written(home: Home, tmp_path: Path) -> None:
    run("incidents", "open", "--title", "Guard <i>silent</i>", home=home)
    printed = run("incidents", "postmortem", "1", home=home)
    assert printed.out.startswith("# Postmortem of incident 1")
    path = tmp_path / "postmortem.html"
    written = run("incidents", "postmortem", "1", "--out", str(path), "--json", home=home)
    assert written.document["file"] == str(path)
    assert "Guard &lt;i&gt;silent" in path.read_text()


def test_a_report_of_a_serious_incident_is_written_and_noted(home: Home, tmp_path: Path) -> None:
    run("incidents", "open", "--title", "t", home=home)
    refused = run("incidents", "report", "1", home=home)
    assert refused.status == 2
    assert "not marked" in refused.err
    unknown = run(
        *("incidents", "act", "1", "mark_serious", "--set", "kind=bad"), "--set", "aware_at=2026-03-02", home=home
    )
    assert unknown.status == 2
    assert "critical-infrastructure" in unknown.err
    act(home, 1, "mark_serious", "kind=death", "aware_at=2026-03-02T09:00")
    path = tmp_path / "report.html"
    assert run("incidents", "report", "1", "--out", str(path), home=home).status == 0
    assert "2026-03-12 09:00 UTC, 10 days after awareness" in path.read_text()
    events = run("incidents", "show", "1", "--json", home=home).document["events"]
    assert events[-1]["payload"] == {"report": "initial"}
