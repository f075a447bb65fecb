"""Migrations: from nothing to head, head to head, and exactly the tables of the models."""

from __future__ import annotations

from pathlib import Path

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import incidents.judgement.models
import incidents.ranking.models
import incidents.response.models  # noqa: F401  registers its tables
from core.records import RecordStore
from incidents import MIGRATIONS
from incidents.models import Record


def schema(store: RecordStore) -> list[tuple[str, str | None]]:
    with store.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master ORDER BY name"))
        return [(row.name, row.sql) for row in rows]


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(f"sqlite:///{tmp_path / 'records.sqlite'}")


def test_head_has_exactly_the_tables_of_the_models(store: RecordStore) -> None:
    store.upgrade(MIGRATIONS)
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, Record.metadata) == []
    store.close()


def test_upgrading_at_head_changes_nothing(store: RecordStore) -> None:
    store.upgrade(MIGRATIONS)
    before = schema(store)
    assert {name for name, _ in before} > {"cases", "votes", "audit"}
    with store.session() as session:
        session.connection().execute(sa.text("UPDATE progress SET position = 7"))
    store.upgrade(MIGRATIONS)
    assert schema(store) == before
    with store.session() as session:
        positions = session.connection().execute(sa.text("SELECT DISTINCT position FROM progress")).scalars()
        assert list(positions) == [7]
    store.close()


def test_down_and_up_again_gives_the_same_tables(store: RecordStore) -> None:
    store.upgrade(MIGRATIONS)
    before = schema(store)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "base")
    assert {name for name, _ in schema(store)} <= {"alembic_version", "sqlite_autoindex_alembic_version_1"}
    store.upgrade(MIGRATIONS)
    assert schema(store) == before
    store.close()


def test_foreign_keys_are_enforced(store: RecordStore) -> None:
    store.upgrade(MIGRATIONS)
    with pytest.raises(sa.exc.IntegrityError), store.session() as session:
        session.connection().execute(
            sa.text("INSERT INTO case_evidence (case_id, copied_at, body) VALUES ('none', '2026-01-01', '')")
        )
    store.close()
