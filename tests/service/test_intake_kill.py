"""A power cut at any moment of the intake: what was answered with 200 is there, once; a batch without an answer whole or not at all."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.events import EventStore
from tests.ingest.logs import make_check, to_jsonl
from tests.service.intake_server import serve_intake
from tests.soak import repeats

CLIENTS, BATCH = 3, 20
WAIT_S = 60
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([serve_intake.__module__])


def test_kill_after_200__every_answered_batch_is_stored_once(tmp_path: Path) -> None:
    chance = random.Random(13)
    total = 0
    for number in range(repeats(4)):
        started, other_end = PROCESSES.Pipe()
        server = PROCESSES.Process(target=serve_intake, args=(tmp_path, other_end), daemon=True)
        server.start()
        other_end.close()
        port = started.recv()
        answered: set[str] = set()
        first_answer = threading.Event()

        def send(client: int, port: int, number: int, answered: set[str], first_answer: threading.Event) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
            for batch in range(10_000):
                name = f"{number}-{client}-{batch}"
                body = to_jsonl([make_check(row, filter_name=name, latency_ms=row) for row in range(BATCH)])
                try:
                    connection.request("POST", f"/intake/v1/filter_log?source=client-{client}", body)
                    response = connection.getresponse()
                    document = json.loads(response.read())
                except (OSError, http.client.HTTPException, ValueError):
                    return
                assert (response.status, document["accepted"]) == (200, BATCH)
                answered.add(name)
                first_answer.set()

        with ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(send, client, port, number, answered, first_answer) for client in range(CLIENTS)]
            assert first_answer.wait(WAIT_S)
            threading.Event().wait(chance.uniform(0.0, 0.2))
            server.kill()
            server.join()
            for one in running:
                one.result(WAIT_S)
        events = EventStore(tmp_path / "events.duckdb")
        found = dict(
            events.read(
                "SELECT filter_name, count(*) FROM checks WHERE starts_with(filter_name, ?) GROUP BY 1", [f"{number}-"]
            ).rows()
        )
        assert answered <= found.keys()
        assert set(found.values()) == {BATCH}
        total += len(found) * BATCH
        assert events.read("SELECT count(*) FROM checks").item() == total
        assert events.read("SELECT sum(evaluated) FROM check_rollup").item() == total
        events.close()
