"""Every confirmed verdict against a candidate's log: what comes back, what was not looked at, what is reopened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.clock import isoformat
from core.settings import load_settings
from incidents.audit import find_tampering
from incidents.cases import get_case, lease_next, open_cases
from incidents.enums import CaseState
from incidents.filing import make_case_id
from incidents.loop.regression import Finding
from incidents.people import SYSTEM, Actor, Role
from incidents.reviews import VoteCreate, cast_vote
from ingest.load import load_records
from service.home import Home, open_home
from tests.service.commands import Outcome, run
from tests.stores import lay_out

AT = datetime(2026, 3, 2, 9)
ANA, BEN = Actor("ana", Role.REVIEWER), Actor("ben", Role.REVIEWER)
# request: does the blocklist stop it; what people say (None = one says harmful, one benign)
CASES: dict[str, tuple[bool, bool | None]] = {
    "wrong-block": (True, False),
    "right-block": (True, True),
    "benign-pass": (False, False),
    "missed": (False, True),
    "tie": (True, None),
}
FILTERS = ("--filter", "filter_name=blocklist")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home with five turns; the blocklist and a guard checked each, and people judged each."""
    lay_out(tmp_path / "home")
    with open_home(load_settings(tmp_path / "home")) as opened:
        turns = [turn(name) for name in CASES]
        load_records(opened.events, "model_log", turns, source="m", settings=opened.settings)
        rows = [check(name, fired) for name, (fired, _) in CASES.items()]
        rows += [check(name, name == "missed", filter_name="guard") for name in CASES]
        load_records(opened.events, "filter_log", rows, source="f", settings=opened.settings)
        load_records(
            opened.events, "label_log", [label("benign-pass", "ana", False)], source="l", settings=opened.settings
        )
        open_cases(opened.records, opened.events, settings=opened.settings, actor=SYSTEM)
        for name, (_, harmful) in CASES.items():
            if name != "benign-pass":
                case_id = make_case_id(name)
                cast_vote(opened.records, VoteCreate(case_id, harmful is not False), actor=ANA, at=AT)
                if harmful is None:
                    cast_vote(opened.records, VoteCreate(case_id, harmful=False), actor=BEN, at=AT)
        yield opened


def turn(name: str) -> dict[str, Any]:
    return {"ts": isoformat(AT), "request_id": name, "conversation_id": f"c-{name}", "prompt": f"Prompt {name}"}


def check(name: str, fired: bool, *, filter_name: str = "blocklist", **facts: Any) -> dict[str, Any]:
    decision = "block" if fired else "allow"
    row = {
        "ts": isoformat(AT),
        "request_id": name,
        "filter_name": filter_name,
        "triggered": fired,
        "decision": decision,
    }
    return row | facts


def label(name: str, reviewer: str, harmful: bool) -> dict[str, Any]:
    return {"ts": isoformat(AT), "request_id": name, "reviewer": reviewer, "harmful": harmful}


def regress(home: Home, folder: Path, rows: list[dict[str, Any]], *arguments: str) -> Outcome:
    path = folder / "candidate.jsonl"
    path.write_text("".join(json.dumps({"filter_version": "42"} | row) + "\n" for row in rows))
    return run("regress", "--against", str(path), *arguments, "--json", home=home)


def findings(outcome: Outcome) -> dict[str, str]:
    document = outcome.document
    return {row["request_id"]: row["finding"] for row in (*document["came_back"], *document["not_evaluated"])}


def test_a_candidate_that_mends_all_passes(home: Home, tmp_path: Path) -> None:
    outcome = regress(home, tmp_path, [check(name, harmful is True) for name, (_, harmful) in CASES.items()])
    assert outcome.status == 0
    document = outcome.document
    assert (document["candidate"], document["pinned_to"]) == (["blocklist@42"], ["filter_name=blocklist"])
    assert (document["cases"], document["counts"]["passed"]) == (4, 4)
    assert document["came_back"] == []


