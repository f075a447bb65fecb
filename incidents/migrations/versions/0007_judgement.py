"""Second looks, golden items, answers, calibration rounds, contested items, guideline versions, wellness.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_CASE = ["cases.case_id"]


def upgrade() -> None:
    """Creates the tables, and adds the category behind a case and the guideline of a vote."""
    op.add_column("cases", sa.Column("hazard", sa.String(), nullable=True))
    op.add_column("votes", sa.Column("guideline_version", sa.String(), nullable=True))
    op.create_table(
        "salts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_salts"),
    )
    op.create_table(
        "second_looks",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name="pk_second_looks"),
        sa.ForeignKeyConstraint(["case_id"], _CASE, name="fk_second_looks_case_id_cases"),
    )
    op.create_index("ix_second_looks_is_done", "second_looks", ["is_done"])
    op.create_table(
        "assignments",
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("round_id", sa.String(), nullable=True),
        sa.Column("served_at", sa.DateTime(), nullable=False),
        sa.Column("leased_until", sa.DateTime(), nullable=False),
        sa.Column("shown_opened_at", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("done_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("assignment_id", name="pk_assignments"),
        sa.ForeignKeyConstraint(["case_id"], _CASE, name="fk_assignments_case_id_cases"),
        sa.UniqueConstraint("case_id", "reviewer", name="uq_assignments_case_id_reviewer"),
    )
    op.create_index("ix_assignments_reviewer", "assignments", ["reviewer"])
    op.create_table(
        "golden_items",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("harmful", sa.Boolean(), nullable=False),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("severity", sa.Integer(), nullable=True),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("pinned_at", sa.DateTime(), nullable=False),
        sa.Column("pinned_by", sa.String(), nullable=False),
        sa.Column("retired_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("case_id", name="pk_golden_items"),
        sa.ForeignKeyConstraint(["case_id"], _CASE, name="fk_golden_items_case_id_cases"),
    )
    op.create_table(
        "answers",
        sa.Column("answer_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("round_id", sa.String(), nullable=True),
        sa.Column("answered_at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("harmful", sa.Boolean(), nullable=True),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("severity", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("answer_id", name="pk_answers"),
        sa.ForeignKeyConstraint(["case_id"], _CASE, name="fk_answers_case_id_cases"),
    )
    op.create_index("ix_answers_case_reviewer", "answers", ["case_id", "reviewer"])
    op.create_table(
        "calibration_rounds",
        sa.Column("round_id", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("started_by", sa.String(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("round_id", name="pk_calibration_rounds"),
    )
    op.create_table(
        "calibration_items",
        sa.Column("round_id", sa.String(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("round_id", "case_id", name="pk_calibration_items"),
        sa.ForeignKeyConstraint(
            ["round_id"], ["calibration_rounds.round_id"], name="fk_calibration_items_round_id_calibration_rounds"
        ),
        sa.ForeignKeyConstraint(["case_id"], _CASE, name="fk_calibration_items_case_id_cases"),
    )
    op.create_table(
        "contested_items",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("dispute", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("is_waiting", sa.Boolean(), nullable=False),
        sa.Column("resolved_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("case_id", name="pk_contested_items"),
        sa.ForeignKeyConstraint(["case_id"], _CASE, name="fk_contested_items_case_id_cases"),
    )
    op.create_index("ix_contested_items_is_waiting", "contested_items", ["is_waiting"])
    op.create_index("ix_contested_items_resolved_by", "contested_items", ["resolved_by"])
    op.create_table(
        "guideline_versions",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("declared_at", sa.DateTime(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("categories", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_guideline_versions"),
        sa.UniqueConstraint("name", name="uq_guideline_versions_name"),
    )
    op.create_table(
        "profiles",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("declared_at", sa.DateTime(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person", name="pk_profiles"),
    )
    op.create_table(
        "comforts",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.Column("masking", sa.String(), nullable=False),
        sa.Column("opt_outs", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person", name="pk_comforts"),
    )
    op.execute("INSERT INTO progress (name, position) VALUES ('second_looks', 0)")


def downgrade() -> None:
    """Drops them."""
    op.execute("DELETE FROM progress WHERE name = 'second_looks'")
    for table in (
        "comforts",
        "profiles",
        "guideline_versions",
        "contested_items",
        "calibration_items",
        "calibration_rounds",
        "answers",
        "golden_items",
        "assignments",
        "second_looks",
        "salts",
    ):
        op.drop_table(table)
    op.drop_column("votes", "guideline_version")
    op.drop_column("cases", "hazard")
