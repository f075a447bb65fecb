"""The event store: one DuckDB file, one owning process, one writer, a cursor per thread.

Only this module knows DuckDB's connection rules; what the tables mean is said in `ingest.schema`.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import duckdb
import ibis
import polars as pl
from ibis.backends.duckdb import Backend
from ibis.expr import operations as ops

from core.errors import StoreBusyError, StoreFullError, UnfitValueError
from core.sql import to_sql

T = TypeVar("T")
Connection = duckdb.DuckDBPyConnection
_SHOWN = 300
_PATIENCE_S = 10.0
DERIVED = "derived"
"""A database in memory beside the file: tables that are worked out from stored ones, the same for every thread."""
_NO_ROOM = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class StoreBackend(Backend):  # type: ignore[misc]  # Ibis has no types
    """Ibis on DuckDB, looking up a table's columns and compiling an expression of one shape only once."""

    schemas: dict[str, ibis.Schema]
    store: EventStore

    def get_schema(self, table_name: str, **location: Any) -> ibis.Schema:
        """The table's columns; tables change only when a store is opened."""
        schema = self.schemas.get(table_name)
        if schema is None:
            schema = self.schemas[table_name] = super().get_schema(table_name, **location)
        return schema

    def compile(self, expr: ibis.Expr, /, **options: Any) -> str:
        """The SQL of `expr`."""
        if any(value is not None for value in options.values()):
            return str(super().compile(expr, **options))
        return to_sql(expr.op())

    def _run_pre_execute_hooks(self, expr: ibis.Expr) -> None:
        """Registers frames that the expression holds; nothing else that Ibis looks for occurs in ours."""
        if expr.op().find(ops.InMemoryTable):
            super()._run_pre_execute_hooks(expr)


