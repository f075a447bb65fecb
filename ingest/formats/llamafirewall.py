"""LlamaFirewall scan results in an envelope (formats.md 5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    RECORD_HASH,
    Rule,
    Selects,
    boolean,
    envelope_facts,
    envelope_rules,
    json_object,
    number,
    one_of,
    select_checks,
    sql_text,
    text,
    valid_boolean,
    valid_number,
    with_facts,
)
from ingest.schema import MODES

_RESULT = dict.fromkeys(["decision", "reason", "score", "status"], "VARCHAR")
_DECISIONS = ("allow", "human_in_the_loop_required", "block")
_STATUSES = ("success", "error", "skipped")
_FILTER = "llamafirewall/"


def _plain(field: str) -> str:
    """An enum's value: a logged dataclass holds ScanDecision.BLOCK where JSON holds block."""
    return f"lower(regexp_replace({field}, '^[A-Za-z]+[.]', ''))"


def _result(name: str) -> str:
    return f"coalesce(r.result.{name}, r.{name})"


class LlamaFirewall:
    """See the module's docstring."""

    key = "llamafirewall"
    title = "LlamaFirewall"
    description = (
        "One check per scan. A merged result of several scanners is split by its reason; there a scanner fired when the whole was not "
        "allowed and its own score is above 0, or reaches 'llamafirewall/prompt_guard' (0.9) for prompt_guard."
    )
    yields = ("checks",)
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["role", "content", "scanner", "mode", "enforced"], "VARCHAR"),
        "result": _RESULT,
        **_RESULT,
    }
    rules = (
        *envelope_rules(remedy="The result carries no time: log it in an envelope with timestamp."),
        one_of("role", ("tool", "user", "assistant", "memory", "system")),
        one_of("mode", MODES),
        valid_boolean("enforced"),
        valid_number("result.score"),
        valid_number("score"),
        Rule(
            "result",
            "missing_field",
            f"coalesce({_result('decision')}, {_result('status')}) IS NULL",
            "The result must hold decision, reason, score and status.",
        ),
        Rule(
            "decision",
            "invalid_value",
            f"{_plain(_result('decision'))} NOT IN ({', '.join(map(sql_text, _DECISIONS))})",
            f"Valid: {', '.join(_DECISIONS)}.",
        ),
        Rule(
            "status",
            "invalid_value",
            f"{_plain(_result('status'))} NOT IN ({', '.join(map(sql_text, _STATUSES))})",
            f"Valid: {', '.join(_STATUSES)}.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a scan's decision stands beside its status."""
        result = record["result"] if isinstance(record.get("result"), Mapping) else record
        if "filter_name" in record:
            return 0.0
        decision, status = (str(result.get(name)).split(".")[-1].lower() for name in ("decision", "status"))
        return 1.0 if decision in _DECISIONS and status in _STATUSES and "reason" in result else 0.0

    def selects(self, settings: Settings) -> Selects:
        """The scanner's name comes from the envelope or, merged, from the reason."""
        thresholds = [
            f"WHEN scanner = {sql_text(name.removeprefix(_FILTER).lower())} THEN {value!r}"
            for name, value in settings.thresholds.items()
            if name.startswith(_FILTER)
        ]
        configured = f"CASE {' '.join(thresholds)} END" if thresholds else "CAST(NULL AS DOUBLE)"
        judged = f"""
            WITH results AS (
                SELECT line_no, {_plain(_result("decision"))} AS verdict, {_result("reason")} AS reason,
                    {number(_result("score"))} AS whole, coalesce({_plain(_result("status"))}, 'success') AS state,
                    {_plain(text("r.scanner"))} AS named FROM accepted),
            -- The texts may hold anything; only the name of a scanner after `; ` starts the next one.
            split AS (
                SELECT *, CASE WHEN named IS NULL AND regexp_matches(reason, '^ScannerType[.]\\w+: ')
                    THEN string_split(regexp_replace(reason, '(^|; )ScannerType[.]', chr(30), 'g'), chr(30))[2:] END AS parts
                FROM results),
            scans AS (
                SELECT *, part IS NOT NULL AS is_merged, coalesce(named, lower(regexp_extract(part, '^(\\w+): ', 1))) AS scanner,
                    CASE WHEN part IS NULL THEN whole
                         ELSE try_cast(regexp_extract(part, ' - score: ([-+.0-9eE]+)\\s*$', 1) AS DOUBLE) END AS score,
                    CASE WHEN part IS NULL THEN reason ELSE regexp_extract(part, '(?s)^\\w+: (.*?)( - score: [-+.0-9eE]+)?\\s*$', 1) END AS why
                FROM (SELECT *, unnest(coalesce(parts, [NULL])) AS part,
                          generate_subscripts(coalesce(parts, [NULL]), 1) AS position FROM split)),
            judged AS (
                SELECT *, {configured} AS threshold, CASE WHEN state <> 'success' OR verdict IS NULL THEN NULL WHEN verdict = 'allow' THEN false
                    -- Whatever the reason's text may feign: a result that was not allowed has a scanner that fired.
                    WHEN NOT is_merged OR score = max(score) OVER (PARTITION BY line_no) THEN true WHEN scanner = 'prompt_guard' THEN score >= coalesce({configured}, 0.9)
                    ELSE score > coalesce({configured}, 0) END AS fired FROM scans)
            -- The merged reason has no fixed order.
            SELECT *, row_number() OVER (PARTITION BY line_no ORDER BY scanner, position) - 1 AS item FROM judged"""
        facts = {
            **envelope_facts(request_id=f"coalesce({text('r.request_id')}, 'row-' || {RECORD_HASH})"),
            "native_id": RECORD_HASH,
            "stage": "CASE lower(r.role) WHEN 'assistant' THEN 'output' WHEN 'tool' THEN 'tool_output' WHEN 'memory' THEN 'memory' "
            "WHEN 'system' THEN 'system' ELSE 'input' END",
            "mode": f"coalesce(lower({text('r.mode')}), 'enforce')",
            "content": text("r.content"),
        }
        checks = select_checks(
            with_facts(judged, **facts, is_enforced=boolean("r.enforced")),
            **{name: name for name in facts},
            item="item",
            taxonomy="'llamafirewall'",
            layer="CASE WHEN scanner IN ('regex', 'hidden_ascii', 'code_shield') THEN 'keyword' "
            "WHEN scanner = 'agent_alignment' THEN 'guard_llm' ELSE 'classifier' END",
            filter_name="'llamafirewall' || coalesce('/' || scanner, '')",
            category_native="CASE WHEN fired THEN scanner END",
            score="score",
            score_kind="CASE WHEN score IS NOT NULL THEN 'probability' END",
            threshold="threshold",
            triggered="fired",
            decision="CASE WHEN state = 'skipped' THEN 'skipped' WHEN fired IS NULL THEN 'error' WHEN NOT fired THEN 'allow' "
            "WHEN verdict = 'block' THEN 'block' ELSE 'escalate' END",
            enforced="coalesce(fired AND coalesce(is_enforced, mode = 'enforce'), false)",
            status="CASE WHEN fired IS NOT NULL THEN 'ok' WHEN state = 'skipped' THEN 'not_run' ELSE 'error' END",
            error="CASE WHEN fired IS NULL AND state <> 'skipped' THEN coalesce(nullif(why, ''), 'no_verdict') END",
            metadata=json_object(reason="nullif(why, '')"),
        )
        return Selects(checks=checks)
