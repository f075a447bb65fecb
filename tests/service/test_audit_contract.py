"""Every command that changes, reveals or takes something out leaves an entry of the audit log; reading leaves none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import col, select

from core.clock import isoformat, now
from core.settings import load_settings
from incidents import audit
from incidents.alerts.watch import evaluate_alerts
from incidents.audit import find_tampering
from incidents.cases import open_cases
from incidents.enums import VerdictReason
from incidents.judgement.adjudication import adjudicate
from incidents.models import AuditEntry
from incidents.people import SYSTEM, Actor, Role
from incidents.reviews import VoteCreate
from service.home import Home, open_home
from tests.service.commands import ROOT, run
from tests.service.test_commands import COMMANDS

READING = {
    *(
        ("formats",),
        ("status",),
        ("config",),
        ("alerts", "list"),
        ("alerts", "rules"),
        ("alerts", "replay"),
        ("alerts", "power"),
    ),
    *(("audit", "verify"), ("audit", "list"), ("calibration", "show"), ("cases", "list"), ("cases", "queues")),
    *(("changes", "list"), ("constitution", "history"), ("constitution", "show"), ("export", "find")),
    *(("export", "list"), ("export", "verify"), ("golden", "accuracy"), ("golden", "list"), ("guidelines", "show")),
    *(("incidents", "list"), ("incidents", "show"), ("notify", "log"), ("proposals", "check"), ("proposals", "list")),
    *(("proposals", "show"), ("quarantine", "list"), ("ranking", "report"), ("stress", "report")),
}
# Logs come in without a person, a token is only printed, and what stops or replaces the home has no log to write to.
OUTSIDE = {("serve",), ("demo",), ("ingest",), ("token",), ("restore",)}
# They ask a model or train one; their own tests run them. Here: the entry that they record.
ELSEWHERE = {
    ("loop",): "loop.run",
    ("regress",): "cases.open",
    ("stress", "run"): "suite.run",
    ("stress", "critique"): "revision.propose",
    ("ranking", "candidates"): "ranking.load",
    ("golden", "import"): "golden.import",
}
LABEL = {"ts": "2026-03-02T10:00:00Z", "request_id": "t0", "reviewer": "ann", "harmful": False}


@dataclass
class Desk:
    """A home, files, and what commands said so far."""

    home: Home
    folder: Path
    said: dict[str, Any] = field(default_factory=dict)

    def case(self, place: int) -> str:
        """The id of a case."""
        return str(self.said["cases"][place])

    def write(self, name: str, *records: dict[str, object]) -> str:
        """A file of JSON lines."""
        path = self.folder / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return str(path)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A home with cases, an alert, and a rejected record; writes outside a change fail."""
    folder = tmp_path_factory.mktemp("audited")
    (folder / "home").mkdir()
    (folder / "home" / "weir.toml").write_text(
        '[[notify]]\nname = "hook"\nurl = "json://127.0.0.1:9/"\n[retention]\nquarantine_d = 1\nturns_d = 1\n'
    )
    with open_home(load_settings(folder / "home")) as home:
        found = Desk(home, folder)
        checks = [
            {"ts": "2026-03-02T09:00:00Z", "request_id": f"t{n}", "filter_name": "word-list", "rule_id": "w1"}
            | {"triggered": True, "decision": "block", "enforced": True, "content": "a word", "category": "hate"}
            for n in range(9)
        ]
        turns = [
            {"ts": "2026-03-02T09:00:00Z", "request_id": f"t{n}", "prompt": f"words {n}", "user_id": f"u{n}"}
            for n in range(9)
        ]
        for name, records in (("turns", turns), ("checks", [*checks, {"ts": "never"}])):
            run("ingest", found.write(f"{name}.jsonl", *records), home=home)
        open_cases(home.records, home.events, settings=home.settings, actor=SYSTEM)
        home.events.write(
            lambda connection: connection.execute(
                "INSERT INTO check_rollup BY NAME SELECT $at::TIMESTAMP - to_hours(n) AS minute, 'guard' AS filter_name, "
                "'guard' AS layer, 'enforce' AS mode, 'log' AS source, 500 AS evaluated, 5 AS triggered, 5 AS enforced, "
                "500 AS errors, 0 AS not_run, 0 AS undecided FROM generate_series(1, 2) AS s(n)",
                {"at": now().replace(minute=0, second=0, microsecond=0)},
            )
        )
        evaluate_alerts(home.records, home.events, settings=home.settings, at=now())
        document = run("cases", "list", "--json", home=home).document
        found.said["cases"] = [case["case_id"] for case in document["cases"]]

        def guard(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            is_write = statement.lstrip().split(" ", 1)[0].upper() in ("INSERT", "UPDATE", "DELETE")
            assert not is_write or audit._QUEUE._is_taken, f"a write outside a change: {statement[:80]}"

        sa.event.listen(home.records.engine, "before_cursor_execute", guard)
        yield found
        sa.event.remove(home.records.engine, "before_cursor_execute", guard)


Words = tuple[str, ...]
TOMORROW = isoformat(now() + timedelta(days=1))
BULK = ("--rule-id", "w1", "--verdict", "benign", "--reason", "false_match", "--json")
# In this order, one home: what is said, and the entry that it must leave.
STEPS: list[tuple[Words, Callable[[Desk], Words], str]] = [
    (("labels", "import"), lambda desk: (desk.write("labels.jsonl", LABEL),), "labels.import"),
    (("quarantine", "show"), lambda desk: (_reject(desk),), "quarantine.reveal"),
    (("quarantine", "retry"), lambda _: (), "quarantine.retry"),
    (("quarantine", "ignore"), lambda desk: (_reject(desk),), "quarantine.ignore"),
    (("report",), lambda desk: ("transparency", "--csv", str(desk.folder / "dsa.csv")), "report.export"),
    (("sample",), lambda _: ("--n", "3"), "sample.draw"),
    (("cases", "next"), lambda _: ("--reviewer", "ana"), "case.lease"),
    (("cases", "judge"), lambda desk: (desk.case(1), "--verdict", "benign", "--reviewer", "ben"), "case.vote"),
    (("cases", "undo"), lambda desk: (desk.case(1), "--reviewer", "ben"), "case.reopen"),
    (("cases", "skip"), lambda desk: (desk.case(1), "--reviewer", "ben"), "case.skip"),
    (("cases", "snooze"), lambda desk: (desk.case(1), "--until", TOMORROW), "case.snooze"),
    (("cases", "hand-over"), lambda desk: (desk.case(2), "--to", "cleo"), "case.hand_over"),
    (("cases", "escalate"), lambda desk: (desk.case(3), "--reason", "legal"), "case.escalate"),
    (("cases", "judge-all"), lambda desk: (*BULK, "--shown", _show(desk)), "cases.judge_bulk"),
    (("golden", "pin"), lambda desk: (_settle(desk),), "golden.pin"),
    (("golden", "retire"), lambda desk: (desk.case(4),), "golden.retire"),
    (("guidelines", "declare"), lambda _: ("g-1", "--changed", "privacy"), "guideline.declare"),
    (("calibration", "start"), lambda _: ("--title", "t", "--n", "2", "--json"), "calibration.start"),
    (("calibration", "end"), lambda desk: (desk.said["calibration start"]["round_id"],), "calibration.end"),
    (("export", "build"), lambda desk: ("classifier", "--out", str(desk.folder / "set")), "export"),
    (("cases", "undo-all"), lambda desk: (desk.said["cases judge-all"]["bulk_id"],), "cases.undo_bulk"),
    (("incidents", "open"), lambda _: ("--title", "t"), "incident.open"),
    (("incidents", "act"), lambda _: ("1", "acknowledge"), "incident.acknowledge"),
    (("incidents", "note"), lambda _: ("1", "words"), "incident.note"),
    (
        ("incidents", "follow-up"),
        lambda _: ("1", "--title", "t", "--owner", "ana", "--due", "2099-01-01"),
        "incident.add_follow_up",
    ),
    (("incidents", "postmortem"), lambda _: ("1",), "postmortem.export"),
    (("incidents", "report"), lambda desk: (_mark(desk),), "incident.report"),
    (("notify", "test"), lambda _: ("hook",), "notify.test"),
    (("alerts", "set"), lambda _: ("latency", "--limit", "3"), "alert.rule.change"),
    (("alerts", "ack"), lambda desk: (_alert(desk),), "alert.acknowledge"),
    (("alerts", "silence"), lambda desk: (_alert(desk), "--until", TOMORROW, "--reason", "r"), "alert.silence"),
    (("changes", "add"), lambda _: ("--at", "2026-03-02T09:12Z", "--note", "n"), "change.register"),
    (
        ("proposals", "add"),
        lambda _: ("--filter-name", "word-list", "--phrase", "a", "--rule", "w1", "--reason", "why"),
        "proposal.proposed",
    ),
    (("proposals", "decide"), lambda _: ("1", "--state", "rejected", "--note", "n"), "proposal.rejected"),
    (
        ("constitution", "adopt"),
        lambda _: (str(ROOT / "sample_suites" / "financial-literacy" / "constitution.toml"),),
        "constitution.save",
    ),
    (
        ("stress", "load"),
        lambda _: (str(ROOT / "sample_suites" / "financial-literacy" / "prompts.jsonl"),),
        "suite.load",
    ),
    (
        ("ranking", "import"),
        lambda _: (str(ROOT / "sample_rankings" / "prompts.jsonl"), "--set", "money"),
        "ranking.load",
    ),
    (
        ("ranking", "answers"),
        lambda _: ("money", str(ROOT / "sample_rankings" / "answers.jsonl")),
        "ranking.cast",
    ),
    (("erase",), lambda _: ("--user", "u8"), "erase"),
    (("retention",), lambda _: (), "retention"),
    (("backup",), lambda desk: (str(desk.folder / "backup"),), "backup"),
]


def test_every_command_is_known_to_read_or_to_leave_an_entry() -> None:
    walked = {words for words, _, _ in STEPS}
    groups = (READING, OUTSIDE, set(ELSEWHERE), walked)
    assert set().union(*groups) == set(COMMANDS)
    assert sum(map(len, groups)) == len(COMMANDS), "each command stands in one list"


@pytest.mark.parametrize("action", ELSEWHERE.values())
def test_entries_of_what_is_not_walked_here_are_recorded_somewhere(action: str) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "incidents").rglob("*.py")]
    assert any(f'"{action}"' in source for source in sources)


