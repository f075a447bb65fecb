"""A shift of simulated reviewers on a served home: each takes a case, judges it and takes the next, all at once.

They act through the door that commands use, so that requests, threads, stores and jobs are the real ones. The server
may be killed in the middle; reviewers then do what people do: try again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from core.clock import isoformat, now
from core.errors import StoreBusyError
from core.settings import load_settings
from incidents.audit import find_tampering
from incidents.cases import open_cases
from incidents.enums import Action, CaseState
from incidents.judgement.looks import find_waiting, plan_looks
from incidents.judgement.models import Assignment, SecondLook
from incidents.models import Case
from incidents.people import SYSTEM
from incidents.reviews import find_standing, list_votes, mirror_votes
from incidents.transitions import Event, fold
from incidents.views import get_snapshot, list_events
from ingest.load import load_records
from service.home import Home, open_home
from service.remote import Address, CommandResult, call, find_address
from tests.browser.serving import serve

LEASE_S = 10
PATIENCE_S = 120.0
CATEGORIES = ("hate", "privacy", "violent_crimes", "spam", "suicide_self_harm")
WORDS = ("river", "copper", "window", "garden", "violin", "harbour", "letter", "engine", "winter", "market", "button")


@dataclass(slots=True)
class Shift:
    """What the reviewers saw.

    Attributes:
        waits_s: Seconds that each reviewer waited for each "next item", those interrupted by the kill left out.
        judged: Cases by reviewer, as the server confirmed them.
        unconfirmed: Verdicts that were refused because the case had changed: the lease had run out, or the verdict was
            there already and its answer had been lost.
        seconds: How long the shift took.
        kills: How often the server was killed.
    """

    waits_s: list[float] = field(default_factory=list)
    judged: dict[str, list[str]] = field(default_factory=dict)
    unconfirmed: int = 0
    seconds: float = 0.0
    kills: int = 0
    failures: list[Exception] = field(default_factory=list)

    def count(self) -> int:
        """Cases judged so far."""
        return sum(map(len, self.judged.values()))


def fill_queue(home: Path, cases: int, *, double_share: float = 0.0) -> None:
    """Stores refused turns, all different and of unlike priority, and opens their cases.

    Args:
        home: Where.
        cases: How many.
        double_share: Share of cases that a second person judges, too. Nobody tires.
    """
    home.mkdir(parents=True)
    review = f"[review]\ndouble_share = {double_share}\naudit_share = 0\n"
    wellness = "[wellness]\ncategory_budget = 1000000\ntotal_budget = 1000000\n"
    (home / "weir.toml").write_text(f"[cases]\nlease_s = {LEASE_S}\n{review}{wellness}", encoding="utf-8")
    at = now() - timedelta(hours=1)
    turns, checks = [], []
    for number in range(cases):
        dice = random.Random(number)
        ids = {"ts": isoformat(at + timedelta(milliseconds=number)), "request_id": f"r{number:05d}"}
        text = " ".join(dice.choices(WORDS, k=60))
        turns.append(
            {**ids, "prompt": f"{number} {text}", "response": text[::-1], "outcome": "refusal", "user_id": "u"}
        )
        score = {"score": 0.5 + dice.random() / 2, "threshold": 0.5, "score_kind": "probability"}
        verdict = {"filter_name": "guard", "layer": "guard_llm", "triggered": True, "decision": "block"}
        checks.append({**ids, **verdict, **score, "enforced": True, "category": CATEGORIES[number % 5]})
    with open_home(load_settings(home)) as opened:
        load_records(opened.events, "model_log", turns, source="gateway", settings=opened.settings)
        load_records(opened.events, "filter_log", checks, source="gateway", settings=opened.settings)
        assert open_cases(opened.records, opened.events, settings=opened.settings, actor=SYSTEM) == cases


def work_shift(
    home: Path, *, reviewers: int, leavers: int = 0, kill_after: Sequence[int] = (), think_s: float = 0.0
) -> Shift:
    """Serves the home until the reviewers have judged everything.

    Args:
        home: A home with open cases.
        reviewers: People who work at once.
        leavers: People who take one case and never come back.
        kill_after: Numbers of judged cases after which the server is killed and started again.
        think_s: Mean seconds that a reviewer looks at a case.
    """
    shift, ended = Shift(), threading.Event()
    names = [f"reviewer-{number:02d}" for number in range(reviewers)]
    shift.judged = {name: [] for name in names}
    started = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(serve(home))
        for number in range(leavers):
            _Reviewer(home, f"leaver-{number}", shift).take_one()
        people = [_Reviewer(home, name, shift) for name in names]
        threads = [threading.Thread(target=person.work, args=(think_s, ended)) for person in people]
        for thread in threads:
            thread.start()
        for limit in kill_after:
            while shift.count() < limit and any(thread.is_alive() for thread in threads):
                threads[0].join(timeout=0.02)
            address = find_address(home)
            assert address is not None
            os.kill(address.pid, signal.SIGKILL)
            stack.close()
            shift.kills += 1
            stack.enter_context(serve(home))
        for thread in threads:
            thread.join()
    shift.seconds = time.perf_counter() - started
    if shift.failures:
        raise shift.failures[0]
    return shift


class _Reviewer:
    """One person at a terminal."""

    def __init__(self, home: Path, name: str, shift: Shift) -> None:
        self._home, self._name, self._shift = home, name, shift
        self._dice = random.Random(name)
        self._address: Address | None = None

    def work(self, think_s: float, ended: threading.Event) -> None:
        """Judges until nothing is open; a failure ends the shift for all."""
        try:
            while not ended.is_set() and self._judge_next(think_s, ended):
                pass
        except Exception as failure:  # noqa: BLE001  a thread's failure must reach the test
            self._shift.failures.append(failure)
            ended.set()

    def take_one(self) -> dict[str, Any] | None:
        """Leases a case; None when none is free."""
        started = time.perf_counter()
        result, is_interrupted = self._run("cases", "next")
        assert result.status == 0, result.stderr
        case: dict[str, Any] | None = json.loads(result.stdout)["case"]
        if case and not is_interrupted:
            self._shift.waits_s.append(time.perf_counter() - started)
        return case

    def _judge_next(self, think_s: float, ended: threading.Event) -> bool:
        case = self.take_one()
        if case is None:
            # Others hold what is left; who closed the browser keeps it until the lease ends.
            ended.wait(2)
            result, _ = self._run("cases", "list", "--limit", "1", named=False)
            return bool(json.loads(result.stdout)["cases"])
        if think_s:
            ended.wait(min(LEASE_S / 2, self._dice.expovariate(1 / think_s)))
        if self._dice.random() < 0.02:
            self._run("cases", "skip", case["case_id"])
            return True
        verdict = self._dice.choice(("harmful", "benign", "unsure"))
        result, _ = self._run(
            "cases", "judge", case["case_id"], "--verdict", verdict, "--version", str(case["version"])
        )
        if result.status == 0:
            self._shift.judged[self._name].append(case["case_id"])
        else:
            late = ("changed since", "Someone else", "ran out")
            assert any(words in result.stderr for words in late), result.stderr
            self._shift.unconfirmed += 1
        return True

    def _run(self, *arguments: str, named: bool = True) -> tuple[CommandResult, bool]:
        """A command's result, and whether it had to be repeated because the server was gone."""
        who = ["--reviewer", self._name] if named else []
        deadline, attempts = time.monotonic() + PATIENCE_S, 0
        while time.monotonic() < deadline:
            self._address = self._address or find_address(self._home)
            if self._address:
                attempts += 1
                try:
                    return call(self._address, [*arguments, *who, "--json"], folder=self._home), attempts > 1
                except StoreBusyError:
                    self._address = None
            time.sleep(0.05)
        raise TimeoutError("the server did not come back")


