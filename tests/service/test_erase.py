"""`weir erase`: what a person wrote is gone from every byte of the home; what is elsewhere is named; nobody else loses anything."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.clock import now
from core.errors import AccessError
from core.settings import load_settings
from incidents.audit_log import list_audit, verify_audit
from incidents.cases import list_cases, open_cases
from incidents.people import SYSTEM, Actor, Role
from incidents.reviews import VoteCreate, cast_vote, mirror_votes
from ingest.inbox import Inbox
from service.backup import back_up
from service.erasing import erase
from service.home import Home, open_home
from tests.ingest.logs import make_check, make_turn, to_jsonl
from tests.service.commands import Outcome, run
from tests.stores import lay_out

ADA = Actor("ada", Role.ADMIN)
SECRET = "Zebulon Quartzite lives at the old \N{SNOWMAN} lighthouse"
BETTER = "A better answer for Zebulon Quartzite"
MARKS = ("Zebulon", "u-zeb", "c-zeb")


def records() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Four turns of a person, one of them in a conversation with somebody else, and six of others."""
    turns, checks = [], []
    for number in range(10):
        is_theirs = number < 4
        owner = {"user_id": "u-zeb", "conversation_id": "c-zeb" if number < 3 else "c-shared"}
        other = {"user_id": "u-zebra", "conversation_id": "c-shared" if number == 4 else f"c-{number}"}
        text = f"{SECRET}, said {number}" if is_theirs else f"Somebody else asks number {number} of many"
        turns.append(make_turn(number, prompt=text, response=f"Yes: {text}", **(owner if is_theirs else other)))
        hit = {"triggered": True, "decision": "block", "enforced": True, "category": "harassment", "outcome": "refusal"}
        checks.append(make_check(number, request_id=f"r{number}", conversation_id=None, content=text, **hit))
    return turns, checks


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    lay_out(tmp_path / "home")
    with open_home(load_settings(tmp_path / "home")) as opened:
        # As it is written is how it is searched for below: packed columns would hide it from any search.
        opened.events.write(lambda connection: connection.execute("SET GLOBAL force_compression = 'uncompressed'"))
        turns, checks = records()
        inbox = opened.settings.inbox
        broken = json.dumps(turns[0])[:-9].encode() + b"\n"
        (inbox / "turns.jsonl").write_bytes(to_jsonl(turns) + broken + b"broken line of nobody\n")
        (inbox / "checks.jsonl.gz").write_bytes(gzip.compress(to_jsonl(checks)))
        Inbox(inbox).ingest_new(opened.events, settings=opened.settings)
        open_cases(opened.records, opened.events, settings=opened.settings, actor=SYSTEM)
        for case in list_cases(opened.records, actor=ADA):
            vote = VoteCreate(case.case_id, harmful=True, revision=BETTER if case.request_id == "r0" else "Better")
            if case.request_id in ("r0", "r5"):
                cast_vote(opened.records, vote, actor=ADA, at=now())
        mirror_votes(opened.records, opened.events, settings=opened.settings)
        yield opened


