"""The canonical tables of the event store: the single source of truth for column names and meanings.

Times are naive UTC. Facts are kept apart: what a filter scored (`score`), what it said (`triggered`), what
the system did (`decision`, `enforced`). JSON is stored as text, so that every engine reads the same type.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Connection, EventStore
from ingest.upgrade import add_columns, count_escalated

SCHEMA_VERSION = 1

STAGES = ("input", "output", "retrieval", "tool_input", "tool_output", "system", "memory")
MODES = ("enforce", "shadow", "annotate")
DECISIONS = ("allow", "flag", "modify", "block", "escalate", "error", "skipped")
OUTCOMES = ("pass", "safe_completion", "refusal", "human_escalation", "modified", "error")
STATUSES = ("ok", "hit", "undecided", "error", "not_run")
SELECTIONS = ("sample", "priority", "user_report", "appeal", "golden", "adjudication", "import")


@dataclass(frozen=True, slots=True)
class Column:
    """One canonical column; `type` is DuckDB's name for it."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """One canonical table."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    def create_statement(self) -> str:
        """The DDL."""
        body = ", ".join(f'"{column.name}" {column.type}' for column in self.columns)
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({body})"

    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]


TURNS = Table(
    "turns",
    "One prompt-response exchange. Known from the model log, or only from its checks (`is_logged` false).",
    (
        Column("request_id", "VARCHAR", "identity of the turn"),
        Column("ts", "TIMESTAMP", "when the turn happened; the first check's time if no model log has it"),
        Column("conversation_id", "VARCHAR", "conversation that the turn belongs to"),
        Column("turn_index", "INTEGER", "position in the conversation, 0 first"),
        Column("model", "VARCHAR", "model that answered"),
        Column("model_version", "VARCHAR", "its version"),
        Column("app", "VARCHAR", "application that asked"),
        Column("user_id", "VARCHAR", "user or pseudonym"),
        Column("language", "VARCHAR", "language tag of the prompt"),
        Column("prompt", "VARCHAR", "text of the last user message"),
        Column("messages", "VARCHAR", "JSON list of {role, content} when the log had a list"),
        Column("response", "VARCHAR", "what the model wrote"),
        Column("final_text", "VARCHAR", "what the user saw, if filters changed it"),
        Column("outcome", "VARCHAR", "how the turn ended: " + ", ".join(OUTCOMES) + "; null = not logged"),
        Column("finish_reason", "VARCHAR", "why the model stopped"),
        Column("latency_ms", "DOUBLE", "milliseconds from request to answer"),
        Column("input_tokens", "BIGINT", "tokens read"),
        Column("output_tokens", "BIGINT", "tokens written"),
        Column("experiment", "VARCHAR", "experiment that the turn took part in"),
        Column("arm", "VARCHAR", "its arm"),
        Column("suite", "VARCHAR", "stress-test suite"),
        Column("candidates", "VARCHAR", "JSON list of other sampled responses"),
        Column("metadata", "VARCHAR", "JSON object as logged"),
        Column("extra", "VARCHAR", "JSON object of the keys that the format does not know"),
        Column("source", "VARCHAR", "where its model log came from, else what first told of it"),
        Column("is_logged", "BOOLEAN", "a model log has this turn"),
        Column("ingest_id", "BIGINT", "ingest that stored or last completed it"),
        Column(
            "filters",
            "VARCHAR",
            "JSON list of the filters that ran on it outside of shadow mode, by name; null = stored by a version that did not note it",
        ),
        Column("is_stopped", "BOOLEAN", "an enforced check blocked or escalated it: later filters were not due"),
        Column("is_escalated", "BOOLEAN", "an enforced check escalated it"),
    ),
)

