"""Spans of a guarded chat as OpenTelemetry's SDK makes and its exporter encodes them, by OpenInference's conventions."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Tracer, set_span_in_context

GUARDS = ("toxicity", "prompt-injection", "self-harm")
SPANS_PER_TURN = 1 + len(GUARDS)
_START_NS = 1_772_442_845_100_000_000
_TURN_NS, _GUARD_NS = 50_000_000, 20_000_000
_ASKED = "Which shelf holds the books about bees, and may a reader of twelve years borrow them over the holidays? "
_ANSWERED = "The bees are on shelf N 4 in the natural sciences; children borrow with a card of their own. " * 3


class _Ids(IdGenerator):
    """Identifiers that are the same in every run and in no two batches."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def generate_span_id(self) -> int:
        return self._chance.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._chance.getrandbits(128) or 1


def make_bodies(*, batches: int, size: int) -> Iterator[bytes]:
    """Bodies of OTLP/HTTP in protobuf with `size` spans each: of every turn one model call and its guardrails."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(
        resource=Resource.create({"service.name": "benchmark"}), id_generator=_Ids(7), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("benchmark")
    chance = random.Random(11)
    for batch in range(batches):
        for turn in range(batch * size // SPANS_PER_TURN, (batch + 1) * size // SPANS_PER_TURN):
            _make_turn(tracer, turn, chance)
        spans: tuple[ReadableSpan, ...] = memory.get_finished_spans()
        memory.clear()
        yield encode_spans(spans).SerializeToString()


def _make_turn(tracer: Tracer, turn: int, chance: random.Random) -> None:
    start = _START_NS + turn * _TURN_NS
    prompt = f"{turn}: {_ASKED * 2}"
    messages = [{"role": "system", "content": "You help readers."}, {"role": "user", "content": prompt}]
    person = {"session.id": f"session-{turn // 4}", "user.id": f"user-{turn % 5000}"}
    call = tracer.start_span("ChatCompletion", start_time=start)
    call.set_attributes(
        {
            **person,
            "openinference.span.kind": "LLM",
            "llm.system": "openai",
            "llm.model_name": "gpt-4o",
            "llm.invocation_parameters": json.dumps({"model": "gpt-4o", "temperature": 0.2}),
            "input.value": json.dumps({"messages": messages, "model": "gpt-4o"}),
            "input.mime_type": "application/json",
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "You help readers.",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.content": prompt,
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": _ANSWERED,
            "output.value": _ANSWERED,
            "output.mime_type": "text/plain",
            "llm.token_count.prompt": 61,
            "llm.token_count.completion": 72,
            "llm.token_count.total": 133,
        }
    )
    for place, guard in enumerate(GUARDS):
        began = start + (place + 1) * _GUARD_NS // 10
        score = round(chance.random(), 3)
        check = tracer.start_span(f"guard.{guard}", context=set_span_in_context(call), start_time=began)
        check.set_attributes(
            {
                **person,
                "openinference.span.kind": "GUARDRAIL",
                "input.value": prompt,
                "input.mime_type": "text/plain",
                "output.value": json.dumps({"flagged": score > 0.95, "score": score}),
                "output.mime_type": "application/json",
                "metadata": json.dumps({"policy_version": "v4", "threshold": 0.95}),
            }
        )
        check.end(end_time=began + _GUARD_NS)
    call.end(end_time=start + 40 * _GUARD_NS)
