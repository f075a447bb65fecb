"""Opening cases for turns that the configured rules select.

New cases and the cursor that says how far the event store has been looked through commit together: a crash
before that opens nothing, and a repetition opens nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.clock import now
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.audit import Change, change
from incidents.enums import Action, CaseState, CloseReason, OpenedBy
from incidents.evidence import find_turn_times
from incidents.facets import index_cases
from incidents.filing import WAITING, NewCase, add_cases, chunked, copy_evidence
from incidents.models import Case, Progress
from incidents.people import Actor
from incidents.transitions import TRANSITIONS
from incidents.views import add_event
from ingest.schema import get_data_version
from metrics.consensus import CLAIMS, consensus

MIRROR_SOURCE = "weir-triage"
"""Source, in the event store, of the votes cast here."""

_CURSOR = "cases"

_SELECTORS = {
    OpenedBy.USER_REPORT: ("labels WHERE selection = 'user_report'",),
    OpenedBy.APPEAL: ("labels WHERE selection = 'appeal'",),
    OpenedBy.ESCALATION: (
        "turns WHERE outcome = 'human_escalation'",
        "checks WHERE decision = 'escalate' AND enforced",
    ),
    OpenedBy.ENFORCED_TRIGGER: ("checks WHERE triggered AND enforced",),
    OpenedBy.TRIGGER: ("checks WHERE triggered",),
}
"""What selects a turn, strongest reason first: tables with the condition that a row must meet."""

_TOUCHED = """
WITH fresh AS (
    SELECT request_id, conversation_id FROM turns WHERE ingest_id > $after AND ingest_id <= $upto
    UNION ALL
    SELECT request_id, NULL FROM checks WHERE ingest_id > $after AND ingest_id <= $upto
    UNION ALL
    SELECT request_id, NULL FROM labels
    WHERE ingest_id > $after AND ingest_id <= $upto AND selection IN ('user_report', 'appeal')
), waiting AS (
    SELECT unnest($ids::VARCHAR[]) AS request_id, unnest($conversations::VARCHAR[]) AS conversation_id
)
SELECT request_id FROM waiting
WHERE request_id IN (SELECT request_id FROM fresh) OR conversation_id IN (SELECT conversation_id FROM fresh)
"""


def open_cases(records: RecordStore, events: EventStore, *, settings: Settings, actor: Actor) -> int:
    """Opens a case for each selected turn that arrived since the last call, and keeps waiting ones up to date.

    What selects is `settings.cases.open_on`; what lies more than `settings.cases.max_age_d` days before the
    newest event is left out. A turn has one case for ever. A turn that imported verdicts settle gets none, and a
    waiting one that they settle is closed, unless it was drawn at random; an appeal opens a settled one again. Rows that arrive later for a waiting
    case are added to its evidence once nobody holds it.

    Returns:
        Number of cases opened.
    """
    actor.require(TRANSITIONS[None, Action.OPEN].role)
    index_cases(records, settings=settings, actor=actor)
    upto, at = get_data_version(events), now()
    with records.session() as session:
        after = _get_cursor(session).position
    opened = 0
    span = {"after": after, "upto": upto}
    if upto > after and _has_news(events, span):
        found = _find_new(events, settings=settings, after=after, upto=upto, at=at)
        touched = _find_touched(records, events, span)
        judged = _find_judged(events, span)
        appealed = _find_appealed(events, span) if OpenedBy.APPEAL.value in settings.cases.open_on else {}
        with change(records, actor=actor, at=at) as current:
            if _get_cursor(current.session).position != after:
                return 0  # another call did this work in between
            opened = len(add_cases(current, found, seen=upto))
            closed = _close_judged(current, judged)
            reopened = _reopen_appealed(current, appealed)
            _mark_touched(current.session, [*touched, *_still_logged(events, reopened)], upto)
            _get_cursor(current.session).position = upto
            if opened or closed or touched or reopened:
                counts = {"opened": opened, "closed": closed, "touched": len(touched), "position": upto}
                counts |= {"reopened": len(reopened)} if reopened else {}
                current.record("cases.open", _CURSOR, counts)
            else:
                current.keep()  # a cursor that moved over nothing is no decision to audit
    copy_evidence(records, events, settings=settings, actor=actor)
    return opened


def _get_cursor(session: Session) -> Progress:
    return session.exec(select(Progress).where(Progress.name == _CURSOR)).one()


def _has_news(events: EventStore, span: dict[str, Any]) -> bool:
    """Whether anything but copies of verdicts cast here arrived: those come every few seconds while people work."""
    news = "SELECT count(*) > 0 FROM ingests WHERE ingest_id > $after AND ingest_id <= $upto AND source IS DISTINCT FROM $mirror"
    return bool(events.read(news, span | {"mirror": MIRROR_SOURCE}).item())


def _find_new(events: EventStore, *, settings: Settings, after: int, upto: int, at: datetime) -> list[NewCase]:
    reasons = list(_SELECTORS)
    parts = [
        f"SELECT {rank} AS rank, request_id, conversation_id, ts FROM {selector} AND ingest_id > $after "  # noqa: S608  constants above
        "AND ingest_id <= $upto AND ts >= $earliest AND request_id IS NOT NULL"
        for rank, reason in enumerate(reasons)
        if reason.value in settings.cases.open_on
        for selector in _SELECTORS[reason]
    ]
    newest = events.read("SELECT max(last_event_at) AS newest FROM ingests").item()
    if newest is None or not parts:
        return []
    # A clock in the future must not push the present out of the window.
    earliest = min(newest, at) - timedelta(days=settings.cases.max_age_d)
    rows = events.read(
        "SELECT request_id, min(conversation_id) AS conversation_id, min(ts) AS ts, min(rank) AS rank "  # noqa: S608  built above
        f"FROM ({' UNION ALL '.join(parts)}) GROUP BY request_id ORDER BY ts, request_id",
        {"after": after, "upto": upto, "earliest": earliest},
    ).rows()
    settled = _find_settled(events, [row[0] for row in rows])
    reported = [row[0] for row in rows if reasons[row[3]] in (OpenedBy.USER_REPORT, OpenedBy.APPEAL)]
    times = find_turn_times(events, reported) if reported else {}
    return [
        NewCase(request_id, conversation_id, times.get(request_id, ts), reasons[rank])
        for request_id, conversation_id, ts, rank in rows
        if request_id not in settled
    ]


def _find_settled(events: EventStore, request_ids: Sequence[str]) -> set[str]:
    """Those turns on which imported verdicts agree."""
    imported = events.read(
        "SELECT DISTINCT request_id FROM labels WHERE request_id IN (SELECT unnest($ids::VARCHAR[])) "
        "AND source IS DISTINCT FROM $mirror",
        {"ids": list(request_ids), "mirror": MIRROR_SOURCE},
    )["request_id"]
    if imported.is_empty():
        return set()
    verdicts = consensus(events.backend())
    settled = verdicts.filter(verdicts.filter_name.isnull(), verdicts.harmful.notnull()).select("request_id")
    return set(settled.to_polars()["request_id"]) & set(imported)


def _find_judged(events: EventStore, span: dict[str, Any]) -> set[str]:
    """Turns that freshly imported verdicts settle."""
    fresh = events.read(
        "SELECT DISTINCT request_id FROM labels WHERE ingest_id > $after AND ingest_id <= $upto "
        "AND request_id IS NOT NULL AND source IS DISTINCT FROM $mirror "
        "AND NOT coalesce(list_contains($claims::VARCHAR[], selection), false)",
        span | {"mirror": MIRROR_SOURCE, "claims": list(CLAIMS)},
    )["request_id"]
    return _find_settled(events, fresh.to_list()) if len(fresh) else set()


def _find_touched(records: RecordStore, events: EventStore, span: dict[str, Any]) -> list[str]:
    """Turns of waiting cases about which rows arrived."""
    query = select(Case.request_id, Case.conversation_id).where(col(Case.state).in_(WAITING))
    with records.session() as session:
        waiting = session.exec(query).all()
    if not waiting:
        return []
    ids, conversations = zip(*waiting, strict=True)
    values = span | {"ids": list(ids), "conversations": list(conversations)}
    return events.read(_TOUCHED, values)["request_id"].to_list()


def _close_judged(current: Change, judged: set[str]) -> int:
    closed = 0
    for chunk in chunked(sorted(judged)):
        cases = current.session.exec(
            select(Case).where(
                col(Case.request_id).in_(chunk),
                Case.state == CaseState.OPEN.value,
                col(Case.is_drawn).is_(False),
                sa.or_(col(Case.leased_until).is_(None), col(Case.leased_until) <= current.at),
            )
        ).all()
        for case in cases:
            add_event(current, case, Action.CLOSE, {"reason": CloseReason.IMPORTED.value})
        closed += len(cases)
    return closed


def _find_appealed(events: EventStore, span: dict[str, Any]) -> dict[str, int]:
    """Turns against whose decision users newly appeal, and how many appeals."""
    rows = events.read(
        "SELECT request_id, count(*) AS claims FROM labels WHERE ingest_id > $after AND ingest_id <= $upto "
        "AND request_id IS NOT NULL AND selection = 'appeal' GROUP BY request_id",
        span,
    ).rows()
    return dict(rows)


def _reopen_appealed(current: Change, appealed: Mapping[str, int]) -> list[str]:
    """Opens settled cases again whose users appeal; returns their turns. Their clock starts anew, earlier votes stand.

    A random sample stays one: its reviewer must not see what filters said. Somebody else than before judges the appeal
    (`queues.find_next`).
    """
    reopened = []
    for chunk in chunked(sorted(appealed)):
        settled = select(Case).where(
            col(Case.request_id).in_(chunk), col(Case.state).in_([CaseState.DECIDED.value, CaseState.CLOSED.value])
        )
        for case in current.session.exec(settled).all():
            add_event(current, case, Action.APPEAL, {"claims": appealed[case.request_id]})
            case.opened_at = current.at
            if not case.is_drawn:
                case.opened_by = OpenedBy.APPEAL.value
            reopened.append(case.request_id)
    return reopened


def _still_logged(events: EventStore, request_ids: Sequence[str]) -> list[str]:
    """Those turns whose text the event store still has: copying the evidence of others anew would empty their cases."""
    has_text = "SELECT request_id FROM turns WHERE request_id IN (SELECT unnest($ids::VARCHAR[])) AND coalesce(prompt, response, messages) IS NOT NULL"
    return events.read(has_text, {"ids": list(request_ids)})["request_id"].to_list() if request_ids else []


def _mark_touched(session: Session, touched: Sequence[str], upto: int) -> None:
    for chunk in chunked(touched):
        session.exec(sa.update(Case).where(col(Case.request_id).in_(chunk)).values(seen_ingest_id=upto))
