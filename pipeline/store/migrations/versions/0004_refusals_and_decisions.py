"""refused payloads are kept, and decisions cannot be changed.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WRITERS = {"first_materialization_id": "First write that read it", "last_materialization_id": "Last write that read it"}


def upgrade() -> None:
    op.create_table(
        "payload_refusal",
        sa.Column(
            "sha256", sa.Text(), autoincrement=False, nullable=False, comment="Digest of the bytes that were refused."
        ),
        sa.Column("provider", sa.Text(), autoincrement=False, nullable=False, comment="Provider that answered."),
        sa.Column("name", sa.Text(), autoincrement=False, nullable=False, comment="What was asked, such as a symbol."),
        sa.Column("rule", sa.Text(), autoincrement=False, nullable=False, comment="Rule that refused the answer."),
        sa.Column("asset", sa.Text(), nullable=False, comment="Asset that was to be loaded last."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why, in the words of the last error."),
        sa.Column("times", sa.Integer(), nullable=False, comment="How often it was refused."),
        *(
            sa.Column(
                f"{which}_refused_at",
                sa.DateTime(timezone=True),
                server_default=sa.text("clock_timestamp()"),
                nullable=False,
                comment=f"When it was refused {which}.",
            )
            for which in ("first", "last")
        ),
        sa.ForeignKeyConstraint(
            ["sha256"], ["raw_payload.sha256"], name=op.f("payload_refusal_sha256_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha256", "provider", "name", "rule", name=op.f("payload_refusal_pkey")),
        comment="Why answers of vendors were refused; kept as long as the answers.",
    )
    for name, meaning in WRITERS.items():
        op.alter_column(
            "raw_payload",
            name,
            existing_type=sa.INTEGER(),
            nullable=True,
            comment=f"{meaning}; empty if it was only ever refused.",
            existing_comment=f"{meaning}.",
        )
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'rows of % are added and never changed, so % is refused', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'restrict_violation', HINT = 'Decide again: the newest decision on a row counts.';
        END
        $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON quarantine_decision
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER refuse_change ON quarantine_decision")
    op.execute("DROP FUNCTION refuse_change()")
    op.execute("DELETE FROM raw_payload WHERE first_materialization_id IS NULL OR last_materialization_id IS NULL")
    for name, meaning in WRITERS.items():
        op.alter_column(
            "raw_payload",
            name,
            existing_type=sa.INTEGER(),
            nullable=False,
            comment=f"{meaning}.",
            existing_comment=f"{meaning}; empty if it was only ever refused.",
        )
    op.drop_table("payload_refusal")
