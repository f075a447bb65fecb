"""Feedback sets and their rows.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "exports",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("built_at", sa.DateTime(), nullable=False),
        sa.Column("built_by", sa.String(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("manifest_sha256", sa.String(), nullable=False),
        sa.Column("data_version", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("new_since", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_exports"),
    )
    op.create_index("ix_exports_name", "exports", ["name"])
    op.create_table(
        "exported_rows",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=True),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("prompt_hash", sa.String(), nullable=True),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("is_held_out", sa.Boolean(), nullable=False),
        sa.Column("row_key", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", "position", name="pk_exported_rows"),
        sa.ForeignKeyConstraint(["number"], ["exports.number"], name="fk_exported_rows_number_exports"),
    )
    for column in ("request_id", "conversation_id", "user_id"):
        op.create_index(f"ix_exported_rows_{column}", "exported_rows", [column])


def downgrade() -> None:
    """Drops them."""
    for table in ("exported_rows", "exports"):
        op.drop_table(table)
