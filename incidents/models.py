"""Tables of the decision store. Events, votes, draws and audit entries are only ever added to.

Closed sets are stored as their plain values, so that a new member needs no change of type in any engine.
"""

from __future__ import annotations

from typing import ClassVar

import sqlalchemy as sa
from pydantic import NaiveDatetime
from sqlmodel import Field, SQLModel


class Record(SQLModel):
    """Base of all tables, with its own metadata: named constraints, and nothing of another library's."""

    metadata: ClassVar[sa.MetaData] = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Case(Record, table=True):
    """One turn that people should judge, as its events have left it (`transitions.fold`)."""

    __tablename__ = "cases"
    __table_args__ = (
        sa.Index(
            "ix_cases_queue", "state", "priority", "opened_at", "case_id"
        ),  # its migration has priority descending
        sa.Index("ix_cases_state_due_at", "state", "due_at"),
        sa.Index("ix_cases_leased_by_until", "leased_by", "leased_until"),
        sa.Index("ix_cases_assigned_to_until", "assigned_to", "assigned_until"),
    )

    case_id: str = Field(primary_key=True)
    request_id: str = Field(unique=True)
    conversation_id: str | None
    turn_at: NaiveDatetime = Field(index=True)
    opened_by: str
    opened_at: NaiveDatetime
    state: str
    version: int
    leased_by: str | None = None
    leased_until: NaiveDatetime | None = None
    acked_at: NaiveDatetime | None = None
    decided_at: NaiveDatetime | None = None
    escalated_at: NaiveDatetime | None = None
    harmful: bool | None = None
    verdict_category: str | None = None
    priority: float = 0.0
    priority_reason: str = ""
    category: str | None = None
    hazard: str | None = None
    severity_hint: int | None = None
    is_drawn: bool = False
    seen_ingest_id: int = Field(sa_type=sa.BigInteger)
    evidence_ingest_id: int | None = Field(default=None, index=True, sa_type=sa.BigInteger)
    snoozed_until: NaiveDatetime | None = None
    assigned_to: str | None = None
    assigned_until: NaiveDatetime | None = None
    due_at: NaiveDatetime | None = None
    doubt: float | None = None
    exposure: float | None = None
    language: str | None = None
    source: str | None = None
    user_id: str | None = Field(default=None, index=True)
    facets_version: int = Field(default=0, index=True)
    group_id: str | None = Field(default=None, index=True)


class CaseEvent(Record, table=True):
    """One change of one case; `seq` equals the case's version after it."""

    __tablename__ = "case_events"
    __table_args__ = (
        sa.UniqueConstraint("case_id", "seq"),
        sa.Index("ix_case_events_actor_action_case_id", "actor", "action", "case_id"),
    )

    event_id: int | None = Field(default=None, primary_key=True)
    case_id: str = Field(foreign_key="cases.case_id")
    seq: int
    at: NaiveDatetime
    actor: str
    action: str
    state: str
    payload: str = Field(sa_type=sa.Text)


class CaseFilter(Record, table=True):
    """A filter and rule that fired on a case's turn, derived from its evidence; the rule is "" when none was logged."""

    __tablename__ = "case_filters"
    __table_args__ = (sa.Index("ix_case_filters_filter_name_rule_id", "filter_name", "rule_id"),)

    case_id: str = Field(primary_key=True, foreign_key="cases.case_id")
    filter_name: str = Field(primary_key=True)
    rule_id: str = Field(primary_key=True)


class CaseGroup(Record, table=True):
    """Cases whose turns say nearly the same, named after the first: its MinHash, which the others nearly share."""

    __tablename__ = "case_groups"

    group_id: str = Field(primary_key=True)
    sketch: bytes


class CaseBand(Record, table=True):
    """One band of a group's MinHash: two turns alike share at least one, so that a group is found without comparing all."""

    __tablename__ = "case_bands"

    band: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    group_id: str = Field(primary_key=True, foreign_key="case_groups.group_id")


class CaseEvidence(Record, table=True):
    """Copy of what a case is about, so that retention in the event store never empties a case."""

    __tablename__ = "case_evidence"

    case_id: str = Field(primary_key=True, foreign_key="cases.case_id")
    copied_at: NaiveDatetime
    body: bytes


class Vote(Record, table=True):
    """One verdict of one reviewer, or the withdrawal or restatement of an earlier one."""

    __tablename__ = "votes"

    vote_id: int | None = Field(default=None, primary_key=True)
    case_id: str = Field(foreign_key="cases.case_id", index=True)
    request_id: str
    conversation_id: str | None
    filter_name: str | None
    reviewer: str = Field(index=True)
    voted_at: NaiveDatetime
    kind: str
    refers_to: int | None = Field(default=None, foreign_key="votes.vote_id")
    harmful: bool | None
    category: str | None
    severity: int | None
    reason: str | None
    principle_id: str | None
    revision: str | None = Field(sa_type=sa.Text)
    critique: str | None = Field(sa_type=sa.Text)
    note: str | None = Field(sa_type=sa.Text)
    selection: str
    stratum: str | None
    inclusion_probability: float | None
    guideline_version: str | None = None
    bulk_id: str | None = Field(default=None, index=True)


class Draw(Record, table=True):
    """One turn of the probability sample. A later draw that would have taken it too raises the probability, and names the stratum."""

    __tablename__ = "draws"

    request_id: str = Field(primary_key=True)
    sample_id: str = Field(index=True)
    case_id: str = Field(foreign_key="cases.case_id")
    drawn_at: NaiveDatetime
    drawn_by: str
    seed: int = Field(sa_type=sa.BigInteger)
    stratum: str
    stratum_size: int
    stratum_drawn: int
    inclusion_probability: float


