"""Calibration rounds: a set of cases that everybody judges, compared afterwards with each other and with what was settled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from sqlmodel import Session, col, select

from core.errors import NotFoundError, TransitionError, UsageError
from core.records import RecordStore
from core.settings import StatisticsSettings
from incidents.audit import change
from incidents.enums import CaseState
from incidents.judgement.answers import read_answers
from incidents.judgement.enums import Purpose
from incidents.judgement.models import Answer, CalibrationItem, CalibrationRound, ContestedItem, GoldenItem
from incidents.models import Case, Vote
from incidents.people import Actor, Role
from incidents.reviews import find_standing
from metrics.consensus import ADJUDICATION
from metrics.estimate import wilson
from metrics.reliability import Coefficient, estimate_ac1, estimate_alpha, percent_agreement


@dataclass(frozen=True, slots=True)
class RoundItem:
    """One case of a round: what was settled (None = nothing), what people said, and what the actor said, if they did.

    `own` is the actor's verdict ("harmful", "benign", "unsure"); None = not given.
    """

    case_id: str
    settled: bool | None
    harmful: int
    benign: int
    unsure: int
    own: str | None


@dataclass(frozen=True, slots=True)
class RoundResult:
    """How a round stands.

    Attributes:
        round_id: The round.
        title: What it is about.
        started_at: When it began.
        ended_at: When it ended; None while it runs.
        people: Who answered at least one item.
        complete: Who answered all.
        items: The cases; those on which people differ most first.
        all_agree: Items on which all agree / items that two or more judged, as a rate record.
        alpha: Krippendorff's alpha with its interval; NaN where fewer than two values occur.
        ac1: Gwet's AC1 likewise.
        accuracy: Answers that say what was settled / answers on settled items, as a rate record.
        own_accuracy: The actor's own; shown to nobody else.
    """

    round_id: str
    title: str
    started_at: datetime
    ended_at: datetime | None
    people: int
    complete: int
    items: list[RoundItem]
    all_agree: dict[str, Any]
    alpha: Coefficient
    ac1: Coefficient
    accuracy: dict[str, Any]
    own_accuracy: dict[str, Any]


def start_round(records: RecordStore, *, title: str, n: int, seed: int, actor: Actor, at: datetime) -> str:
    """Begins a round of `n` settled cases: those that somebody adjudicated first, then others by the order of a seeded hash.

    Returns:
        The id of the round.

    Raises:
        AccessError: The actor is no lead.
        UsageError: The title is empty, or there are fewer settled cases.
        TransitionError: Another round runs.
    """
    actor.require(Role.LEAD)
    if not title.strip() or len(title) > 200 or not title.isprintable():
        raise UsageError("Not a title", repr(title[:50]), "Use up to 200 printable characters.")
    with change(records, actor=actor, at=at) as current:
        running = select(CalibrationRound).where(col(CalibrationRound.ended_at).is_(None))
        if (other := current.session.exec(running).first()) is not None:
            raise TransitionError(
                "A round runs already", other.round_id, f"Try: weir calibration end {other.round_id}."
            )
        chosen = _choose(current.session, n=n, seed=seed)
        if len(chosen) < n:
            raise UsageError("Too few settled cases", f"{len(chosen)} of {n}", "Ask for fewer, or decide more first.")
        number = len(current.session.exec(select(CalibrationRound.round_id)).all()) + 1
        round_id = f"c{number}"
        current.session.add(
            CalibrationRound(round_id=round_id, title=title.strip(), started_at=at, started_by=actor.name)
        )
        current.session.flush()
        current.session.add_all(CalibrationItem(round_id=round_id, case_id=case_id) for case_id in chosen)
        current.record("calibration.start", round_id, {"items": n, "seed": seed})
    return round_id


def end_round(records: RecordStore, round_id: str, *, actor: Actor, at: datetime) -> None:
    """Serves a round's items no more.

    Raises:
        AccessError: The actor is no lead.
        NotFoundError: There is no such round.
        TransitionError: It has ended.
    """
    actor.require(Role.LEAD)
    with change(records, actor=actor, at=at) as current:
        found = _get_round(current.session, round_id)
        if found.ended_at is not None:
            raise TransitionError("The round has ended", round_id)
        found.ended_at = at
        current.session.add(found)
        current.record("calibration.end", round_id)


def list_rounds(records: RecordStore, *, actor: Actor) -> list[CalibrationRound]:
    """All rounds, newest first."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        return list(session.exec(select(CalibrationRound).order_by(col(CalibrationRound.started_at).desc())))