def test_every_changing_command_leaves_its_entry(desk: Desk) -> None:
    for words, arguments, action in STEPS:
        given = arguments(desk)
        before = _count(desk)
        outcome = run(*words, *given, home=desk.home)
        # Nobody listens where the test message goes.
        assert outcome.status in ((0, 3) if words != ("notify", "test") else (1,)), (words, outcome.err)
        if "--json" in given:
            desk.said[" ".join(words)] = outcome.document
        assert action in _actions(desk)[before:], words
    assert find_tampering(desk.home.records) is None
    before = _count(desk)
    for words in (
        ("status",),
        ("cases", "list"),
        ("incidents", "show", "1"),
        ("audit", "list"),
        ("quarantine", "list"),
    ):
        assert run(*words, home=desk.home).status == 0
    assert _count(desk) == before, "reading leaves none"


def _actions(desk: Desk) -> list[str]:
    with desk.home.records.session() as session:
        return list(session.exec(select(AuditEntry.action).order_by(col(AuditEntry.seq))))


def _count(desk: Desk) -> int:
    return len(_actions(desk))


def _reject(desk: Desk) -> str:
    return str(run("quarantine", "list", "--json", home=desk.home).document["rejects"][0]["reject_id"])


def _show(desk: Desk) -> str:
    return str(run("cases", "judge-all", *BULK, home=desk.home).document["shown"])


def _settle(desk: Desk) -> str:
    """A case that two people judged differently and a lead settled."""
    case_id = desk.case(4)
    for verdict, reviewer in (("benign", "ben"), ("harmful", "cleo")):
        told = ("--verdict", verdict, "--reviewer", reviewer)
        assert run("cases", "judge", case_id, *told, home=desk.home).status == 0
    settled = VoteCreate(case_id, harmful=False, reason=VerdictReason.QUOTED, note="a quotation")
    adjudicate(desk.home.records, settled, actor=Actor("lea", Role.LEAD), at=now())
    return case_id


def _mark(desk: Desk) -> str:
    facts = ("--set", "kind=health", "--set", "aware_at=2026-03-02T09:00")
    assert run("incidents", "act", "1", "mark_serious", *facts, home=desk.home).status == 0
    return "1"


def _alert(desk: Desk) -> str:
    return str(run("alerts", "list", "--json", home=desk.home).document["alerts"][0]["alert_id"])
