"""`weir proposals ...` from check to decision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.home import Home
from tests.service.commands import run

EXCLUSION = ("--filter-name", "word-list", "--phrase", "a")


def load(home: Home, folder: Path) -> None:
    """Two blocked turns, one of them judged benign."""
    rows = [
        {"ts": "2026-03-02T09:00:00Z", "request_id": name, "filter_name": "word-list", "triggered": True}
        | {"decision": "block", "enforced": True, "rule_id": "w1", "content": "a word"}
        for name in ("r1", "r2")
    ]
    label = {"ts": "2026-03-02T10:00:00Z", "request_id": "r1", "reviewer": "ann", "harmful": False}
    for name, records in (("checks", rows), ("labels", [label])):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        assert run("ingest", str(path), home=home).status == 0


def test_from_check_to_decision(home: Home, tmp_path: Path) -> None:
    load(home, tmp_path)
    checked = run("proposals", "check", *EXCLUSION, "--json", home=home).document
    assert (checked["verdict"], checked["spared"], checked["wrong_blocks_removed"]) == ("too_few_labels", 2, 1)
    added = run("proposals", "add", *EXCLUSION, "--rule", "w1", "--reason", "why", "--json", home=home).document
    assert (added["proposal_id"], added["state"], added["checked"]) == (1, "proposed", checked)
    decided = run(
        *("proposals", "decide", "1", "--state", "tried", "--experiment", "e", "--note", "a week", "--json"), home=home
    ).document
    assert [item["state"] for item in decided["history"]] == ["proposed", "tried"]
    listed = run("proposals", "list", "--json", home=home).document["proposals"]
    assert listed == [decided] == [run("proposals", "show", "1", "--json", home=home).document]
    assert "Not known to be safe" in run("proposals", "check", *EXCLUSION, home=home).out
    assert "a week" in run("proposals", "show", "1", home=home).out


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (("check", "--filter-name", "f"), 2, "Name a phrase"),
        (("check", "--filter-name", "f", "--phrase", "a", "--threshold", "0.5"), 2, "exclusion or a threshold"),
        (("add", *EXCLUSION, "--reason", "why"), 2, "no effect"),
        (("show", "7"), 1, "weir proposals list"),
        (("decide", "7", "--state", "proposed", "--note", "n"), 2, "--state"),
        (("decide", "7", "--state", "accepted", "--note", "n"), 1, "No such proposal"),
    ],
)
def test_failures_are_one_sentence(home: Home, arguments: tuple[str, ...], status: int, named: str) -> None:
    outcome = run("proposals", *arguments, home=home)
    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (status, "", 1)
    assert named in outcome.err
