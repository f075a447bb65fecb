"""Tables of incidents, escalations and messages; events and steps are only ever added to."""

from __future__ import annotations

import sqlalchemy as sa
from pydantic import NaiveDatetime
from sqlmodel import Field

from incidents.models import Record


class Incident(Record, table=True):
    """Something that went wrong and needs more than one decision, as its events have left it (`response.life.fold`)."""

    __tablename__ = "incidents"

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    title: str = Field(sa_type=sa.Text)
    state: str = Field(index=True)
    severity: int
    owner: str | None
    filter_name: str | None = Field(default=None, index=True)
    rule_id: str | None = None
    opened_at: NaiveDatetime
    version: int
    acked_at: NaiveDatetime | None = None
    mitigated_at: NaiveDatetime | None = None
    closed_at: NaiveDatetime | None = None


class IncidentEvent(Record, table=True):
    """One entry of one incident's timeline; `seq` equals the incident's version after it."""

    __tablename__ = "incident_events"
    __table_args__ = (sa.UniqueConstraint("number", "seq"),)

    event_id: int | None = Field(default=None, primary_key=True)
    number: int = Field(foreign_key="incidents.number", index=True)
    seq: int
    at: NaiveDatetime
    actor: str
    action: str
    state: str
    payload: str = Field(sa_type=sa.Text)


class CaseStep(Record, table=True):
    """One step of the escalation policy that a waiting case has reached; a new clock starts the steps anew."""

    __tablename__ = "case_steps"

    case_id: str = Field(primary_key=True, foreign_key="cases.case_id")
    clock_at: NaiveDatetime = Field(primary_key=True)
    step: int = Field(primary_key=True)
    who: str
    at: NaiveDatetime


class Delivery(Record, table=True):
    """One message to one target: made with the position in the audit log, kept until it was delivered or given up."""

    __tablename__ = "deliveries"
    __table_args__ = (sa.Index("ix_deliveries_state_due_at", "state", "due_at"),)

    delivery_id: str = Field(primary_key=True)
    target: str = Field(index=True)
    event: str
    subject: str = Field(index=True)
    severity: int
    title: str = Field(sa_type=sa.Text)
    body: str = Field(sa_type=sa.Text)
    created_at: NaiveDatetime
    due_at: NaiveDatetime
    state: str
    attempts: int
    error: str = Field(sa_type=sa.Text)
    sent_at: NaiveDatetime | None = None
