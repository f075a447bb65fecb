"""The HTTP intake: what is taken, what is refused and how, and that a 200 outlives a kill."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.settings import IntakeSettings, Settings, load_settings
from ingest.commit import Outcome, store_posts
from ingest.formats import FORMATS
from ingest.formats.hh_rlhf import HhRlhf
from ingest.intake import BodyTooLargeError, Post, read_records, unpack
from service.home import Home, open_home, serve_home
from service.intake import Intake, run_intake
from service.remote import CommandResult, find_address
from service.routes import build_routes
from tests.browser.serving import serve
from tests.ingest.logs import make_rated, read_store, to_jsonl

ROUTE = "/intake/v1/filter_log"
WAIT_S = 30
CLIENTS, BATCH = 4, 50
COUNTS = {"accepted", "duplicates", "ignored", "rejected", "rejections"}


def check(number: int, **facts: object) -> dict[str, object]:
    moment = f"2026-03-02T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    return {"ts": moment, "request_id": f"r{number}", "filter_name": "f", "triggered": False, **facts}


def ndjson(*records: dict[str, object] | str) -> bytes:
    return "".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in records).encode()


def batch(first: int, count: int, **facts: object) -> bytes:
    return ndjson(*(check(number, **facts) for number in range(first, first + count)))


def pack_gzip(body: bytes) -> bytes:
    """Packs without the time of day, which would give a parametrized test another name in each worker."""
    return gzip.compress(body, mtime=0)


def client_of(*, host: str = "127.0.0.1", base_url: str = "http://127.0.0.1:8501") -> TestClient:
    routes = build_routes(lambda *_: CommandResult(0, "", ""), lambda: "unused")
    return TestClient(Starlette(routes=routes), base_url=base_url, client=(host, 50000))


class House:
    """A home with its intake, as the server's lifespan makes it."""

    def __init__(self, home: Home, intake: Intake) -> None:
        self.home = home
        self.intake = intake
        self.client = client_of()

    def post(self, body: bytes, route: str = ROUTE, **params: str) -> httpx.Response:
        return self.client.post(route, content=body, params=params)

    def count(self, table: str) -> int:
        found: int = self.home.events.read(f"SELECT count(*) FROM {table}").item()
        return found


def open_house(folder: Path, **changes: Any) -> Iterator[House]:
    settings: Settings = load_settings(folder).model_copy(update=changes)
    with open_home(settings) as home, run_intake(home) as intake:
        serve_home(home)
        yield House(home, intake)
        serve_home(None)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from open_house(tmp_path / "home", intake=IntakeSettings(max_body_mb=1, max_unpacked_mb=2, queue_requests=2))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[House]:
    yield from open_house(tmp_path / "home", intake_token=SecretStr("s3cret-t\u00f6ken"))


def answer_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.text.isascii()
    document: dict[str, Any] = response.json()
    return document


# What is taken


def test_a_value_that_no_column_holds_is_named_and_keeps_nobody_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its last rule is what foresees such a rating.
    monkeypatch.setattr(HhRlhf, "rules", HhRlhf.rules[:-1])
    body = to_jsonl([make_rated(1, 1.0), make_rated(2, 1e40), make_rated(3, 1.0)])
    document = answer_of(house.post(body, "/intake/v1/hh_rlhf"), 400)
    assert (document["position"], document["reason"]) == (2, "unfit_value")
    document = answer_of(house.post(body, "/intake/v1/hh_rlhf", partial="true"), 200)
    assert (document["accepted"], document["rejections"]) == (2, {"unfit_value": 1})


