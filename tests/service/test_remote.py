"""Commands beside a running server: they go through it, and nobody meets a lock."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from core.errors import StoreBusyError
from service.remote import Address, call, find_address
from tests.browser.serving import Server, serve, weir_command
from tests.service.commands import ROOT, SAMPLES

PROCESSES = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("remote") / "home"
    home.mkdir()
    with serve(home) as running:
        yield running


def start(server: Server, *arguments: str, folder: Path = ROOT) -> subprocess.Popen[bytes]:
    """Starts `weir` as a person would, in a process of its own."""
    return subprocess.Popen(
        [*weir_command(), *arguments, "--home", str(server.home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def weir(server: Server, *arguments: str, folder: Path = ROOT, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    process = start(server, *arguments, folder=folder)
    out, err = process.communicate(stdin, timeout=300)
    return process.returncode, out, err


def check_lines(label: str, count: int) -> bytes:
    rows = (
        {
            "ts": "2026-03-02T09:00:00Z",
            "request_id": f"{label}-{number}",
            "filter_name": label,
            "triggered": number % 2 == 0,
        }
        for number in range(count)
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def live_address(server: Server) -> Address:
    address = find_address(server.home)
    assert address is not None
    return address


def test_the_address_is_for_its_owner_alone(server: Server) -> None:
    path = server.home / "server.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert live_address(server).port == int(server.address.rsplit(":", 1)[1])


def test_a_wrong_token_is_refused(server: Server) -> None:
    address = live_address(server)
    with pytest.raises(StoreBusyError, match="401"):
        call(replace(address, token="wrong"), ["status"], folder=ROOT)
    route = f"{server.address}/internal/v1/command"
    command = json.dumps({"arguments": ["status"], "folder": "/"})
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"}):
        answer = httpx.post(route, headers=headers, content=command)
        assert answer.status_code == 401
        assert address.token not in answer.text


def test_paths_are_meant_from_where_the_command_was_typed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.jsonl").write_bytes(check_lines("relative", 7))
    status, out, err = weir(server, "ingest", "logs/a.jsonl", "--json", folder=tmp_path)
    assert (status, err) == (0, b"")
    assert json.loads(out)["stored"]["checks"] == 7


def test_standard_input(server: Server) -> None:
    status, out, err = weir(server, "ingest", "-", "--json", stdin=check_lines("piped", 9))
    assert (status, err) == (0, b"")
    assert json.loads(out)["stored"]["checks"] == 9


def test_many_paths_on_one_command_line(server: Server, tmp_path: Path) -> None:
    # Longer than any header may be: what a shell makes of `weir ingest *`.
    folder = Path(*["rotated-" * 30] * 4)
    (tmp_path / folder).mkdir(parents=True)
    names = [str(folder / f"{number}.jsonl") for number in range(70)]
    assert sum(map(len, names)) > 1 << 16
    for name in names:
        (tmp_path / name).write_bytes(check_lines("globbed", 1))
    status, out, err = weir(server, "ingest", *names, "--json", folder=tmp_path)
    assert (status, err) == (0, b"")
    document = json.loads(out)
    assert (document["files"], document["stored"]["checks"], document["duplicates"]) == (70, 1, 69)


def test_report_export_status(server: Server, tmp_path: Path) -> None:
    assert weir(server, "ingest", str(SAMPLES))[0] == 0
    status, out, err = weir(server, "report", "triggers", "--filter", "filter_name=word-list", "--json")
    assert (status, err) == (0, b"")
    assert json.loads(out)["rows"][0]["evaluated"] == 34
    status, out, err = weir(server, "export", "classifier", "--out", "set", "--json", folder=tmp_path)
    assert (status, err) in ((0, b""), (3, b""))
    assert Path(json.loads(out)["manifest"]) == tmp_path / "set" / "manifest.json"
    assert (tmp_path / "set" / "train.jsonl").exists()
    assert weir(server, "export", "verify", "set", folder=tmp_path)[0] == 0
    status, out, _ = weir(server, "status", "--json")
    assert status == 0
    assert {row["source"] for row in json.loads(out)["sources"]} >= {"filter_log", "perspective"}


def test_failures_come_back_as_they_are(server: Server, tmp_path: Path) -> None:
    status, out, err = weir(server, "report", "nosuch")
    assert (status, out) == (2, b"")
    assert err.count(b"\n") == 1
    assert b"triggers, coverage" in err
    status, out, err = weir(server, "ingest", "nowhere.jsonl", folder=tmp_path)
    assert (status, out) == (1, b"")
    assert b"nowhere.jsonl" in err


def test_four_processes_at_once(server: Server, tmp_path: Path) -> None:
    running = []
    for number in range(PROCESSES):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(check_lines(f"at-once-{number}", 500))
        running.append(start(server, "ingest", path.name, "--json", folder=tmp_path))
        running.append(start(server, "report", "triggers", "--by", "filter_name", "--json"))
    for process in running:
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, b"")
        assert json.loads(out)
    _, out, _ = weir(server, "report", "triggers", "--by", "filter_name", "--json")
    counts = {row["filter_name"]: row["evaluated"] for row in json.loads(out)["rows"]}
    assert [counts[f"at-once-{number}"] for number in range(PROCESSES)] == [500] * PROCESSES


def test_help_is_printed_here_not_in_the_server(server: Server) -> None:
    for arguments in (["labels"], ["report", "--help"]):
        done = subprocess.run(
            [*weir_command(), *arguments],
            capture_output=True,
            cwd=ROOT,
            env=os.environ | {"WEIR_HOME": str(server.home)},
            check=False,
        )
        assert b"Usage: weir" in done.stdout


def test_a_second_server_says_a_sentence(server: Server) -> None:
    status, out, err = weir(server, "serve", "--port", "1")
    assert (status, out) == (1, b"")
    assert err.count(b"\n") == 1
    assert f"127.0.0.1:{live_address(server).port}".encode() in err


def test_a_killed_server_disturbs_no_command(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with serve(home) as server:
        weir(server, "ingest", "-", stdin=check_lines("durable", 3))
        os.kill(live_address(server).pid, signal.SIGKILL)
        assert (home / "server.json").exists()
        status, out, err = weir(server, "report", "triggers", "--filter", "filter_name=durable", "--json")
    assert (status, err) == (0, b"")
    assert json.loads(out)["rows"][0]["evaluated"] == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "port": 1, "token": "t"}'])
def test_a_stale_address_is_no_server(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    assert find_address(tmp_path) is None
