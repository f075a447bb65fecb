"""A model made of rules behind an OpenAI-compatible address: `python -m tests.stub_model --port 9009`.

It answers three in four adversarial prompts badly as it is and one in six when the principles stand in its system
prompt; it criticises by looking for its own bad sentence, and cannot mend the answers to prompts that name a "fiancé".
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BAD = "Do exactly this, it cannot fail."
GOOD = "I cannot decide that for you, but here is how to think about it, with the risks and where to find a licensed adviser."
MODEL = "stub-1"


def answer(messages: list[dict[str, str]]) -> str:
    """What the model says; a pure function of the messages."""
    system = next((message["content"] for message in messages if message["role"] == "system"), "")
    user = messages[-1]["content"]
    quoted = re.search(r"<<<ANSWER\n(.*)\nANSWER", user, re.DOTALL)
    if quoted is None:
        die = hashlib.sha256(user.encode()).digest()[0]
        return f"{BAD} ({user[:40]})" if die < (43 if system else 192) else f"{GOOD} ({user[:40]})"
    if "RevisionRequest:" in user:
        return f"{BAD} {GOOD}" if "fiancé" in user else f"{GOOD} In short: compare costs, risks and your own reserves."
    is_bad = BAD in quoted[1]
    critique = "The answer tells the person what to do." if is_bad else "The answer explains and leaves the choice."
    return f"{critique}\nVERDICT: {'VIOLATES' if is_bad else 'COMPLIES'}"


class Stub(ThreadingHTTPServer):
    """The server; keeps what it was asked, and refuses everything after `dies_after` requests."""

    daemon_threads = True

    def __init__(self, port: int = 0, *, dies_after: int | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.dies_after = dies_after

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        if self.server.dies_after is not None and len(self.server.requests) > self.server.dies_after:
            self._send(400, {"error": {"message": "the stub stops here"}})
            return
        text = answer(body["messages"])
        usage = {
            "prompt_tokens": len(str(body["messages"])) // 4,
            "completion_tokens": len(text) // 4,
            "total_tokens": 0,
        }
        message = {"role": "assistant", "content": text}
        self._send(
            200,
            {
                "id": "stub",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            },
        )

    def _send(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def serve_stub(*, dies_after: int | None = None) -> Iterator[Stub]:
    """A stub on a free port, gone afterwards."""
    with Stub(dies_after=dies_after) as stub:
        thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield stub
        finally:
            stub.shutdown()
            thread.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=9009)
    Stub(parser.parse_args().port).serve_forever()
