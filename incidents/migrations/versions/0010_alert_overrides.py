"""Alert rules changed on the page, and changes registered by people.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "alert_overrides",
        sa.Column("rule_name", sa.String(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=True),
        sa.Column("limit", sa.Float(), nullable=True),
        sa.Column("window_min", sa.Integer(), nullable=True),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("rule_name", name="pk_alert_overrides"),
    )
    op.create_table(
        "registered_changes",
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("filter_name", sa.String(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("registered_by", sa.String(), nullable=False),
        sa.Column("registered_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name="pk_registered_changes"),
    )
    op.create_index("ix_registered_changes_at", "registered_changes", ["at"])


def downgrade() -> None:
    """Drops them."""
    for table in ("registered_changes", "alert_overrides"):
        op.drop_table(table)
