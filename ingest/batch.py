"""What sources hand to the loader, and what the loader answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

REJECT_SCHEMA = pa.schema(
    [
        ("line_no", pa.int64()),
        ("reason", pa.string()),
        ("field", pa.string()),
        ("detail", pa.string()),
        ("record", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records as text.

    Attributes:
        lines: Arrow table (line_no: int64, line: large_string), valid UTF-8, one record a row.
        rejects: Arrow table (line_no, reason, field, detail, record) of what was unreadable before it became a record.
        source: Name of the source.
        file: Name of the file, None for live records.
        digest: SHA-256 of the text, "" where a replay of the very same text is not expected.
        received_at: Time of the file, naive UTC, for records of formats that carry no time; None for live records.
    """

    lines: pa.Table
    rejects: pa.Table
    source: str
    file: str | None = None
    digest: str = ""
    received_at: datetime | None = None


@dataclass(slots=True)
class IngestSummary:
    """What became of the records of one or more batches. Counts are records, except the stored rows.

    Every record is stored (new to the store in some part), a duplicate, ignored (it tells of no turn, check or verdict: a
    trace's span of another kind), or rejected.
    """

    files: int = 0
    read: int = 0
    turns: int = 0
    checks: int = 0
    labels: int = 0
    duplicates: int = 0
    ignored: int = 0
    rejected: int = 0
    rejections: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, other: IngestSummary) -> None:
        """Adds another summary's counts."""
        for name in ("files", "read", "turns", "checks", "labels", "duplicates", "ignored", "rejected", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for reason, count in other.rejections.items():
            self.rejections[reason] = self.rejections.get(reason, 0) + count

    def to_json(self) -> dict[str, Any]:
        """The document of contract section 3."""
        return {
            "files": self.files,
            "read": self.read,
            "stored": {"turns": self.turns, "checks": self.checks, "labels": self.labels},
            "duplicates": self.duplicates,
            "ignored": self.ignored,
            "rejected": self.rejected,
            "rejections": self.rejections,
            "seconds": round(self.seconds, 3),
        }