@pytest.mark.parametrize("pack", [bytes, pack_gzip], ids=["plain", "gzip"])
@pytest.mark.parametrize("container", ["lines", "array", "pretty array", "lines with a mark and blank lines"])
def test_a_batch_is_stored_and_counted(house: House, container: str, pack: Any) -> None:
    records = [check(number) for number in range(5)]
    body = {
        "lines": ndjson(*records),
        "array": json.dumps(records).encode(),
        "pretty array": json.dumps(records, indent=1).encode(),
        "lines with a mark and blank lines": b"\xef\xbb\xbf" + ndjson(*records).replace(b"}\n", b"}\r\n\r\n"),
    }[container]
    document = answer_of(house.post(pack(body), source="gateway"), 200)
    assert document == {"accepted": 5, "duplicates": 0, "ignored": 0, "rejected": 0, "rejections": {}}
    assert house.home.events.read("SELECT DISTINCT source FROM checks").item() == "gateway"
    assert house.count("checks") == 5
    assert answer_of(house.post(body, source="gateway"), 200)["duplicates"] == 5
    assert house.count("checks") == 5


def test_every_format_has_its_route(house: House) -> None:
    turn = {"ts": "2026-03-02T09:00:00Z", "request_id": "r1", "prompt": "a", "response": "b"}
    verdict = {"ts": "2026-03-02T09:00:00Z", "request_id": "r1", "reviewer": "ann", "harmful": True}
    assert answer_of(house.post(ndjson(turn), "/intake/v1/model_log"), 200)["accepted"] == 1
    assert answer_of(house.post(ndjson(verdict), "/intake/v1/label_log"), 200)["accepted"] == 1
    assert (house.count("turns"), house.count("labels")) == (1, 1)
    sources = house.home.events.read("SELECT DISTINCT source FROM ingests ORDER BY 1").to_series().to_list()
    assert sources == ["label_log", "model_log"]


@pytest.mark.parametrize("body", [b"", b"\n \n", b"[]", pack_gzip(b"")])
def test_an_empty_batch_is_no_fault(house: House, body: bytes) -> None:
    assert answer_of(house.post(body), 200)["accepted"] == 0
    assert house.count("ingests") == 0


def test_gzip_of_several_members(house: House) -> None:
    body = gzip.compress(batch(0, 3)) + gzip.compress(batch(3, 3))
    response = house.client.post(ROUTE, content=body, headers={"Content-Encoding": "gzip"})
    assert answer_of(response, 200)["accepted"] == 6


def test_a_record_twice_in_one_batch_counts_once(house: House) -> None:
    document = answer_of(house.post(ndjson(check(1), check(2), check(1))), 200)
    assert (document["accepted"], document["duplicates"]) == (2, 1)


# What is refused


def test_all_or_nothing(house: House) -> None:
    body = ndjson(check(1), "", check(2, ts="yesterday"), check(3, triggered="perhaps"))
    document = answer_of(house.post(body), 400)
    assert (document["position"], document["field"], document["reason"]) == (3, "ts", "invalid_time")
    assert "ISO 8601" in document["remedy"]
    assert "record 3, ts" in document["error"]
    assert "yesterday" in document["error"]
    assert (document["accepted"], document["duplicates"], document["rejected"]) == (0, 0, 2)
    assert document["rejections"] == {"invalid_boolean": 1, "invalid_time": 1}
    assert [house.count(table) for table in ("checks", "turns", "quarantine", "ingests", "check_rollup")] == [0] * 5


def test_partial__the_good_are_stored_the_bad_are_in_quarantine(house: House) -> None:
    body = json.dumps([check(1), check(2, ts="yesterday"), check(3), 7]).encode()
    document = answer_of(house.post(body, partial="true", source="gateway"), 200)
    assert document.keys() > COUNTS
    assert (document["accepted"], document["rejected"]) == (2, 2)
    assert document["first_reject"]["position"] == 2
    assert house.count("checks") == 2
    again = answer_of(house.post(body, partial="true", source="gateway"), 200)
    assert (again["accepted"], again["duplicates"], again["rejected"]) == (0, 2, 2)
    rows = house.home.events.read("SELECT line_no, source, file FROM quarantine ORDER BY 1").rows()
    assert rows == [(2, "gateway", None), (4, "gateway", None)]


