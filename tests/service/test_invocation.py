"""What a command opens a home with."""

from __future__ import annotations

from pathlib import Path

from service.invocation import INVOCATION, Invocation, opened_home


def test_a_bulk_ingest_keeps_to_the_memory_that_ingest_may_have(tmp_path: Path) -> None:
    limit = "SELECT current_setting('memory_limit')"
    (tmp_path / "weir.toml").write_text('[ingest]\nmemory_limit = "256MB"\n[store]\nmemory_limit = "1GB"\n')
    token = INVOCATION.set(Invocation())
    with opened_home(tmp_path, is_bulk=True) as home:
        assert home.events.read(limit).item() == "244.1 MiB"
    with opened_home(tmp_path) as home:
        assert home.events.read(limit).item() == "953.6 MiB"
    INVOCATION.reset(token)
