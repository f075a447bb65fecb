"""Group commit: clients that were answered together are waited for, and stored together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from core.events import EventStore
from core.settings import Settings
from ingest import writer
from ingest.commit import Outcome
from ingest.formats import FORMATS
from ingest.intake import Post, read_records
from ingest.writer import GroupWriter

WAIT_S = 30


class Store:
    """Takes the place of the store: notes how many posts each transaction has, and ends the first one when told."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def store_posts(self, _events: EventStore, posts: Sequence[Post], *, settings: Settings) -> list[Outcome]:
        assert settings is not None
        self.groups.append(len(posts))
        self.has_begun.set()
        assert self.may_end.wait(WAIT_S)
        return [Outcome(is_stored=True) for _ in posts]


def test_clients_that_were_answered_together__are_stored_together_once_all_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    monkeypatch.setattr(writer, "store_posts", store.store_posts)
    # Longer than the test may take: only that all are back can end the wait.
    monkeypatch.setattr(writer, "_LINGER_SHARE", 1e9)
    monkeypatch.setattr(writer, "_MAX_LINGER_S", 10.0 * WAIT_S)
    events = EventStore(tmp_path / "events.duckdb")
    group_writer = GroupWriter(events, settings=Settings())
    group_writer.start()

    def submit(count: int) -> list[Future[Outcome]]:
        return [
            group_writer.submit(Post(FORMATS["filter_log"], "s", read_records(b""), False, 0)) for _ in range(count)
        ]

    first = submit(1)
    assert store.has_begun.wait(WAIT_S)
    together = submit(3)
    store.may_end.set()
    assert all(future.result(WAIT_S).is_stored for future in (*first, *together))
    back = submit(2)
    back += submit(1)
    assert all(future.result(WAIT_S).is_stored for future in back)
    assert store.groups == [1, 3, 3]
    gone = submit(1)
    group_writer.close()
    assert gone[0].result(0).is_stored, "what waits for others is stored when the writer closes"
    events.close()
