"""What the logs of tracing systems have in common: identifiers, attributes, guardrail and model attributes, named verdicts (formats.md 6)."""

from __future__ import annotations

from core.settings import Settings
from ingest.formats.base import json_object, json_value, number, select_checks, select_turns, sql_text, timestamp

ATTRIBUTES = [
    {
        "key": "VARCHAR",
        "value": {
            **dict.fromkeys(("stringValue", "intValue", "doubleValue", "boolValue", "bytesValue"), "VARCHAR"),
            **dict.fromkeys(("arrayValue", "kvlistValue"), "JSON"),
        },
    }
]
"""How `from_json` reads attributes."""

_TEXT = (
    "coalesce(x.value.stringValue, x.value.intValue, x.value.doubleValue, x.value.boolValue, x.value.bytesValue, "
    "CAST(x.value.arrayValue AS VARCHAR), CAST(x.value.kvlistValue AS VARCHAR))"
)
_FIRED = "('deny', 'escalate', 'modify', 'warn', 'audit')"
_INTERVENED = (
    "('guardrail_intervened', 'intervened', 'block', 'blocked', 'deny', 'denied', 'true', 'flagged', 'unsafe', 'fail')"
)
_LEFT_ALONE = "('none', 'allow', 'allowed', 'pass', 'passed', 'false', 'safe')"
_REFUSED = "('content_filter', 'refusal', 'safety')"
OPERATIONS = "('chat', 'generate_content', 'text_completion')"
GUARDRAILS = "('run_guardrail', 'apply_guardrail')"


def attribute(*names: str, of: str = "a") -> str:
    """The text of the first of the attributes `names` that is there and not empty; `of` is what `attribute_list` makes."""
    found = ", ".join(f"nullif({of}.texts[list_position({of}.keys, {sql_text(name)})], '')" for name in names)
    return f"coalesce({found})"


def attribute_list(field: str) -> str:
    """Attributes as OTLP has them, as (keys, texts): finding a key in a list costs a fraction of filtering pairs."""
    texts = f"list_transform({field}, lambda x: {_TEXT})"
    return f"{{'keys': list_transform({field}, lambda x: x.key), 'texts': {texts}}}"


def identifier(field: str, size: int) -> str:
    """A trace's or span's id of `size` bytes in hexadecimal; some exporters write base64."""
    return (
        f"CASE WHEN regexp_full_match({field}, '[0-9a-fA-F]{{{2 * size}}}') THEN lower({field}) "
        f"ELSE coalesce(lower(TRY(hex(from_base64({field})))), nullif({field}, '')) END"
    )


def messages(field: str) -> str:
    """Messages of a JSON text, or of a structured value, as a list of (role, content)."""
    plain = (
        f"list_transform(TRY(from_json(CASE WHEN json_valid({field}) AND json_type({field}) = 'ARRAY' THEN {field} END, '[\"JSON\"]')), "
        "lambda m: {'role': json_extract_string(m, '$.role'), 'content': coalesce("
        "nullif(array_to_string(list_filter(json_extract_string(m, '$.parts[*].content'), lambda t: t IS NOT NULL), chr(10)), ''), "
        "json_extract_string(m, '$.content'))})"
    )
    values = f"TRY(json_extract({field}, '$.values[*]'))"

    def entry(of: str, name: str) -> str:
        return (
            f"list_filter(json_extract({of}, '$.kvlistValue.values[*]'), "
            f"lambda e{name}: json_extract_string(e{name}, '$.key') = '{name}')[1]"
        )

    parts = f"json_extract({entry('m', 'parts')}, '$.value.arrayValue.values[*]')"
    content = f"json_extract_string({entry('p', 'content')}, '$.value.stringValue')"
    nested = (
        f"list_transform({values}, lambda m: {{'role': json_extract_string({entry('m', 'role')}, '$.value.stringValue'), "
        f"'content': nullif(array_to_string(list_transform({parts}, lambda p: {content}), chr(10)), '')}})"
    )
    return f"coalesce({plain}, CASE WHEN len({values}) > 0 THEN {nested} END)"


