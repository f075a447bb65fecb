"""A web server on this host that keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Sink:
    """What came in: bodies and idempotency keys, in order. `answer` gives the status of the next request."""

    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    answer: Callable[[], int] = lambda: 200
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, words: str, *, timeout_s: float = 30) -> dict[str, Any]:
        """The first body whose title holds the words; raises AssertionError when none comes."""

        def find() -> dict[str, Any] | None:
            return next((body for body in self.bodies if words in body["title"]), None)

        with self.arrived:
            found = self.arrived.wait_for(find, timeout=timeout_s)
        assert found, f"{words!r} is in none of {[body['title'] for body in self.bodies]}"
        return found

    @property
    def url(self) -> str:
        """Apprise address of the sink."""
        return f"json://127.0.0.1:{self.port}/secret-path-of-the-hook"


@contextmanager
def open_sink() -> Iterator[Sink]:
    """A running sink on a free port of this host."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with sink.arrived:
                sink.bodies.append(json.loads(body))
                sink.keys.append(self.headers["Idempotency-Key"])
                status = sink.answer()
                sink.arrived.notify_all()
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sink.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
