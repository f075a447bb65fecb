"""The event store's Ibis backend: what it remembers never changes what a question answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import ibis
import pytest

from core.events import EventStore


def test_backend__an_expression_that_comes_again_is_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EventStore(tmp_path / "events.duckdb")
    store.write(lambda connection: connection.execute("CREATE TABLE t AS SELECT range AS n FROM range(10)"))
    compiled: list[object] = []
    to_sql = ibis.to_sql

    def count_to_sql(*args: object, **options: object) -> object:
        compiled.append(args)
        return to_sql(*args, **options)

    monkeypatch.setattr("ibis.to_sql", count_to_sql)

    def count(limit: float) -> int:
        backend = store.backend()
        rows = backend.table("t").filter(ibis._.n < limit)
        return int(backend.to_polars(rows.aggregate(rows=rows.count()))["rows"].item())

    assert [count(3), count(5), count(3), count(3.0), count(5)] == [3, 5, 3, 3, 5]
    store.write(lambda connection: connection.execute("DELETE FROM t WHERE n = 0"))
    assert [count(3), count(5)] == [2, 4]
    assert len(compiled) == 3  # 3, 5 and 3.0: a number of another type is another expression
    store.close()


def test_rebuild__what_was_deleted_is_out_of_the_file_and_every_thread_goes_on(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "events.duckdb")
    with ThreadPoolExecutor(1) as other:
        store.write(lambda connection: connection.execute("SET GLOBAL force_compression = 'uncompressed'"))
        store.write(lambda connection: connection.execute("CREATE TABLE t AS SELECT 'kept' AS text, 1 AS n"))
        store.write(lambda connection: connection.execute("INSERT INTO t VALUES ('a secret of somebody', 2)"))
        store.checkpoint()
        assert other.submit(lambda: store.read("SELECT count(*) FROM t").item()).result() == 2
        assert b"secret" in store.path.read_bytes()
        store.write(lambda connection: connection.execute("DELETE FROM t WHERE n = 2"))
        store.rebuild()
        assert b"secret" not in store.path.read_bytes()
        assert b"kept" in store.path.read_bytes()
        assert other.submit(lambda: store.read("SELECT text FROM t").item()).result() == "kept"
        assert store.backend().table("t").count().to_polars() == 1
        store.write(lambda connection: connection.execute("INSERT INTO t VALUES ('new', 3)"))
    store.close()
    again = EventStore(tmp_path / "events.duckdb")
    assert again.read("SELECT text FROM t ORDER BY n").to_series().to_list() == ["kept", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["events.duckdb"]
    again.close()


def test_rebuild__waits_for_the_queries_under_way(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "events.duckdb")
    store.write(
        lambda connection: connection.execute("CREATE TABLE t AS SELECT md5(i::VARCHAR) AS s FROM range(50000) r(i)")
    )
    is_over = Event()

    def read() -> set[int]:
        counts = set()
        while not is_over.is_set():
            counts.add(store.read("SELECT count(*) FROM t WHERE s >= '0'").item())
        return counts

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for _ in range(2):
            store.rebuild()
        is_over.set()
        assert {count for one in readers for count in one.result()} == {50000}
    store.close()