CHECKS = Table(
    "checks",
    "One evaluation of one filter (and rule) on one turn. Append-only.",
    (
        Column("check_id", "UUID", "hash of the canonical record, so that a replay adds nothing"),
        Column("ts", "TIMESTAMP", "when the filter ran"),
        Column("request_id", "VARCHAR", "turn it ran on"),
        Column("conversation_id", "VARCHAR", "conversation of the turn, as the filter log has it"),
        Column("layer", "VARCHAR", "kind of filter, a step of the cascade"),
        Column("stage", "VARCHAR", "what was checked: " + ", ".join(STAGES)),
        Column("filter_name", "VARCHAR", "stable name of the filter"),
        Column("filter_version", "VARCHAR", "its version"),
        Column("policy_id", "VARCHAR", "policy or constitution principle"),
        Column("policy_version", "VARCHAR", "its version"),
        Column("rule_id", "VARCHAR", "rule that fired"),
        Column("category", "VARCHAR", "canonical hazard; `unmapped:<native>` when the crosswalk has none"),
        Column("category_native", "VARCHAR", "category as logged"),
        Column("score", "DOUBLE", "score as logged, on the filter's own scale"),
        Column("score_kind", "VARCHAR", "probability, severity, ordinal, margin, risk, logit, binary"),
        Column("threshold", "DOUBLE", "threshold in force, same scale"),
        Column("triggered", "BOOLEAN", "the filter fired; null when it did not decide"),
        Column("decision", "VARCHAR", "what was done: " + ", ".join(DECISIONS)),
        Column("enforced", "BOOLEAN", "the decision took effect"),
        Column("mode", "VARCHAR", "enforce, shadow (no effect), annotate (tag only)"),
        Column(
            "status",
            "VARCHAR",
            "ok (decided), hit (fired, in a log of hits only: in no rate), undecided (score without threshold), error, not_run",
        ),
        Column("latency_ms", "DOUBLE", "milliseconds the check took"),
        Column("error", "VARCHAR", "what went wrong, for status error"),
        Column("content", "VARCHAR", "text that was checked, if logged"),
        Column("matched_text", "VARCHAR", "part that matched"),
        Column("model", "VARCHAR", "model of the turn, if the filter log names it"),
        Column("metadata", "VARCHAR", "JSON object as logged"),
        Column("extra", "VARCHAR", "JSON object of the keys that the format does not know"),
        Column("source", "VARCHAR", "where it came from"),
        Column("ingest_id", "BIGINT", "ingest that stored it"),
    ),
)

CHECK_SCORES = Table(
    "check_scores",
    "One category's score within one check, where a check yields several.",
    (
        Column("check_id", "UUID", "the check"),
        Column("ts", "TIMESTAMP", "its time"),
        Column("filter_name", "VARCHAR", "its filter"),
        Column("filter_version", "VARCHAR", "and version"),
        Column("category", "VARCHAR", "canonical hazard or `unmapped:<native>`"),
        Column("category_native", "VARCHAR", "category as logged"),
        Column("score", "DOUBLE", "score on the filter's own scale"),
        Column("threshold", "DOUBLE", "threshold in force"),
        Column("triggered", "BOOLEAN", "this category fired; null when not decided"),
    ),
)

LABELS = Table(
    "labels",
    "One human verdict. Append-only votes; the effective label is derived.",
    (
        Column("label_id", "UUID", "hash of the canonical record"),
        Column("ts", "TIMESTAMP", "when it was given"),
        Column("request_id", "VARCHAR", "turn judged; null when the whole conversation was"),
        Column("conversation_id", "VARCHAR", "conversation judged"),
        Column("filter_name", "VARCHAR", "filter the verdict is about; null = about the turn"),
        Column("reviewer", "VARCHAR", "who judged"),
        Column("harmful", "BOOLEAN", "the turn is harmful under the policy; null = unsure"),
        Column("category", "VARCHAR", "people's category"),
        Column("severity", "INTEGER", "0 (none) to 4 (extreme)"),
        Column("reason", "VARCHAR", "why"),
        Column("principle_id", "VARCHAR", "constitution principle cited"),
        Column("revision", "VARCHAR", "the better response"),
        Column("critique", "VARCHAR", "what is wrong with the response"),
        Column("selection", "VARCHAR", "how the item came to be judged: " + ", ".join(SELECTIONS)),
        Column("stratum", "VARCHAR", "stratum it was drawn from"),
        Column("inclusion_probability", "DOUBLE", "stored at draw time; null = not a probability sample"),
        Column("guideline_version", "VARCHAR", "guideline in force"),
        Column("extra", "VARCHAR", "JSON object of the keys that the format does not know"),
        Column("source", "VARCHAR", "where it came from"),
        Column("ingest_id", "BIGINT", "ingest that stored it"),
    ),
)

