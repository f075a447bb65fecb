"""Settings of what comes in: files, house formats, the HTTP intake and its tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NaiveDatetime

from core.section import Section


class IngestSettings(Section):
    """How logs are read."""

    interval_s: float = Field(0.25, ge=0.1, le=3600, description="seconds between looks at the inbox")
    memory_limit: str = Field(
        "250MB",
        pattern=r"^\d+(\.\d+)?(MB|GB|TB)$",
        description="DuckDB's memory limit while `weir ingest` reads with no server running",
    )
    chunk_mb: int = Field(32, ge=1, le=512, description="megabytes of log text read per transaction")
    crosswalk: Path | None = Field(None, description="a category crosswalk to use instead of the shipped one")
    osprey_rules: str = Field(
        "", description="pattern (RE2) of the Osprey features that are rules; empty = those that are true or false"
    )


class MappingRule(Section):
    """A house log format."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$", description="name of the format: small letters, digits, underscores"
    )
    reads: Literal["filter_log", "model_log", "label_log"] = Field(
        "filter_log", description="neutral format that its records become"
    )
    columns: dict[str, str] = Field(description="paths (a.b[0].c) or constants (=text) by column of that format")
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="by column: what its native values are called in that format"
    )
    match: dict[str, str] = Field(
        default_factory=dict, description="values by path that a record must hold to be detected as this format"
    )


class IntakeToken(Section):
    """A bearer token of the HTTP intake, of which only the hash is kept."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="name: small letters, digits and hyphens")
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$", description="SHA-256 of the token, as `weir token` prints it")
    sources: tuple[str, ...] = Field((), description="sources that it may write; empty = every one")
    until: NaiveDatetime | None = Field(None, description="when it ends, UTC; empty = never")


class RetentionSettings(Section):
    """Days after which what was logged ages out; empty = kept for good. Rollups, decisions and the evidence of cases stay."""

    text_d: int | None = Field(None, ge=1, description="days that texts of turns, checks and labels are kept")
    turns_d: int | None = Field(None, ge=1, description="days that turns are kept")
    checks_d: int | None = Field(None, ge=1, description="days that checks and their scores are kept")
    labels_d: int | None = Field(None, ge=1, description="days that human verdicts are kept")
    quarantine_d: int | None = Field(None, ge=1, description="days that rejected records are kept")
    inbox_d: int | None = Field(
        None, ge=1, description="days after their last change that log files of the inbox, once read, are deleted"
    )
    interval_s: float = Field(3600, ge=60, le=86400, description="seconds between looks at what has aged out")


class IntakeSettings(Section):
    """What the HTTP intake takes at once."""

    max_body_mb: int = Field(16, ge=1, le=1024, description="megabytes that the body of an intake request may have")
    max_unpacked_mb: int = Field(64, ge=1, le=1024, description="megabytes that it may have once unpacked")
    queue_requests: int = Field(64, ge=1, description="intake requests that may wait to be stored; more get status 429")
