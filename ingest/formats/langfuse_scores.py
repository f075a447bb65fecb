"""Langfuse scores: people's annotations as votes, evaluators' scores as checks (formats.md 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    json_object,
    number,
    required,
    select_checks,
    sql_text,
    text,
    timestamp,
    valid_time,
)
from ingest.tracing import judge_harm, judge_label

_FIELDS = {
    "trace_id": "traceId",
    "observation_id": "observationId",
    "session_id": "sessionId",
    "string_value": "stringValue",
    "data_type": "dataType",
    "author_user_id": "authorUserId",
}


def _both(snake: str) -> str:
    return f"coalesce(nullif(r.{snake}, ''), nullif(r.{_FIELDS[snake]}, ''))"


class LangfuseScores:
    """See the module's docstring."""

    key = "langfuse_scores"
    title = "Langfuse scores"
    description = (
        "An annotation is a vote: harmful where its name says what it means (harmful, unsafe, false_positive, ...), else unsure, with name and comment kept. "
        "A score by an evaluator or the API is a check of that name: a boolean or a category is a verdict, a number needs a threshold ('langfuse/toxicity' = 0.8) "
        "and is undecided without. A turn is named by its trace."
    )
    yields = ("checks", "labels")
    structure = {
        **dict.fromkeys(["id", "timestamp", "name", "value", "source", "comment", "environment"], "VARCHAR"),
        **{name: "VARCHAR" for pair in _FIELDS.items() for name in pair},
    }
    rules = (
        required("id"),
        required("timestamp"),
        valid_time("timestamp"),
        required("name"),
        Rule(
            "trace_id",
            "missing_field",
            f"coalesce({_both('trace_id')}, {_both('session_id')}) IS NULL",
            "A score is about a trace or a session.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a named value has a data type and a source."""
        is_typed = bool({"data_type", "dataType"} & record.keys())
        return 1.0 if is_typed and {"name", "value", "source"} <= record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Votes and checks by who scored."""
        said = f"CASE WHEN upper({_both('data_type')}) = 'BOOLEAN' THEN try_cast(r.value AS DOUBLE) <> 0 ELSE {judge_label(_both('string_value'))} END"
        is_human = "upper(r.source) = 'ANNOTATION'"
        nothing = "CAST(NULL AS VARCHAR)"
        is_category = "regexp_matches(lower(r.name), 'categor')"
        labels = f"""
            SELECT line_no, {timestamp("r.timestamp")} AS ts, {_both("trace_id")} AS request_id, {_both("session_id")} AS conversation_id,
                {nothing} AS filter_name, coalesce({_both("author_user_id")}, 'langfuse') AS reviewer, {judge_harm("r.name", said)} AS harmful,
                CASE WHEN {is_category} THEN {_both("string_value")} END AS category, CAST(NULL AS INTEGER) AS severity,
                concat_ws(': ', r.name || ' = ' || coalesce({_both("string_value")}, r.value), {text("r.comment")}) AS reason,
                {nothing} AS principle_id, {nothing} AS revision, {nothing} AS critique, 'import' AS selection, {nothing} AS stratum,
                CAST(NULL AS DOUBLE) AS inclusion_probability, {nothing} AS guideline_version, extra
            FROM accepted WHERE {is_human}"""
        limits = " ".join(
            f"WHEN 'langfuse/' || r.name = {sql_text(name)} THEN {value!r}"
            for name, value in settings.thresholds.items()
        )
        limit = f"CASE {limits} END" if limits else "CAST(NULL AS DOUBLE)"
        is_number = f"upper({_both('data_type')}) = 'NUMERIC'"
        judged = f"""
            (SELECT *, CASE WHEN {is_number} THEN score >= limit_ ELSE {said} END AS fired
             FROM (SELECT *, CASE WHEN {is_number} THEN {number("r.value")} END AS score, {limit} AS limit_
                   FROM accepted WHERE NOT coalesce({is_human}, false)))"""
        checks = select_checks(
            judged,
            ts=timestamp("r.timestamp"),
            request_id=_both("trace_id"),
            conversation_id=_both("session_id"),
            taxonomy="'weir'",
            native_id="r.id",
            layer="'llm_judge'",
            stage="'output'",
            filter_name="'langfuse/' || r.name",
            category_native=f"CASE WHEN fired AND {is_category} THEN {_both('string_value')} END",
            score="score",
            score_kind="CASE WHEN score BETWEEN 0 AND 1 THEN 'probability' WHEN score IS NOT NULL THEN 'severity' END",
            threshold="limit_",
            triggered="fired",
            decision="CASE WHEN fired THEN 'flag' WHEN NOT fired THEN 'allow' END",
            enforced="false",
            mode="'annotate'",
            status="CASE WHEN fired IS NOT NULL THEN 'ok' WHEN score IS NOT NULL THEN 'undecided' ELSE 'error' END",
            error="CASE WHEN fired IS NULL AND score IS NULL THEN 'no_verdict' END",
            metadata=json_object(
                observation_id=_both("observation_id"),
                comment=text("r.comment"),
                value="r.value",
                label=_both("string_value"),
            ),
        )
        return Selects(checks=checks, labels=labels)
