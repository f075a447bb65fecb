"""The JSON lines of an export against protobuf's own JSON writer, and how large they grow."""

from __future__ import annotations

import base64
import math
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import LOGS, PROTOBUF, TRACES, Signal, read_export
from ingest.otlp_json import write_lines

IDS = ("traceId", "spanId", "parentSpanId")


def test_spans_as_protobuf_writes_them_one_a_line() -> None:
    message = ExportTraceServiceRequest()
    for number in range(3):
        resource = message.resource_spans.add(schema_url="https://example.org/1")
        resource.resource.attributes.add(key="service.name").value.string_value = f"app-{number}"
        for _ in range(number):
            scope = resource.scope_spans.add()
            scope.scope.name = "scope ä \u2028"
            for place in range(4):
                add_span(scope.spans.add(), place)
    assert sum(len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans) == 12
    check_same(TRACES, message)


def test_log_records_as_protobuf_writes_them() -> None:
    message = ExportLogsServiceRequest()
    record = (
        message.resource_logs.add()
        .scope_logs.add()
        .log_records.add(time_unix_nano=2**63 + 1, severity_number=9, event_name="gen_ai.choice", trace_id=b"\x01" * 16)
    )
    record.body.kvlist_value.values.add(key="content").value.string_value = 'a "quoted"\nline'
    check_same(LOGS, message)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (0.5, 0.5),
    ],
)
def test_numbers_that_json_has_not_are_text(value: float, written: float | str) -> None:
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add()
    span.attributes.add(key="score").value.double_value = value
    assert read_spans(TRACES, message)[0]["attributes"][0]["value"] == {"doubleValue": written}


def test_nesting_as_deep_as_protobuf_reads_it() -> None:
    message = ExportTraceServiceRequest()
    value: AnyValue = message.resource_spans.add().scope_spans.add().spans.add().attributes.add(key="deep").value
    for _ in range(45):
        value = value.array_value.values.add()
    value.int_value = 7
    check_same(TRACES, ExportTraceServiceRequest.FromString(message.SerializeToString()))


def test_tiny_spans_of_a_large_resource_share_lines() -> None:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="notes").value.string_value = "x" * 100_000
    scope = resource.scope_spans.add()
    for number in range(5_000):
        scope.spans.add(name=f"s{number}")
    lines = list(write_lines(message, TRACES.levels))
    assert sum(map(len, lines)) < 6 * len(message.SerializeToString())
    spans = [span for line in lines for span in spans_of(TRACES, msgspec.json.decode(line))]
    assert [span["name"] for span in spans] == [f"s{number}" for number in range(5_000)]


def test_an_export_without_records_has_no_lines() -> None:
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add()
    assert read_export(TRACES, message.SerializeToString(), PROTOBUF).lines.num_rows == 0


def add_span(span: Span, place: int) -> None:
    span.trace_id, span.span_id = bytes(range(16)), bytes([place] * 8)
    span.name, span.kind = "run_guardrail tox", Span.SPAN_KIND_CLIENT
    span.start_time_unix_nano, span.end_time_unix_nano, span.dropped_attributes_count = 2**60 + place, 2**61, 3
    span.attributes.add(key="empty")
    span.attributes.add(key="text").value.string_value = "ünïcode \x00 \U0001f41d"
    span.attributes.add(key="flag").value.bool_value = False
    span.attributes.add(key="count").value.int_value = -(2**62)
    span.attributes.add(key="bytes").value.bytes_value = b"\xff\x00"
    items = span.attributes.add(key="list").value.array_value.values
    items.add().double_value = 0.1
    items.add().kvlist_value.values.add(key="a").value.int_value = 1
    span.events.add(name="exception", time_unix_nano=5).attributes.add(key="b").value.string_value = "c"
    span.links.add(trace_id=b"\x02" * 16, span_id=b"\x03" * 8)
    span.status.code = 2
    span.status.message = "deadline"


def check_same(signal: Signal, message: Any) -> None:
    expected = MessageToDict(message, use_integers_for_enums=True)
    assert read_spans(signal, message) == [with_hex(span) for span in spans_of(signal, expected)]


def read_spans(signal: Signal, message: Any) -> list[dict[str, Any]]:
    records = read_export(signal, message.SerializeToString(), PROTOBUF)
    assert records.rejects.num_rows == 0
    documents = [msgspec.json.decode(line) for line in records.lines.column("line").to_pylist()]
    return [span for document in documents for span in spans_of(signal, document)]


def spans_of(signal: Signal, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The records, each with its resource and scope."""
    outer, middle, inner = (
        ("resourceSpans", "scopeSpans", "spans") if signal is TRACES else ("resourceLogs", "scopeLogs", "logRecords")
    )
    return [
        {**span, "of": ({**resource, middle: None}, {**scope, inner: None})}
        for resource in document.get(outer, [])
        for scope in resource.get(middle, [])
        for span in scope.get(inner, [])
    ]


def with_hex(node: Any) -> Any:
    """The same with identifiers in hexadecimal, as OpenTelemetry writes them; a key without a value has an empty one."""
    if isinstance(node, dict):
        found = {key: base64.b64decode(child).hex() if key in IDS else with_hex(child) for key, child in node.items()}
        return {**found, "value": found.get("value", {})} if "key" in found else found
    if isinstance(node, (list, tuple)):
        return type(node)(with_hex(child) for child in node)
    return node
