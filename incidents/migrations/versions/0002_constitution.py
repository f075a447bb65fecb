"""Constitution versions, suites of adversarial prompts, revisions.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "constitution_versions",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_constitution_versions"),
    )
    op.create_table(
        "suite_prompts",
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("principle_id", sa.String(), nullable=False),
        sa.Column("attack", sa.String(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("suite", "prompt_id", name="pk_suite_prompts"),
    )
    op.create_table(
        "revisions",
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("principle_id", sa.String(), nullable=False),
        sa.Column("constitution_version", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("is_violation", sa.Boolean(), nullable=True),
        sa.Column("critique", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=True),
        sa.Column("is_still_violation", sa.Boolean(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at", sa.DateTime(), nullable=True),
        sa.Column("final", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("revision_id", name="pk_revisions"),
        sa.UniqueConstraint(
            "request_id",
            "principle_id",
            "constitution_version",
            name="uq_revisions_request_id_principle_id_constitution_version",
        ),
    )
    op.create_index("ix_revisions_suite", "revisions", ["suite"])


def downgrade() -> None:
    """Drops them."""
    for table in ("revisions", "suite_prompts", "constitution_versions"):
        op.drop_table(table)
