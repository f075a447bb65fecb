"""The event store's Ibis backend: what it remembers never changes what a question answers."""

from __future__ import annotations

from pathlib import Path

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
