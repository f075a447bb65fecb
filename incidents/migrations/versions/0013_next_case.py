"""Indexes that "next case" walks: the order of the queue, and what a person holds, was handed, skipped or has not finished."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_LONGER = (
    ("cases", ("leased_by",), "ix_cases_leased_by_until", ("leased_by", "leased_until")),
    ("cases", ("assigned_to",), "ix_cases_assigned_to_until", ("assigned_to", "assigned_until")),
    ("case_events", ("actor", "action"), "ix_case_events_actor_action_case_id", ("actor", "action", "case_id")),
    ("assignments", ("reviewer",), "ix_assignments_reviewer_state", ("reviewer", "state")),
)


def upgrade() -> None:
    """Replaces indexes by longer ones."""
    op.drop_index("ix_cases_state_priority", "cases")
    op.execute("CREATE INDEX ix_cases_queue ON cases (state, priority DESC, opened_at, case_id)")
    for table, before, name, columns in _LONGER:
        op.drop_index("_".join(("ix", table, *before)), table)
        op.create_index(name, table, list(columns))


def downgrade() -> None:
    """Puts the shorter ones back."""
    for table, before, name, _ in reversed(_LONGER):
        op.drop_index(name, table)
        op.create_index("_".join(("ix", table, *before)), table, list(before))
    op.drop_index("ix_cases_queue", "cases")
    op.create_index("ix_cases_state_priority", "cases", ["state", "priority"])