class EventStore:
    """Reads from any thread; writes one at a time, each in one transaction."""

    def __init__(self, path: Path, *, memory_limit: str = "2GB", threads: int = 2) -> None:
        """Opens or creates the file.

        Raises:
            StoreBusyError: Another process has it open.
        """
        self.path = path
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
            # A checkpoint after every chunk of a large file would cost a third of its ingest.
            "checkpoint_threshold": "256MB",
            "temp_directory": str(path.parent / "tmp"),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = self._connect()
        self._generation = 0
        self._cursor_lock = threading.RLock()
        self._cursors: WeakSet[Connection] = WeakSet()
        self._write_lock = threading.RLock()
        self._local = threading.local()
        self._schemas: dict[str, ibis.Schema] = {}
        self._values: dict[str, tuple[Hashable, Any]] = {}
        self._value_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._derived: dict[str, tuple[int, Any]] = {}
        self._derived_lock = threading.Lock()
        self.removals = 0
        """How often stored rows were removed or changed; whoever caches rows counts on it as on the data version."""
        self.commits = 0
        """How many writes have been committed: what was read of the store stays true until there is another."""

    def _connect(self) -> Connection:
        try:
            connection = duckdb.connect(str(self.path), config=self._config)
            connection.execute(f"ATTACH ':memory:' AS {DERIVED}")
            return connection
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise
            raise StoreBusyError(
                "The event store is open in another process",
                str(self.path),
                "Stop that process, or use the server that runs on this home.",
            ) from error

    def cursor(self) -> Connection:
        """This thread's own cursor; made on first use, and anew after the file was written anew."""
        if getattr(self._local, "generation", None) != self._generation:
            with self._cursor_lock:
                self._local.cursor = self._connection.cursor()
                self._local.backend = None
                self._local.generation = self._generation
                self._cursors.add(self._local.cursor)
        cursor: Connection = self._local.cursor
        return cursor

    def read(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> pl.DataFrame:
        """The rows of one query, as a frame."""
        try:
            return self._read(sql, parameters)
        except duckdb.ConnectionException:
            # Its cursor was closed, for the file to be written anew, between taking and using it.
            return self._read(sql, parameters)

    def _read(self, sql: str, parameters: Sequence[Any] | dict[str, Any]) -> pl.DataFrame:
        frame: pl.DataFrame = self.cursor().sql(sql, params=parameters or None).pl()
        return frame

    def backend(self) -> Backend:
        """An Ibis backend on this thread's cursor."""
        cursor = self.cursor()
        backend: Backend | None = self._local.backend
        if backend is None:
            backend = StoreBackend.from_connection(cursor)
            backend.schemas = self._schemas
            backend.store = self
            self._local.backend = backend
        return backend

    def remember(self, name: str, key: Hashable, build: Callable[[], T]) -> T:
        """What `build` returned for this `key`, built once however many threads ask at the same time; the last one of each `name` is kept."""
        with self._value_locks[name]:
            known = self._values.get(name)
            if known is None or known[0] != key:
                known = self._values[name] = (key, build())
            value: T = known[1]
            return value

    def derive(self, name: str, update: Callable[[Connection, T | None], T]) -> None:
        """Brings tables in `DERIVED` up to date, once however many threads ask at the same time.

        Args:
            name: What the tables are known by.
            update: Is given a connection within a transaction, and what it returned the last time: None at first, after
                `forget`, and after the file was written anew. It reads stored tables and writes to `DERIVED` alone.
        """
        with self._derived_lock:
            try:
                self._derive(name, update)
            except duckdb.ConnectionException:
                # As in `read`.
                self._derive(name, update)

    def _derive(self, name: str, update: Callable[[Connection, T | None], T]) -> None:
        cursor, generation = self.cursor(), self._generation
        last_generation, state = self._derived.get(name, (generation, None))
        cursor.begin()
        try:
            state = update(cursor, state if last_generation == generation else None)
        except BaseException:
            cursor.rollback()
            raise
        cursor.commit()
        self._derived[name] = (generation, state)

    def forget(self) -> None:
        """Lets go of all that was worked out of rows: some of them have been removed or changed, not only added."""
        with self._derived_lock:
            self.removals += 1
            self._derived.clear()
            self._values.clear()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` alone, in one transaction on a fresh cursor; rolls back if it raises.

        Raises:
            StoreFullError: The disk has no room.
            UnfitValueError: A value does not fit its column.
        """
        with self._writer() as cursor:
            cursor.begin()
            try:
                result = work(cursor)
            except BaseException:
                cursor.rollback()
                raise
            cursor.commit()
            self.commits += 1
            return result

    def checkpoint(self) -> None:
        """Moves the write-ahead log into the file.

        Raises:
            StoreFullError: The disk has no room; the log stays as it is.
        """
        with self._writer() as cursor:
            cursor.execute("CHECKPOINT")

    def rebuild(self) -> None:
        """Writes the file anew, so that nothing is left in it of what was deleted or changed; readers wait for it.

        A file that DuckDB goes on writing keeps old content in free blocks, in blocks that columns share and in statistics.

        Raises:
            StoreFullError: The disk has no room for the second file; the first one stays.
        """
        fresh = self.path.with_name(f"{self.path.name}.rebuilt")
        name = self.path.stem.replace('"', '""')
        with self._write_lock, self._cursor_lock:
            fresh.unlink(missing_ok=True)
            try:
                with self._writer() as cursor:
                    cursor.execute("CHECKPOINT")
                    cursor.execute("ATTACH '" + str(fresh).replace("'", "''") + "' AS rebuilt")
                    try:
                        cursor.execute(f'COPY FROM DATABASE "{name}" TO rebuilt')
                    finally:
                        cursor.execute("DETACH rebuilt")
                # From now on every thread asks for a new cursor, and waits for it at the lock.
                self._generation += 1
                self.removals += 1
                try:
                    # Two handles of one file in one process would share what they hold in memory: all of the old go first.
                    self._schemas.clear()
                    self._values.clear()
                    self._close_all()
                    fresh.replace(self.path)
                finally:
                    self._connection = self._connect()
            finally:
                fresh.unlink(missing_ok=True)

    @contextmanager
    def _writer(self) -> Iterator[Connection]:
        with self._write_lock:
            cursor = self._connection.cursor()
            try:
                yield cursor
            except (duckdb.DataError, duckdb.InvalidInputException) as error:
                what = str(error).partition("\n")[0][:_SHOWN]
                raise UnfitValueError(
                    "A value does not fit its column", what, "Correct it where it is logged."
                ) from error
            except duckdb.Error as error:
                if not any(reason in str(error) for reason in _NO_ROOM):
                    raise
                raise StoreFullError(
                    "The disk is full",
                    str(self.path),
                    "Nothing of this was stored. Free space; then it goes on by itself.",
                ) from error
            finally:
                cursor.close()

    def close(self) -> None:
        """Closes the file for every thread."""
        with self._cursor_lock:
            self._close_all()

    def _close_all(self) -> None:
        # One by one: expressions whose SQL is kept still hold cursors, and a cursor that is open holds the file.
        for one in list(self._cursors):
            _close_when_free(one)
        self._cursors.clear()
        self._connection.close()


def _close_when_free(cursor: Connection) -> None:
    """Closes another thread's cursor once its query is done; one that takes long is broken off."""
    started = time.monotonic()
    while True:
        try:
            cursor.close()
        except duckdb.ResourceInUseException:
            if time.monotonic() - started > _PATIENCE_S:
                cursor.interrupt()
            time.sleep(0.005)
        else:
            return
