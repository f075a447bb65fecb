"""Judged turns and their checks, as tables: from memory on the event store, as a join on another engine."""

from __future__ import annotations

from typing import Literal

from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.events import DERIVED, StoreBackend
from ingest.judged import JUDGED, refresh_judged


def judged(backend: BaseBackend, name: Literal["checks", "turns"]) -> Table:
    """Rows of the table whose turn has a label, without the columns that hold text."""
    if isinstance(backend, StoreBackend):
        refresh_judged(backend.store)
        return backend.table(f"judged_{name}", database=(DERIVED, "main"))
    table = backend.table(name).select(*JUDGED[name].split(", "))
    return table.semi_join(backend.table("labels").select("request_id"), "request_id")
