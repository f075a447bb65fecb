"""The audit log: in the same transaction as the change, and broken visibly by tampering."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import sqlalchemy as sa
from case_house import ANA, BEN, LEA, T0, House
from sqlmodel import col, select

from core.errors import AccessError, AppError, FormatError
from incidents import audit
from incidents.audit import change, compute_digest, find_tampering
from incidents.audit_log import list_audit, list_people, note_head, record_settings, verify_audit
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
    ("statement", "broken", "what"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE seq = 3", 3, "was changed"),
        ("UPDATE audit SET at = '2020-01-01 00:00:00.000000' WHERE seq = 1", 1, "was changed"),
        ("UPDATE audit SET detail = '{}' WHERE seq = 2", 2, "was changed"),
        ("DELETE FROM audit WHERE seq = 1", 1, "is missing"),
        ("DELETE FROM audit WHERE seq = 2", 2, "is missing"),
        ("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)", 5, "last 1 entries are missing"),
        ("DELETE FROM audit", 1, "last 5 entries are missing"),
        ("UPDATE audit SET previous = digest WHERE seq = 4", 4, "was changed"),
        ("UPDATE audit SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE seq IN (3, 4)", 3, "was changed"),
        ("UPDATE progress SET position = position - 1 WHERE name = 'audit'", 6, "position of the log"),
    ],
)
def test_tampering_is_found(house: House, statement: str, broken: int, what: str) -> None:
    case_id = house.add_cases(1)[0]
    for actor in (ANA, BEN):
        cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=actor, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=ANA, at=T0)
    assert find_tampering(house.records) is None
    with house.records.session() as session:
        session.connection().execute(sa.text(statement))
        session.connection().execute(sa.text("UPDATE audit SET seq = -seq WHERE seq < 0"))
    found = find_tampering(house.records)
    assert found is not None
    assert found.seq == broken
    assert what in found.what


def rewrite(house: House, **changes: str) -> None:
    """Writes the log anew from entry 2 on, as somebody who knows how it is made would: every digest fits."""
    with house.records.session() as session:
        entries = list(session.exec(select(AuditEntry).order_by(col(AuditEntry.seq))))
        for before, entry in itertools.pairwise(entries):
            if entry.seq == 2:
                for name, value in changes.items():
                    setattr(entry, name, value)
            entry.previous = before.digest
            entry.digest = compute_digest(entry)
            session.add(entry)


def test_a_log_that_was_written_anew_is_found_by_a_head_noted_elsewhere(house: House) -> None:
    case_id = house.add_cases(1)[0]
    path = house.settings.home / "audit-heads.jsonl"
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    assert note_head(house.records, path, at=T0) is True
    assert note_head(house.records, path, at=T0) is False, "nothing new"
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=BEN, at=T0)
    assert verify_audit(house.records, path).broken is None
    rewrite(house, actor="eve")
    assert find_tampering(house.records) is None
    check = verify_audit(house.records, path)
    assert check.broken is not None
    assert "noted" in check.broken.what
    assert verify_audit(house.records, None).broken is None


def test_an_end_that_was_cut_off_with_its_position_is_found_by_a_noted_head(house: House) -> None:
    case_id = house.add_cases(1)[0]
    path = house.settings.home / "audit-heads.jsonl"
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    note_head(house.records, path, at=T0)
    with house.records.session() as session:
        session.connection().execute(sa.text("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)"))
        session.connection().execute(sa.text("UPDATE progress SET position = position - 1 WHERE name = 'audit'"))
    assert find_tampering(house.records) is None
    check = verify_audit(house.records, path)
    assert check.broken is not None
    assert check.broken.seq == 3


def test_a_line_of_heads_that_cannot_be_read_is_named(house: House) -> None:
    house.add_cases(1)
    path = house.settings.home / "audit-heads.jsonl"
    note_head(house.records, path, at=T0)
    with path.open("a") as file:
        file.write("no json\n")
    with pytest.raises(FormatError, match="line 2"):
        verify_audit(house.records, path)


def test_entries_are_listed_by_person_action_and_subject(house: House) -> None:
    case_id = house.add_cases(1)[0]
    for actor in (ANA, BEN):
        cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=actor, at=T0)
    newest = list_audit(house.records, actor=LEA)
    assert [entry.seq for entry in newest] == [4, 3, 2, 1]
    assert [entry.actor for entry in list_audit(house.records, actor=LEA, by="ben")] == ["ben"]
    assert [entry.seq for entry in list_audit(house.records, actor=LEA, action="case.")] == [4, 3]
    assert [entry.seq for entry in list_audit(house.records, actor=LEA, subject=case_id)] == [4, 3]
    assert len(list_audit(house.records, actor=LEA, limit=1)) == 1
    assert list_audit(house.records, actor=LEA, until=T0) == []
    with pytest.raises(AccessError):
        list_audit(house.records, actor=ANA)
    assert [(person.name, person.roles) for person in list_people(house.records, actor=LEA)] == [
        ("ana", ("reviewer",)),
        ("ben", ("reviewer",)),
        ("system", ("admin",)),
    ]


def test_a_change_of_settings_is_recorded_once_by_name_and_never_by_value(house: House) -> None:
    settings = house.settings
    assert record_settings(house.records, settings, at=T0) == []
    assert list_audit(house.records, actor=LEA, action="settings.") == []
    changed = settings.model_copy(update={"cases": settings.cases.model_copy(update={"lease_s": 77})})
    assert record_settings(house.records, changed, at=T0) == ["cases.lease_s"]
    assert record_settings(house.records, changed, at=T0) == []
    entries = list_audit(house.records, actor=LEA, action="settings.")
    assert [json.loads(entry.detail)["changed"] for entry in entries] == [["cases.lease_s"]]
    assert "77" not in json.loads(entries[0].detail)["changed"]


def test_settings_that_a_first_start_finds_are_recorded_and_what_was_taken_out_is_missed(house: House) -> None:
    fewer = house.settings.model_copy(update={"queues": house.settings.queues[1:]})
    names = ["queues.grave." + name for name in type(house.settings.queues[0]).model_fields]
    assert record_settings(house.records, fewer, at=T0) == sorted(names)
    assert record_settings(house.records, fewer, at=T0) == []
    assert record_settings(house.records, house.settings, at=T0) == sorted(names)
