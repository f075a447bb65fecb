"""Llama Guard behind vLLM or another server that speaks OpenAI's protocol (formats.md 3.1)."""

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
    json_object,
    text,
)
from ingest.formats.llama_guard import LlamaGuard

_BODY = {
    **dict.fromkeys(["id", "object", "created", "model"], "VARCHAR"),
    **dict.fromkeys(["choices", "usage", "prompt_logprobs", "error"], "JSON"),
}
_TIMES = ("r.created", "r.response.created")
_CHAT = '[{"token":"VARCHAR","logprob":"DOUBLE","top_logprobs":[{"token":"VARCHAR","logprob":"DOUBLE"}]}]'
_LEGACY = '{"tokens":["VARCHAR"],"token_logprobs":["DOUBLE"],"top_logprobs":["MAP(VARCHAR,DOUBLE)"]}'


class VllmGuardCompletion:
    """See the module's docstring."""

    key = "vllm_guard_completion"
    title = "Llama Guard over vLLM"
    description = (
        "One check per completion of a Llama Guard; the score comes from the logprobs of safe and unsafe, where they were kept. "
        "A cut-off generation is an error, not a pass."
    )
    yields = ("checks", "check_scores")
    structure = {
        **_BODY,
        **ENVELOPE,
        "role_checked": "VARCHAR",
        "request": {"model": "VARCHAR", "messages": "JSON", "prompt": "JSON"},
        "response": _BODY,
    }
    rules = (
        *envelope_rules(
            *_TIMES,
            remedy="Log the completion as it came, with created, or in an envelope with timestamp.",
        ),
        Rule(
            "choices",
            "missing_field",
            "coalesce(r.response.choices, r.choices, r.response.error, r.error) IS NULL",
            "The answer must hold choices, or an error.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a completion's model is a Llama Guard."""
        body = record["response"] if isinstance(record.get("response"), Mapping) else record
        model = str(body.get("model", "")).lower().replace("-", "").replace("_", "")
        return 1.0 if "llamaguard" in model and isinstance(body.get("choices"), list) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Each completion is brought into the form of Llama Guard's own log, and read as that is."""
        body = ", ".join(f"{name} := coalesce(r.response.{name}, r.{name})" for name in _BODY)
        # As the rules see it: a time that no log can hold is none, and the envelope's or the file's takes its place.
        moment = f"strftime({envelope_time(*_TIMES)}, '%Y-%m-%dT%H:%M:%S.%fZ')"
        facts = envelope_facts()
        logged = f"""
            SELECT line_no, extra, struct_pack(
                "timestamp" := {moment}, model := coalesce({text("b.model")}, r.request.model, ''),
                role_checked := r.role_checked, input := coalesce(r.request.messages, r.request.prompt),
                output := said, unsafe_prob := CAST({_unsafe_probability("said")} AS VARCHAR), threshold := CAST(NULL AS VARCHAR),
                latency_ms := r.latency_ms, request_id := r.request_id, conversation_id := {facts["conversation_id"]},
                user_id := r.user_id, mode := CAST(NULL AS VARCHAR),
                id := b.id, failure := b.error, turn_index := {facts["turn_index"]}, language := r.language, app := r.app,
                metadata := {self._metadata()}) AS r
            FROM (SELECT *, coalesce(json_extract_string(first, '$.message.content'), json_extract_string(first, '$.text')) AS said
                  FROM (SELECT *, json_extract(b.choices, '$[0]') AS first
                        FROM (SELECT line_no, r, extra, struct_pack({body}) AS b FROM temp.accepted)))"""
        guard = LlamaGuard().selects(settings)
        replaced = """
            r.id AS native_id, r.turn_index AS turn_index, nullif(r.language, '') AS language, nullif(r.app, '') AS app,
            r.metadata AS metadata,
            CASE WHEN status = 'error' THEN coalesce(json_extract_string(r.failure, '$.code'),
                json_extract_string(r.failure, '$.type'), error) END AS error"""
        accepted = f"WITH accepted AS ({logged})"
        return Selects(
            checks=f"{accepted} SELECT g.* REPLACE ({replaced}) FROM ({guard.checks}) g JOIN accepted USING (line_no)",
            scores=f"{accepted} {guard.scores}",
        )

    def _metadata(self) -> str:
        return json_object(
            messages="r.request.messages",
            finish_reason="json_extract(first, '$.finish_reason')",
            reasoning_content="json_extract(first, '$.message.reasoning_content')",
            usage="b.usage",
            prompt_logprobs="b.prompt_logprobs",
        )


def _unsafe_probability(said: str) -> str:
    """P(unsafe) of the first token that is a verdict: from its logprobs, else from those of its rival `safe`.

    Where the verdict was cut into tokens (un-safe), the first such token is not the verdict: then there is no score.
    """
    chat = f"TRY(from_json(json_extract(first, '$.logprobs.content'), '{_CHAT}'))"
    legacy = f"TRY(from_json(json_extract(first, '$.logprobs'), '{_LEGACY}'))"
    # Chat: a list of tokens. Legacy completions: parallel lists, the rivals as maps.
    tokens = (
        f"coalesce({chat}, list_transform(range(1, len({legacy}.tokens) + 1), lambda i: {{'token': {legacy}.tokens[i], "
        f"'logprob': {legacy}.token_logprobs[i], 'top_logprobs': list_transform(map_entries({legacy}.top_logprobs[i]), "
        "lambda e: {'token': e.key, 'logprob': e.value})}))"
    )
    bare = r"lower(regexp_replace({}.token, '\s', '', 'g'))"
    verdict = f"list_filter({tokens}, lambda t: {bare.format('t')} IN ('safe', 'unsafe'))[1]"
    rivals = "list_append(coalesce(v.top_logprobs, []), {'token': v.token, 'logprob': v.logprob})"

    def chance(word: str) -> str:
        return f"exp(list_max(list_transform(list_filter({rivals}, lambda t: {bare.format('t')} = '{word}'), lambda t: t.logprob)))"

    score = f"coalesce({chance('unsafe')}, 1 - {chance('safe')})"
    agrees = f"{bare.format('v')} = lower(regexp_extract({said}, '^\\s*(unsafe|safe)', 1, 'i'))"
    return f"list_transform([{verdict}], lambda v: CASE WHEN {agrees} THEN {score} END)[1]"