def search(folder: Path, marks: tuple[str, ...] = MARKS) -> dict[str, list[str]]:
    """Marks by file, whole words only, in every byte of a folder; packed files unpacked."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            hits = [mark for mark in marks if mark.encode() in text.replace(b"u-zebra", b"")]
            if hits:
                found[path.name] = hits
    return found


def counts(home: Home) -> tuple[int, ...]:
    return home.events.read(
        "SELECT (SELECT count(*) FROM turns), (SELECT count(*) FROM checks), (SELECT count(*) FROM labels), "
        "(SELECT sum(turns)::INT FROM turn_rollup), (SELECT sum(evaluated)::INT FROM check_rollup)"
    ).row(0)


def erase_by_command(home: Home, *arguments: str) -> Outcome:
    return run("erase", "--json", *arguments, home=home)


def test_a_trial_counts_and_changes_nothing(home: Home) -> None:
    before = counts(home)
    document = erase_by_command(home, "--user", "u-zeb", "--dry-run").document
    assert not document["is_done"]
    assert document["counts"] == {
        "turns": 4,
        "checks": 4,
        "labels": 1,
        "quarantine": 1,
        "cases": 4,
        "votes": 1,
        "draws": 0,
        "revisions": 0,
        "ranking_prompts": 0,
        "exported_rows": 0,
        "lines": 9,
    }
    assert counts(home) == before
    assert list_audit(home.records, actor=ADA, action="erase") == []


def test_no_byte_of_a_person_is_left_and_nobody_else_loses_one(home: Home) -> None:
    home.events.checkpoint()
    folder = home.settings.home
    assert {"events.duckdb", "turns.jsonl", "checks.jsonl.gz"} <= search(folder).keys()
    document = erase_by_command(home, "--user", "u-zeb").document
    assert search(folder) == {}
    assert (document["is_done"], document["leftovers"], document["to_do"]) == (True, [], [])
    assert counts(home) == (6, 6, 1, 10, 10)
    assert home.events.read("SELECT count(*) FROM turns WHERE user_id = 'u-zebra' AND prompt IS NOT NULL").item() == 6
    assert (
        home.events.read("SELECT record FROM quarantine WHERE state = 'open'").item().strip() == "broken line of nobody"
    )


def test_what_was_erased_does_not_come_back(home: Home) -> None:
    erase_by_command(home, "--user", "u-zeb")
    after = counts(home)
    turns, checks = records()
    (home.settings.inbox / "again.jsonl").write_bytes(to_jsonl(turns))
    (home.settings.inbox / "checks-again.jsonl").write_bytes(to_jsonl(checks))
    summary = Inbox(home.settings.inbox).ingest_new(home.events, settings=home.settings)
    assert (summary.turns, summary.checks, summary.ignored, summary.rejected) == (0, 0, 8, 0)
    assert counts(home) == after
    later = [make_turn(50, user_id="u-zeb", ts=f"{now()}Z")]
    (home.settings.inbox / "later.jsonl").write_bytes(to_jsonl(later))
    assert Inbox(home.settings.inbox).ingest_new(home.events, settings=home.settings).turns == 1


def test_a_case_keeps_the_decision_and_nothing_else(home: Home) -> None:
    erase_by_command(home, "--user", "u-zeb")
    cases = {case.request_id: case for case in list_cases(home.records, actor=ADA)}
    gone = [case for name, case in cases.items() if name.startswith("erased-")]
    assert len(gone) == 4
    assert sorted(case.state.value for case in gone) == ["closed", "closed", "closed", "decided"]
    assert len(cases) == 10
    entries = list_audit(home.records, actor=ADA, action="erase")
    assert len(entries) == 1
    assert not [mark for mark in MARKS if mark in entries[0].detail + entries[0].subject]
    assert verify_audit(home.records, None).broken is None


def test_a_conversation_goes_and_the_rest_of_the_person_stays(home: Home) -> None:
    document = erase_by_command(home, "--conversation", "c-zeb").document
    assert (document["counts"]["turns"], document["counts"]["cases"]) == (3, 3)
    assert home.events.read("SELECT request_id FROM turns WHERE user_id = 'u-zeb'").item() == "r3"
    assert "c-zeb" not in {mark for marks in search(home.settings.home).values() for mark in marks}


def test_backups_and_documents_are_named(home: Home, tmp_path: Path) -> None:
    back_up(home, tmp_path / "copy", actor=ADA, at=now())
    document_file = home.settings.inbox / "document.json"
    document_file.write_text(json.dumps(records()[0]))
    kept = home.settings.home / "notes.txt"
    kept.write_text(f"{SECRET}, said 2")
    document = erase_by_command(home, "--user", "u-zeb").document
    assert document["backups"] == [str(tmp_path / "copy")]
    assert document["files"] == [str(document_file)]
    assert document["leftovers"] == [str(document_file), str(kept)]
    assert len(document["to_do"]) == 3


def test_exports_that_hold_them_are_listed_with_what_to_do(home: Home, tmp_path: Path) -> None:
    run("export", "classifier", "--out", str(tmp_path / "set"), "--split", "train=1.0", home=home)
    document = erase_by_command(home, "--user", "u-zeb").document
    (held,) = document["exports"]
    assert (held["number"], held["rows"], held["is_there"]) == (1, 1, True)
    assert document["counts"]["exported_rows"] == 1
    assert "Build these exports anew" in document["to_do"][0]
    (entry,) = list_audit(home.records, actor=ADA, action="erase")
    assert json.loads(entry.detail)["exports"] == [1]


def test_only_admins_and_only_what_is_there(home: Home) -> None:
    with pytest.raises(AccessError):
        erase(home, "user_id", "u-zeb", actor=Actor("ana", Role.LEAD), at=now())
    assert erase_by_command(home, "--user", "u-none").status == 1
    assert erase_by_command(home).status == 2
    assert erase_by_command(home, "--user", "u", "--conversation", "c").status == 2
