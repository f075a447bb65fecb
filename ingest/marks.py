"""What tables in memory were worked out of, so that they can be brought up to date by what is new alone."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from core.events import Connection


@dataclass(frozen=True, slots=True)
class Marks:
    """The data version, and how many rows there were."""

    version: int
    labels: int
    checks: int
    turns: int

    def continues(self, other: Marks) -> bool:
        """Whether nothing but new rows came since `other`."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return self.version > other.version and all(now >= then for now, then in pairs)


def read_marks(connection: Connection) -> Marks:
    """Those of the store as it is."""
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("labels", "checks", "turns"))
    return Marks(
        *connection.execute(f"SELECT (SELECT coalesce(max(ingest_id), 0) FROM ingests), {counts}").fetchall()[0]
    )
