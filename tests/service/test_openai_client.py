"""What OpenAI's own Python client hands to an application, logged as it dumps it, is read back whole."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from core.clock import isoformat, now
from tests.service.test_intake import House, answer_of, open_house

USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
CATEGORIES = {"harassment": True, "harassment/threatening": False, "self-harm": False, "violence": False}
SCORES = {"harassment": 0.91, "harassment/threatening": 0.02, "self-harm": 0.0001, "violence": 0.003}
ANSWERS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1772442845,
        "model": "gpt-test-2026",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "We open at ten \u2603.", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": USAGE,
        "system_fingerprint": "fp_1",
        "service_tier": "default",
        "not_yet_known": {"a": [1]},
    },
    "/v1/responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1772442846,
        "model": "gpt-test-2026",
        "status": "completed",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "output": [
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Through the slot.", "annotations": []}],
            }
        ],
        "usage": {
            "input_tokens": 9,
            "output_tokens": 4,
            "total_tokens": 13,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    },
    "/v1/moderations": {
        "id": "modr-1",
        "model": "omni-moderation-test",
        "results": [
            {
                "flagged": True,
                "categories": CATEGORIES,
                "category_scores": SCORES,
                "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
            }
        ],
    },
}


class _Stub(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWERS[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_parts: Any) -> None:
        """Says nothing."""


@pytest.fixture
def client() -> Iterator[OpenAI]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Stub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1", max_retries=0) as opened:
        yield opened
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from open_house(tmp_path / "home")


def test_answers_as_the_client_dumps_them__stored_whole(client: OpenAI, house: House) -> None:
    chat = client.chat.completions.create(model="gpt-test", messages=[{"role": "user", "content": "When?"}])
    response = client.responses.create(model="gpt-test", input="At night?")
    lines = f"{chat.model_dump_json()}\n{response.model_dump_json()}\n".encode()
    answer_of(house.post(lines, "/intake/v1/openai_chat_completion"), 200)
    rows = house.home.events.read(
        "SELECT request_id, response, outcome, finish_reason, model, input_tokens, output_tokens FROM turns ORDER BY ts"
    ).rows()
    assert rows == [
        ("chatcmpl-1", "We open at ten \u2603.", "pass", "stop", "gpt-test-2026", 12, 5),
        ("resp_1", "Through the slot.", "pass", "completed", "gpt-test-2026", 9, 4),
    ]
    kept = json.loads(house.home.events.read("SELECT extra FROM turns WHERE request_id = 'chatcmpl-1'").item())
    assert {name: kept[name] for name in ("system_fingerprint", "service_tier", "not_yet_known")} == {
        "system_fingerprint": "fp_1",
        "service_tier": "default",
        "not_yet_known": {"a": [1]},
    }
    assert (
        house.home.events.read("SELECT extra->>'tool_choice' FROM turns WHERE request_id = 'resp_1'").item() == "auto"
    )


def test_question_beside_the_answer__prompt_and_messages(client: OpenAI, house: House) -> None:
    asked = {"model": "gpt-test", "messages": [{"role": "user", "content": "When?"}]}
    chat = client.chat.completions.create(model="gpt-test", messages=[{"role": "user", "content": "When?"}])
    line = {"timestamp": isoformat(now()), "request": asked, "response": chat.model_dump(mode="json")}
    answer_of(house.post(json.dumps(line).encode(), "/intake/v1/openai_chat_completion"), 200)
    assert house.home.events.read("SELECT prompt, response FROM turns").row(0) == ("When?", "We open at ten \u2603.")


@pytest.mark.parametrize("by_alias", [True, False], ids=["names of the API", "names of Python"])
def test_moderation__read_under_either_naming(by_alias: bool, client: OpenAI, house: House) -> None:
    moderation = client.moderations.create(input="You are all useless.").model_dump(mode="json", by_alias=by_alias)
    line = {"timestamp": isoformat(now()), "request": {"input": "You are all useless."}, "response": moderation}
    answer_of(house.post(json.dumps(line).encode(), "/intake/v1/openai_moderation"), 200)
    check = house.home.events.read("SELECT triggered, score, category, content FROM checks").row(0)
    assert check == (True, 0.91, "hate", "You are all useless.")
    scores = house.home.events.read(
        "SELECT category, score, triggered FROM check_scores WHERE score IS NOT NULL"
    ).rows()
    assert ("suicide_self_harm", 0.0001, False) in scores
    assert len(scores) == len(SCORES)
    assert not [category for category, _, _ in scores if category.startswith("unmapped")]
