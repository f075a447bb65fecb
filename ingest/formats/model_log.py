"""Weir's neutral model log: one row per turn (contract section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Selects,
    content_text,
    message_list,
    number,
    one_of,
    required,
    text,
    timestamp,
    valid_number,
    valid_time,
)
from ingest.schema import OUTCOMES

_TEXT_COLUMNS = [
    "ts",
    "request_id",
    "conversation_id",
    "turn_index",
    "model",
    "model_version",
    "app",
    "user_id",
    "language",
    "outcome",
    "finish_reason",
    "latency_ms",
    "input_tokens",
    "output_tokens",
    "experiment",
    "arm",
    "suite",
]
_JSON_COLUMNS = ("prompt", "response", "final_text", "candidates", "metadata")


class ModelLog:
    """See the module's docstring."""

    key = "model_log"
    title = "Model log"
    description = "Weir's neutral format: one row per turn, with what was asked, answered and shown."
    yields = ("turns",)
    structure = {**dict.fromkeys(_TEXT_COLUMNS, "VARCHAR"), **dict.fromkeys(_JSON_COLUMNS, "JSON")}
    rules = (
        required("ts"),
        valid_time("ts"),
        required("request_id"),
        one_of("outcome", OUTCOMES),
        valid_number("latency_ms", low=0),
        valid_number("turn_index", low=0, high=2**31 - 1),
        valid_number("input_tokens", low=0, high=2**62),
        valid_number("output_tokens", low=0, high=2**62),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a prompt or response stands beside a request id in the neutral names."""
        if "request_id" not in record or {"filter_name", "reviewer", "request", "attributeScores"} & record.keys():
            return 0.0
        known = len({"prompt", "response", "outcome", "final_text"} & record.keys())
        return 1.0 if known >= 2 else 0.8 if known and "ts" in record else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Turns, as they are."""
        texts = ", ".join(
            f"{text(f'r.{name}')} AS {name}"
            for name in (
                [
                    "conversation_id",
                    "model",
                    "model_version",
                    "app",
                    "user_id",
                    "language",
                    "finish_reason",
                    "experiment",
                    "arm",
                    "suite",
                ]
            )
        )
        return Selects(
            turns=f"""
            SELECT line_no, r.request_id AS request_id, {timestamp("r.ts")} AS ts, {texts},
                CAST({number("r.turn_index")} AS INTEGER) AS turn_index,
                {content_text("r.prompt")} AS prompt, {message_list("r.prompt")} AS messages,
                {content_text("r.response")} AS response, {content_text("r.final_text")} AS final_text,
                lower({text("r.outcome")}) AS outcome, {number("r.latency_ms")} AS latency_ms,
                CAST({number("r.input_tokens")} AS BIGINT) AS input_tokens,
                CAST({number("r.output_tokens")} AS BIGINT) AS output_tokens,
                CAST(r.candidates AS VARCHAR) AS candidates, CAST(r.metadata AS VARCHAR) AS metadata, extra
            FROM accepted"""
        )
