"""Responses that people rank, and their rankings.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "ranking_prompts",
        sa.Column("ranking_set", sa.String(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("ranking_set", "prompt_id", name="pk_ranking_prompts"),
    )
    op.create_table(
        "ranking_responses",
        sa.Column("ranking_set", sa.String(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("response_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ranking_set", "prompt_id", "response_id", name="pk_ranking_responses"),
    )
    op.create_table(
        "rankings",
        sa.Column("ranking_id", sa.Integer(), nullable=False),
        sa.Column("ranking_set", sa.String(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("rater", sa.String(), nullable=False),
        sa.Column("ranked_at", sa.DateTime(), nullable=False),
        sa.Column("ranks", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ranking_id", name="pk_rankings"),
    )
    op.create_index("ix_rankings_ranking_set_prompt_id", "rankings", ["ranking_set", "prompt_id"])


def downgrade() -> None:
    """Drops them."""
    op.drop_index("ix_rankings_ranking_set_prompt_id", "rankings")
    for table in ("rankings", "ranking_responses", "ranking_prompts"):
        op.drop_table(table)