def test_bytes_that_are_no_text(house: House) -> None:
    body = ndjson(check(1)) + b'{"ts": "\xff\xfe"}\n' + ndjson(check(2))
    document = answer_of(house.post(body), 400)
    assert (document["position"], document["reason"]) == (2, "invalid_utf8")
    document = answer_of(house.post(body, partial="1"), 200)
    assert (document["accepted"], document["rejections"]) == (2, {"invalid_utf8": 1})
    assert house.count("checks") == 2


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"[{", "JSON"),
        (b'[{"a": 1}, ', "JSON"),
        (b'["\xff"]', "JSON"),
        (b"[" * 100_000, "JSON"),
        (pack_gzip(batch(0, 100))[:-20], "cut off"),
        (pack_gzip(b"{}")[:12] + b"\x00" * 40, "damaged"),
        (pack_gzip(b"{}\n") * 101, "members"),
    ],
)
def test_a_body_that_cannot_be_read(house: House, body: bytes, named: str) -> None:
    for partial in ("true", "false"):
        assert named in answer_of(house.post(body, partial=partial), 400)["error"]
    assert house.count("ingests") == 0


def test_too_large__packed_unpacked_or_endless(house: House) -> None:
    assert "max_body_mb" in answer_of(house.post(b"x" * ((1 << 20) + 1)), 413)["error"]
    endless = (b"x" * 65536 for _ in range(10_000))
    assert "max_body_mb" in answer_of(house.client.post(ROUTE, content=endless), 413)["error"]
    text = b" " * (3 << 20)
    assert "max_unpacked_mb" in answer_of(house.post(gzip.compress(text)), 413)["error"]


def test_a_bomb_is_never_unpacked() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(128)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            unpack(bomb, limit=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_many_tiny_elements_are_refused_before_they_become_objects() -> None:
    with pytest.raises(BodyTooLargeError):
        read_records(b"[" + b"1," * 5_000_000 + b"1]")


def test_unknown_format_names_the_valid_ones(house: House) -> None:
    error = answer_of(house.post(b"{}", "/intake/v1/nosuch"), 404)["error"]
    assert ", ".join(FORMATS) in error


@pytest.mark.parametrize(
    "params", [{"partial": "perhaps"}, {"source": "x" * 101}, {"source": "a\x1b[2Jb"}, {"source": "\u202ea"}]
)
def test_wrong_parameters(house: House, params: dict[str, str]) -> None:
    answer_of(house.post(batch(0, 1), **params), 400)
    assert house.count("ingests") == 0


def test_unknown_encoding(house: House) -> None:
    response = house.client.post(ROUTE, content=b"{}", headers={"Content-Encoding": "br"})
    assert "gzip" in answer_of(response, 415)["error"]


# Who may post


@pytest.mark.parametrize("route", [ROUTE, "/metrics"])
@pytest.mark.parametrize(
    "header",
    [None, "Bearer", "Bearer ", "Bearer wrong", "Bearer s3cret", "Basic s3cret-t\u00f6ken", "s3cret-t\u00f6ken"],
)
def test_wrong_token(guarded: House, header: str | None, route: str) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    method = "GET" if route == "/metrics" else "POST"
    response = guarded.client.request(method, route, content=batch(0, 1), headers=headers)
    assert "s3cret" not in response.text
    assert answer_of(response, 401)["error"]
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert guarded.count("ingests") == 0


def test_right_token_from_anywhere(guarded: House) -> None:
    client = client_of(host="192.0.2.7", base_url="http://weir.example")
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} s3cret-t\u00f6ken".encode()}
        assert client.post(ROUTE, content=batch(0, 1), headers=headers).status_code == 200
        assert client.get("/metrics", headers=headers).status_code == 200


def test_without_a_token_only_programs_on_this_host(house: House) -> None:
    def status(client: TestClient, **headers: str) -> int:
        code: int = client.post(ROUTE, content=batch(0, 1), headers=headers).status_code
        return code

    assert status(client_of(host="::1", base_url="http://localhost:8501")) == 200
    assert status(client_of(host="::1", base_url="http://[::1]:8501")) == 200
    assert status(client_of(host="192.0.2.7")) == 401
    assert status(client_of(base_url="http://rebound.example")) == 401
    assert status(house.client, origin="http://evil.example") == 401
    assert status(house.client, **{"X-Forwarded-For": "192.0.2.7"}) == 401


# Back-pressure and neighbours


