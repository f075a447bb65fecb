"""House formats: a log of one's own, declared in `weir.toml` as paths to the columns of a neutral format.

A record is rewritten into the neutral format's own keys before it is read, so that its rules, types and meaning hold; keys
that no path names stay beside them and are kept as unknown ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from core.errors import ConfigError
from core.registry import Registry
from core.settings import Settings
from core.settings_ingest import MappingRule
from ingest.formats import FORMATS
from ingest.formats.base import LogFormat, Rule, Selects, Structure, sql_text

_STEP = re.compile(r'([^.\[\]"\\]+)((?:\[\d+\])*)')
_CONSTANT = "="


class MappedFormat:
    """A log format that is declared by paths."""

    def __init__(self, rule: MappingRule) -> None:
        """Checks the declaration.

        Raises:
            ConfigError: It names an unknown column, or a required one is missing.
        """
        self._base = FORMATS[rule.reads]
        self._rule = rule
        unknown = sorted((rule.columns.keys() | rule.values.keys()) - self._base.structure.keys())
        if unknown:
            raise ConfigError(
                "A mapping names an unknown column",
                f"mapping {rule.name}: {', '.join(unknown)}",
                f"Columns of {rule.reads}: {', '.join(self._base.structure)}.",
            )
        missing = sorted(_required(self._base) - rule.columns.keys())
        if missing:
            raise ConfigError(
                "A mapping lacks a column",
                f"mapping {rule.name}: {', '.join(missing)}",
                f'Give each a path, or a constant as "{_CONSTANT}text".',
            )
        for name, text in rule.columns.items():
            if not text.startswith(_CONSTANT) and "".join(m[0] for m in _STEP.finditer(text)) != text.replace(".", ""):
                raise ConfigError(
                    "A mapping's path cannot be read", f"mapping {rule.name}: {name} = {text!r}", "Write a.b[0].c."
                )

    @property
    def key(self) -> str:
        return self._rule.name

    @property
    def title(self) -> str:
        return self._rule.name

    @property
    def description(self) -> str:
        return f"A house format of weir.toml, read as {self._rule.reads}."

    @property
    def yields(self) -> tuple[str, ...]:
        return self._base.yields

    @property
    def structure(self) -> Structure:
        return self._base.structure

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self._base.rules

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when every required path leads somewhere, and what `match` asks for is there."""
        paths = [text for name, text in self._rule.columns.items() if name in _required(self._base)]
        is_complete = all(text.startswith(_CONSTANT) or _follow(record, text) is not None for text in paths)
        matches = all(str(_follow(record, path)) == value for path, value in self._rule.match.items())
        return 1.0 if is_complete and matches else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Those of the neutral format."""
        return self._base.selects(settings)

    def rewrite(self, record: str) -> str:
        """SQL for the JSON `record` under the neutral format's keys."""
        columns = ", ".join(f"{sql_text(name)}, {self._value(record, name)}" for name in self._rule.columns)
        rest = record
        for text in self._rule.columns.values():
            if not text.startswith(_CONSTANT) and "[" not in text:
                rest = f"json_merge_patch({rest}, {sql_text(_removal(text))})"
        return f"json_merge_patch({rest}, json_object({columns}))"

    def _value(self, record: str, name: str) -> str:
        text = self._rule.columns[name]
        if text.startswith(_CONSTANT):
            return sql_text(text.removeprefix(_CONSTANT))
        path = sql_text(_sql_path(text))
        renamed = self._rule.values.get(name)
        if not renamed:
            return f"json_extract({record}, {path})"
        native = f"json_extract_string({record}, {path})"
        cases = " ".join(f"WHEN {sql_text(value)} THEN {sql_text(new)}" for value, new in renamed.items())
        return f"CASE {native} {cases} ELSE {native} END"


def find_formats(settings: Settings) -> Registry[LogFormat]:
    """The log formats in force: house formats first.

    Raises:
        ConfigError: A mapping cannot be used, or has the name of a format.
    """
    if not settings.mapping:
        return FORMATS
    mapped: list[LogFormat] = []
    for rule in settings.mapping:
        if rule.name in FORMATS or rule.name in {other.key for other in mapped}:
            raise ConfigError("A mapping's name is taken", f"mapping {rule.name}", "Choose another.")
        mapped.append(MappedFormat(rule))
    return Registry("log format", *mapped, *FORMATS.values())


def rewrite_record(log_format: LogFormat, record: str) -> str:
    """SQL for the JSON `record` as the format's structure expects it; null where there is none."""
    if not isinstance(log_format, MappedFormat):
        return record
    return f"CASE WHEN {record} IS NOT NULL THEN {log_format.rewrite(record)} END"


def _required(log_format: LogFormat) -> set[str]:
    return {rule.field for rule in log_format.rules if rule.is_bad == f"nullif(r.{rule.field}, '') IS NULL"}


def _steps(text: str) -> list[tuple[str, list[int]]]:
    return [(m[1], [int(place) for place in re.findall(r"\d+", m[2])]) for m in _STEP.finditer(text)]


def _sql_path(text: str) -> str:
    return "$" + "".join(f'."{name}"' + "".join(f"[{place}]" for place in places) for name, places in _steps(text))


def _removal(text: str) -> str:
    """A JSON merge patch that takes the value at a path without places out."""
    names = [name for name, _ in _steps(text)]
    return "".join(f'{{"{name}":' for name in names) + "null" + "}" * len(names)


def _follow(record: Any, text: str) -> Any:
    for name, places in _steps(text):
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
        for place in places:
            if not isinstance(record, list) or place >= len(record):
                return None
            record = record[place]
    return record