def turns_of(relation: str, **columns: str) -> str:
    """The SELECT of turns from `relation`: line_no, extra, a (attributes), of_resource, moment, ended, trace."""
    finish = attribute("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason")
    reason = f"coalesce(json_extract_string(TRY(CAST({finish} AS JSON)), '$.values[0].stringValue'), json_extract_string(TRY(CAST({finish} AS JSON)), '$[0]'), {finish})"
    asked, answered = (messages(attribute(f"gen_ai.{way}.messages")) for way in ("input", "output"))
    said = f"coalesce(({answered})[-1].content, {attribute('output.value')})"
    prompt = f"coalesce(list_filter({asked}, lambda m: m.role = 'user')[-1].content, {attribute('input.value')})"
    tokens = "try_cast({} AS BIGINT)"
    return select_turns(
        relation,
        **{
            **facts(),
            "app": attribute("service.name", of="of_resource"),
            "model_version": attribute("gen_ai.response.model", "llm.response.model_name"),
            "prompt": prompt,
            "messages": f"CASE WHEN len({asked}) > 0 THEN CAST(to_json({asked}) AS VARCHAR) END",
            "response": said,
            "outcome": f"CASE WHEN failure IS NOT NULL THEN 'error' WHEN lower({reason}) IN {_REFUSED} THEN 'refusal' "
            f"WHEN {reason} IS NOT NULL OR {said} IS NOT NULL THEN 'pass' END",
            "finish_reason": reason,
            "latency_ms": "(ended - began) / 1e6",
            "input_tokens": tokens.format(
                attribute("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
            ),
            "output_tokens": tokens.format(
                attribute("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
            ),
            "metadata": json_object(
                response_id=attribute("gen_ai.response.id"),
                span_id="span",
                provider=attribute("gen_ai.provider.name", "gen_ai.system"),
                environment=attribute("deployment.environment.name", "deployment.environment", of="of_resource"),
            ),
        }
        | columns,
    )


def facts() -> dict[str, str]:
    """Columns that turns and checks share. All calls of a trace are one turn, unless an attribute names the request."""
    return {
        "ts": timestamp("moment"),
        "request_id": f"coalesce({attribute('weir.request_id', 'request_id', 'request.id')}, trace)",
        "conversation_id": attribute("gen_ai.conversation.id", "session.id"),
        "user_id": attribute("enduser.pseudo.id", "enduser.id", "user.id"),
        "model": attribute("gen_ai.request.model", "llm.request.model_name", "llm.model_name"),
    }


def checks_of(relation: str, settings: Settings) -> str:
    """The SELECT of guardrail checks from `relation` (see `turns_of`), of both drafts and of OpenInference."""
    verdict = f"lower({attribute('gen_ai.guardrail.verdict.type')})"
    action = f"lower({attribute('gen_ai.guardrail.action.type')})"
    kind = f"lower({attribute('gen_ai.guardrail.result.type')})"
    result = f"lower({attribute('gen_ai.guardrail.result.value')})"
    score = number(attribute("gen_ai.guardrail.security.risk.score", "gen_ai.guardrail.risk.score"))
    output = f"TRY(CAST({attribute('output.value')} AS JSON))"
    flagged, own_score, _ = judge_output(output)
    category = attribute("gen_ai.guardrail.security.risk.category", "gen_ai.guardrail.risk.category")
    name = f"coalesce({attribute('gen_ai.guardrail.component.name')}, nullif(regexp_replace(title, '^(run_guardrail|apply_guardrail) ', ''), ''), 'guardrail')"
    limits = " ".join(
        f"WHEN {name} || '/' || coalesce({category}, '') = {sql_text(key)} OR {name} = {sql_text(key)} THEN {value!r}"
        for key, value in settings.thresholds.items()
    )
    limit = f"CASE {limits} END" if limits else "CAST(NULL AS DOUBLE)"
    judged = f"""
        (SELECT *, CASE WHEN failure IS NOT NULL THEN NULL WHEN {verdict} = 'allow' THEN false WHEN {verdict} IN {_FIRED} THEN true
                WHEN {kind} IS NOT NULL AND {result} IN {_INTERVENED} THEN true
                WHEN {kind} IS NOT NULL AND {result} IN {_LEFT_ALONE} THEN false
                WHEN {flagged} IS NOT NULL THEN {flagged} WHEN score >= limit_ THEN true WHEN score < limit_ THEN false END AS fired
         FROM (SELECT *, coalesce({score}, {own_score}) AS score, {limit} AS limit_, {action} AS acted, {kind} AS kind, {result} AS result,
                   {verdict} AS verdict FROM {relation}))"""
    did = "coalesce(acted, CASE WHEN kind = 'action' AND result IN ('guardrail_intervened', 'intervened', 'block', 'blocked', 'deny', 'denied') THEN 'block' END)"
    target = f"lower({attribute('gen_ai.guardrail.target.type', 'gen_ai.guardrail.source')})"
    subtype = f"lower({attribute('gen_ai.guardrail.target.subtype')})"
    noted = f"TRY(CAST({attribute('metadata')} AS JSON))"
    noted_threshold = number(f"json_extract_string({noted}, '$.threshold')")
    return select_checks(
        judged,
        **facts(),
        taxonomy="'weir'",
        native_id="identity",
        layer=f"CASE WHEN {attribute('gen_ai.provider.name')} IS NOT NULL THEN 'managed_api' ELSE 'classifier' END",
        stage=f"CASE WHEN {subtype} IN ('tool_call', 'tool_definition') THEN 'tool_input' WHEN {subtype} IN ('retrieval', 'memory') THEN {subtype} "
        f"WHEN {target} = 'output' THEN 'output' ELSE 'input' END",
        filter_name=name,
        filter_version=attribute("gen_ai.guardrail.component.version", "gen_ai.guardrail.version"),
        policy_id=attribute("gen_ai.guardrail.security.policy.id", "gen_ai.guardrail.policy.id"),
        policy_version=f"coalesce({attribute('gen_ai.guardrail.security.policy.version', 'gen_ai.guardrail.policy.version')}, json_extract_string({noted}, '$.policy_version'))",
        rule_id=attribute(
            "gen_ai.guardrail.security.policy.rule.id", "gen_ai.guardrail.policy.rule.id", "security_rule.name"
        ),
        category_native=category,
        score="score",
        score_kind="CASE WHEN score IS NULL THEN NULL WHEN kind = 'severity' OR score > 1 OR score < 0 THEN 'severity' ELSE 'probability' END",
        threshold=f"coalesce(limit_, {noted_threshold})",
        triggered="fired",
        decision=f"CASE WHEN fired IS NULL AND failure IS NOT NULL THEN 'error' WHEN fired IS NULL THEN NULL WHEN NOT fired THEN 'allow' "
        f"WHEN {did} IN ('block', 'escalate', 'modify') THEN {did} WHEN {did} IS NULL AND verdict = 'deny' THEN 'block' "
        f"WHEN {did} IS NULL AND verdict IN ('escalate', 'modify') THEN verdict ELSE 'flag' END",
        enforced=f"coalesce(fired AND {did} IN ('block', 'escalate', 'modify'), false)",
        # A verdict that nobody acted on is what shadow mode is.
        mode="CASE WHEN fired AND verdict IN ('deny', 'escalate', 'modify') AND acted IN ('allow', 'audit') THEN 'shadow' "
        "WHEN acted IS NOT NULL OR kind = 'action' THEN 'enforce' ELSE 'annotate' END",
        status="CASE WHEN fired IS NOT NULL THEN 'ok' WHEN failure IS NULL AND score IS NOT NULL THEN 'undecided' ELSE 'error' END",
        latency_ms="(ended - began) / 1e6",
        error="CASE WHEN fired IS NULL AND score IS NULL THEN coalesce(failure, 'no_verdict') WHEN fired IS NULL THEN failure END",
        content=attribute("input.value"),
        metadata="CAST(to_json(list_transform(list_zip(coalesce(a.keys, []), a.texts), "
        "lambda p: {'k': p[1], 'v': p[2]})) AS VARCHAR)",
    )


_BENIGN = ("false_positive", "false-positive", "over_blocked", "overblocked", "benign", "safe", "harmless")
_HARMFUL = (
    "true_positive",
    "true-positive",
    "harmful",
    "unsafe",
    "harm",
    "toxic",
    "toxicity",
    "violation",
    "missed_harm",
)
_CALM = ("none", "safe", "harmless", "ok", "pass", "passed", "no", "clean", "benign", "not_toxic", "false", "0")


def judge_harm(name: str, said: str) -> str:
    """Whether a person's verdict `said` (a boolean) under `name` means harm; null under a name that does not tell."""
    lowered = f"lower(replace({name}, ' ', '_'))"
    return f"CASE WHEN {lowered} IN {_BENIGN!r} THEN NOT ({said}) WHEN {lowered} IN {_HARMFUL!r} THEN {said} END"


def judge_label(label: str) -> str:
    """Whether an evaluator's `label` says that something was found; null without one."""
    return f"CASE WHEN nullif({label}, '') IS NULL THEN NULL ELSE lower({label}) NOT IN {_CALM!r} END"


def judge_output(output: str) -> tuple[str, str, str]:
    """What a guardrail's JSON `output` says: whether it fired, its score, its category."""
    said = json_value(output, "$.flagged", "$.triggered", "$.blocked", "$.is_flagged", "$.unsafe")
    allowed = json_value(output, "$.allowed", "$.is_valid", "$.passed", "$.safe")
    fired = (
        f"CASE WHEN lower({said}) IN ('true', 'false') THEN lower({said}) = 'true' "
        f"WHEN lower({allowed}) IN ('true', 'false') THEN lower({allowed}) = 'false' END"
    )
    score = number(json_value(output, "$.score", "$.risk_score"))
    return fired, score, json_value(output, "$.category", "$.categories[0]", "$.label")