def check_shift(home: Path, shift: Shift, *, cases: int) -> None:
    """Nothing was lost, judged by two who should not, or left behind, whatever happened to the server."""
    given = [(name, case_id) for name, judged in shift.judged.items() for case_id in judged]
    assert len(set(given)) == len(given)
    assert all(shift.judged.values()), "a reviewer got nothing"
    who: dict[str, set[str]] = {}
    for name, case_id in given:
        who.setdefault(case_id, set()).add(name)
    assert cases - shift.unconfirmed <= len(who) <= cases
    with open_home(load_settings(home)) as opened:
        votes = _check_cases(opened, who)
        assert find_tampering(opened.records) is None
        mirror_votes(opened.records, opened.events, settings=opened.settings)
        labels = opened.events.read("SELECT count(*), count(DISTINCT request_id) FROM labels").row(0)
        assert labels == (votes, cases)


def _check_cases(opened: Home, who: dict[str, set[str]]) -> int:
    """Checks every case; returns how many verdicts they have."""
    count = 0
    stranger = {"reviewer": "stranger", "at": now() + timedelta(seconds=LEASE_S)}
    with opened.records.session() as session:
        plan_looks(session, settings=opened.settings.review, at=now())
        looks = {look.case_id: look.is_done for look in session.exec(select(SecondLook))}
        waiting = set(session.exec(find_waiting(with_audits=False), params=stranger))
        asked = {(item.case_id, item.reviewer) for item in session.exec(select(Assignment))}
        assert waiting == {case_id for case_id, is_done in looks.items() if not is_done}
        for case in session.exec(select(Case).order_by(col(Case.case_id))).all():
            reviewers = [vote.reviewer for vote in find_standing(list_votes(session, case.case_id))]
            assert len(set(reviewers)) == len(reviewers) == 1 + looks.get(case.case_id, False)
            assert who.get(case.case_id, set()) <= set(reviewers)
            events = list_events(session, case.case_id)
            assert fold(events) == get_snapshot(case)
            assert case.state == CaseState.DECIDED.value
            _check_leases(events, {name for case_id, name in asked if case_id == case.case_id})
            count += len(reviewers)
    return count


def _check_leases(events: Sequence[Event], asked: Collection[str]) -> None:
    """No two people ever held the case at one moment, and only who was asked to judged it again."""
    holder, until, is_decided = "", "", False
    for event in events:
        if event.action is Action.LEASE:
            assert not holder or holder == event.actor or until <= event.at.isoformat()
            holder, until = event.actor, str(event.payload["until"])
        elif event.action is Action.VOTE and is_decided:
            assert event.actor in asked
        elif event.action in (Action.VOTE, Action.SKIP, Action.RELEASE):
            assert holder == event.actor
            holder = ""
            is_decided = event.action is Action.VOTE
