"""Settings of the response to what goes wrong: who is told, who takes over, and what must be reported by when."""

from __future__ import annotations

from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator

from core.section import Section

SeverityName = Literal["low", "medium", "high", "critical"]
_TIME = r"^([01]\d|2[0-3]):[0-5]\d$"
_NAME = r"^[a-z0-9][a-z0-9-]{0,39}$"


class NotifyTarget(Section):
    """One place that is told of what happens; nothing is sent unless it is named here."""

    name: str = Field(pattern=_NAME, description="name: small letters, digits and hyphens")
    url: SecretStr = Field(
        description="Apprise address of the service, for example mailtos://, slack://, workflows:// (Teams), json://"
    )
    events: tuple[
        Literal[
            "alert",
            "incident-opened",
            "incident-changed",
            "incident-escalated",
            "case-escalated",
            "case-waiting",
            "serious-incident",
        ],
        ...,
    ] = Field(
        ("alert", "incident-opened", "incident-escalated", "case-escalated", "serious-incident"),
        description="what it is told of; see docs/notifications.md",
    )
    min_severity: SeverityName = Field("low", description="least severity that it is told of")
    quiet_from: str | None = Field(None, pattern=_TIME, description="start of quiet hours, HH:MM; empty = none")
    quiet_until: str | None = Field(None, pattern=_TIME, description="end of quiet hours, HH:MM")
    zone: str = Field("UTC", description="time zone of the quiet hours, for example Europe/Berlin")
    with_text: bool = Field(
        default=False, description="whether titles and names out of logs and notes leave the host in messages"
    )

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("no such time zone") from error
        return name

    @model_validator(mode="after")
    def _quiet_hours_have_two_ends(self) -> Self:
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValueError("quiet hours have a start and an end")
        return self


class EscalationStep(Section):
    """One step of an escalation policy."""

    who: str = Field(min_length=1, max_length=80, description="person or group that takes over")
    after_min: int = Field(ge=0, le=43_200, description="minutes after the clock started")
    notify: str = Field("", description="name of the [[notify]] entry that tells them; empty = shown on pages only")


class EscalationPolicy(Section):
    """Who is told, and when, while nobody takes something up; taking it up stops the clock."""

    subject: Literal["incident", "case"] = Field("incident", description="what waits: incidents or escalated cases")
    severity: SeverityName = Field(description="severity of what waits")
    steps: tuple[EscalationStep, ...] = Field(
        min_length=1, description="who, after how many minutes, told by which [[notify]] entry"
    )

    @field_validator("steps")
    @classmethod
    def _steps_follow_each_other(cls, steps: tuple[EscalationStep, ...]) -> tuple[EscalationStep, ...]:
        minutes = [step.after_min for step in steps]
        if minutes != sorted(set(minutes)):
            raise ValueError("each step comes later than the one before")
        return steps


class SeriousKind(Section):
    """One kind of incident that may have to be reported to an authority."""

    name: str = Field(pattern=_NAME, description="name: small letters, digits and hyphens")
    title: str = Field(min_length=1, max_length=200, description="what it is, as the law says it")
    days: int = Field(ge=1, le=365, description="days from awareness until the report is due at the latest")
    article: str = Field("", max_length=100, description="where the law says so")
    remind_h: tuple[int, ...] = Field(
        (72, 24, 4, 0),
        description="hours before the report is due at which those who answer for it are reminded; 0 = then",
    )

    @field_validator("remind_h")
    @classmethod
    def _reminders_come_before_the_end(cls, hours: tuple[int, ...]) -> tuple[int, ...]:
        if any(hour < 0 for hour in hours):
            raise ValueError("hours before the report is due, 0 or more")
        return hours


# Regulation (EU) 2024/1689, Articles 3(49) and 73.
DEFAULT_SERIOUS = (
    SeriousKind(
        name="critical-infrastructure",
        title="Serious and irreversible disruption of critical infrastructure",
        days=2,
        article="Article 73(3)",
    ),
    SeriousKind(name="widespread-infringement", title="Widespread infringement", days=2, article="Article 73(3)"),
    SeriousKind(name="death", title="Death of a person", days=10, article="Article 73(4)"),
    SeriousKind(name="health", title="Serious harm to a person's health", days=15, article="Article 73(2)"),
    SeriousKind(
        name="fundamental-rights",
        title="Infringement of obligations that protect fundamental rights",
        days=15,
        article="Article 73(2)",
    ),
    SeriousKind(
        name="property-environment",
        title="Serious harm to property or the environment",
        days=15,
        article="Article 73(2)",
    ),
)
