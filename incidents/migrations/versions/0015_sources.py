"""An alert may be about a source of logs."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; so far alerts were about filters."""
    op.add_column("alerts", sa.Column("source", sa.String(), nullable=True))


def downgrade() -> None:
    """Removes it."""
    op.drop_column("alerts", "source")
