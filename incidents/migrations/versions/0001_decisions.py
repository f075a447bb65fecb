"""Cases, events, evidence, votes, draws, audit, progress.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables; the heads of the audit log and of recurring work start at 0."""
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_actor_action_at", "audit", ["actor", "action", "at"])
    op.create_index("ix_audit_subject", "audit", ["subject"])
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=True),
        sa.Column("turn_at", sa.DateTime(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("leased_by", sa.String(), nullable=True),
        sa.Column("leased_until", sa.DateTime(), nullable=True),
        sa.Column("acked_at", sa.DateTime(), nullable=True),
        sa.Column("decided_at", sa.DateTime(), nullable=True),
        sa.Column("escalated_at", sa.DateTime(), nullable=True),
        sa.Column("harmful", sa.Boolean(), nullable=True),
        sa.Column("verdict_category", sa.String(), nullable=True),
        sa.Column("priority", sa.Float(), nullable=False),
        sa.Column("priority_reason", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("severity_hint", sa.Integer(), nullable=True),
        sa.Column("is_drawn", sa.Boolean(), nullable=False),
        sa.Column("seen_ingest_id", sa.BigInteger(), nullable=False),
        sa.Column("evidence_ingest_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("case_id", name="pk_cases"),
        sa.UniqueConstraint("request_id", name="uq_cases_request_id"),
    )
    op.create_index("ix_cases_evidence_ingest_id", "cases", ["evidence_ingest_id"])
    op.create_index("ix_cases_leased_by", "cases", ["leased_by"])
    op.create_index("ix_cases_state_priority", "cases", ["state", "priority"])
    op.create_index("ix_cases_turn_at", "cases", ["turn_at"])
    op.create_table(
        "progress",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_progress"),
    )
    op.create_table(
        "case_events",
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_case_events_case_id_cases"),
        sa.PrimaryKeyConstraint("event_id", name="pk_case_events"),
        sa.UniqueConstraint("case_id", "seq", name="uq_case_events_case_id_seq"),
    )
    op.create_index("ix_case_events_actor_action", "case_events", ["actor", "action"])
    op.create_table(
        "case_evidence",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("copied_at", sa.DateTime(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_case_evidence_case_id_cases"),
        sa.PrimaryKeyConstraint("case_id", name="pk_case_evidence"),
    )
    op.create_table(
        "draws",
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("sample_id", sa.String(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("drawn_at", sa.DateTime(), nullable=False),
        sa.Column("drawn_by", sa.String(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column("stratum_size", sa.Integer(), nullable=False),
        sa.Column("stratum_drawn", sa.Integer(), nullable=False),
        sa.Column("inclusion_probability", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_draws_case_id_cases"),
        sa.PrimaryKeyConstraint("request_id", name="pk_draws"),
    )
    op.create_index("ix_draws_sample_id", "draws", ["sample_id"])
    op.create_table(
        "votes",
        sa.Column("vote_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=True),
        sa.Column("filter_name", sa.String(), nullable=True),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("voted_at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("refers_to", sa.Integer(), nullable=True),
        sa.Column("harmful", sa.Boolean(), nullable=True),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("severity", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("principle_id", sa.String(), nullable=True),
        sa.Column("revision", sa.Text(), nullable=True),
        sa.Column("critique", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("selection", sa.String(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=True),
        sa.Column("inclusion_probability", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_votes_case_id_cases"),
        sa.ForeignKeyConstraint(["refers_to"], ["votes.vote_id"], name="fk_votes_refers_to_votes"),
        sa.PrimaryKeyConstraint("vote_id", name="pk_votes"),
    )
    op.create_index("ix_votes_case_id", "votes", ["case_id"])
    op.create_index("ix_votes_reviewer", "votes", ["reviewer"])
    progress = sa.table("progress", sa.column("name", sa.String), sa.column("position", sa.BigInteger))
    op.bulk_insert(progress, [{"name": name, "position": 0} for name in ("audit", "cases", "mirror")])


def downgrade() -> None:
    """Drops them."""
    op.drop_table("votes")
    op.drop_table("draws")
    op.drop_table("case_evidence")
    op.drop_table("case_events")
    op.drop_table("progress")
    op.drop_table("cases")
    op.drop_table("audit")
