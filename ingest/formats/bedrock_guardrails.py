"""Amazon Bedrock Guardrails: ApplyGuardrail, Converse and InvokeModel traces, agents, stateless checks (formats.md 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    RECORD_HASH,
    Rule,
    Selects,
    envelope_facts,
    envelope_rules,
    json_entries,
    json_items,
    json_object,
    json_value,
    last_prompt,
    message_list,
    number,
    one_of,
    parts_text,
    select_checks,
    select_turns,
    sql_text,
    text,
    with_facts,
)

_ACTION, _TRACE = "amazon-bedrock-guardrailAction", "amazon-bedrock-trace"
_TEXTS = ["action", "actionReason", "stopReason", _ACTION]
_PARTS = [
    "usage",
    "outputs",
    "assessments",
    "guardrailCoverage",
    "output",
    "metrics",
    "trace",
    _TRACE,
    "guardrailTrace",
    "results",
    "error",
]
_RESPONSE = dict.fromkeys(_TEXTS, "VARCHAR") | dict.fromkeys(_PARTS, "JSON")
_CHECKERS = ("contentFilter", "promptAttack", "sensitiveInformation")
_FILTER = "bedrock-checks/"
# Where an assessment lists what it found, and how the finding is called.
_POLICIES = (
    ("topicPolicy.topics", "'DENY'", "$.name"),
    ("contentPolicy.filters", "json_extract_string(i, '$.type')", "$.type"),
    ("wordPolicy.customWords", "'WORD'", "$.match"),
    ("wordPolicy.managedWordLists", "json_extract_string(i, '$.type')", "$.type"),
    ("sensitiveInformationPolicy.piiEntities", "json_extract_string(i, '$.type')", "$.type"),
    ("sensitiveInformationPolicy.regexes", "'REGEX'", "$.name"),
    ("contextualGroundingPolicy.filters", "json_extract_string(i, '$.type')", "$.type"),
)


class BedrockGuardrails:
    """See the module's docstring."""

    key = "bedrock_guardrails"
    title = "Bedrock Guardrails"
    description = (
        "One check per guardrail and side, one score row per topic, filter, word or entity. Detected without action is shadow mode; "
        "masking is modify. Stateless checks carry no verdict: set thresholds, e.g. 'bedrock-checks/INSULTS' = 0.6. "
        "Grounding scores are kept as logged: lower is riskier."
    )
    yields = ("turns", "checks", "check_scores")
    structure = {
        **ENVELOPE,
        "api": "VARCHAR",
        "direction": "VARCHAR",
        "request": {
            **dict.fromkeys(["guardrailIdentifier", "guardrailVersion", "source", "outputScope", "modelId"], "VARCHAR"),
            **dict.fromkeys(["content", "messages", "system", "checks", "guardrailConfig"], "JSON"),
        },
        "response": _RESPONSE,
        **_RESPONSE,
    }
    rules = (
        *envelope_rules(remedy="The answer carries no time: log it in an envelope with timestamp."),
        one_of("direction", ("input", "output")),
        Rule(
            "response",
            "missing_field",
            "coalesce({}) IS NULL".format(
                ", ".join(
                    f'CAST(r.response."{name}" AS VARCHAR), CAST(r."{name}" AS VARCHAR)'
                    for name in (
                        "action",
                        "stopReason",
                        _ACTION,
                        "assessments",
                        "trace",
                        _TRACE,
                        "guardrailTrace",
                        "results",
                        "error",
                    )
                )
            ),
            "The answer must hold an action, assessments, a trace, results or an error.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when an assessment, a guardrail's trace or its action is there."""
        body = record.get("response") if isinstance(record.get("response"), Mapping) else record
        if not isinstance(body, Mapping):
            return 0.0
        request, trace, results = record.get("request"), body.get("trace"), body.get("results")
        marks = (
            isinstance(body.get("assessments"), list) and "action" in body,
            bool({_ACTION, "guardrailTrace"} & body.keys()),
            isinstance(trace, Mapping) and "guardrail" in trace,
            body.get("stopReason") == "guardrail_intervened",
            isinstance(results, Mapping) and bool(set(_CHECKERS) & results.keys()),
            isinstance(request, Mapping) and "guardrailIdentifier" in request,
        )
        return 1.0 if any(marks) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Assessments from wherever they lie, brought into one shape."""
        facts = envelope_facts(request_id=f"coalesce({text('r.request_id')}, 'row-' || {RECORD_HASH})")
        answered = parts_text("json_extract(b.output, '$.message.content')")
        prompt = last_prompt("r.request.messages")
        is_stopped = "b.stopReason IN ('guardrail_intervened', 'content_filtered')"
        masked = "(lower(b.actionReason) LIKE '%masked%' OR lower(json_extract_string(b.trace, '$.guardrail.actionReason')) LIKE '%masked%')"

        def count(name: str) -> str:
            return f"try_cast({number(json_value('b.usage', f'$.{name}'))} AS BIGINT)"

        latency = number(json_value("b.metrics", "$.latencyMs"))
        turns = select_turns(
            f"({self._body()}) WHERE b.output IS NOT NULL",
            **{**facts, "latency_ms": f"coalesce({facts['latency_ms']}, {latency})"},
            model="r.request.modelId",
            prompt=prompt,
            messages=message_list("r.request.messages"),
            response=f"coalesce({json_value('b.trace', '$.guardrail.modelOutput[0]')}, CASE WHEN NOT {is_stopped} THEN {answered} END)",
            final_text=f"CASE WHEN {is_stopped} THEN {answered} END",
            outcome=f"CASE WHEN {is_stopped} AND {masked} THEN 'modified' WHEN {is_stopped} THEN 'refusal' "
            "WHEN b.stopReason IS NOT NULL THEN 'pass' END",
            finish_reason="b.stopReason",
            input_tokens=count("inputTokens"),
            output_tokens=count("outputTokens"),
        )
        known = {**facts, "native_id": RECORD_HASH, "model": "r.request.modelId"}
        # Beside an answer the latency is that of the whole call.
        whole = f"CASE WHEN coalesce(r.response.output, r.output) IS NULL THEN {known.pop('latency_ms')} END"
        acted = "len(list_filter(items, lambda i: i.acts)) > 0"
        blocked = "len(list_filter(items, lambda i: i.action = 'BLOCKED')) > 0"
        masks = "len(list_filter(items, lambda i: i.action = 'ANONYMIZED')) > 0"
        top = "list_concat(list_filter(items, lambda i: i.acts), list_filter(items, lambda i: i.hit))[1]"
        effect = f"(has_intervened OR {acted})"
        checks = select_checks(
            "prepared",
            **{name: name for name in known},
            latency_ms="coalesce(latency, whole)",
            item="item",
            taxonomy="'bedrock-guardrails'",
            layer="'classifier'",
            stage="stage",
            filter_name="name",
            filter_version="version",
            policy_id="guardrail",
            policy_version="version",
            rule_id=f"({top}).rule",
            category_native=f"coalesce(({top}).category, category)",
            score="coalesce(score, list_max(list_transform(items, lambda i: i.level)))",
            score_kind="CASE WHEN score IS NOT NULL THEN kind "
            "WHEN list_max(list_transform(items, lambda i: i.level)) IS NOT NULL THEN 'ordinal' END",
            threshold="threshold",
            triggered="fired",
            decision=f"CASE WHEN failure IS NOT NULL THEN 'error' WHEN NOT fired THEN 'allow' WHEN {blocked} THEN 'block' "
            f"WHEN {masks} OR (has_intervened AND is_masked) THEN 'modify' WHEN has_intervened THEN 'block' WHEN fired THEN 'flag' END",
            enforced=f"coalesce(fired AND {effect}, false)",
            mode=f"CASE WHEN kind IS NOT NULL THEN 'annotate' WHEN fired AND NOT coalesce({effect}, false) THEN 'shadow' ELSE 'enforce' END",
            status="CASE WHEN fired IS NOT NULL THEN 'ok' WHEN failure IS NULL AND score IS NOT NULL THEN 'undecided' ELSE 'error' END",
            error="CASE WHEN fired IS NULL AND score IS NULL THEN coalesce(failure, 'no_verdict') END",
            content="content",
            matched_text=f"({top}).match",
            outcome=f"CASE WHEN fired AND {effect} THEN CASE WHEN {blocked} THEN 'refusal' "
            f"WHEN {masks} OR is_masked THEN 'modified' ELSE 'refusal' END END",
            metadata=json_object(assessments="details"),
        )
        scores = """
            SELECT line_no, item, i.category AS category_native, coalesce(i.level, i.score) AS score, i.threshold AS threshold,
                i.hit AS triggered
            FROM (SELECT line_no, item, unnest(items) AS i FROM prepared)"""
        judged = with_facts(f"{self._judged(settings)} SELECT * FROM judged", **known, whole=whole)
        return Selects(prepared=f"SELECT * FROM {judged}", turns=turns, checks=checks, scores=scores)

    @staticmethod
    def _body() -> str:
        body = ", ".join(f'"{name}" := coalesce(r.response."{name}", r."{name}")' for name in _RESPONSE)
        return f"SELECT line_no, r, extra, struct_pack({body}) AS b FROM accepted"

    def _judged(self, settings: Settings) -> str:
        """CTEs that end in `judged`: one row per check."""
        thresholds = [
            f"WHEN lower(category) = {sql_text(name.removeprefix(_FILTER).lower())} THEN {value!r}"
            for name, value in settings.thresholds.items()
            if name.startswith(_FILTER)
        ]
        configured = f"CASE {' '.join(thresholds)} END" if thresholds else "CAST(NULL AS DOUBLE)"
        level = (
            "nullif(list_position(['NONE', 'LOW', 'MEDIUM', 'HIGH'], json_extract_string(i, '$.confidence')), 0) - 1"
        )
        # A strong filter blocks from low confidence on.
        limit = "CASE json_extract_string(i, '$.filterStrength') WHEN 'HIGH' THEN 1.0 WHEN 'MEDIUM' THEN 2.0 WHEN 'LOW' THEN 3.0 END"
        action = "json_extract_string(i, '$.action')"
        acts = f"coalesce({action} IN ('BLOCKED', 'ANONYMIZED'), false)"
        found = ", ".join(
            f"list_transform(coalesce(json_extract(a, '$.{path}[*]'), []), lambda i: {{'category': {category}, "
            f"'rule': json_extract_string(i, '{rule}'), 'action': {action}, 'acts': {acts}, "
            f"'hit': {acts} OR coalesce(json_extract_string(i, '$.detected') = 'true', false), "
            f"'level': {level}, 'score': try_cast(json_extract_string(i, '$.score') AS DOUBLE), "
            f"'threshold': coalesce(try_cast(json_extract_string(i, '$.threshold') AS DOUBLE), {limit}), "
            "'match': json_extract_string(i, '$.match')})"
            for path, category, rule in _POLICIES
        )
        lists = [json_items(f"json_extract(b.results, '$.{name}.results')") for name in _CHECKERS]
        for_each = " UNION ALL ".join(
            f"SELECT line_no, asked, direction, unnest({each}) AS found FROM body" for each in lists
        )
        converse, model = "json_extract(b.trace, '$.guardrail.{}')", f'b."{_TRACE}"'
        model = f"coalesce(json_extract({model}, '$.guardrail'), json_extract({model}, '$.guardrails'))"
        agent = "json_extract(b.guardrailTrace, '$.{}')"
        output = parts_text("json_extract(b.output, '$.message.content')")
        sides = json_items(f"json_extract({model}, '$.outputs')")
        side = json_entries(f"json_extract({model}, '$.input')")
        texts = "array_to_string(json_extract_string(asked.content, '$[*].text.text'), chr(10))"
        return f"""
            WITH body AS (SELECT line_no, r.request AS asked, r.direction AS direction, b FROM ({self._body()})),
            outputs AS (
                SELECT line_no, asked, direction, b, unnest({sides}) AS side FROM body),
            entries AS (
                SELECT line_no, asked, direction, b, 'input' AS stage, unnest({json_entries(converse.format("inputAssessment"))}) AS e FROM body
                UNION ALL
                SELECT line_no, asked, direction, b, 'output', unnest({json_entries(converse.format("outputAssessments"))}) FROM body
                UNION ALL
                SELECT line_no, asked, direction, b, 'input', unnest({side}) FROM body
                UNION ALL
                SELECT line_no, asked, direction, b, 'output', unnest({json_entries("side")}) FROM outputs),
            assessed AS (
                SELECT line_no, asked, direction, b, stage, e.key AS guardrail, coalesce({json_items("e.value")}, [e.value]) AS assessments,
                    false AS has_intervened FROM entries
                UNION ALL
                SELECT line_no, asked, direction, b, CASE upper(asked.source) WHEN 'OUTPUT' THEN 'output' WHEN 'INPUT' THEN 'input'
                        ELSE coalesce(lower(nullif(direction, '')), 'input') END,
                    asked.guardrailIdentifier, coalesce({json_items("b.assessments")}, []),
                    coalesce(b.action IN ('INTERVENED', 'GUARDRAIL_INTERVENED'), false)
                FROM body WHERE b.action IS NOT NULL OR b.assessments IS NOT NULL OR (b.error IS NOT NULL AND b.output IS NULL)
                UNION ALL
                SELECT line_no, asked, direction, b, stage, NULL, assessments, false
                FROM (SELECT line_no, asked, direction, b, 'input' AS stage, {json_items(agent.format("inputAssessments"))} AS assessments FROM body
                      UNION ALL
                      SELECT line_no, asked, direction, b, 'output', {json_items(agent.format("outputAssessments"))} FROM body)
                WHERE len(assessments) > 0),
            every AS (
                SELECT * FROM assessed
                UNION ALL
                -- The trace is off: only that the guardrail acted, or did not, is known.
                SELECT line_no, asked, direction, b, coalesce(lower(nullif(direction, '')), 'output'), json_extract_string(asked.guardrailConfig, '$.guardrailIdentifier'),
                    CAST([] AS JSON[]), action IN ('INTERVENED', 'GUARDRAIL_INTERVENED')
                FROM (SELECT *, coalesce(b."{_ACTION}", {json_value("b.guardrailTrace", "$.action")},
                          CASE WHEN b.stopReason = 'guardrail_intervened' THEN 'INTERVENED' END) AS action FROM body)
                WHERE action IS NOT NULL AND line_no NOT IN (SELECT line_no FROM assessed)),
            itemised AS (
                SELECT *, flatten(list_transform(assessments, lambda a: list_concat({found}))) AS items,
                    coalesce({json_value("b.error", "$.code", "$.message", "$")}) AS failure,
                    CASE stage WHEN 'input' THEN coalesce(nullif({texts}, ''), {last_prompt("asked.messages")})
                        ELSE coalesce(nullif({texts}, ''), {json_value("b.trace", "$.guardrail.modelOutput[0]")},
                            CASE WHEN coalesce(b.stopReason, '') <> 'guardrail_intervened' THEN {output} END) END AS content
                FROM every),
            measured AS (
                SELECT line_no, category, max(score) AS score, any_value(kind) AS kind, to_json(list(found)) AS details,
                    any_value(CASE WHEN lower(direction) = 'output' OR json_extract_string(asked.messages, '$[#-1].role') = 'assistant'
                        THEN 'output' ELSE 'input' END) AS stage, any_value({last_prompt("asked.messages")}) AS content
                FROM (SELECT *, {json_value("found", "$.category", "$.type")} AS category,
                          {number(json_value("found", "$.severityScore", "$.confidenceScore"))} AS score,
                          CASE WHEN json_exists(found, '$.severityScore') THEN 'severity' ELSE 'probability' END AS kind
                      FROM ({for_each}))
                GROUP BY line_no, category),
            judged AS (
                SELECT *, row_number() OVER (PARTITION BY line_no ORDER BY stage, name, guardrail, CAST(details AS VARCHAR)) - 1 AS item FROM (
                    SELECT line_no, stage, 'bedrock-guardrails' AS name, guardrail, items, has_intervened, failure, content,
                        coalesce(asked.guardrailVersion,
                            json_extract_string(assessments[1], '$.appliedGuardrailDetails.guardrailVersion')) AS version,
                        coalesce(lower(b.actionReason) LIKE '%masked%', false) AS is_masked,
                        CASE WHEN failure IS NULL THEN has_intervened OR len(list_filter(items, lambda i: i.hit)) > 0 END AS fired,
                        list_max(list_transform(assessments, lambda a:
                            try_cast(json_extract_string(a, '$.invocationMetrics.guardrailProcessingLatency') AS DOUBLE))) AS latency,
                        CASE WHEN len(assessments) > 0 THEN to_json(assessments) END AS details,
                        CAST(NULL AS VARCHAR) AS category, CAST(NULL AS DOUBLE) AS score, CAST(NULL AS VARCHAR) AS kind,
                        CAST(NULL AS DOUBLE) AS threshold FROM itemised
                    UNION ALL BY NAME
                    SELECT line_no, stage, '{_FILTER}' || category AS name, category, score, kind, details,
                        {configured} AS threshold, score >= {configured} AS fired, false AS has_intervened, false AS is_masked,
                        content FROM measured))"""