def compare_round(records: RecordStore, round_id: str, *, actor: Actor, statistics: StatisticsSettings) -> RoundResult:
    """What people said in a round, without names but for the actor's own answers.

    While the round runs only leads may look: others would no longer be blind.

    Raises:
        NotFoundError: There is no such round.
        TransitionError: It runs, and the actor is no lead.
    """
    actor.require(Role.VIEWER)
    with records.session() as session:
        found = _get_round(session, round_id)
        query = select(CalibrationItem.case_id).where(CalibrationItem.round_id == round_id)
        case_ids = sorted(session.exec(query))
        answers = read_answers(session, purpose=Purpose.CALIBRATION, round_id=round_id)
        settled = _read_settled(session, case_ids)
    by_person: dict[str, int] = {}
    for answer in answers:
        by_person[answer.reviewer] = by_person.get(answer.reviewer, 0) + 1
    if found.ended_at is None and actor.role not in (Role.LEAD, Role.ADMIN):
        raise TransitionError("The round still runs", round_id, "Its results are shown once it has ended.")
    items = [_describe(case_id, answers, settled.get(case_id), actor.name) for case_id in case_ids]
    counts = np.array([[item.harmful, item.benign] for item in items], dtype=np.int64).reshape(-1, 2)
    agreeing, compared = percent_agreement(counts)
    known = [answer for answer in answers if answer.case_id in settled]
    own = [answer for answer in known if answer.reviewer == actor.name]
    right = [sum(answer.harmful is settled[answer.case_id] for answer in part) for part in (known, own)]
    rates = _rates([agreeing, *right], [compared, len(known), len(own)], statistics)
    return RoundResult(
        round_id=round_id,
        title=found.title,
        started_at=found.started_at,
        ended_at=found.ended_at,
        people=len(by_person),
        complete=sum(count == len(case_ids) for count in by_person.values()),
        items=sorted(items, key=lambda item: (-min(item.harmful, item.benign), -item.unsure, item.case_id)),
        all_agree=rates[0],
        alpha=estimate_alpha(counts, is_ordinal=False, confidence=statistics.confidence),
        ac1=estimate_ac1(counts, confidence=statistics.confidence),
        accuracy=rates[1],
        own_accuracy=rates[2],
    )


def _get_round(session: Session, round_id: str) -> CalibrationRound:
    found = session.get(CalibrationRound, round_id)
    if found is None:
        raise NotFoundError("No such round", repr(round_id), "Try: weir calibration show.")
    return found


def _choose(session: Session, *, n: int, seed: int) -> list[str]:
    query = (
        select(Case.case_id, ContestedItem.is_waiting)
        .outerjoin(ContestedItem, col(ContestedItem.case_id) == Case.case_id)
        .where(
            col(Case.state).in_([CaseState.DECIDED.value, CaseState.CLOSED.value]),
            col(Case.evidence_ingest_id).is_not(None),
            col(Case.case_id).not_in(select(CalibrationItem.case_id)),
        )
    )
    rows = [(case_id, waits) for case_id, waits in session.exec(query) if waits is not True]

    def place(row: tuple[str, bool | None]) -> tuple[bool, str]:
        case_id, waits = row
        return (waits is None, hashlib.sha256(f"{seed}:{case_id}".encode()).hexdigest())

    return [case_id for case_id, _ in sorted(rows, key=place)[:n]]


def _read_settled(session: Session, case_ids: Sequence[str]) -> dict[str, bool]:
    """What an adjudication, or else a golden verdict, says about the cases that have one."""
    golden = session.exec(select(GoldenItem).where(col(GoldenItem.case_id).in_(case_ids))).all()
    votes = session.exec(select(Vote).where(col(Vote.case_id).in_(case_ids)).order_by(col(Vote.vote_id))).all()
    settled = {item.case_id: item.harmful for item in golden}
    for case_id in case_ids:
        for vote in find_standing(vote for vote in votes if vote.case_id == case_id):
            if vote.selection == ADJUDICATION and vote.harmful is not None:
                settled[case_id] = vote.harmful
    return settled


def _describe(case_id: str, answers: Sequence[Answer], settled: bool | None, name: str) -> RoundItem:
    given = [answer for answer in answers if answer.case_id == case_id]
    own = [answer.harmful for answer in given if answer.reviewer == name]
    words = {True: "harmful", False: "benign", None: "unsure"}
    return RoundItem(
        case_id=case_id,
        settled=settled,
        harmful=sum(answer.harmful is True for answer in given),
        benign=sum(answer.harmful is False for answer in given),
        unsure=sum(answer.harmful is None for answer in given),
        own=words[own[-1]] if own else None,
    )


def _rates(successes: Sequence[int], trials: Sequence[int], statistics: StatisticsSettings) -> list[dict[str, Any]]:
    counts = pl.DataFrame({"successes": successes, "trials": trials})
    return wilson(
        counts,
        numerator="successes",
        denominator="trials",
        min_sample=statistics.min_sample,
        confidence=statistics.confidence,
    ).to_list()
