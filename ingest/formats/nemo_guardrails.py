"""NeMo Guardrails: generation responses with their activated rails, and check results (formats.md 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    Rule,
    Selects,
    envelope_facts,
    envelope_rules,
    envelope_time,
    json_items,
    json_object,
    json_part,
    json_value,
    last_prompt,
    message_list,
    number,
    one_of,
    plausible,
    select_checks,
    select_turns,
    text,
    timestamp,
)
from ingest.schema import MODES

_RAILS = {
    "input": "input",
    "output": "output",
    "retrieval": "retrieval",
    "tool": "tool_input",
    "tool_input": "tool_input",
}
_RESULTS = ("passed", "modified", "blocked")
_RECORD = "'row-' || md5(CAST(r AS VARCHAR))"


class NemoGuardrails:
    """See the module's docstring."""

    key = "nemo_guardrails"
    title = "NeMo Guardrails"
    description = (
        "One check per input, output, retrieval or tool rail that ran, and one turn per generation; a rail triggers by stopping, whatever "
        "its action returned. Rails after a stop are absent. One check per result of the check API. The response carries neither request nor "
        "user: log it in an envelope; a record without a time takes that of its rails, else the file's."
    )
    yields = ("turns", "checks")
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["mode", "stage", "status", "content", "rail", "model"], "VARCHAR"),
        **dict.fromkeys(["request", "response", "log", "llm_output", "output_data", "state", "llm_metadata"], "JSON"),
    }
    rules = (
        *envelope_rules(
            "json_extract_string(r.log, '$.activated_rails[0].started_at')",
            remedy="Log the response in an envelope with timestamp, or with its activated rails.",
        ),
        one_of("mode", MODES),
        Rule(
            "log",
            "missing_field",
            f"r.log IS NULL AND r.response IS NULL AND coalesce(lower(r.status) NOT IN {_RESULTS!r}, true)",
            "A generation holds response and log (set log.activated_rails), a check holds status.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when rails are listed, or a rail's result stands alone."""
        log = record.get("log")
        if isinstance(log, Mapping) and {"activated_rails", "colang_history", "stats"} & log.keys():
            return 1.0
        return 1.0 if record.get("status") in _RESULTS and {"rail", "content"} <= record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """A generation's rails, and results that name one."""
        first = "json_extract_string(r.log, '$.activated_rails[0].started_at')"
        facts = envelope_facts(ts=envelope_time(first), request_id=f"coalesce({text('r.request_id')}, {_RECORD})")
        asked = "coalesce(json_extract(r.request, '$.messages'), r.request)"
        message = json_items("r.response")
        answer = (
            "CASE json_type(r.response) WHEN 'VARCHAR' THEN json_extract_string(r.response, '$') "
            f"WHEN 'ARRAY' THEN json_extract_string(({message})[-1], '$.content') "
            "WHEN 'OBJECT' THEN json_extract_string(r.response, '$.content') END"
        )
        stopped = f"len(list_filter(coalesce({json_items(json_part('r.log', '$.activated_rails'))}, []), lambda a: json_extract_string(a, '$.stop') = 'true')) > 0"
        shadow = "coalesce(lower(r.mode), 'enforce') = 'shadow'"
        seconds = number("json_extract_string(r.log, '$.stats.total_duration')")
        turns = select_turns(
            "accepted WHERE r.response IS NOT NULL",
            **facts | {"latency_ms": f"coalesce({facts['latency_ms']}, {seconds} * 1000)"},
            model=text("r.model"),
            prompt=last_prompt(asked),
            messages=message_list(asked),
            response=f"CASE WHEN NOT {stopped} THEN {answer} END",
            final_text=f"CASE WHEN {stopped} THEN {answer} END",
            outcome=f"CASE WHEN {stopped} AND NOT {shadow} THEN 'refusal' ELSE 'pass' END",
            metadata=json_object(stats="json_extract(r.log, '$.stats')", llm_metadata="r.llm_metadata"),
        )
        stage = " ".join(f"WHEN '{kind}' THEN '{name}'" for kind, name in _RAILS.items())
        kinds = ", ".join(f"'{kind}'" for kind in _RAILS)
        rails = f"""
            (SELECT line_no, r, extra, item, a, {json_value("a", "$.name")} AS rail, CASE kind {stage} END AS stage,
                json_extract_string(a, '$.stop') = 'true' AS fired, false AS changed,
                json_array_length(json_extract(a, '$.executed_actions[0].llm_calls')) > 0 AS asks_model
             FROM (SELECT line_no, r, extra, a, place - 1 AS item, lower({json_value("a", "$.type")}) AS kind
                   FROM (SELECT line_no, r, extra, unnest(rails) AS a, generate_subscripts(rails, 1) AS place
                         FROM (SELECT *, {json_items(json_part("r.log", "$.activated_rails"))} AS rails FROM accepted)))
             WHERE kind IN ({kinds})
             UNION ALL
             SELECT line_no, r, extra, 0, NULL, {text("r.rail")}, coalesce(lower({text("r.stage")}), 'input'),
                lower(r.status) <> 'passed', lower(r.status) = 'modified', false
             FROM accepted WHERE r.log IS NULL AND lower(r.status) IN {_RESULTS!r})"""
        moment = f"coalesce({json_value('a', '$.started_at')}, {json_value('a', '$.finished_at')})"
        checks = select_checks(
            rails,
            **facts
            | {
                "ts": f"coalesce({plausible(timestamp(moment))}, {facts['ts']})",
                "latency_ms": f"{number(json_value('a', '$.duration'))} * 1000",
            },
            item="item",
            native_id=f"coalesce({text('r.request_id')}, '') || {_RECORD}",
            layer="CASE WHEN coalesce(asks_model, false) THEN 'guard_llm' ELSE 'classifier' END",
            stage="stage",
            filter_name="coalesce('nemo/' || rail, 'nemo-guardrails')",
            triggered="fired",
            decision="CASE WHEN fired IS NULL THEN 'error' WHEN NOT fired THEN 'allow' WHEN changed THEN 'modify' ELSE 'block' END",
            enforced=f"coalesce(fired, false) AND NOT {shadow}",
            mode="coalesce(lower(nullif(r.mode, '')), 'enforce')",
            status="CASE WHEN fired IS NULL THEN 'error' ELSE 'ok' END",
            error="CASE WHEN fired IS NULL THEN 'no_verdict' END",
            content=f"CASE stage WHEN 'input' THEN {last_prompt(asked)} WHEN 'output' THEN {answer} END",
            model=text("r.model"),
            outcome=f"CASE WHEN fired AND NOT {shadow} THEN CASE WHEN changed THEN 'modified' ELSE 'refusal' END END",
            metadata=json_object(
                decisions="json_extract(a, '$.decisions')", actions="json_extract(a, '$.executed_actions')"
            ),
        )
        return Selects(turns=turns, checks=checks)
