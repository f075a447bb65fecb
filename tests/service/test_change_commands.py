"""The commands `weir changes ...`."""

from __future__ import annotations

from incidents.audit import find_tampering
from service.home import Home
from tests.service.commands import run


def test_add_and_list(home: Home) -> None:
    run("ingest", "sample_logs/filter_log.jsonl", home=home)
    arguments = ("--at", "2026-03-02T12:00:00Z", "--filter", "word-list", "--note", "list  cleaned", "--json")
    added = run("changes", "add", *arguments, home=home).document
    assert added == {"at": "2026-03-02T12:00:00Z", "filter_name": "word-list", "note": "list cleaned"}
    rows = run("changes", "list", "--json", home=home).document["changes"]
    (noted,) = [row for row in rows if row["what"] == "registered"]
    assert (noted["name"], noted["filter_name"], noted["at"]) == ("list cleaned", "word-list", "2026-03-02T12:00:00Z")
    assert noted["difference"].keys() >= {"estimate", "low", "high"}
    later = run("changes", "list", "--since", "2026-03-02T12:01", "--json", home=home).document["changes"]
    assert noted not in later
    assert find_tampering(home.records) is None
    assert "list cleaned" in run("changes", "list", home=home).out


def test_a_change_without_a_note_is_refused(home: Home) -> None:
    outcome = run("changes", "add", "--at", "1h", "--note", " ", home=home)
    assert (outcome.status, outcome.out) == (2, "")
    assert "at most 200" in outcome.err
