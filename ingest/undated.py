"""Records without a time of their own take that of their file, and keep the first one: a file that is copied, or that grows at its
head, has another time, and must not bring the same records once more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from core.events import Connection
from ingest.formats.base import Selects


def _digest(format_key: str) -> str:
    return f"CAST(md5(concat_ws(chr(31), '{format_key}', CAST(r AS VARCHAR))) AS UUID)"


def find_undated(connection: Connection, format_key: str) -> bool:
    """Fills `first_seen` with the lines of `accepted` that were stored before with their file's time; returns whether there are any."""
    has_some = connection.execute("SELECT count(*) > 0 FROM undated WHERE format = ?", [format_key]).fetchall()[0][0]
    if not has_some:
        return False
    found: int = connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE first_seen AS
        SELECT line_no, min(seen_at) AS seen_at FROM (SELECT line_no, {_digest(format_key)} AS digest FROM accepted)
        JOIN undated USING (digest) GROUP BY line_no""").fetchall()[0][0]
    return found > 0


def keep_first_seen(selects: Selects) -> Selects:
    """`selects` with the times of `first_seen` on its lines; scores have that of their check."""
    turns, checks, labels = (
        select
        and f"SELECT s.* REPLACE (coalesce(f.seen_at, s.ts) AS ts) FROM ({select}) s LEFT JOIN first_seen f ON f.line_no = s.line_no"
        for select in (selects.turns, selects.checks, selects.labels)
    )
    return replace(selects, turns=turns, checks=checks, labels=labels)


def note_undated(connection: Connection, format_key: str, received_at: datetime) -> None:
    """Notes the records of `yielding` that have taken the file's time `received_at`."""
    if connection.execute("SELECT count(*) FROM yielding WHERE ts = ?", [received_at]).fetchall()[0][0]:
        connection.execute(
            f"INSERT INTO undated SELECT DISTINCT $format, {_digest(format_key)} AS digest, CAST($at AS TIMESTAMP) FROM accepted "
            "WHERE line_no IN (SELECT line_no FROM yielding WHERE ts = $at) AND digest NOT IN (SELECT digest FROM undated)",
            {"format": format_key, "at": received_at},
        )
