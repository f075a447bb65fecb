"""A fresh event store for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from canonical_rows import open_store

from core.events import EventStore


@pytest.fixture
def events(tmp_path: Path) -> Iterator[EventStore]:
    store = open_store(tmp_path)
    yield store
    store.close()
