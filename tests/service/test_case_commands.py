"""The commands `weir cases ...`: one shift of a script, and what they refuse."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import isoformat, now
from incidents.audit import find_tampering
from incidents.cases import open_cases
from incidents.people import SYSTEM
from service.home import Home
from tests.service.commands import run
from tests.service.test_remote import check_lines

SECRET = "what the user wrote"


@pytest.fixture
def queue(home: Home) -> Home:
    """A home with three open cases."""
    turns = b"".join(
        b'{"ts": "2026-03-02T09:00:00Z", "request_id": "words-%d", "prompt": "%s"}\n' % (number, SECRET.encode())
        for number in range(5)
    )
    assert run("ingest", "-", home=home, stdin=turns).status == 0
    lines = check_lines("words", 5).replace(b'"triggered": true', b'"triggered": true, "enforced": true')
    assert run("ingest", "-", home=home, stdin=lines).status == 0
    assert open_cases(home.records, home.events, settings=home.settings, actor=SYSTEM) == 3
    return home


def test_a_shift(queue: Home) -> None:
    case = run("cases", "next", "--reviewer", "ana", "--json", home=queue).document["case"]
    assert (case["leased_by"], case["state"], case["version"]) == ("ana", "open", 2)
    held = run("cases", "judge", case["case_id"], "--verdict", "benign", "--reviewer", "ben", home=queue)
    assert held.status == 1
    assert "ana" in held.err
    told = ("--category", "hate", "--severity", "3", "--reason", "policy_violation", "--version", "2")
    judged = run(
        "cases", "judge", case["case_id"], "--verdict", "harmful", *told, "--reviewer", "ana", "--json", home=queue
    )
    assert judged.document["case"]["state"] == "decided"
    undone = run("cases", "undo", case["case_id"], "--reviewer", "ana", "--json", home=queue)
    assert undone.document["case"]["state"] == "open"
    assert run("cases", "skip", case["case_id"], "--reviewer", "ana", "--json", home=queue).status == 0
    other = run("cases", "next", "--reviewer", "ana", "--json", home=queue).document["case"]
    assert other["case_id"] != case["case_id"]
    handed = run("cases", "escalate", other["case_id"], "--reason", "legal", "--reviewer", "ana", "--json", home=queue)
    assert handed.document["case"]["state"] == "escalated"
    listed = run("cases", "list", "--json", home=queue).document["cases"]
    assert case["case_id"] in [row["case_id"] for row in listed]
    assert len(listed) == 2
    assert find_tampering(queue.records) is None


def test_putting_off_and_handing_over(queue: Home) -> None:
    first, second, third = run("cases", "list", "--json", home=queue).document["cases"]
    until = isoformat(now() + timedelta(days=2))
    snoozed = run("cases", "snooze", first["case_id"], "--until", until, "--reviewer", "ana", "--json", home=queue)
    assert snoozed.document["case"]["snoozed_until"] == until
    for case in (second, third):
        handed = run("cases", "hand-over", case["case_id"], "--to", "ben", "--reviewer", "ana", "--json", home=queue)
        assert handed.document["case"]["assigned_to"] == "ben"
    assert run("cases", "next", "--reviewer", "ana", "--json", home=queue).document["case"] is None
    bens = run("cases", "next", "--reviewer", "ben", "--json", home=queue).document["case"]
    assert bens["case_id"] == second["case_id"]
    everything, *others = run("cases", "queues", "--json", home=queue).document["queues"]
    assert [row["name"] for row in others] == ["grave", "reports", "samples"]
    assert everything == {
        "name": "everything",
        "title": "Everything",
        "waiting": 2,
        "held": 1,
        "near_breach": 0,
        "breached": 0,
        "snoozed": 1,
    }


def test_a_selection_is_shown_then_decided_then_undone(queue: Home) -> None:
    chosen = (
        "cases",
        "judge-all",
        "--filter-name",
        "words",
        "--verdict",
        "benign",
        "--reason",
        "false_match",
        "--json",
    )
    shown = run(*chosen, home=queue).document
    assert shown["selection"] == "queue=everything and filter_name=words"
    assert shown["shown"].startswith("3:")
    stale = run(*chosen, "--shown", "2:0123456789ab", home=queue)
    assert (stale.status, "changed since" in stale.err) == (1, True)
    assert run(*chosen, "--shown", "three", home=queue).status == 2
    applied = run(*chosen, "--shown", shown["shown"], home=queue).document
    assert applied["count"] == 3
    assert run("cases", "next", "--json", home=queue).document["case"] is None
    undone = run("cases", "undo-all", applied["bulk_id"], "--json", home=queue).document
    assert undone["withdrawn"] == 3
    assert find_tampering(queue.records) is None


def test_an_empty_queue_is_no_failure(home: Home) -> None:
    assert run("cases", "next", "--reviewer", "ana", "--json", home=home).document == {"case": None}
    assert run("cases", "list", "--json", home=home).document == {"cases": []}


def test_no_command_shows_logged_text(queue: Home) -> None:
    outputs = [run("cases", "next", *form, home=queue).out for form in ((), ("--json",))]
    outputs += [run("cases", "list", *form, home=queue).out for form in ((), ("--json",))]
    assert all(output and SECRET not in output for output in outputs)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cases", "judge", "nowhere", "--verdict", "benign"), (1, "No such case")),
        (("cases", "judge", "x", "--verdict", "perhaps"), (2, "perhaps")),
        (("cases", "judge", "x", "--verdict", "benign", "--reason", "mood"), (2, "benign_topic")),
        (("cases", "escalate", "x", "--reason", "mood"), (2, "imminent_harm")),
        (("cases", "next", "--reviewer", "system"), (2, "Not a reviewer")),
        (("cases", "next", "--queue", "nowhere"), (2, "Valid: everything")),
        (("cases", "next", "--reviewer", "a\x1b[31m"), (2, "Not a reviewer")),
    ],
)
def test_what_is_refused_says_why(queue: Home, arguments: tuple[str, ...], told: tuple[int, str]) -> None:
    outcome = run(*arguments, home=queue)
    assert outcome.status == told[0]
    assert told[1] in outcome.err
