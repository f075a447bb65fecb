"""Alerts of one filter at one time are a group; a silence has its reason.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the group, the last window that breached, and the reason."""
    op.add_column("alerts", sa.Column("group_id", sa.String(), nullable=True))
    op.add_column("alerts", sa.Column("breached_at", sa.DateTime(), nullable=True))
    op.add_column("alerts", sa.Column("silence_reason", sa.Text(), nullable=True))
    op.create_index("ix_alerts_group_id", "alerts", ["group_id"])


def downgrade() -> None:
    """Drops them."""
    op.drop_index("ix_alerts_group_id", "alerts")
    for column in ("silence_reason", "breached_at", "group_id"):
        op.drop_column("alerts", column)
