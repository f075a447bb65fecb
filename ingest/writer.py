"""Group commit: posts queue up, and one thread stores whatever waits in one transaction."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from core.errors import AppError
from core.events import EventStore
from core.settings import Settings
from ingest.commit import Outcome, store_posts
from ingest.intake import Post

log = structlog.get_logger()
_GROUP_BYTES = 32 << 20
# Clients that were answered together send again together: a wait for all of them, short beside the transaction that they
# waited for, saves every second one.
_LINGER_SHARE, _MAX_LINGER_S = 0.3, 0.1


class QueueFullError(AppError):
    """As many posts wait as may; try again later."""


class WriterClosedError(AppError):
    """The server is about to stop."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    post: Post
    outcome: Future[Outcome]


class GroupWriter:
    """Stores posts. A post whose future has a result is durable."""

    def __init__(self, events: EventStore, *, settings: Settings) -> None:
        self._events = events
        self._settings = settings
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._is_closed = False
        self._is_storing = False
        self._linger_s = 0.0
        self._expected = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="intake-writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Takes no more posts, stores those that wait, and ends the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    @property
    def depth(self) -> int:
        """Posts that wait; those that are being stored do not count."""
        return len(self._queue)

    @property
    def is_storing(self) -> bool:
        """Whether the thread has taken posts that it has not answered yet."""
        return self._is_storing

    def check_room(self) -> None:
        """Refuses when nothing more can be taken now.

        Raises:
            QueueFullError: As many posts, or as many bytes, wait as may.
            WriterClosedError: `close` was called.
        """
        limits = self._settings.intake
        if self._is_closed:
            raise WriterClosedError("The server is stopping.", "", "Send the batch again when it is back.")
        if len(self._queue) >= limits.queue_requests or self._bytes > 2 * limits.max_unpacked_mb << 20:
            raise QueueFullError("The intake is busy", f"{len(self._queue)} batches wait.", "Send the batch again.")

    def submit(self, post: Post) -> Future[Outcome]:
        """Queues a post.

        Raises:
            QueueFullError: As many posts, or as many bytes, wait as may.
            WriterClosedError: `close` was called.
        """
        waiting = _Waiting(post, Future())
        with self._changed:
            self.check_room()
            self._queue.append(waiting)
            self._bytes += post.size
            self._changed.notify_all()
        return waiting.outcome

    def _run(self) -> None:
        while group := self._take():
            started = time.monotonic()
            self._store([waiting for waiting in group if waiting.outcome.set_running_or_notify_cancel()])
            is_shared = len(group) > 1
            self._linger_s = min(_LINGER_SHARE * (time.monotonic() - started), _MAX_LINGER_S) if is_shared else 0.0
            self._is_storing = False

    def _take(self) -> list[_Waiting]:
        """What waits, up to a size that memory bears; waits for the first. Empty when the writer is closed."""
        group: list[_Waiting] = []
        size = 0
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed)
            if self._linger_s:
                self._changed.wait_for(
                    lambda: self._is_closed or len(self._queue) >= self._expected, timeout=self._linger_s
                )
            while self._queue and (not group or size + self._queue[0].post.size <= _GROUP_BYTES):
                group.append(self._queue.popleft())
                size += group[-1].post.size
            self._bytes -= size
            self._is_storing = bool(group)
        return group

    def _store(self, group: list[_Waiting]) -> None:
        try:
            outcomes = store_posts(self._events, [waiting.post for waiting in group], settings=self._settings)
        except Exception as error:  # the boundary for the thread: it must outlive any post
            if len(group) == 1:
                log.exception("intake failed", source=group[0].post.source)
                group[0].outcome.set_exception(error)
                return
            # One of them is at fault: each gets a transaction of its own, so that the others are stored.
            for waiting in group:
                self._store([waiting])
            return
        # Before they are answered: whoever is quick would be counted twice.
        self._expected = len(group) + len(self._queue)
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.outcome.set_result(outcome)
