"""Stores for the tests of feedback sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from export_world import World, open_world

from core.records import RecordStore
from tests.stores import open_records


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty world."""
    opened = open_world(tmp_path / "home")
    yield opened
    opened.events.close()


@pytest.fixture
def records(tmp_path: Path) -> Iterator[RecordStore]:
    """An empty decision store."""
    store = open_records(tmp_path)
    yield store
    store.close()
