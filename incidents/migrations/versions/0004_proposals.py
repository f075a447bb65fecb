"""Proposed changes of filters.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "proposals",
        sa.Column("proposal_id", sa.Integer(), nullable=False),
        sa.Column("filter_name", sa.String(), nullable=False),
        sa.Column("filter_version", sa.String(), nullable=True),
        sa.Column("rule_id", sa.String(), nullable=True),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("checked", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("proposal_id", name="pk_proposals"),
    )
    op.create_index("ix_proposals_filter_name", "proposals", ["filter_name"])
    op.create_index("ix_proposals_state", "proposals", ["state"])
    op.create_table(
        "proposal_events",
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("proposal_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_proposal_events"),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposals.proposal_id"], name="fk_proposal_events_proposal_id_proposals"
        ),
        sa.UniqueConstraint("proposal_id", "seq", name="uq_proposal_events_proposal_id_seq"),
    )
    op.create_index("ix_proposal_events_proposal_id", "proposal_events", ["proposal_id"])


def downgrade() -> None:
    """Drops the tables."""
    op.drop_table("proposal_events")
    op.drop_table("proposals")
