"""Weir's neutral label log: one row per human verdict (contract section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    boolean,
    number,
    one_of,
    required,
    text,
    timestamp,
    valid_boolean,
    valid_number,
    valid_time,
)
from ingest.schema import SELECTIONS

_TEXT = [
    "request_id",
    "conversation_id",
    "filter_name",
    "category",
    "reason",
    "principle_id",
    "revision",
    "critique",
    "stratum",
    "guideline_version",
]
_COLUMNS = ("ts", "reviewer", "harmful", "severity", "selection", "inclusion_probability", *_TEXT)


class LabelLog:
    """See the module's docstring."""

    key = "label_log"
    title = "Label log"
    description = "Weir's neutral format: one row per human verdict; several reviewers may judge one turn."
    yields = ("labels",)
    structure = dict.fromkeys(_COLUMNS, "VARCHAR")
    rules = (
        required("ts"),
        valid_time("ts"),
        required("reviewer"),
        Rule(
            "request_id",
            "missing_field",
            "nullif(r.request_id, '') IS NULL AND nullif(r.conversation_id, '') IS NULL",
            "A verdict needs a request_id or a conversation_id.",
        ),
        Rule(
            "harmful",
            "missing_field",
            "r.harmful IS NULL AND NOT json_exists(record, '$.harmful')",
            "This field is required: true, false, or null for unsure.",
        ),
        valid_boolean("harmful"),
        valid_number("severity", low=0, high=4),
        one_of("selection", SELECTIONS),
        Rule(
            "inclusion_probability",
            "invalid_number",
            "nullif(r.inclusion_probability, '') IS NOT NULL AND NOT coalesce("
            "try_cast(r.inclusion_probability AS DOUBLE) > 0 AND try_cast(r.inclusion_probability AS DOUBLE) <= 1, false)",
            "Use a number above 0 and at most 1, or null when the item was not drawn by probability.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a reviewer stands beside a verdict."""
        return 1.0 if {"reviewer", "harmful"} <= record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Labels, as they are."""
        texts = ", ".join(f"{text(f'r.{name}')} AS {name}" for name in _TEXT)
        return Selects(
            labels=f"""
            SELECT line_no, {timestamp("r.ts")} AS ts, r.reviewer AS reviewer, {boolean("r.harmful")} AS harmful, {texts},
                CAST({number("r.severity")} AS INTEGER) AS severity,
                coalesce(lower({text("r.selection")}), 'import') AS selection,
                {number("r.inclusion_probability")} AS inclusion_probability, extra
            FROM accepted"""
        )
