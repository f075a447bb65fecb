"""The audit log: in the same transaction as the change, and broken visibly by tampering."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from case_house import ANA, BEN, T0, House
from sqlmodel import col, select

from core.errors import AppError
from incidents import audit
from incidents.audit import change, find_tampering
from incidents.cases import escalate_case, lease_next, release_case, reveal_turn, skip_case
from incidents.enums import EscalationReason
from incidents.models import AuditEntry, Case, CaseEvent, Progress, Vote
from incidents.reviews import VoteCreate, cast_vote, undo_vote


def contents(house: House) -> dict[str, list[dict[str, Any]]]:
    with house.records.session() as session:
        return {
            model.__tablename__: [row.model_dump() for row in session.exec(select(model))]
            for model in (Case, CaseEvent, Vote, AuditEntry, Progress)
        }


def actions(house: House) -> list[tuple[str, str]]:
    with house.records.session() as session:
        return [
            (row.actor, row.action)
            for row in session.exec(select(AuditEntry).order_by(col(AuditEntry.seq)))
            if row.actor != "system"
        ]


def test_every_change_and_every_reveal_has_its_entry(house: House) -> None:
    case_id = house.add_cases(1)[0]
    lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    reveal_turn(house.records, case_id, actor=ANA, request_id="r0000", at=T0)
    skip_case(house.records, case_id, actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    undo_vote(house.records, case_id, actor=ANA, at=T0)
    escalate_case(house.records, case_id, actor=BEN, reason=EscalationReason.LEGAL, note="secret", at=T0)
    assert actions(house) == [
        ("ana", "case.lease"),
        ("ana", "case.reveal"),
        ("ana", "case.skip"),
        ("ana", "case.vote"),
        ("ana", "case.reopen"),
        ("ben", "case.escalate"),
    ]
    assert find_tampering(house.records) is None
    assert "secret" not in str(contents(house)["audit"])


def test_a_change_whose_audit_entry_cannot_be_written_leaves_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = house.add_cases(1)[0]
    before = contents(house)

    def fail(_: AuditEntry) -> str:
        raise RuntimeError("disk full")

    monkeypatch.setattr(audit, "compute_digest", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    assert contents(house) == before


def test_a_refused_change_leaves_no_entry(house: House) -> None:
    case_id = house.add_cases(1)[0]
    lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    before = contents(house)
    with pytest.raises(AppError):
        cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=BEN, at=T0)
    with pytest.raises(AppError):
        undo_vote(house.records, case_id, actor=ANA, at=T0)
    assert contents(house) == before


def test_a_change_that_records_nothing_changes_nothing(house: House) -> None:
    case_id = house.add_cases(1)[0]
    before = contents(house)
    with change(house.records, actor=ANA, at=T0) as current:
        case = current.session.get(Case, case_id)
        assert case is not None
        case.state = "closed"
        current.session.add(case)
        current.session.flush()
    release_case(house.records, case_id, actor=ANA, at=T0)
    assert contents(house) == before


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE seq = 3", 3),
        ("UPDATE audit SET at = '2020-01-01 00:00:00.000000' WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)", 5),
        ("UPDATE audit SET previous = digest WHERE seq = 4", 4),
    ],
)
def test_tampering_is_found(house: House, statement: str, broken: int) -> None:
    case_id = house.add_cases(1)[0]
    for actor in (ANA, BEN):
        cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=actor, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=ANA, at=T0)
    assert find_tampering(house.records) is None
    with house.records.session() as session:
        session.connection().execute(sa.text(statement))
    assert find_tampering(house.records) == broken