def test_what_came_back_is_named_and_gives_status_1(home: Home, tmp_path: Path) -> None:
    outcome = regress(home, tmp_path, [check(name, harmful is False) for name, (_, harmful) in CASES.items()])
    assert outcome.status == 1
    assert findings(outcome) == {
        "wrong-block": Finding.RETURNED.value,
        "right-block": Finding.LOST.value,
        "benign-pass": Finding.NEW_BLOCK.value,
    }
    assert outcome.document["counts"][Finding.STILL_MISSED.value] == 1
    (returned,) = [row for row in outcome.document["came_back"] if row["request_id"] == "wrong-block"]
    assert returned["expected"] == "allow"
    assert returned["case_id"] == make_case_id("wrong-block")


def test_what_was_not_decided_is_never_a_pass(home: Home, tmp_path: Path) -> None:
    rows = [
        check("wrong-block", False),
        check("right-block", True) | {"triggered": None, "decision": "error", "error": "timeout"},
        check("benign-pass", False) | {"triggered": None, "decision": "skipped"},
    ]
    outcome = regress(home, tmp_path, rows)
    assert outcome.status == 3
    assert findings(outcome) == dict.fromkeys(("right-block", "benign-pass", "missed"), Finding.NOT_EVALUATED.value)
    assert outcome.document["counts"]["passed"] == 1
    assert regress(home, tmp_path, rows[1:]).status == 1  # not one decision


def test_other_request_ids_are_matched_by_text(home: Home, tmp_path: Path) -> None:
    rows = [
        check(f"replay-{name}", harmful is False, content=f"  PROMPT {name}") for name, (_, harmful) in CASES.items()
    ]
    assert set(findings(regress(home, tmp_path, rows))) == {"wrong-block", "right-block", "benign-pass"}


def test_another_filters_name_is_held_against_all_that_is_enforced(home: Home, tmp_path: Path) -> None:
    rows = [check(name, False, filter_name="new") for name in CASES]
    outcome = regress(home, tmp_path, rows)
    assert outcome.document["pinned_to"] == []
    assert findings(outcome) == {"right-block": Finding.LOST.value, "missed": Finding.LOST.value}
    assert set(findings(regress(home, tmp_path, rows, *FILTERS))) == {"right-block"}


def test_a_case_that_came_back_is_reopened_and_audited(home: Home, tmp_path: Path) -> None:
    rows = [check(name, harmful is False) for name, (_, harmful) in CASES.items()]
    assert regress(home, tmp_path, rows, "--reopen").document["reopened"] == 2  # an imported verdict has no case
    for name in ("wrong-block", "right-block"):
        assert get_case(home.records, make_case_id(name), actor=ANA).state is CaseState.OPEN
    assert get_case(home.records, make_case_id("missed"), actor=ANA).state is CaseState.DECIDED
    assert regress(home, tmp_path, rows, "--reopen").document["reopened"] == 0
    assert find_tampering(home.records) is None
    served = lease_next(home.records, actor=BEN, lease_s=60, at=AT + timedelta(hours=1))
    assert served is not None
    cast_vote(home.records, VoteCreate(served.case_id, harmful=False), actor=BEN, at=AT + timedelta(hours=1))
    assert get_case(home.records, served.case_id, actor=ANA).state is CaseState.DECIDED


def test_rejected_lines_and_nothing_to_check_against_are_said(home: Home, tmp_path: Path) -> None:
    rows = [check(name, harmful is True) for name, (_, harmful) in CASES.items()]
    outcome = regress(home, tmp_path, [*rows, {"ts": "yesterday", "filter_name": "blocklist", "triggered": True}])
    assert (outcome.status, outcome.document["rejections"]) == (3, {"invalid_time": 1})
    nothing = regress(home, tmp_path, rows, "--since", "2027-01-01")
    assert nothing.status == 1
    assert "No confirmed verdict" in nothing.err
