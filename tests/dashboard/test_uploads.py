"""Uploads land whole, under a harmless name, and over nothing."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AccessError, UsageError
from dashboard.uploads import sanitize_name, save_upload
from incidents.people import Actor, Role

LEAD = Actor("ada", Role.LEAD)


def put(inbox: Path, name: str, content: bytes = b"{}\n", *, actor: Actor = LEAD) -> Path:
    return save_upload(inbox, name, io.BytesIO(content), source="uploads", actor=actor)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\passwd", "passwd"])
def test_a_path_cannot_leave_the_inbox(tmp_path: Path, name: str) -> None:
    assert put(tmp_path, name) == tmp_path / "uploads" / "passwd"


def test_a_second_file_of_the_same_name_stands_beside_the_first(tmp_path: Path) -> None:
    first, second = put(tmp_path, "log.jsonl.gz", b"one"), put(tmp_path, "log.jsonl.gz", b"two")
    assert first.read_bytes() == b"one"
    assert second.name == "log-2.jsonl.gz"
    assert second.read_bytes() == b"two"
    assert len(list(tmp_path.rglob("*.part"))) == 0


def test_an_interrupted_upload_leaves_nothing(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, *_args: object) -> bytes:
            raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        save_upload(tmp_path, "log.jsonl", Broken(), source="uploads", actor=LEAD)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b'{"a": 1}\n{"a": 2', b'{"a": 1}\n{"a": 2\n'),
        (b"a,b\n1,2", b"a,b\n1,2\n"),
        (b"[1, 2]", b"[1, 2]"),
        (b"PAR1 and more", b"PAR1 and more"),
    ],
)
def test_a_last_line_without_an_end_gets_one(tmp_path: Path, content: bytes, kept: bytes) -> None:
    assert put(tmp_path, "log", content).read_bytes() == kept


def test_an_empty_file_and_a_name_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="empty"):
        put(tmp_path, "log.jsonl", b"")
    with pytest.raises(UsageError, match="cannot be used"):
        put(tmp_path, "....")


def test_a_reviewer_may_not_bring_data_in(tmp_path: Path) -> None:
    with pytest.raises(AccessError):
        put(tmp_path, "log.jsonl", actor=Actor("ben", Role.REVIEWER))
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=300))
def test_any_name_is_made_harmless_or_refused(name: str) -> None:
    try:
        clean = sanitize_name(name)
    except UsageError:
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", clean)
    assert len(clean) <= 120
