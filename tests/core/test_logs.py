"""The process's own log: whole lines of JSON, inert, without what people wrote."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
import structlog

from core.logs import configure_logs


def fail_with(text: str) -> None:
    raise OSError(f"disk gone\nafter {len(text)} characters")


def test_a_failure_is_one_line_of_json_with_its_place_and_no_variables(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    written = "what a person wrote"
    try:
        fail_with(written)
    except OSError:
        structlog.get_logger().exception("job failed", job="tick")
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["job"], entry["level"]) == ("job failed", "tick", "error")
    assert datetime.fromisoformat(entry["timestamp"]).tzinfo is not None
    assert "in fail_with" in entry["exception"]
    assert "disk gone\nafter 19 characters" in entry["exception"]
    assert written not in line


def test_nothing_in_a_line_moves_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    structlog.get_logger().warning("file \x1b[2J\u202e", path="a\r\nb\x9b31m\u2028")
    line = capsys.readouterr().err
    assert line.isascii()
    assert line.rstrip("\n").isprintable()
    assert json.loads(line)["path"] == "a\r\nb\x9b31m\u2028"
