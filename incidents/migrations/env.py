"""Runs migrations on the connection that the caller opened (`core.records.RecordStore.upgrade`)."""

from alembic import context

import incidents.alerts.models
import incidents.judgement.models
import incidents.ranking.models
import incidents.response.models  # noqa: F401  registers its tables
from incidents.models import Record

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Record.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
