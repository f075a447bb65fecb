"""What is known around a case: how the rules that fired on it fared before, and what else of its user was judged."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import col, select

from core.records import RecordStore
from incidents.enums import CaseState
from incidents.models import Case, CaseFilter
from incidents.people import Actor, Role
from incidents.views import get_row

_LIMIT = 10


@dataclass(frozen=True, slots=True)
class RuleHistory:
    """How a rule fared among the cases that people decided; raw counts of what was triaged, no estimate of its error rate.

    Attributes:
        filter_name: The filter.
        rule_id: Its rule; "" when none was logged.
        judged: Other decided cases on which it fired and people said harmful or benign.
        benign: Those of them that were benign.
    """

    filter_name: str
    rule_id: str
    judged: int
    benign: int


@dataclass(frozen=True, slots=True)
class UserHistory:
    """Other cases of the same user.

    Attributes:
        cases: Other cases.
        judged: Those of them that are decided.
        harmful: Those of them that people found harmful.
    """

    cases: int
    judged: int
    harmful: int


def list_rule_histories(records: RecordStore, case_id: str, *, actor: Actor) -> list[RuleHistory]:
    """One for each filter and rule that fired on the case's turn, by name."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        own = session.exec(
            select(CaseFilter)
            .where(CaseFilter.case_id == case_id)
            .order_by(CaseFilter.filter_name, CaseFilter.rule_id)
            .limit(_LIMIT)
        ).all()
        histories = []
        for row in own:
            query = (
                sa.select(sa.func.count(), sa.func.count().filter(col(Case.harmful).is_(False)))
                .select_from(CaseFilter)
                .join(Case, col(Case.case_id) == col(CaseFilter.case_id))
                .where(
                    col(CaseFilter.filter_name) == row.filter_name,
                    col(CaseFilter.rule_id) == row.rule_id,
                    col(Case.case_id) != case_id,
                    col(Case.state) == CaseState.DECIDED.value,
                    col(Case.harmful).is_not(None),
                )
            )
            histories.append(RuleHistory(row.filter_name, row.rule_id, *session.execute(query).one()))
        return histories


def find_user_history(records: RecordStore, case_id: str, *, actor: Actor) -> UserHistory | None:
    """Other cases of the user whose turn this is; None when the log names no user."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        case = get_row(session, case_id)
        if case.user_id is None:
            return None
        is_decided = col(Case.state) == CaseState.DECIDED.value
        query = sa.select(
            sa.func.count(),
            sa.func.count().filter(is_decided),
            sa.func.count().filter(is_decided, col(Case.harmful).is_(True)),
        ).where(col(Case.user_id) == case.user_id, col(Case.case_id) != case_id)
        return UserHistory(*session.execute(query).one())
