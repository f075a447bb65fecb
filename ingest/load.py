"""One batch of records into the store: validate, dedupe, append, roll up; all in the caller's transaction.

Identity is the provider's id where there is one, else the hash of the canonical record. A replayed record has the same
time as its first copy, so duplicates are looked for only within the batch's own span of time: the cost of a batch grows with
the batch, not with the history.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from core.clock import now
from core.events import Connection, EventStore
from core.settings import Settings
from ingest.batch import REJECT_SCHEMA, Batch, IngestSummary
from ingest.crosswalk import load_crosswalk, normalized_sql
from ingest.formats import LogFormat
from ingest.formats.base import Selects, sql_structure, sql_text
from ingest.mapping import find_formats, rewrite_record
from ingest.schema import CHECK_SCORES, CHECKS, LABELS
from ingest.turns import log_turns, merge_turns
from ingest.undated import find_undated, keep_first_seen, note_undated
from ingest.unknown import list_keys, read_unknown
from ingest.withheld import OWNERS, drop_withheld

_CHECK_IDENTITY = [
    "ts",
    "request_id",
    "conversation_id",
    "layer",
    "stage",
    "filter_name",
    "filter_version",
    "policy_id",
    "policy_version",
    "rule_id",
    "category_native",
    "score",
    "threshold",
    "triggered",
    "decision",
    "enforced",
    "mode",
    "latency_ms",
    "error",
    "content",
    "matched_text",
    "model",
    "metadata",
]
_LABEL_IDENTITY = [
    column.name for column in LABELS.columns if column.name not in {"label_id", "extra", "source", "ingest_id"}
]


def load_records(
    events: EventStore,
    format_key: str,
    records: Sequence[dict[str, Any]],
    *,
    source: str,
    settings: Settings,
) -> IngestSummary:
    """Stores records that are in memory already, in one transaction."""
    lines = pa.table(
        {
            "line_no": pa.array(range(1, len(records) + 1), pa.int64()),
            "line": pa.array([orjson.dumps(record, default=str).decode() for record in records], pa.large_string()),
        }
    )
    batch = Batch(lines, REJECT_SCHEMA.empty_table(), source)
    return events.write(
        lambda connection: load_batch(connection, find_formats(settings)[format_key], batch, settings=settings)
    )


def load_batch(connection: Connection, log_format: LogFormat, batch: Batch, *, settings: Settings) -> IngestSummary:
    """Stores one batch within the transaction of `connection`.

    Args:
        connection: A connection that `EventStore.write` opened.
        log_format: How the records are read.
        batch: The records.
        settings: Thresholds and the crosswalk.
    """
    started = time.perf_counter()
    summary = IngestSummary(read=batch.lines.num_rows + batch.rejects.num_rows)
    if not summary.read:
        return summary
    known = _find_chunk(connection, log_format, batch)
    if known is not None:
        summary.rejections, summary.ignored = known
        summary.rejected = sum(summary.rejections.values())
        summary.duplicates = summary.read - summary.rejected - summary.ignored
        summary.seconds = time.perf_counter() - started
        return summary
    ingest_id = connection.execute("SELECT coalesce(max(ingest_id), 0) + 1 FROM ingests").fetchall()[0][0]
    connection.register("lines", batch.lines)
    connection.register("unreadable", batch.rejects)
    connection.register("crosswalk", load_crosswalk(settings.ingest.crosswalk).table)
    connection.execute("SET VARIABLE received_at = ?::TIMESTAMP", [batch.received_at])
    context = _Context(connection, ingest_id, batch.source)
    parse_lines(connection, log_format)
    summary.rejections = _reject(context, log_format, batch)
    summary.rejected = sum(summary.rejections.values())

    selects = prepare_selects(connection, log_format, settings)
    if batch.received_at and find_undated(connection, log_format.key):
        selects = keep_first_seen(selects)
    connection.execute("CREATE OR REPLACE TEMP TABLE contributing (line_no BIGINT)")
    connection.execute("CREATE OR REPLACE TEMP TABLE yielding (line_no BIGINT, ts TIMESTAMP)")
    span: list[Any] = []
    if selects.turns:
        log_turns(connection, selects.turns)
        span += _span(connection, "logged_turns")
    if selects.checks:
        summary.checks = _append_checks(context, selects.checks, selects.scores)
        span += _span(connection, "new_checks")
    if selects.labels:
        summary.labels = _append_labels(context, selects.labels)
        span += _span(connection, "new_labels")
    summary.turns = merge_turns(
        connection,
        has_log=bool(selects.turns),
        has_checks=summary.checks > 0,
        ingest_id=ingest_id,
        source=batch.source,
    )
    if batch.received_at:
        note_undated(connection, log_format.key, batch.received_at)
    stored, yielding = connection.execute(
        "SELECT (SELECT count(DISTINCT line_no) FROM contributing), (SELECT count(DISTINCT line_no) FROM yielding)"
    ).fetchall()[0]
    summary.ignored = summary.read - summary.rejected - yielding
    summary.duplicates = yielding - stored
    if batch.digest:
        connection.execute(
            "INSERT INTO chunks VALUES (?, ?, ?, ?)",
            [_chunk_hash(log_format, batch), summary.read, json.dumps(summary.rejections), summary.ignored],
        )
    summary.seconds = time.perf_counter() - started
    connection.execute(
        "INSERT INTO ingests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            ingest_id,
            now(),
            batch.source,
            log_format.key,
            batch.file,
            summary.read,
            summary.turns,
            summary.checks,
            summary.labels,
            summary.duplicates,
            summary.rejected,
            min(span, default=None),
            max(span, default=None),
            summary.seconds,
            summary.ignored,
        ],
    )
    return summary


@dataclass(frozen=True, slots=True)
class _Context:
    connection: Connection
    ingest_id: int
    source: str


def _chunk_hash(log_format: LogFormat, batch: Batch) -> str:
    return f"{log_format.key}:{batch.digest}"


def _find_chunk(connection: Connection, log_format: LogFormat, batch: Batch) -> tuple[dict[str, int], int] | None:
    """What was rejected of the very same text when it was stored, by reason, and how much ignored; None if it was not."""
    if not batch.digest:
        return None
    found = connection.execute(
        "SELECT rejections, ignored_count FROM chunks WHERE chunk_hash = ?", [_chunk_hash(log_format, batch)]
    ).fetchall()
    return (json.loads(found[0][0]), found[0][1]) if found else None


def _span(connection: Connection, table: str) -> list[Any]:
    row = connection.execute(f"SELECT min(ts), max(ts) FROM {table}").fetchall()[0]
    return [value for value in row if value is not None]


def parse_lines(connection: Connection, log_format: LogFormat) -> None:
    """Parses the relation `lines`: fills `parsed` (each record's struct and the first rule it breaks) and the view `accepted`."""
    cases = " ".join(
        f"WHEN {rule.is_bad} THEN {{'reason': {sql_text(rule.reason)}, 'field': {sql_text(rule.field)}, "
        f"'detail': {sql_text(rule.remedy)}}}"
        for rule in log_format.rules
    )
    lists = list_keys(connection, log_format)
    # Guarding every line costs a quarter of the parse; most batches hold nothing but JSON objects.
    guarded = "CASE WHEN json_valid(line) AND json_type(line) = 'OBJECT' THEN line END"
    record = rewrite_record(log_format, guarded if any(found is None for *_, found in lists) else "line")
    extra = read_unknown(log_format, lists)
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE parsed AS
        SELECT line_no, r, CASE WHEN r IS NULL THEN {{'reason': 'invalid_json', 'field': NULL,
                'detail': 'The line is not a JSON object.'}} {cases} END AS refusal, {extra} AS extra
        FROM (SELECT line_no, record, from_json(record, {sql_structure(log_format.structure)}) AS r
              FROM (SELECT line_no, {record} AS record FROM lines))""")
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW accepted AS SELECT line_no, r, extra FROM parsed WHERE refusal IS NULL"
    )


def prepare_selects(connection: Connection, log_format: LogFormat, settings: Settings) -> Selects:
    """The format's SELECTs over the accepted records, once what they share is stored."""
    selects = log_format.selects(settings)
    if selects.prepared:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE prepared AS {selects.prepared}")
    return selects


def _reject(context: _Context, log_format: LogFormat, batch: Batch) -> dict[str, int]:
    """Quarantines what was refused; returns counts by reason. A record refused before is not stored twice."""
    (refused,) = context.connection.execute("SELECT count(*) FROM parsed WHERE refusal IS NOT NULL").fetchall()[0]
    if not refused and not batch.rejects.num_rows:
        return {}
    fields = {rule.field for rule in log_format.rules}
    value = " ".join(
        f"WHEN {sql_text(name)} THEN CAST(r.{name} AS VARCHAR)" for name in sorted(fields & set(log_format.structure))
    )
    context.connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE refused AS
        SELECT line_no, reason, field, detail, record FROM unreadable
        UNION ALL
        SELECT p.line_no, p.refusal.reason, p.refusal.field,
            CASE WHEN shown IS NULL THEN p.refusal.detail
                 ELSE p.refusal.field || ' is ' || left(shown, 80) || '. ' || p.refusal.detail END,
            l.line
        FROM (SELECT *, CASE refusal.field {value} END AS shown FROM parsed WHERE refusal IS NOT NULL) p
        JOIN lines l USING (line_no)"""
    )
    counts = dict(context.connection.execute("SELECT reason, count(*) FROM refused GROUP BY 1 ORDER BY 1").fetchall())
    context.connection.execute(
        """
        INSERT INTO quarantine
        SELECT reject_id, $at, $source, $format, $file, line_no, reason, field, detail, record, 'open', $ingest
        FROM (SELECT *, CAST(md5(concat_ws(chr(31), coalesce($file, '-'), line_no, record)) AS UUID) AS reject_id
              FROM refused)
        WHERE reject_id NOT IN (SELECT reject_id FROM quarantine)""",
        {
            "at": now(),
            "source": context.source,
            "format": log_format.key,
            "file": batch.file,
            "ingest": context.ingest_id,
        },
    )
    return counts


def _identity(columns: Sequence[str]) -> str:
    """The hash of a canonical record as SQL; chr(30) stands for null, so that null and '' differ."""
    parts = ", ".join(f"coalesce(CAST({name} AS VARCHAR), chr(30))" for name in columns)
    return f"md5(concat_ws(chr(31), {parts}))"


def _append_checks(context: _Context, select: str, scores: str) -> int:
    """Appends the checks that are new, their scores and their rollup rows; returns how many checks."""
    connection = context.connection
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE new_checks AS
        SELECT c.* EXCLUDE (native_id, request_id), coalesce(request_id, 'row-' || check_id) AS request_id,
            CASE WHEN category_native IS NULL THEN NULL
                 ELSE coalesce(x.category, 'unmapped:' || category_native) END AS category
        FROM (SELECT *, CAST(CASE WHEN native_id IS NULL THEN {_identity(_CHECK_IDENTITY)}
                  ELSE md5(concat_ws(chr(31), filter_name, native_id, item)) END AS UUID) AS check_id FROM ({select})) c
        LEFT JOIN crosswalk x ON x.taxonomy = c.taxonomy AND x.native = {normalized_sql("c.category_native")}""")
    drop_withheld(connection, "new_checks", CHECKS.name, OWNERS)
    connection.execute("INSERT INTO yielding SELECT DISTINCT line_no, ts FROM new_checks")
    _drop_known(connection, "checks", "check_id")
    names = [name for name in CHECKS.names() if name not in {"source", "ingest_id"}]
    count: int = connection.execute(
        f"INSERT INTO checks ({', '.join(names)}, source, ingest_id) SELECT {', '.join(names)}, ?, ? FROM new_checks",
        [context.source, context.ingest_id],
    ).fetchall()[0][0]
    if not count:
        return 0
    if scores:
        connection.execute(
            f"INSERT INTO check_scores ({', '.join(CHECK_SCORES.names())}) "
            f"SELECT n.check_id, n.ts, n.filter_name, n.filter_version, "
            f"coalesce(x.category, 'unmapped:' || s.category_native), s.category_native, s.score, s.threshold, s.triggered "
            f"FROM ({scores}) s JOIN new_checks n ON n.line_no = s.line_no AND n.item = s.item "
            f"LEFT JOIN crosswalk x ON x.taxonomy = n.taxonomy AND x.native = {normalized_sql('s.category_native')} "
            f"ORDER BY n.ts"
        )
    connection.execute(
        """
        INSERT INTO check_rollup
        SELECT date_trunc('minute', ts) AS minute, filter_name, filter_version, layer, stage, mode, rule_id, category, model,
            $source, count(*) FILTER (status = 'ok'), count(*) FILTER (status = 'ok' AND triggered),
            count(*) FILTER (status = 'ok' AND triggered AND enforced), count(*) FILTER (status = 'error'),
            count(*) FILTER (status = 'not_run'), count(*) FILTER (status = 'undecided'), count(*) FILTER (status = 'hit')
        FROM new_checks GROUP BY ALL ORDER BY minute""",
        {"source": context.source},
    )
    return count


