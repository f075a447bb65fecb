"""Tables of judgement quality and wellness, beside those of `incidents.models`. Answers are only ever added to."""

from __future__ import annotations

import sqlalchemy as sa
from pydantic import NaiveDatetime
from sqlmodel import Field

from incidents.models import Record


class Salt(Record, table=True):
    """A secret of this store that decides by hash what nobody may predict."""

    __tablename__ = "salts"

    name: str = Field(primary_key=True)
    value: str


class SecondLook(Record, table=True):
    """A decided case that somebody else is to judge once more, as `judgement.looks` chose it."""

    __tablename__ = "second_looks"

    case_id: str = Field(primary_key=True, foreign_key="cases.case_id")
    purpose: str
    chosen_at: NaiveDatetime
    is_done: bool = Field(default=False, index=True)


class Assignment(Record, table=True):
    """A case that was put before a person for another purpose than its first review: once, and never again."""

    __tablename__ = "assignments"
    __table_args__ = (
        sa.UniqueConstraint("case_id", "reviewer"),
        sa.Index("ix_assignments_reviewer_state", "reviewer", "state"),
    )

    assignment_id: int | None = Field(default=None, primary_key=True)
    case_id: str = Field(foreign_key="cases.case_id")
    reviewer: str
    purpose: str
    round_id: str | None = None
    served_at: NaiveDatetime
    leased_until: NaiveDatetime
    shown_opened_at: NaiveDatetime
    state: str
    done_at: NaiveDatetime | None = None


class GoldenItem(Record, table=True):
    """A case whose verdict is known."""

    __tablename__ = "golden_items"

    case_id: str = Field(primary_key=True, foreign_key="cases.case_id")
    harmful: bool
    category: str | None
    severity: int | None
    origin: str
    pinned_at: NaiveDatetime
    pinned_by: str
    retired_at: NaiveDatetime | None = None


class Answer(Record, table=True):
    """What a person said about a golden item or in a calibration round, or the withdrawal of it; never a label."""

    __tablename__ = "answers"
    __table_args__ = (sa.Index("ix_answers_case_reviewer", "case_id", "reviewer"),)

    answer_id: int | None = Field(default=None, primary_key=True)
    case_id: str = Field(foreign_key="cases.case_id")
    reviewer: str
    purpose: str
    round_id: str | None
    answered_at: NaiveDatetime
    kind: str
    harmful: bool | None
    category: str | None
    severity: int | None
    reason: str | None
    note: str | None = Field(sa_type=sa.Text)


class CalibrationRound(Record, table=True):
    """A set of cases that everybody judges."""

    __tablename__ = "calibration_rounds"

    round_id: str = Field(primary_key=True)
    title: str
    started_at: NaiveDatetime
    started_by: str
    ended_at: NaiveDatetime | None = None


class CalibrationItem(Record, table=True):
    """One case of a round."""

    __tablename__ = "calibration_items"

    round_id: str = Field(primary_key=True, foreign_key="calibration_rounds.round_id")
    case_id: str = Field(primary_key=True, foreign_key="cases.case_id")


class ContestedItem(Record, table=True):
    """A case on which verdicts differed; kept as a signal after somebody settled it.

    `is_waiting` until somebody adjudicates the verdicts that stand or they no longer differ; `resolved_by` is the
    guideline version that made it clear.
    """

    __tablename__ = "contested_items"

    case_id: str = Field(primary_key=True, foreign_key="cases.case_id")
    dispute: str
    since: NaiveDatetime
    is_waiting: bool = Field(index=True)
    resolved_by: str | None = Field(default=None, index=True)


class GuidelineVersion(Record, table=True):
    """One declared version of the reviewers' guidelines, and the categories whose meaning it changed."""

    __tablename__ = "guideline_versions"

    position: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str = Field(unique=True)
    declared_at: NaiveDatetime
    author: str
    note: str = Field(sa_type=sa.Text)
    categories: str = Field(sa_type=sa.Text)


class Profile(Record, table=True):
    """What a person chose to declare about themselves; stored apart, reported in aggregate only."""

    __tablename__ = "profiles"

    person: str = Field(primary_key=True)
    declared_at: NaiveDatetime
    body: str = Field(sa_type=sa.Text)


class Comfort(Record, table=True):
    """How a person wants harmful text to be met with; private to them."""

    __tablename__ = "comforts"

    person: str = Field(primary_key=True)
    changed_at: NaiveDatetime
    masking: str
    opt_outs: str = Field(sa_type=sa.Text)
    cover_mild: str = Field(default="plain", sa_column_kwargs={"server_default": "plain"})
    cover_grave: str = Field(default="plain", sa_column_kwargs={"server_default": "plain"})