class AuditEntry(Record, table=True):
    """Who changed or revealed what. Each entry's digest covers the one before it."""

    __tablename__ = "audit"
    __table_args__ = (sa.Index("ix_audit_actor_action_at", "actor", "action", "at"),)

    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: NaiveDatetime
    actor: str
    role: str
    action: str
    subject: str = Field(index=True)
    detail: str = Field(sa_type=sa.Text)
    previous: str
    digest: str


class Progress(Record, table=True):
    """How far a recurring piece of work has come."""

    __tablename__ = "progress"

    name: str = Field(primary_key=True)
    position: int = Field(sa_type=sa.BigInteger)


class ConstitutionVersion(Record, table=True):
    """One version of the constitution, whole, as its file held it."""

    __tablename__ = "constitution_versions"

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: NaiveDatetime
    author: str
    note: str = Field(sa_type=sa.Text)
    digest: str
    content: str = Field(sa_type=sa.Text)


class SuitePrompt(Record, table=True):
    """One adversarial prompt of a stress-test suite, with the principle that it attacks."""

    __tablename__ = "suite_prompts"

    suite: str = Field(primary_key=True)
    prompt_id: str = Field(primary_key=True)
    principle_id: str
    attack: str
    prompt: str = Field(sa_type=sa.Text)
    position: int


class Revision(Record, table=True):
    """What a critique model said about one answer and how it would rewrite it; trains nothing before people accept it."""

    __tablename__ = "revisions"
    __table_args__ = (sa.UniqueConstraint("request_id", "principle_id", "constitution_version"),)

    revision_id: int | None = Field(default=None, primary_key=True)
    request_id: str
    suite: str = Field(index=True)
    arm: str
    principle_id: str
    constitution_version: int
    model: str
    created_at: NaiveDatetime
    prompt: str = Field(sa_type=sa.Text)
    response: str = Field(sa_type=sa.Text)
    is_violation: bool | None
    critique: str = Field(sa_type=sa.Text)
    revision: str | None = Field(sa_type=sa.Text)
    is_still_violation: bool | None
    input_tokens: int
    output_tokens: int
    state: str
    decided_by: str | None = None
    decided_at: NaiveDatetime | None = None
    final: str | None = Field(default=None, sa_type=sa.Text)


class AlertRow(Record, table=True):
    """One subject of one alert rule, as its windows have left it (`alerts.states.advance`)."""

    __tablename__ = "alerts"
    __table_args__ = (sa.UniqueConstraint("rule_name", "subject"),)

    alert_id: str = Field(primary_key=True)
    rule_name: str
    subject: str
    kind: str
    filter_name: str | None
    rule_id: str | None
    source: str | None = None
    state: str = Field(index=True)
    since: NaiveDatetime | None
    count: int
    fired_at: NaiveDatetime | None
    window_end: NaiveDatetime
    breached_at: NaiveDatetime | None = None
    group_id: str | None = Field(default=None, index=True)
    sentence: str = Field(sa_type=sa.Text)
    evidence: str = Field(sa_type=sa.Text)
    silenced_until: NaiveDatetime | None = None
    silenced_by: str | None = None
    silence_reason: str | None = Field(default=None, sa_type=sa.Text)
    acked_by: str | None = None
    acked_at: NaiveDatetime | None = None


class AlertEvent(Record, table=True):
    """One change of one alert's state, by a window or by a person."""

    __tablename__ = "alert_events"

    event_id: int | None = Field(default=None, primary_key=True)
    alert_id: str = Field(foreign_key="alerts.alert_id", index=True)
    at: NaiveDatetime
    window_end: NaiveDatetime | None
    actor: str
    action: str
    state: str
    sentence: str = Field(sa_type=sa.Text)
    evidence: str = Field(sa_type=sa.Text)


class ProposalRow(Record, table=True):
    """One proposed change of a filter, with what the labelled turns said of it when it was proposed."""

    __tablename__ = "proposals"

    proposal_id: int | None = Field(default=None, primary_key=True)
    filter_name: str = Field(index=True)
    filter_version: str | None
    rule_id: str | None
    terms: str = Field(sa_type=sa.Text)
    reason: str = Field(sa_type=sa.Text)
    checked: str = Field(sa_type=sa.Text)
    state: str = Field(index=True)
    version: int
    experiment: str | None = None


class ProposalEvent(Record, table=True):
    """One decision about a proposal; `seq` equals the proposal's version after it."""

    __tablename__ = "proposal_events"
    __table_args__ = (sa.UniqueConstraint("proposal_id", "seq"),)

    event_id: int | None = Field(default=None, primary_key=True)
    proposal_id: int = Field(foreign_key="proposals.proposal_id", index=True)
    seq: int
    at: NaiveDatetime
    actor: str
    state: str
    note: str = Field(sa_type=sa.Text)


class ExportRecord(Record, table=True):
    """One feedback set that was built; `folder` is where it was written, which may have moved since."""

    __tablename__ = "exports"

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str = Field(index=True)
    built_at: NaiveDatetime
    built_by: str
    folder: str = Field(sa_type=sa.Text)
    manifest_sha256: str
    data_version: int = Field(sa_type=sa.BigInteger)
    rows: int
    refused: int
    new_since: int | None = None


class ExportedRow(Record, table=True):
    """One row of one feedback set: what later sets must keep apart, and what a deletion request asks for."""

    __tablename__ = "exported_rows"

    number: int = Field(primary_key=True, foreign_key="exports.number", sa_column_kwargs={"autoincrement": False})
    position: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    request_id: str = Field(index=True)
    conversation_id: str | None = Field(index=True)
    user_id: str | None = Field(index=True)
    prompt_hash: str | None
    split: str
    is_held_out: bool
    row_key: str
