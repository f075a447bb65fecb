"""What a log format is: a structure to read, rules to refuse by, and SELECTs that yield canonical rows.

Formats are declared in SQL, so that a batch is parsed in columns, never record by record. The relation that the
SELECTs read is `accepted(line_no, r, extra)`: the line, the fields of `structure` as a struct, and the JSON of the keys that `structure` does not know (null when there are none).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.settings import Settings
from ingest.schema import CHECKS, TURNS

Structure = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """Refuses a record.

    Attributes:
        field: Field at fault.
        reason: Machine-readable reason, counted in summaries.
        is_bad: SQL condition over `r`; true refuses, null does not.
        remedy: What the field should hold.
    """

    field: str
    reason: str
    is_bad: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Selects:
    """SELECT statements over `accepted`; "" where the format yields no such rows.

    Every SELECT yields `line_no`. `checks` also yields `item` (position within the record), `taxonomy`, `native_id`
    (the provider's id of the evaluation, or null), `user_id`, `language`, `app` and `outcome` (facts of the turn), and the
    columns of `checks` except check_id, category, source and ingest_id. `scores` yields `item` and the columns of
    `check_scores` from category_native on. `turns` and `labels` yield their tables' columns except
    is_logged, source, ingest_id and the label's id. `prepared`, if there is one, is stored first, as a table of that name
    that the others may read: what several of them need costs once.
    """

    prepared: str = ""
    turns: str = ""
    checks: str = ""
    scores: str = ""
    labels: str = ""


class LogFormat(Protocol):
    """One log format; `key` equals the module's name."""

    @property
    def key(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def yields(self) -> tuple[str, ...]:
        """Tables that it fills."""
        ...

    @property
    def structure(self) -> Structure:
        """JSON structure of the known keys; leaves are VARCHAR or JSON, so that no value is lost in reading, or lists of such structures."""
        ...

    @property
    def rules(self) -> tuple[Rule, ...]: ...

    def sniff(self, record: Mapping[str, Any]) -> float:
        """How much one parsed record looks like this format, 0 to 1."""
        ...

    def selects(self, settings: Settings) -> Selects: ...


def sql_text(value: str) -> str:
    """`value` as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def sql_structure(structure: Structure) -> str:
    """`structure` as the literal that DuckDB's `from_json` takes."""
    return sql_text(json.dumps(structure))


def sql_known_keys(structure: Structure) -> str:
    """A JSON merge patch, as a literal, that removes every key of `structure`."""

    def nulls(node: Any) -> Any:
        return {key: nulls(child) for key, child in node.items()} if isinstance(node, Mapping) else None

    return sql_text(json.dumps(nulls(structure)))


def nested_paths(structure: Structure) -> list[tuple[str, ...]]:
    """Paths of the nested objects of `structure`, inner ones first."""
    paths: list[tuple[str, ...]] = []
    for key, child in structure.items():
        if isinstance(child, Mapping):
            paths += [(key, *inner) for inner in nested_paths(child)] + [(key,)]
    return paths


_PLAUSIBLE = "BETWEEN TIMESTAMP '1990-01-01' AND TIMESTAMP '2100-01-01'"


def text(field: str) -> str:
    """A text field; empty counts as not logged."""
    return f"nullif({field}, '')"


def timestamp(field: str) -> str:
    """A time as naive UTC: ISO 8601 with or without offset, or epoch s, ms, us, ns by magnitude."""
    number = f"try_cast({field} AS DOUBLE)"
    micros = (
        f"CASE WHEN abs({number}) < 1e11 THEN {number} * 1e6 WHEN abs({number}) < 1e14 THEN {number} * 1e3 "
        f"WHEN abs({number}) < 1e17 THEN {number} ELSE {number} / 1e3 END"
    )
    return (
        f"coalesce(CAST(try_cast({field} AS TIMESTAMPTZ) AS TIMESTAMP), "
        f"CASE WHEN isfinite({number}) THEN TRY(make_timestamp(CAST({micros} AS BIGINT))) END)"
    )


def plausible(time: str) -> str:
    """A time that a log can hold, else null: those of nested records are refused by no rule."""
    return f"CASE WHEN {time} {_PLAUSIBLE} THEN {time} END"


def number(field: str) -> str:
    """A finite number, else null."""
    return f"CASE WHEN isfinite(try_cast({field} AS DOUBLE)) THEN try_cast({field} AS DOUBLE) END"


def boolean(field: str) -> str:
    """true/false, 1/0, yes/no in any case, else null."""
    return (
        f"CASE WHEN lower({field}) IN ('true', '1', 'yes') THEN true "
        f"WHEN lower({field}) IN ('false', '0', 'no') THEN false END"
    )


def content_text(field: str) -> str:
    """Text of a JSON value: a string as it is, a list of messages as its last one's content, else the JSON."""
    return (
        f"CASE json_type({field}) WHEN 'NULL' THEN NULL WHEN 'VARCHAR' THEN json_extract_string({field}, '$') "
        f"WHEN 'ARRAY' THEN coalesce(json_extract_string({field}, '$[#-1].content'), CAST({field} AS VARCHAR)) "
        f"ELSE CAST({field} AS VARCHAR) END"
    )


def message_list(field: str) -> str:
    """The JSON of a list of messages, null for anything else."""
    return f"CASE WHEN json_type({field}) = 'ARRAY' THEN CAST({field} AS VARCHAR) END"


def required(field: str) -> Rule:
    """Refuses a record without `field`."""
    return Rule(field, "missing_field", f"nullif(r.{field}, '') IS NULL", "This field is required.")


def valid_time(field: str) -> Rule:
    """Refuses a time that cannot be read or is implausible."""
    value = timestamp(f"r.{field}")
    return Rule(
        field,
        "invalid_time",
        f"nullif(r.{field}, '') IS NOT NULL AND coalesce({value} NOT {_PLAUSIBLE}, true)",
        "Use ISO 8601 with an offset, or an epoch in s, ms, us or ns, between 1990 and 2100.",
    )


def valid_number(field: str, low: float | None = None, high: float | None = None) -> Rule:
    """Refuses a value that is not a finite number, or lies outside [low, high]."""
    value = number(f"r.{field}")
    bounds = f"({value}) IS NULL"
    if low is not None:
        bounds += f" OR {value} < {low}"
    if high is not None:
        bounds += f" OR {value} > {high}"
    span = "" if low is None else f" of at least {low:g}" if high is None else f" from {low:g} to {high:g}"
    return Rule(
        field,
        "invalid_number",
        f"nullif(r.{field}, '') IS NOT NULL AND ({bounds})",
        f"Use a finite number{span}.",
    )


def valid_boolean(field: str) -> Rule:
    """Refuses a value that is not a boolean."""
    return Rule(
        field,
        "invalid_boolean",
        f"nullif(r.{field}, '') IS NOT NULL AND ({boolean(f'r.{field}')}) IS NULL",
        "Use true, false, or null when it did not decide.",
    )


def one_of(field: str, values: tuple[str, ...]) -> Rule:
    """Refuses a value outside a closed set."""
    listed = ", ".join(sql_text(value) for value in values)
    return Rule(
        field,
        "invalid_value",
        f"nullif(r.{field}, '') IS NOT NULL AND lower(r.{field}) NOT IN ({listed})",
        f"Valid: {', '.join(values)}.",
    )


ENVELOPE: Structure = dict.fromkeys(
    [
        "timestamp",
        "ts",
        "time",
        "created_at",
        "request_id",
        "conversation_id",
        "session_id",
        "thread_id",
        "turn_index",
        "user_id",
        "app",
        "language",
        "latency_ms",
    ],
    "VARCHAR",
)
"""What applications add to a vendor's payload when they log it; `envelope_facts` reads it."""

ENVELOPE_TIMES = ("timestamp", "ts", "time", "created_at")

FILE_TIME = "CAST(getvariable('received_at') AS TIMESTAMP)"
"""When the file was written; null for records that came alone, which must carry a time: a repeated post is known by it."""


def envelope_time(*fallbacks: str) -> str:
    """The envelope's time, else the first of `fallbacks` that the record has, else that of the file."""
    return f"coalesce({plausible(own_time(*fallbacks))}, {FILE_TIME})"


def own_time(*fallbacks: str) -> str:
    """The time that the record itself carries; null when it has none."""
    fields = [f"nullif(r.{name}, '')" for name in ENVELOPE_TIMES] + [f"nullif({field}, '')" for field in fallbacks]
    return timestamp(f"coalesce({', '.join(fields)})")


def envelope_rules(*fallbacks: str, remedy: str) -> tuple[Rule, ...]:
    """Refuses records without a time, and with values in the envelope that cannot be read."""
    # The file's time comes first: where there is one, it is a constant, and no record is looked at.
    has_no_time = f"{FILE_TIME} IS NULL AND ({plausible(own_time(*fallbacks))}) IS NULL"
    return (
        *(valid_time(name) for name in ENVELOPE_TIMES),
        Rule("timestamp", "missing_field", has_no_time, remedy),
        valid_number("latency_ms", low=0),
        valid_number("turn_index", low=0, high=2**31 - 1),
    )


def envelope_facts(**instead: str) -> dict[str, str]:
    """Columns of turns and checks that the envelope gives; `instead` replaces some."""
    return {
        "ts": envelope_time(),
        "request_id": text("r.request_id"),
        "conversation_id": f"coalesce({text('r.conversation_id')}, {text('r.session_id')}, {text('r.thread_id')})",
        "turn_index": f"try_cast({number('r.turn_index')} AS INTEGER)",
        "user_id": text("r.user_id"),
        "app": text("r.app"),
        "language": text("r.language"),
        "latency_ms": number("r.latency_ms"),
    } | instead


RECORD_HASH = "md5(CAST(r AS VARCHAR))"
"""Names a record that has no id of its own."""


def hit() -> dict[str, str]:
    """Columns of a check in a log of hits only: it fired, and how often it did not is unknown."""
    return {"triggered": "true", "status": "'hit'"}


def transcript_messages(field: str) -> str:
    """The messages of a Human/Assistant transcript as a JSON list; text before the first `Human:` is left out."""
    turn, answer = "chr(10) || chr(10) || 'Human:'", "chr(10) || chr(10) || 'Assistant:'"
    return (
        f"CAST(to_json(list_filter(flatten(list_transform(string_split(chr(10) || chr(10) || ltrim({field}), {turn})[2:], "
        f"lambda e: list_concat([{{'role': 'user', 'content': trim(string_split(e, {answer})[1])}}], "
        f"list_transform(string_split(e, {answer})[2:], lambda a: {{'role': 'assistant', 'content': trim(a)}})))), "
        "lambda m: m.content <> '')) AS VARCHAR)"
    )


def transcript_end(field: str, role: str) -> str:
    """Text of the last message by `role` (Human or Assistant) of a transcript; null when there is none."""
    other = "Human" if role == "Assistant" else "Assistant"
    last = f"CASE WHEN contains({field}, '{role}:') THEN string_split({field}, '{role}:')[-1] END"
    return f"nullif(trim(string_split({last}, chr(10) || chr(10) || '{other}:')[1]), '')"


def verdict(fired: str) -> dict[str, str]:
    """Columns of a check that only annotates: what `fired` says (null is an error), and no effect."""
    return {
        "triggered": fired,
        "decision": f"CASE WHEN ({fired}) IS NULL THEN 'error' WHEN {fired} THEN 'flag' ELSE 'allow' END",
        "enforced": "false",
        "mode": "'annotate'",
        "status": f"CASE WHEN ({fired}) IS NULL THEN 'error' ELSE 'ok' END",
    }


def select_turns(relation: str, **columns: str) -> str:
    """A SELECT of turns from `relation`, which has line_no and extra; columns that are not given are null."""
    skipped = {"source", "is_logged", "ingest_id", "extra", "filters", "is_stopped", "is_escalated"}
    return _select(relation, {c.name: c.type for c in TURNS.columns if c.name not in skipped}, columns)


def select_checks(relation: str, **columns: str) -> str:
    """A SELECT of checks from `relation`, which has line_no and extra; columns that are not given are null, `item` is 0."""
    skipped = {"check_id", "category", "source", "ingest_id", "extra"}
    types = {c.name: c.type for c in CHECKS.columns if c.name not in skipped}
    added = dict.fromkeys(("taxonomy", "native_id", "user_id", "language", "app", "outcome"), "VARCHAR")
    return _select(relation, types | added | {"turn_index": "INTEGER"}, {"item": "0", **columns})


def with_facts(rows: str, **facts: str) -> str:
    """`rows` (line_no, and what differs within a record) with `extra` and `facts`, which cost once per record of `accepted`, as a relation.

    Records that are carried through windows and unions cost more than what is read in them.
    """
    listed = ", ".join(f"{value} AS {name}" for name, value in facts.items())
    return f"(SELECT * FROM ({rows}) JOIN (SELECT line_no, extra, {listed} FROM accepted) USING (line_no))"


def _select(relation: str, types: Mapping[str, str], columns: Mapping[str, str]) -> str:
    nulls = {name: f"CAST(NULL AS {kind})" for name, kind in types.items() if name not in columns}
    listed = ", ".join(f"{value} AS {name}" for name, value in ({**columns, **nulls}).items())
    return f"SELECT line_no, {listed}, extra FROM {relation}"


def parts_text(field: str) -> str:
    """Text of a message's content: a string as it is, a list of parts as the texts of those that have one."""
    return (
        f"CASE json_type({field}) WHEN 'VARCHAR' THEN json_extract_string({field}, '$') WHEN 'ARRAY' THEN "
        f"nullif(array_to_string(list_filter(json_extract_string({field}, '$[*].text'), lambda t: t IS NOT NULL), chr(10)), '') END"
    )


def last_prompt(field: str) -> str:
    """Text of the last user message in the JSON `field`: a list of messages, or the text itself."""
    last = (
        f"list_filter(from_json(CASE WHEN json_type({field}) = 'ARRAY' THEN {field} END, '[\"JSON\"]'), "
        "lambda m: json_extract_string(m, '$.role') = 'user')[-1]"
    )
    content = parts_text(f"json_extract({last}, '$.content')")
    return f"CASE WHEN json_type({field}) = 'VARCHAR' THEN json_extract_string({field}, '$') ELSE {content} END"


def json_object(**fields: str) -> str:
    """SQL for a JSON object, as text, of the fields that are not null; null when all are."""
    listed = ", ".join(f"'{name}', {value}" for name, value in fields.items())
    return f"nullif(CAST(json_merge_patch('{{}}', json_object({listed})) AS VARCHAR), '{{}}')"


def json_items(field: str) -> str:
    """The items of a JSON array as a list of JSON; null for anything else."""
    return f"""from_json(CASE WHEN json_type({field}) = 'ARRAY' THEN {field} END, '["JSON"]')"""


def json_entries(field: str) -> str:
    """The members of a JSON object as a list of (key, value), value JSON; null for anything else."""
    return f"map_entries(TRY(CAST(CASE WHEN json_type({field}) = 'OBJECT' THEN {field} END AS MAP(VARCHAR, JSON))))"


def json_part(field: str, path: str) -> str:
    """The JSON at `path` of the JSON `field`."""
    return f"json_extract({field}, {sql_text(path)})"


def json_value(field: str, *paths: str) -> str:
    """The text of the first of `paths` that the JSON `field` holds; null when none does."""
    found = ", ".join(f"json_extract_string({field}, {sql_text(path)})" for path in paths)
    return f"coalesce({found})"


def error_code(field: str) -> str:
    """Name of the failure in the JSON `field`, an object with a code or type, or text; null when there is none."""
    return (
        f"CASE WHEN {field} IS NULL THEN NULL WHEN json_type({field}) = 'VARCHAR' THEN json_extract_string({field}, '$') "
        f"ELSE coalesce(json_extract_string({field}, '$.code'), json_extract_string({field}, '$.type'), 'error') END"
    )
