"""Cases whose turns say nearly the same: the group of each, found when it is filed.

A case joins the first group whose founder it resembles, so that a chain of small changes never ties two turns that differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.records import RecordStore
from incidents.enums import CaseState, OpenedBy
from incidents.models import Case, CaseBand, CaseGroup
from incidents.near_duplicates import MIN_CHARS, fold, sketch
from incidents.people import Actor, Role
from incidents.views import CaseView, build_view, get_row

ALIKE = 0.85
"""Share of all shingles of two turns that both have, from which on one verdict may be applied to both."""
_ROWS = 8
"""Values of a band: of 16 bands, a pair at the limit shares none with probability (1 - 0.85**8)**16 = 0.006."""
WAITING = (CaseState.OPEN.value, CaseState.ESCALATED.value)
_CHUNK = 10_000
_LIMIT = 200


def find_groups(session: Session, texts: Mapping[str, str]) -> dict[str, str]:
    """The group of each case by its text; founds those that are missing. A case without enough text is in none.

    Args:
        session: A change's session.
        texts: Text by case id.
    """
    sketches = {}
    for case_id, text in texts.items():
        folded = fold(text)
        if len(folded) >= MIN_CHARS:
            sketches[case_id] = sketch(folded).hashvalues.astype(np.uint32)
    bands = {case_id: list(_cut(values)) for case_id, values in sketches.items()}
    known = _find_known(session, sorted({band for own in bands.values() for band in own}))
    founders = _read_sketches(session, sorted({group for groups in known.values() for group in groups}))
    found: dict[str, str] = {}
    for case_id, values in sketches.items():
        near = {group for band in bands[case_id] for group in known.get(band, ())}
        # Its own group first: a case that is indexed anew stays where it is.
        ranked = sorted(near, key=lambda group: (group != case_id, -_agreement(founders[group], values), group))
        best = next((group for group in ranked if _agreement(founders[group], values) >= ALIKE), None)
        if best is None:
            best, founders[case_id] = case_id, values
            for band in bands[case_id]:
                known.setdefault(band, []).append(case_id)
            _found(session, case_id, values, bands[case_id])
        found[case_id] = best
    return found


def list_alike(records: RecordStore, case_id: str, *, actor: Actor, at: datetime) -> list[CaseView]:
    """Open cases, without evidence, to which a verdict on this one may be applied; at most `_LIMIT`, gravest first.

    Left out is what somebody else holds, what was drawn at random, which needs a verdict of its own, and golden items.
    """
    actor.require(Role.VIEWER)
    with records.session() as session:
        case = get_row(session, case_id)
        # A second look at a decided case is one person's answer and reaches no other case.
        if case.group_id is None or case.state not in WAITING or case.opened_by == OpenedBy.GOLDEN.value:
            return []
        query = select(Case).where(Case.group_id == case.group_id, Case.case_id != case_id, *may_be_applied(actor, at))
        ordered = query.order_by(col(Case.priority).desc(), col(Case.case_id)).limit(_LIMIT)
        return [build_view(session, other, with_evidence=False) for other in session.exec(ordered)]


def list_similar_decided(records: RecordStore, case_id: str, *, actor: Actor, limit: int = 5) -> list[CaseView]:
    """Decided cases, without evidence, whose turns say nearly the same as this one's; newest first."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        case = get_row(session, case_id)
        if case.group_id is None:
            return []
        query = select(Case).where(
            Case.group_id == case.group_id,
            Case.case_id != case_id,
            Case.state == CaseState.DECIDED.value,
            Case.opened_by != OpenedBy.GOLDEN.value,
        )
        newest = query.order_by(col(Case.decided_at).desc(), col(Case.case_id)).limit(limit)
        return [build_view(session, other, with_evidence=False) for other in session.exec(newest)]


def may_be_applied(actor: Actor, at: datetime) -> list[sa.ColumnElement[bool]]:
    """The conditions of a case that one decision over many may reach."""
    return [
        col(Case.state) == CaseState.OPEN.value,
        col(Case.evidence_ingest_id).is_not(None),
        col(Case.is_drawn).is_(False),
        col(Case.opened_by).not_in([OpenedBy.GOLDEN.value, OpenedBy.SAMPLE.value]),
        sa.or_(col(Case.leased_until).is_(None), col(Case.leased_until) <= at, col(Case.leased_by) == actor.name),
    ]


def _cut(values: np.ndarray) -> Iterator[int]:
    """A number for each band; equal bands at equal places have equal numbers."""
    for place in range(0, len(values), _ROWS):
        content = place.to_bytes(2, "big") + values[place : place + _ROWS].tobytes()
        yield int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)


def _find_known(session: Session, bands: Sequence[int]) -> dict[int, list[str]]:
    known: dict[int, list[str]] = {}
    for start in range(0, len(bands), _CHUNK):
        query = select(CaseBand).where(col(CaseBand.band).in_(bands[start : start + _CHUNK]))
        for row in session.exec(query.order_by(CaseBand.group_id)):
            known.setdefault(row.band, []).append(row.group_id)
    return known


def _read_sketches(session: Session, groups: Sequence[str]) -> dict[str, np.ndarray]:
    found = {}
    for start in range(0, len(groups), _CHUNK):
        for row in session.exec(select(CaseGroup).where(col(CaseGroup.group_id).in_(groups[start : start + _CHUNK]))):
            found[row.group_id] = np.frombuffer(row.sketch, dtype=np.uint32)
    return found


def _agreement(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean(one == other))


def _found(session: Session, group_id: str, values: np.ndarray, bands: Sequence[int]) -> None:
    connection = session.connection()
    connection.execute(sa.insert(CaseGroup), {"group_id": group_id, "sketch": values.tobytes()})
    rows = [{"band": band, "group_id": group_id} for band in dict.fromkeys(bands)]
    connection.execute(sa.insert(CaseBand), rows)