def wait_until(is_so: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Held:
    """Keeps the store's writer busy, so that posts queue up."""

    def __init__(self, house: House) -> None:
        self._release, has_begun = threading.Event(), threading.Event()

        def work(_connection: object) -> None:
            has_begun.set()
            assert self._release.wait(WAIT_S)

        self._thread = threading.Thread(target=house.home.events.write, args=(work,))
        self._thread.start()
        assert has_begun.wait(WAIT_S)

    def release(self) -> None:
        self._release.set()
        self._thread.join()


def fill(house: House, pool: ThreadPoolExecutor, bodies: list[bytes], **params: str) -> list[Any]:
    """Posts the first body, which the writer takes, then the others, which wait in this order."""
    sent = []
    for depth, body in enumerate(bodies):
        sent.append(pool.submit(lambda body=body: House(house.home, house.intake).post(body, **params)))
        if depth:
            wait_until(lambda depth=depth: house.intake.writer.depth == depth)
        else:
            wait_until(lambda: house.intake.writer.is_storing)
    return sent


def test_a_full_queue_answers_429(house: House) -> None:
    held = Held(house)
    with ThreadPoolExecutor(4) as pool:
        sent = fill(house, pool, [batch(number * 10, 10) for number in range(3)])
        response = house.post(batch(90, 10))
        document = answer_of(response, 429)
        assert "busy" in document["error"]
        assert int(response.headers["Retry-After"]) >= 1
        assert "weir_intake_queue_requests 2.0" in house.client.get("/metrics").text
        held.release()
        assert [answer_of(one.result(), 200)["accepted"] for one in sent] == [10, 10, 10]
    assert answer_of(house.post(batch(90, 10)), 200)["accepted"] == 10
    assert house.count("checks") == 40


def make_post(body: bytes, *, is_partial: bool = False, source: str = "s", key: str = "filter_log") -> Post:
    return Post(FORMATS[key], source, read_records(body), is_partial, len(body))


def test_one_commit_keeps_results_apart(home: Home) -> None:
    posts = [
        make_post(batch(0, 4)),
        make_post(ndjson(check(10), "no json", check(11))),
        make_post(ndjson(check(20), check(21, ts=""), check(22)), is_partial=True),
        make_post(batch(2, 4)),
        make_post(b""),
        make_post(batch(30, 3), source="other"),
        make_post(ndjson({"ts": "2026-03-02T09:00:00Z", "request_id": "r1"}), key="model_log"),
        make_post(ndjson(check(40)) + b"\xff\n", is_partial=True),
    ]
    outcomes = store_posts(home.events, posts, settings=home.settings)
    assert [(o.is_stored, o.accepted, o.duplicates, o.rejections) for o in outcomes] == [
        (True, 4, 0, {}),
        (False, 0, 0, {"invalid_json": 1}),
        (True, 2, 0, {"missing_field": 1}),
        (True, 2, 2, {}),
        (True, 0, 0, {}),
        (True, 3, 0, {}),
        (True, 1, 0, {}),
        (True, 1, 0, {"invalid_utf8": 1}),
    ]
    firsts = [outcome.first and (outcome.first.position, outcome.first.field) for outcome in outcomes]
    assert firsts == [None, (2, None), (2, "ts"), None, None, None, None, (2, None)]
    assert home.events.read("SELECT count(*) FROM checks").item() == 4 + 2 + 2 + 3 + 1
    assert home.events.read("SELECT list(line_no ORDER BY line_no) FROM quarantine").item().to_list() == [2, 2]
    # Two of one format and source, and without a fault, are loaded as one batch.
    assert home.events.read("SELECT count(*) FROM ingests").item() == 5


@pytest.mark.parametrize("seed", range(3))
def test_together_is_as_one_after_another(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    posts = []
    for _ in range(12):
        rows: list[dict[str, object] | str] = [
            check(chance.randrange(60), request_id=f"r{chance.randrange(20)}", outcome=chance.choice(["pass", None]))
            for _ in range(chance.randrange(1, 12))
        ]
        if chance.random() < 0.3:
            rows.insert(chance.randrange(len(rows)), chance.choice(["{", '{"ts": 1}']))
        source = chance.choice(["a", "a", "b"])
        posts.append(make_post(ndjson(*rows), is_partial=chance.random() < 0.5, source=source))
    with (
        open_home(load_settings(tmp_path / "together")) as together,
        open_home(load_settings(tmp_path / "apart")) as apart,
    ):
        at_once = store_posts(together.events, posts, settings=together.settings)
        # Posts of one source are loaded together: those of another one come after or before all of them.
        order = sorted(range(len(posts)), key=lambda index: _rank(posts, at_once, index))
        singly = {index: store_posts(apart.events, [posts[index]], settings=apart.settings)[0] for index in order}
        assert at_once == [singly[index] for index in range(len(posts))]
        assert read_store(together.events) == read_store(apart.events)


def _rank(posts: list[Post], outcomes: list[Outcome], index: int) -> tuple[int, int]:
    """Where a post comes in the transaction: with the first of its group."""
    is_alone = bool(outcomes[index].rejections)
    group = [
        other
        for other in range(len(posts))
        if posts[other].source == posts[index].source and not outcomes[other].rejections
    ]
    return (index if is_alone else group[0], index)


def test_a_post_that_breaks_the_loader_fails_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(make_post(batch(50, 1)), source="broken")

    def load(connection: Any, log_format: Any, records: Any, **rest: Any) -> Any:
        if records.source == "broken":
            raise RuntimeError("disk on fire")
        return real(connection, log_format, records, **rest)

    from ingest import commit

    real = commit.load_batch
    monkeypatch.setattr(commit, "load_batch", load)
    held = Held(house)
    first = house.intake.writer.submit(make_post(batch(0, 5)))
    wait_until(lambda: house.intake.writer.is_storing)
    good, bad = house.intake.writer.submit(make_post(batch(5, 5))), house.intake.writer.submit(broken)
    held.release()
    assert (first.result(WAIT_S).accepted, good.result(WAIT_S).accepted) == (5, 5)
    with pytest.raises(RuntimeError, match="fire"):
        bad.result(WAIT_S)
    document = answer_of(house.post(batch(60, 1), source="broken"), 500)
    assert "fire" not in document["error"]
    assert house.count("checks") == 10


def test_closing_stores_what_waits(tmp_path: Path) -> None:
    with open_home(load_settings(tmp_path / "home")) as home:
        with run_intake(home) as intake:
            futures = [intake.writer.submit(make_post(batch(number * 5, 5))) for number in range(4)]
        assert [future.result(0).accepted for future in futures] == [5] * 4
        assert home.events.read("SELECT count(*) FROM checks").item() == 20
        assert client_of().post(ROUTE, content=b"").status_code == 503


# Hostile text

HOSTILE = [
    "'; DROP TABLE checks; --",
    "<script>alert(1)</script>",
    "\x1b]0;owned\x07\x1b[2J\u202e\u2066",
    "\x00",
    "\ud800",
    "\U0001f4a3" * 100,
    "$x %s {x} ?",
    "\r\n{}",
    "x" * 50_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text__stored_or_refused_never_obeyed(house: House, text: str) -> None:
    facts: dict[str, object] = dict.fromkeys(("filter_name", "request_id", "category", "content", text or "k"), text)
    body = ndjson(check(1), check(2, **facts), check(3))
    document = answer_of(house.post(body, partial="true"), 200)
    assert document["accepted"] + document["rejected"] == 3
    assert document["accepted"] >= 2
    refused = answer_of(house.post(ndjson(check(4), check(5, triggered=text))), 400)
    assert refused["position"] == 2
    assert len(refused["error"]) < 2000
    assert house.count("checks") == document["accepted"]
    assert house.client.get("/metrics").status_code == 200


ODD_LINES = [
    "1", '"x"', "null", "[]", "{", "}", "{}", "NaN", '{"ts": NaN}', '{"ts": 1e999}', '{"ts": ' + "9" * 400 + "}",
    '{"ts": {"a": 1}}', '{"ts": 1, "ts": 2}', '{"a":' * 2000 + "1" + "}" * 2000, "\x00", '{"turn_index": 1e300}',
]  # fmt: skip


@pytest.mark.parametrize("line", ODD_LINES, ids=range(len(ODD_LINES)))
def test_odd_lines_are_refused_and_disturb_nobody(house: House, line: str) -> None:
    document = answer_of(house.post(ndjson(check(1), line, check(2)), partial="true"), 200)
    assert (document["accepted"], document["rejected"]) == (2, 1)
    assert house.count("checks") == 2
    assert answer_of(house.post(ndjson(check(3), line)), 400)["position"] == 2


# Metrics


def test_metrics(house: House) -> None:
    house.post(batch(0, 5), source='gate"way')
    house.post(batch(0, 6), source='gate"way')
    house.post(ndjson(check(1, ts="")))
    house.post(b"", "/intake/v1/nosuch")
    response = house.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = response.text.splitlines()
    assert 'weir_intake_records_total{format="filter_log",result="accepted"} 6.0' in lines
    assert 'weir_intake_records_total{format="filter_log",result="duplicate"} 5.0' in lines
    assert 'weir_intake_rejects_total{format="filter_log",reason="missing_field"} 1.0' in lines
    assert 'weir_intake_requests_total{status="200"} 2.0' in lines
    assert 'weir_intake_requests_total{status="400"} 1.0' in lines
    assert 'weir_intake_requests_total{status="404"} 1.0' in lines
    assert "weir_intake_queue_requests 0.0" in lines
    assert "weir_data_version 2.0" in lines
    (lag,) = [line for line in lines if line.startswith("weir_source_lag_seconds{")]
    assert lag.startswith('weir_source_lag_seconds{format="filter_log",source="gate\\"way"} ')


# Power cut


def test_a_200_outlives_kill_9(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    acknowledged: list[tuple[int, int]] = []
    unsure: list[tuple[int, int]] = []
    enough = threading.Event()

    def send(address: str, number: int) -> None:
        with httpx.Client(timeout=WAIT_S) as client:
            for turn in range(10_000):
                key = (number, turn)
                body = batch(turn * BATCH, BATCH, filter_name=f"client-{number}")
                try:
                    response = client.post(f"{address}{ROUTE}", params={"source": f"client-{number}"}, content=body)
                except httpx.HTTPError:
                    unsure.append(key)
                    return
                assert response.status_code == 200, response.text
                assert response.json()["accepted"] == BATCH
                acknowledged.append(key)
                if len(acknowledged) >= 5 * CLIENTS:
                    enough.set()

    with serve(home) as server, ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(send, server.address, number) for number in range(CLIENTS)]
        assert enough.wait(WAIT_S)
        address = find_address(home)
        assert address is not None
        os.kill(address.pid, signal.SIGKILL)
        for one in running:
            one.result(WAIT_S)
    with open_home(load_settings(home)) as opened:
        stored = opened.events.read("SELECT filter_name, request_id, count(*) AS copies FROM checks GROUP BY ALL")
        found = {(name, key) for name, key, _ in stored.rows()}
        assert set(stored["copies"]) == {1}
        promised = {
            (f"client-{number}", f"r{turn * BATCH + row}") for number, turn in acknowledged for row in range(BATCH)
        }
        assert promised <= found
        # A batch without an answer is there whole or not at all.
        assert len(found - promised) % BATCH == 0
    with serve(home) as server:
        for number, turn in [*acknowledged, *unsure]:
            body = batch(turn * BATCH, BATCH, filter_name=f"client-{number}")
            params = {"source": f"client-{number}"}
            document = httpx.post(f"{server.address}{ROUTE}", params=params, content=body, timeout=WAIT_S).json()
            assert document["accepted"] + document["duplicates"] == BATCH
            if (number, turn) in acknowledged:
                assert document["duplicates"] == BATCH
    with open_home(load_settings(home)) as opened:
        total = opened.events.read("SELECT count(*) FROM checks").item()
        assert total == BATCH * len({*acknowledged, *unsure})
        assert opened.events.read("SELECT sum(evaluated) FROM check_rollup").item() == total
