"""The conversation that led to an answer, as a list of messages."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from incidents.exports.exporter import MESSAGES, Refusal, has_text

_ROLES = frozenset({"system", "developer", "user", "assistant"})
_Message = dict[str, str]


def add_prompts(turns: pl.DataFrame, conversations: pl.DataFrame) -> pl.DataFrame:
    """`turns` with their prompts in conversational form.

    A logged list of messages is taken as it is. Where the log has only the last message, the earlier turns of
    the conversation come before it, each with what the user saw.

    Args:
        turns: request_id, ts, conversation_id, turn_index, prompt, messages (JSON text or null).
        conversations: The turns of these conversations: request_id, conversation_id, turn_index, ts, prompt,
            response, final_text.

    Returns:
        `turns` with `messages` as `MESSAGES` (null when there is no usable prompt), `prompt_problem` (the
        reason for that) and `context_ids` (request ids whose texts were put before the prompt).
    """
    logged = pl.Series("logged", [parse_messages(text) for text in turns["messages"]], dtype=MESSAGES)
    context = _build_context(turns, conversations)
    turns = turns.rename({"messages": "_json"}).with_columns(logged.alias("_logged"))
    turns = turns.join(context, on="request_id", how="left", maintain_order="left")
    last = pl.concat_list(pl.struct(role=pl.lit("user"), content="prompt")).cast(MESSAGES)
    has_prompt = has_text(pl.col("prompt"))
    built = pl.when(pl.col("_context").is_not_null()).then(pl.concat_list("_context", last)).otherwise(last)
    return turns.with_columns(
        messages=pl.when(has_prompt & pl.col("_json").is_not_null())
        .then(pl.col("_logged"))
        .when(has_prompt)
        .then(built),
        prompt_problem=pl.when(~has_prompt)
        .then(pl.lit(Refusal.EMPTY_PROMPT.value))
        .when(pl.col("_json").is_not_null() & pl.col("_logged").is_null())
        .then(pl.lit(Refusal.UNSUPPORTED_PROMPT.value))
        .when(pl.col("_logged").list.eval(~has_text(pl.element().struct.field("content"))).list.any())
        .then(pl.lit(Refusal.EMPTY_TURN.value)),
        context_ids=pl.col("context_ids").fill_null([]),
    ).drop("_json", "_logged", "_context")


def parse_messages(text: str | None) -> list[_Message] | None:
    """A logged list of messages with plain text contents that ends with the user's, else None."""
    if text is None:
        return None
    try:
        logged = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(logged, list) or not logged:
        return None
    messages = [_parse_message(entry) for entry in logged]
    if any(message is None for message in messages):
        return None
    plain = [message for message in messages if message is not None]
    if plain[-1]["role"] != "user":
        return None
    # A blank instruction instructs nothing; a blank question or answer is a hole in the conversation, and stays one.
    return [message for message in plain if message["role"] in {"user", "assistant"} or message["content"].strip()]


def _parse_message(entry: Any) -> _Message | None:
    if not isinstance(entry, dict) or entry.get("tool_calls"):
        return None
    role = entry.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        return None
    content = entry.get("content")
    if isinstance(content, list) and all(_is_text_part(part) for part in content):
        content = "\n".join(part["text"] for part in content)
    if not isinstance(content, str):
        return None
    # JSON escapes can spell half of a surrogate pair, which no UTF-8 file can hold.
    whole = content.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return {"role": role, "content": whole}


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in {"text", "input_text"} and isinstance(part.get("text"), str)


def _build_context(turns: pl.DataFrame, conversations: pl.DataFrame) -> pl.DataFrame:
    """Per turn the earlier exchanges as messages, oldest first; turns without any are absent."""
    shown = pl.coalesce("final_text", "response")
    earlier = conversations.filter(has_text(pl.col("prompt")) & has_text(shown)).select(
        "conversation_id",
        context_id="request_id",
        context_index="turn_index",
        context_ts="ts",
        exchange=pl.concat_list(
            pl.struct(role=pl.lit("user"), content="prompt"),
            pl.struct(role=pl.lit("assistant"), content=shown),
        ).cast(MESSAGES),
    )
    is_earlier = (
        pl.when(pl.col("turn_index").is_not_null() & pl.col("context_index").is_not_null())
        .then(pl.col("context_index") < pl.col("turn_index"))
        .otherwise(pl.col("context_ts") < pl.col("ts"))
    )
    pairs = (
        turns.filter(pl.col("messages").is_null())
        .select("request_id", "conversation_id", "turn_index", "ts")
        .join(earlier, on="conversation_id")
        .filter(is_earlier & (pl.col("context_id") != pl.col("request_id")))
        .sort("request_id", "context_index", "context_ts", "context_id", nulls_last=True)
    )
    return pairs.group_by("request_id", maintain_order=True).agg(
        _context=pl.col("exchange").explode(),
        context_ids=pl.col("context_id"),
    )