def _drop_known(connection: Connection, table: str, key: str) -> None:
    """Leaves in `new_<table>` the first copy of what `table` does not hold yet, and notes the lines it came from.

    Only the batch's own span of time is searched: a copy has the time of its original.
    """
    start, stop, rows, distinct = connection.execute(
        f"SELECT min(ts), max(ts), count(*), count(DISTINCT {key}) FROM new_{table}"
    ).fetchall()[0]
    known = connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known AS
        SELECT old.{key} AS key FROM {table} old SEMI JOIN new_{table} n ON n.{key} = old.{key}
        WHERE old.ts BETWEEN ? AND ?""",
        [start, stop],
    ).fetchall()[0][0]
    # Planning a statement costs as much as 500 rows do: those that would find nothing are left out.
    if known:
        connection.execute(f"DELETE FROM new_{table} WHERE {key} IN (SELECT key FROM known)")
    if distinct < rows:
        connection.execute(f"""
            DELETE FROM new_{table} WHERE rowid IN (
                SELECT rowid FROM new_{table}
                WHERE {key} IN (SELECT {key} FROM new_{table} GROUP BY {key} HAVING count(*) > 1)
                QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY line_no) > 1)""")
    connection.execute(f"INSERT INTO contributing SELECT DISTINCT line_no FROM new_{table}")


def _append_labels(context: _Context, select: str) -> int:
    """Appends the labels that are new; returns how many."""
    connection = context.connection
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE new_labels AS
        SELECT l.* REPLACE (
            CASE WHEN l.category IS NULL OR l.category LIKE 'unmapped:%' THEN l.category
                 ELSE coalesce(x.category, 'unmapped:' || l.category) END AS category)
        FROM (SELECT *, CAST({_identity(_LABEL_IDENTITY)} AS UUID) AS label_id FROM ({select})) l
        LEFT JOIN crosswalk x ON x.taxonomy = 'weir' AND x.native = {normalized_sql("l.category")}""")
    drop_withheld(connection, "new_labels", LABELS.name, OWNERS[:2])
    connection.execute("INSERT INTO yielding SELECT DISTINCT line_no, ts FROM new_labels")
    _drop_known(connection, "labels", "label_id")
    names = [name for name in LABELS.names() if name not in {"source", "ingest_id"}]
    count: int = connection.execute(
        f"INSERT INTO labels ({', '.join(names)}, source, ingest_id) "
        f"SELECT {', '.join(names)}, ?, ? FROM new_labels ORDER BY ts",
        [context.source, context.ingest_id],
    ).fetchall()[0][0]
    return count
