"""A real event store for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.schema import create_tables


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], EventStore]]:
    """Opens as many fresh stores as a test asks for."""
    stores: list[EventStore] = []

    def open_one() -> EventStore:
        store = EventStore(tmp_path / f"events-{len(stores)}.duckdb")
        create_tables(store)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def events(open_store: Callable[[], EventStore]) -> EventStore:
    """An empty event store."""
    return open_store()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Default settings of a home in the test's folder."""
    return Settings().model_copy(update={"home": tmp_path})
