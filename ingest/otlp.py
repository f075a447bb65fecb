"""Bodies of OTLP/HTTP, protobuf or JSON, as records of the OpenTelemetry formats, and the answers that exporters expect."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from core.errors import FormatError
from ingest.otlp_json import Levels, camel, write_lines
from ingest.sources.lines import Records, split_array, split_lines

PROTOBUF, JSON = "application/x-protobuf", "application/json"


@dataclass(frozen=True, slots=True)
class Signal:
    """What one OTLP route takes.

    Attributes:
        path: The route.
        format_key: The log format of its records.
        request: The message of a body.
        response: The message of an answer.
        rejected: Its field that counts what was refused.
        levels: The fields of a body that lead to its records.
    """

    path: str
    format_key: str
    request: type[Message]
    response: type[Message]
    rejected: str
    levels: Levels


TRACES = Signal(
    "/v1/traces",
    "otlp_genai_spans",
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
    "rejected_spans",
    Levels("resource_spans", "scope_spans", "spans"),
)
LOGS = Signal(
    "/v1/logs",
    "otlp_genai_logs",
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
    "rejected_log_records",
    Levels("resource_logs", "scope_logs", "log_records"),
)


def read_export(signal: Signal, text: bytes, content_type: str) -> Records:
    """The records of a body: one for each span or log record of a protobuf message, one for a JSON document.

    Raises:
        FormatError: The body is not what its content type says.
    """
    if content_type == JSON:
        return split_array(text)
    message = signal.request()
    try:
        message.ParseFromString(text)
    except DecodeError as error:
        raise FormatError("The body is no OTLP message", str(error), f"Send {signal.request.__name__}.") from error
    return split_lines(b"\n".join(write_lines(message, signal.levels)), first_line=1)


def write_answer(signal: Signal, content_type: str, *, rejected: int, reason: str) -> bytes:
    """The body of an answer; what was refused is a partial success, which exporters log and do not send again."""
    if content_type == JSON:
        partial: dict[str, Any] = {camel(signal.rejected): str(rejected), "errorMessage": reason}
        return json.dumps({"partialSuccess": partial} if rejected else {}).encode()
    response: Any = signal.response()
    if rejected:
        setattr(response.partial_success, signal.rejected, rejected)
        response.partial_success.error_message = reason
    body: bytes = response.SerializeToString()
    return body
