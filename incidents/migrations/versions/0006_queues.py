"""What cases are queued, put off, handed over and found by.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns, empty until `facets.index_cases` derives them, and the table of filters."""
    op.add_column("cases", sa.Column("snoozed_until", sa.DateTime(), nullable=True))
    op.add_column("cases", sa.Column("assigned_to", sa.String(), nullable=True))
    op.add_column("cases", sa.Column("assigned_until", sa.DateTime(), nullable=True))
    op.add_column("cases", sa.Column("due_at", sa.DateTime(), nullable=True))
    op.add_column("cases", sa.Column("doubt", sa.Float(), nullable=True))
    op.add_column("cases", sa.Column("exposure", sa.Float(), nullable=True))
    op.add_column("cases", sa.Column("language", sa.String(), nullable=True))
    op.add_column("cases", sa.Column("source", sa.String(), nullable=True))
    op.add_column("cases", sa.Column("user_id", sa.String(), nullable=True))
    op.add_column("cases", sa.Column("facets_version", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_cases_assigned_to", "cases", ["assigned_to"])
    op.create_index("ix_cases_user_id", "cases", ["user_id"])
    op.create_index("ix_cases_facets_version", "cases", ["facets_version"])
    op.create_index("ix_cases_state_due_at", "cases", ["state", "due_at"])
    op.execute("INSERT INTO progress (name, position) VALUES ('served', 0)")
    op.create_table(
        "case_filters",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("filter_name", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "filter_name", "rule_id", name="pk_case_filters"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_case_filters_case_id_cases"),
    )
    op.create_index("ix_case_filters_filter_name_rule_id", "case_filters", ["filter_name", "rule_id"])


def downgrade() -> None:
    """Removes them."""
    op.drop_table("case_filters")
    op.execute("DELETE FROM progress WHERE name = 'served'")
    for name in ("state_due_at", "facets_version", "user_id", "assigned_to"):
        op.drop_index(f"ix_cases_{name}", "cases")
    for name in (
        "facets_version",
        "user_id",
        "source",
        "language",
        "exposure",
        "doubt",
        "due_at",
        "assigned_until",
        "assigned_to",
        "snoozed_until",
    ):
        op.drop_column("cases", name)