QUARANTINE = Table(
    "quarantine",
    "Records that could not be stored, with the reason and the place they came from.",
    (
        Column("reject_id", "UUID", "hash of place and text"),
        Column("rejected_at", "TIMESTAMP", "when"),
        Column("source", "VARCHAR", "source"),
        Column("format", "VARCHAR", "format it was read as"),
        Column("file", "VARCHAR", "file"),
        Column("line_no", "BIGINT", "line, 1 first; position of the record in a JSON document, row in a Parquet file"),
        Column("reason", "VARCHAR", "machine-readable reason"),
        Column("field", "VARCHAR", "field at fault; null = the whole record"),
        Column("detail", "VARCHAR", "sentence with the value at fault and the remedy"),
        Column("record", "VARCHAR", "the record as read; undecodable bytes replaced"),
        Column("state", "VARCHAR", "open, resolved after a retry stored it, ignored by a person, or erased"),
        Column("ingest_id", "BIGINT", "ingest that met it"),
    ),
)

INGESTS = Table(
    "ingests",
    "One committed batch. The highest id is the data version.",
    (
        Column("ingest_id", "BIGINT", "increases by one"),
        Column("ingested_at", "TIMESTAMP", "commit time"),
        Column("source", "VARCHAR", "source"),
        Column("format", "VARCHAR", "format"),
        Column("file", "VARCHAR", "file; null for live intake and mirrored votes"),
        Column("read_count", "BIGINT", "records read"),
        Column("turn_count", "BIGINT", "turns stored or completed"),
        Column("check_count", "BIGINT", "checks stored"),
        Column("label_count", "BIGINT", "labels stored"),
        Column("duplicate_count", "BIGINT", "records known already"),
        Column("reject_count", "BIGINT", "records rejected"),
        Column("first_event_at", "TIMESTAMP", "earliest event in the batch"),
        Column("last_event_at", "TIMESTAMP", "latest event in the batch"),
        Column("seconds", "DOUBLE", "time the batch took"),
        Column("ignored_count", "BIGINT", "records that tell of no turn, check or verdict"),
    ),
)

CHECKPOINTS = Table(
    "checkpoints",
    "How far each file has been read; committed with its rows.",
    (
        Column("path", "VARCHAR", "file"),
        Column("source", "VARCHAR", "source"),
        Column("format", "VARCHAR", "detected or given format"),
        Column(
            "byte_offset",
            "BIGINT",
            "bytes read (of the file on disk; whole file for compressed and columnar ones)",
        ),
        Column("line_no", "BIGINT", "lines read"),
        Column("head_length", "BIGINT", "bytes of the head that `head_hash` covers"),
        Column("head_hash", "VARCHAR", "tells whether the file is still the same one"),
        Column("is_complete", "BOOLEAN", "nothing more is expected (compressed and columnar files)"),
        Column("error", "VARCHAR", "why the file as a whole cannot be read"),
        Column("updated_at", "TIMESTAMP", "last change"),
    ),
)

CHUNKS = Table(
    "chunks",
    "Runs of records that are stored already, so that a replay need not be parsed.",
    (
        Column("chunk_hash", "VARCHAR", "SHA-256 of the format and the text"),
        Column("read_count", "BIGINT", "records in it"),
        Column("rejections", "VARCHAR", "JSON object: how many of them were rejected, by reason"),
        Column("ignored_count", "BIGINT", "of them, records that tell of no turn, check or verdict"),
    ),
)

UNDATED = Table(
    "undated",
    "Records that carry no time: they keep that of the file in which they came first.",
    (
        Column("format", "VARCHAR", "format"),
        Column("digest", "UUID", "hash of the format and the record"),
        Column("seen_at", "TIMESTAMP", "time of the first file that held it"),
    ),
)

CHECK_ROLLUP = Table(
    "check_rollup",
    "Checks per minute: additive rows, so a reader sums and a late row is just one more row.",
    (
        Column("minute", "TIMESTAMP", "start of the minute"),
        Column("filter_name", "VARCHAR", ""),
        Column("filter_version", "VARCHAR", ""),
        Column("layer", "VARCHAR", ""),
        Column("stage", "VARCHAR", ""),
        Column("mode", "VARCHAR", ""),
        Column("rule_id", "VARCHAR", ""),
        Column("category", "VARCHAR", ""),
        Column("model", "VARCHAR", "as the filter log has it"),
        Column("source", "VARCHAR", ""),
        Column("evaluated", "BIGINT", "checks with status ok"),
        Column("triggered", "BIGINT", "of these, checks that fired"),
        Column("enforced", "BIGINT", "of these, checks that took effect"),
        Column("errors", "BIGINT", "checks with status error"),
        Column("not_run", "BIGINT", "checks with status not_run"),
        Column("undecided", "BIGINT", "checks with status undecided"),
        Column("hits", "BIGINT", "checks with status hit"),
    ),
)

