"""OTLP/HTTP: what a real OpenTelemetry exporter sends, in both encodings, over a real socket; tokens of the intake."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from core.clock import now
from core.settings_ingest import IntakeToken
from service.home import serve_home
from service.tokens import make_token
from tests.browser.serving import serve
from tests.service.test_intake import House, client_of, open_house

RESOURCE = Resource.create({"service.name": "gateway"})
NANOS = 1_772_442_845_100_000_000
SPAN = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "run_guardrail tox",
    "startTimeUnixNano": str(NANOS),
    "endTimeUnixNano": str(NANOS + 25_000_000),
    "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "run_guardrail"}},
        {"key": "gen_ai.guardrail.component.name", "value": {"stringValue": "tox"}},
        {"key": "gen_ai.guardrail.verdict.type", "value": {"stringValue": "deny"}},
        {"key": "gen_ai.guardrail.action.type", "value": {"stringValue": "block"}},
    ],
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from open_house(tmp_path / "home")


def traces(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def post_json(house: House, body: Any, path: str = "/v1/traces", **headers: str) -> Any:
    return house.client.post(
        path, content=json.dumps(body).encode(), headers={"Content-Type": "application/json", **headers}
    )


def test_real_exporters__spans_and_logs_of_one_turn(tmp_path: Path) -> None:
    with serve(tmp_path / "home") as server:
        spans = TracerProvider(resource=RESOURCE)
        spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{server.address}/v1/traces")))
        logs = LoggerProvider(resource=RESOURCE)
        logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{server.address}/v1/logs")))
        tracer = spans.get_tracer("test")
        for number in range(20):
            with tracer.start_as_current_span("chat m") as chat:
                chat.set_attributes(
                    {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.request.model": "m",
                        "gen_ai.conversation.id": f"c{number}",
                        "gen_ai.response.finish_reasons": ["stop"],
                        "gen_ai.input.messages": json.dumps(
                            [{"role": "user", "parts": [{"type": "text", "content": f"question {number}"}]}]
                        ),
                    }
                )
                with tracer.start_as_current_span("run_guardrail tox") as guardrail:
                    verdict = "deny" if number % 4 == 0 else "allow"
                    guardrail.set_attributes(
                        {
                            "gen_ai.operation.name": "run_guardrail",
                            "gen_ai.guardrail.component.name": "tox",
                            "gen_ai.guardrail.verdict.type": verdict,
                            "gen_ai.guardrail.security.risk.score": 0.25,
                        }
                    )
                logs.get_logger("test").emit(
                    LogRecord(
                        event_name="gen_ai.evaluation.result",
                        attributes={
                            "gen_ai.evaluation.name": "Harmlessness",
                            "gen_ai.evaluation.score.label": "pass",
                            "gen_ai.evaluation.score.value": 0.9,
                        },
                    )
                )
        spans.shutdown()
        logs.shutdown()
        report = json.loads(server.weir("report", "triggers", "--by", "filter_name", "--json").stdout)
        counts = {row["filter_name"]: (row["evaluated"], row["triggered"]) for row in report["rows"]}
        assert counts == {"tox": (20, 5), "Harmlessness": (20, 0)}
        assert (report["coverage"]["turns"], report["coverage"]["orphans"]) == (20, 0)
        outcomes = json.loads(server.weir("report", "outcomes", "--by", "model", "--json").stdout)["rows"]
        assert [(row["model"], row["outcome"], row["turns"]) for row in outcomes] == [("m", "pass", 20)]


@pytest.mark.parametrize(("pack", "encoding"), [(bytes, "identity"), (gzip.compress, "gzip")])
def test_both_encodings__same_rows(house: House, pack: Any, encoding: str) -> None:
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = bytes.fromhex(SPAN["traceId"]), bytes.fromhex(SPAN["spanId"])
    span.name, span.start_time_unix_nano, span.end_time_unix_nano = SPAN["name"], NANOS, NANOS + 25_000_000
    for attribute in SPAN["attributes"]:
        entry = span.attributes.add(key=attribute["key"])
        entry.value.string_value = attribute["value"]["stringValue"]
    response = house.client.post(
        "/v1/traces",
        content=pack(message.SerializeToString()),
        headers={"Content-Type": "application/x-protobuf", "Content-Encoding": encoding},
    )
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-protobuf"
    answer = ExportTraceServiceResponse.FromString(response.content)
    assert MessageToDict(answer) == {}
    row = house.home.events.read("SELECT request_id, filter_name, triggered, enforced, latency_ms FROM checks").row(0)
    assert row == (SPAN["traceId"], "tox", True, True, 25.0)
    again = post_json(house, traces(SPAN))
    assert (again.status_code, again.json()) == (200, {})
    assert house.count("checks") == 1


def test_span_of_another_kind_is_passed_over(house: House) -> None:
    other = {
        **SPAN,
        "spanId": "eee19b7ec3c1b175",
        "attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}],
    }
    assert post_json(house, traces(other, SPAN)).status_code == 200
    assert (house.count("checks"), house.count("turns")) == (1, 1)


def test_bad_span__partial_success_and_quarantine(house: House) -> None:
    answer = post_json(house, traces({**SPAN, "startTimeUnixNano": "0"}))
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert "startTimeUnixNano" in answer.json()["partialSuccess"]["errorMessage"]
    assert house.count("quarantine") == 1


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/x-protobuf", b"\xff\xff\xff", 400),
        ("application/json", b"{", 400),
        ("text/plain", b"{}", 415),
        ("application/json", b'{"resourceSpans": 7}', 200),
    ],
)
def test_bad_body(house: House, content_type: str, body: bytes, status: int) -> None:
    response = house.client.post("/v1/traces", content=body, headers={"Content-Type": content_type})
    assert response.status_code == status
    assert house.count("checks") == 0


def test_score_without_a_verdict_is_undecided(house: House) -> None:
    attributes = [
        {"key": "gen_ai.guardrail.component.name", "value": {"stringValue": "safety"}},
        {"key": "gen_ai.guardrail.result.type", "value": {"stringValue": "severity"}},
        {"key": "gen_ai.guardrail.risk.score", "value": {"doubleValue": 4.0}},
    ]
    record = {"timeUnixNano": str(NANOS), "eventName": "gen_ai.guardrail.result", "traceId": SPAN["traceId"]}
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{**record, "attributes": attributes}]}]}]}
    assert post_json(house, body, "/v1/logs").status_code == 200
    row = house.home.events.read("SELECT status, triggered, score, score_kind FROM checks").row(0)
    assert row == ("undecided", None, 4.0, "severity")


def test_tokens__hashed_scoped_and_replaceable(tmp_path: Path) -> None:
    made = make_token("gateway", ["gateway"])
    assert made["token"] not in made["settings"]
    scoped = IntakeToken(name="gateway", sha256=made["sha256"], sources=("gateway",))
    other = make_token("all", [])
    ended = make_token("old", [])
    tokens = (
        scoped,
        IntakeToken(name="all", sha256=other["sha256"]),
        IntakeToken(name="old", sha256=ended["sha256"], until=now() - timedelta(seconds=1)),
    )
    for house in open_house(tmp_path / "home", tokens=tokens):

        def post(token: str, source: str, house: House = house) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return post_json(house, traces(SPAN), f"/v1/traces?source={source}", **headers).status_code

        assert post(made["token"], "gateway") == 200
        assert post(made["token"], "elsewhere") == 401
        assert post(other["token"], "elsewhere") == 200
        assert post(ended["token"], "gateway") == 401
        assert post(made["sha256"], "gateway") == 401
        assert post("", "gateway") == 401
        assert client_of().get("/metrics").status_code == 401


def test_no_server__503_and_the_exporter_may_retry() -> None:
    serve_home(None)
    response = client_of().post("/v1/logs", content=b"", headers={"Content-Type": "application/json"})
    assert response.status_code == 503
    assert response.headers["Retry-After"]
