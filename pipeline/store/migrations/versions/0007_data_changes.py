"""data changes.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WATCHED = ("limit_event", "portfolio", "portfolio_limit", "position", "provider", "quarantine_decision")


def upgrade() -> None:
    op.create_table(
        "data_change",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="Number of the change."),
        sa.Column("table_name", sa.Text(), nullable=False, comment="Table that a statement changed."),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the statement ran.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("data_change_pkey")),
        comment="Each statement that changed a table which no asset writes.",
    )
    op.execute(
        """
        CREATE FUNCTION note_data_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO data_change (table_name) VALUES (TG_TABLE_NAME);
            RETURN NULL;
        END
        $$
        """
    )
    for table in WATCHED:
        op.execute(
            f"""
            CREATE TRIGGER note_data_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION note_data_change()
            """
        )


def downgrade() -> None:
    for table in WATCHED:
        op.execute(f"DROP TRIGGER note_data_change ON {table}")
    op.execute("DROP FUNCTION note_data_change()")
    op.drop_table("data_change")
