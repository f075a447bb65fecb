"""Tables of what people set about alerts: rules changed on the page, and changes of filters that no log tells."""

from __future__ import annotations

import sqlalchemy as sa
from pydantic import NaiveDatetime
from sqlmodel import Field

from incidents.models import Record


class AlertOverride(Record, table=True):
    """What a lead set differently from the configured rule of that name; null = as configured."""

    __tablename__ = "alert_overrides"

    rule_name: str = Field(primary_key=True)
    is_on: bool | None
    limit: float | None
    window_min: int | None
    changed_by: str
    changed_at: NaiveDatetime


class RegisteredChange(Record, table=True):
    """A change of a filter, or of all, that somebody registered because no log tells it."""

    __tablename__ = "registered_changes"

    change_id: int | None = Field(default=None, primary_key=True)
    at: NaiveDatetime = Field(index=True)
    filter_name: str | None
    note: str = Field(sa_type=sa.Text)
    registered_by: str
    registered_at: NaiveDatetime
