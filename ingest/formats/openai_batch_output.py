"""OpenAI batch files: the output, the error file, and the input that names the prompts (formats.md 1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    ENVELOPE_TIMES,
    Rule,
    Selects,
    envelope_facts,
    plausible,
    text,
    timestamp,
    valid_time,
)
from ingest.formats.openai_chat_completion import (
    BODY,
    RESULT,
    judge_sides,
    moderation_checks,
    moderation_scores,
    read_answers,
    turns_of,
)

_FIELDS = [*(f"r.{name}" for name in ENVELOPE_TIMES), "r.response.body.created", "r.response.body.created_at"]
_OWN_TIME = plausible(timestamp("coalesce(" + ", ".join(f"nullif({field}, '')" for field in _FIELDS) + ")"))


class OpenAIBatchOutput:
    """See the module's docstring."""

    key = "openai_batch_output"
    title = "OpenAI batch output"
    description = (
        "One turn per line, by its custom_id, or one check per moderation result; a failed line is the outcome error. A line without "
        "a time takes that of its neighbours. Lines of the input file, where they have a timestamp, add the prompts."
    )
    yields = ("turns", "checks", "check_scores")
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["id", "custom_id", "method", "url"], "VARCHAR"),
        "response": {"status_code": "VARCHAR", "request_id": "VARCHAR", "body": {**BODY, "results": "JSON"}},
        "error": "JSON",
        "body": {"model": "VARCHAR", "user": "VARCHAR", "messages": "JSON", "input": "JSON"},
    }
    rules = (
        *(valid_time(name) for name in ENVELOPE_TIMES),
        Rule(
            "timestamp",
            "missing_field",
            f"coalesce({_OWN_TIME}, max({_OWN_TIME}) OVER ()) IS NULL",
            "Neither the line nor one near it carries a time: add timestamp.",
        ),
        Rule("custom_id", "missing_field", "nullif(r.custom_id, '') IS NULL", "This field is required."),
        Rule(
            "response",
            "unsupported_body",
            "r.error IS NULL AND r.response.body.choices IS NULL AND r.response.body.output IS NULL "
            "AND r.response.body.results IS NULL AND r.response.body.error IS NULL "
            "AND coalesce(try_cast(r.response.status_code AS INTEGER) < 400, true) "
            "AND r.body.messages IS NULL AND r.body.input IS NULL",
            "Chat completions, responses and moderations can be read.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a custom_id stands beside a response with a status, an error, or a request to send."""
        if "custom_id" not in record:
            return 0.0
        response = record.get("response")
        if isinstance(response, Mapping):
            return 1.0 if {"status_code", "body"} & response.keys() else 0.0
        if isinstance(record.get("body"), Mapping) and "url" in record:
            return 1.0
        return 1.0 if "response" in record and isinstance(record.get("error"), Mapping) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Bodies are read as the endpoints' own logs are."""
        fields = {name: f"r.response.body.{name}" for name in BODY} | {
            "error": "coalesce(r.response.body.error, r.error, CASE WHEN try_cast(r.response.status_code AS INTEGER) >= 400 "
            "THEN json_object('code', r.response.status_code) END)",
            "results": "r.response.body.results",
            "moment": f"coalesce({_OWN_TIME}, last_value({_OWN_TIME} IGNORE NULLS) OVER (ORDER BY line_no "
            f"ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), first_value({_OWN_TIME} IGNORE NULLS) OVER (ORDER BY line_no "
            "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING))",
        }
        body = ", ".join(f"{name} := {value}" for name, value in fields.items())
        answers = read_answers(
            f"SELECT line_no, r, extra, struct_pack({body}) AS b, coalesce(r.body.messages, r.body.input) AS asked FROM accepted"
        )
        facts = envelope_facts(
            ts="b.moment",
            request_id="r.custom_id",
            user_id=f"coalesce({text('r.user_id')}, {text('r.body.user')})",
            # A moderation names its own model, not that of the turn.
            model=f"CASE WHEN b.results IS NULL THEN coalesce({text('b.model')}, {text('r.body.model')}) END",
        )
        results = f"TRY(from_json(b.results, '{RESULT}'))"
        moderated = f"""
            (SELECT line_no, r, extra, b, place - 1 AS item, 'input' AS stage, result, coalesce(result.model, b.model) AS version,
                 b.id AS native_id, 'no_verdict' AS failure, CAST(NULL AS VARCHAR) AS content
             FROM (SELECT *, unnest(results) AS result, generate_subscripts(results, 1) AS place
                   FROM (SELECT *, CASE WHEN len({results}) > 0 THEN {results} ELSE [NULL] END AS results
                         FROM prepared WHERE b.results IS NOT NULL AND b.error IS NULL))
             UNION ALL BY NAME SELECT * EXCLUDE (asked) FROM {judge_sides("prepared")})"""
        del (of_checks := dict(facts))["latency_ms"]
        return Selects(
            prepared=answers,
            turns=turns_of("prepared WHERE b.results IS NULL", facts),
            checks=moderation_checks(moderated, of_checks),
            scores=moderation_scores(moderated),
        )
