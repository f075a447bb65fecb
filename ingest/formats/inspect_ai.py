"""Inspect AI evaluation logs: a sample, beside the facts of its run (layout: inspect_ai/log/_log.py, log version 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    json_entries,
    json_items,
    json_object,
    json_part,
    json_value,
    last_prompt,
    message_list,
    number,
    parts_text,
    plausible,
    select_checks,
    select_turns,
    sql_text,
    text,
    timestamp,
)

_STARTED = f"coalesce({text('r.sample.started_at')}, {text('r.eval.created')})"
_ENDED = f"coalesce({text('r.sample.completed_at')}, {text('r.eval.created')})"
_ID = (
    f"coalesce({text('r.sample.uuid')}, concat_ws('/', {text('r.eval.eval_id')}, r.sample.id, 'epoch', r.sample.epoch))"
)
_FIRST = "json_extract(r.sample.output, '$.choices[0]')"
# The turn has the sample's unknown keys: its checks need no copies.
_NO_EXTRA = "CAST(NULL AS VARCHAR) AS extra"
# Inspect's own reading of letters as numbers (scorer/_metric.py: value_to_float).
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "TRUE": 1.0, "YES": 1.0, "FALSE": 0.0, "NO": 0.0}


class InspectAI:
    """See the module's docstring."""

    key = "inspect_ai"
    title = "Inspect AI"
    description = (
        "One turn per sample, its task as the suite; one check per scorer and value, undecided without a threshold ('inspect/refusal' = 0.5), since only the scorer "
        "knows what its values mean: C, P, I, N count as 1, 0.5, 0, 0, as in Inspect; one check per approval of a tool call. Read from .eval archives, packed with Deflate or "
        "Zstandard, also of runs that still go on or were cut off, or as records {eval, sample}. The steps of a sample, images, and the run's results stay in the archive."
    )
    yields = ("turns", "checks")
    structure = {
        "eval": {
            **dict.fromkeys(["eval_id", "run_id", "created", "task", "task_id", "task_version", "model"], "VARCHAR"),
            **dict.fromkeys(["task_args", "solver", "tags", "metadata"], "JSON"),
        },
        "sample": {
            **dict.fromkeys(["id", "epoch", "uuid", "started_at", "completed_at", "total_time"], "VARCHAR"),
            **dict.fromkeys(["input", "choices", "target", "messages", "output", "scores", "metadata"], "JSON"),
            **dict.fromkeys(["model_usage", "error", "limit", "events"], "JSON"),
        },
    }
    rules = (
        Rule(
            "sample",
            "missing_field",
            f"nullif(r.sample.id, '') IS NULL OR ({text('r.sample.uuid')} IS NULL AND {text('r.eval.eval_id')} IS NULL)",
            "A sample has an id, and a uuid or its run's eval_id.",
        ),
        Rule(
            "sample",
            "invalid_time",
            f"({plausible(timestamp(_STARTED))}) IS NULL OR ({plausible(timestamp(_ENDED))}) IS NULL",
            "The sample's started_at and completed_at, or the run's created, are times between 1990 and 2100.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a sample with id and epoch stands beside its run."""
        sample = record.get("sample")
        is_sample = isinstance(sample, Mapping) and {"id", "epoch"} <= sample.keys()
        return 1.0 if is_sample and isinstance(record.get("eval"), Mapping) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Turns from samples, checks from scores and approvals."""
        return Selects(
            turns=_turns(), checks=f"{_checks_of_scores(settings)} UNION ALL BY NAME {_checks_of_approvals()}"
        )


def _turns() -> str:
    messages = json_items("r.sample.messages")
    is_answered = "json_extract_string(r.sample.messages, '$[#-1].role') = 'assistant'"
    asked = (
        f"coalesce(CASE WHEN {is_answered} THEN to_json({messages}[:-2]) ELSE r.sample.messages END, r.sample.input)"
    )
    usage = f"list_filter({json_entries('r.sample.model_usage')}, lambda e: e.key = r.eval.model)[1].value"
    written = parts_text(json_part(_FIRST, "$.message.content"))
    answer = f"coalesce(nullif({json_value('r.sample.output', '$.completion')}, ''), {written})"
    stop = f"json_extract_string({_FIRST}, '$.stop_reason')"
    others = f"{json_items(json_part('r.sample.output', '$.choices'))}[2:]"
    other = parts_text(json_part("c", "$.message.content"))
    return select_turns(
        "accepted",
        request_id=_ID,
        ts=timestamp(_STARTED),
        model=text("r.eval.model"),
        model_version=text(json_value("r.sample.output", "$.model")),
        prompt=f"coalesce({last_prompt(asked)}, {last_prompt('r.sample.input')})",
        messages=message_list(asked),
        response=f"nullif({answer}, '')",
        outcome=f"CASE WHEN r.sample.error IS NOT NULL THEN 'error' WHEN {stop} = 'content_filter' THEN 'refusal' WHEN {_FIRST} IS NOT NULL THEN 'pass' END",
        finish_reason=f"coalesce({json_value('r.sample.limit', '$.type')}, {stop})",
        latency_ms=f"1000 * {number(json_value('r.sample.output', '$.time'))}",
        input_tokens=f"try_cast(json_extract_string({usage}, '$.input_tokens') AS BIGINT)",
        output_tokens=f"try_cast(json_extract_string({usage}, '$.output_tokens') AS BIGINT)",
        suite=text("r.eval.task"),
        candidates=f"CASE WHEN len({others}) > 0 THEN CAST(to_json(list_transform({others}, "
        f"lambda c: {other})) AS VARCHAR) END",
        metadata=json_object(
            sample="r.sample.id",
            epoch="r.sample.epoch",
            target="r.sample.target",
            choices="r.sample.choices",
            error="r.sample.error",
            limit="r.sample.limit",
            total_s=number("r.sample.total_time"),
            sample_metadata="r.sample.metadata",
            eval_id="r.eval.eval_id",
            run_id="r.eval.run_id",
            task_id="r.eval.task_id",
            task_version="r.eval.task_version",
            task_args="r.eval.task_args",
            solver="r.eval.solver",
            tags="r.eval.tags",
            run_metadata="r.eval.metadata",
        ),
    )


def _checks_of_scores(settings: Settings) -> str:
    """One check per value: a scorer that gives several, as an object, has a check for each."""
    value = "json_extract(score.value, '$.value')"
    listed = f"coalesce(nullif({json_entries(value)}, []), [{{'key': '', 'value': {value}}}])"
    letters = " ".join(f"WHEN {sql_text(letter)} THEN {worth}" for letter, worth in _LETTERS.items())
    said = "json_extract_string(part.value, '$')"
    scored = f"coalesce({number(said)}, CASE upper({said}) {letters} END)"
    limits = " ".join(f"WHEN {sql_text(name)} THEN {limit!r}" for name, limit in settings.thresholds.items())
    limit = f"CASE name {limits} END" if limits else "CAST(NULL AS DOUBLE)"
    judged = f"""
        (SELECT *, points >= limit_ AS fired
         FROM (SELECT *, {limit} AS limit_, {scored} AS points
               FROM (SELECT *, concat_ws('/', 'inspect', score.key, nullif(part.key, '')) AS name,
                         row_number() OVER (PARTITION BY line_no ORDER BY score.key, part.key) - 1 AS item
                     FROM (SELECT *, unnest({listed}) AS part
                           FROM (SELECT line_no, r, {_NO_EXTRA}, unnest({json_entries("r.sample.scores")}) AS score FROM accepted)))))"""
    return select_checks(
        judged,
        item="item",
        ts=timestamp(_ENDED),
        request_id=_ID,
        taxonomy="'weir'",
        # A sample that is scored anew has another check; a threshold that is set later makes no second one of the same score.
        native_id=f"concat_ws('/', {_ID}, CAST(part.value AS VARCHAR))",
        layer="'llm_judge'",
        stage="'output'",
        filter_name="name",
        model=text("r.eval.model"),
        score="points",
        score_kind="CASE WHEN points BETWEEN 0 AND 1 THEN 'probability' WHEN points IS NOT NULL THEN 'severity' END",
        threshold="limit_",
        triggered="fired",
        decision="CASE WHEN fired THEN 'flag' WHEN NOT fired THEN 'allow' END",
        enforced="false",
        mode="'annotate'",
        status="CASE WHEN fired IS NOT NULL THEN 'ok' WHEN json_type(part.value) = 'NULL' THEN 'error' ELSE 'undecided' END",
        error="CASE WHEN fired IS NULL AND json_type(part.value) = 'NULL' THEN 'no_score' END",
        metadata=json_object(
            value="part.value",
            answer="json_extract(score.value, '$.answer')",
            explanation="json_extract(score.value, '$.explanation')",
            reason="json_extract(score.value, '$.reason')",
            history="nullif(CAST(json_extract(score.value, '$.history') AS VARCHAR), '[]')",
            score_metadata="json_extract(score.value, '$.metadata')",
        ),
    )


def _checks_of_approvals() -> str:
    """One check per approver and tool call; what it passes on to the next approver has no effect of its own."""

    def told(path: str) -> str:
        return json_value("event", path)

    decided = f"lower({told('$.decision')})"
    fired = f"CASE WHEN {decided} IN ('reject', 'terminate', 'modify', 'escalate') THEN true WHEN {decided} = 'approve' THEN false END"
    events = f"""
        (SELECT * FROM (SELECT line_no, r, {_NO_EXTRA}, unnest({json_items("r.sample.events")}) AS event,
                            1000 + generate_subscripts({json_items("r.sample.events")}, 1) AS item FROM accepted)
         WHERE {told("$.event")} = 'approval')"""
    return select_checks(
        events,
        item="item",
        ts=f"coalesce({plausible(timestamp(told('$.timestamp')))}, {timestamp(_ENDED)})",
        request_id=_ID,
        taxonomy="'weir'",
        native_id=text(told("$.uuid")),
        layer=f"CASE WHEN {told('$.approver')} = 'human' THEN 'human' ELSE 'rule_engine' END",
        stage="'tool_input'",
        filter_name=f"coalesce('inspect/' || {text(told('$.approver'))}, 'inspect/approval')",
        model=text("r.eval.model"),
        triggered=fired,
        decision=f"CASE {decided} WHEN 'approve' THEN 'allow' WHEN 'modify' THEN 'modify' WHEN 'escalate' THEN 'escalate' "
        "WHEN 'reject' THEN 'block' WHEN 'terminate' THEN 'block' ELSE 'error' END",
        enforced=f"coalesce({decided} IN ('reject', 'terminate', 'modify'), false)",
        mode="'enforce'",
        status=f"CASE WHEN ({fired}) IS NULL THEN 'error' ELSE 'ok' END",
        error=f"CASE WHEN ({fired}) IS NULL THEN 'no_verdict' END",
        content="CAST(json_extract(event, '$.call') AS VARCHAR)",
        metadata=json_object(
            decision=told("$.decision"),
            explanation=told("$.explanation"),
            message=told("$.message"),
            modified="json_extract(event, '$.modified')",
        ),
    )
