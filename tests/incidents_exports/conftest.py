"""Stores for the tests of feedback sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from export_world import World, open_world

from core.records import RecordStore
from incidents import MIGRATIONS


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty world."""
    opened = open_world(tmp_path / "home")
    yield opened
    opened.events.close()


@pytest.fixture
def records(tmp_path: Path) -> Iterator[RecordStore]:
    """An empty decision store."""
    store = RecordStore(f"sqlite:///{tmp_path / 'incidents.sqlite'}")
    store.upgrade(MIGRATIONS)
    yield store
    store.close()
