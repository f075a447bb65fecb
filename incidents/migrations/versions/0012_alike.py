"""Groups of cases alike, and decisions over many cases.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables, filled by `facets.index_cases`, and adds the columns."""
    op.create_table(
        "case_groups",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", name="pk_case_groups"),
    )
    op.create_table(
        "case_bands",
        sa.Column("band", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("band", "group_id", name="pk_case_bands"),
        sa.ForeignKeyConstraint(["group_id"], ["case_groups.group_id"], name="fk_case_bands_group_id_case_groups"),
    )
    op.add_column("cases", sa.Column("group_id", sa.String(), nullable=True))
    op.create_index("ix_cases_group_id", "cases", ["group_id"])
    op.add_column("votes", sa.Column("bulk_id", sa.String(), nullable=True))
    op.create_index("ix_votes_bulk_id", "votes", ["bulk_id"])


def downgrade() -> None:
    """Removes them."""
    op.drop_index("ix_votes_bulk_id", "votes")
    op.drop_column("votes", "bulk_id")
    op.drop_index("ix_cases_group_id", "cases")
    op.drop_column("cases", "group_id")
    op.drop_table("case_bands")
    op.drop_table("case_groups")
