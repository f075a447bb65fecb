"""The keys of a record that its format does not know: they are kept as they are, for no fact is lost in reading."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from core.events import Connection
from ingest.formats import LogFormat
from ingest.formats.base import Structure, nested_paths, sql_known_keys, sql_text
from ingest.mapping import rewrite_record

KeyLists = tuple[int, int, list[list[str] | None] | None]
"""A hash, how many records share it, and their lists of keys; None for a line that is no JSON."""


def _listed_keys(log_format: LogFormat, record: str) -> str:
    """SQL for the lists of keys of `record`: its own, and those of each nested object that the format knows."""
    return f"json_keys({record}, [{', '.join(map(_json_path, [(), *nested_paths(log_format.structure)]))}])"


def list_keys(connection: Connection, log_format: LogFormat) -> list[KeyLists]:
    """The distinct lists of keys: their hash, how many records share them, and the lists; None stands for lines that are no JSON.

    One log has few of them: one record stands for all that share its lists.
    """
    keys = _listed_keys(log_format, rewrite_record(log_format, "CASE WHEN json_valid(line) THEN line END"))
    return connection.execute(
        f"SELECT hash(keys) AS digest, count(*), any_value(keys) FROM (SELECT {keys} AS keys FROM lines) "
        "GROUP BY digest, keys IS NULL"
    ).fetchall()


def read_unknown(log_format: LogFormat, lists: Sequence[KeyLists]) -> str:
    """SQL for the keys of `record` that the format does not read, as JSON; null where there are none."""
    known = [_keys_at(log_format.structure, path) for path in [(), *nested_paths(log_format.structure)]]
    unknown = {
        digest: count
        for digest, count, found in lists
        if any(not names >= set(keys or ()) for names, keys in zip(known, found or (), strict=False))
    }
    if not unknown:
        return "CAST(NULL AS VARCHAR)"
    part = f"nullif({_unknown_part(log_format)}, '{{}}')"
    if 2 * sum(unknown.values()) > sum(count for _, count, _ in lists):
        return part
    digests = ", ".join(f"{digest}::UBIGINT" for digest in unknown)
    return f"CASE WHEN hash({_listed_keys(log_format, 'record')}) IN ({digests}) THEN {part} END"


def _keys_at(structure: Structure, path: Sequence[str]) -> set[str]:
    for key in path:
        structure = structure[key]
    return set(structure)


def _json_path(path: Sequence[str]) -> str:
    return sql_text("$" + "".join(f'."{key}"' for key in path))


def _unknown_part(log_format: LogFormat) -> str:
    """SQL for a record without its known keys; known objects that hold nothing unknown are left out too."""
    rest = f"json_merge_patch(record, {sql_known_keys(log_format.structure)})"
    for path in nested_paths(log_format.structure):
        removal: Any = None
        for key in reversed(path):
            removal = {key: removal}
        where = _json_path(path)
        rest = (
            f"list_transform([{rest}], lambda part: CASE WHEN CAST(json_extract(part, {where}) AS VARCHAR) = '{{}}' "
            f"THEN json_merge_patch(part, {sql_text(json.dumps(removal))}) ELSE part END)[1]"
        )
    return f"CAST({rest} AS VARCHAR)"
