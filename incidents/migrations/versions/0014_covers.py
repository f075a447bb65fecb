"""How much of a revealed text a person wants covered, for mild and for grave cases."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; so far nothing was covered."""
    for name in ("cover_mild", "cover_grave"):
        op.add_column("comforts", sa.Column(name, sa.String(), nullable=False, server_default="plain"))


def downgrade() -> None:
    """Removes them."""
    op.drop_column("comforts", "cover_grave")
    op.drop_column("comforts", "cover_mild")