TURN_ROLLUP = Table(
    "turn_rollup",
    "Turns per minute: additive rows; a turn whose facts arrive late is taken out and added again.",
    (
        Column("minute", "TIMESTAMP", "start of the minute"),
        Column("outcome", "VARCHAR", ""),
        Column("model", "VARCHAR", ""),
        Column("app", "VARCHAR", ""),
        Column("language", "VARCHAR", ""),
        Column("turns", "BIGINT", "turns"),
        Column("orphans", "BIGINT", "turns known only from their checks"),
        Column("filters", "VARCHAR", "filters that ran on them, as in the rows that are summed"),
        Column("stopped", "BIGINT", "turns that an enforced check stopped"),
        Column(
            "escalated",
            "BIGINT",
            "turns handed to a person: an enforced check escalated them, or their outcome says so",
        ),
    ),
)

AGED = Table(
    "aged",
    "How far rows have aged out: late copies of them are not stored again.",
    (
        Column("table_name", "VARCHAR", "table"),
        Column("before", "TIMESTAMP", "rows with an earlier `ts` are gone"),
    ),
)

ERASED = Table(
    "erased",
    "Whose rows were erased: late copies of them are not stored again.",
    (
        Column("owner", "VARCHAR", "column that the id is of: request_id, conversation_id, user_id"),
        Column("digest", "VARCHAR", "SHA-256 of the id"),
        Column("until", "TIMESTAMP", "what happened later is new"),
    ),
)

JOB_RUNS = Table(
    "job_runs",
    "Outcomes of scheduled jobs that did something or failed.",
    (
        Column("job", "VARCHAR", "job key"),
        Column("started_at", "TIMESTAMP", "start"),
        Column("seconds", "DOUBLE", "duration"),
        Column("message", "VARCHAR", "what was done"),
        Column("error", "VARCHAR", "what went wrong; empty on success"),
    ),
)

GUIDELINES = Table(
    "guidelines",
    "Versions of the reviewers' guidelines, copied from the decision store: they turn earlier verdicts stale.",
    (
        Column("position", "BIGINT", "order, 1 first"),
        Column("name", "VARCHAR", "name, as `labels.guideline_version` has it"),
        Column("declared_at", "TIMESTAMP", "in force from then on"),
        Column("categories", "VARCHAR", "JSON list of the categories whose meaning it changed; null for all"),
    ),
)

PROPERTIES = Table(
    "properties",
    "Facts about the store itself: schema version, whether it holds demo data.",
    (Column("name", "VARCHAR", "key"), Column("value", "VARCHAR", "value")),
)

TABLES = (
    TURNS,
    CHECKS,
    CHECK_SCORES,
    LABELS,
    QUARANTINE,
    INGESTS,
    CHECKPOINTS,
    CHUNKS,
    UNDATED,
    CHECK_ROLLUP,
    TURN_ROLLUP,
    AGED,
    ERASED,
    JOB_RUNS,
    GUIDELINES,
    PROPERTIES,
)


def create_tables(events: EventStore) -> None:
    """Creates what is missing; does nothing on a store of the present version."""

    def work(connection: Connection) -> None:
        for table in TABLES:
            connection.execute(table.create_statement())
        add_columns(connection)
        connection.execute(
            "INSERT INTO properties SELECT 'schema_version', ? "
            "WHERE NOT EXISTS (SELECT 1 FROM properties WHERE name = 'schema_version')",
            [str(SCHEMA_VERSION)],
        )

    events.write(work)
    events.write(count_escalated)


def get_data_version(events: EventStore) -> int:
    """The id of the last committed ingest, 0 for an empty store. New data changes it, nothing else does. Asked before every cached answer."""
    sql = "SELECT coalesce(max(ingest_id), 0) AS version FROM ingests"
    return events.remember("data version", events.commits, lambda: int(events.read(sql).item()))


def has_demo_data(events: EventStore) -> bool:
    """Whether the store holds simulated traffic."""
    return bool(
        events.read("SELECT count(*) > 0 AS demo FROM properties WHERE name = 'demo' AND value = 'true'").item()
    )
