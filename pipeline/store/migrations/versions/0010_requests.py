"""requests.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotent_request",
        sa.Column("caller", sa.Text(), autoincrement=False, nullable=False, comment="Digest of who asked."),
        sa.Column("key", sa.Text(), autoincrement=False, nullable=False, comment="What the caller calls the request."),
        sa.Column("request", sa.LargeBinary(), nullable=False, comment="SHA-256 of method, address and body."),
        sa.Column("attempt", sa.Uuid(), nullable=False, comment="Whoever carries it out; another one may take over."),
        sa.Column(
            "state",
            sa.Text(),
            server_default="running",
            nullable=False,
            comment="running; written: committed, not answered yet; done: answered.",
        ),
        sa.Column("status", sa.SmallInteger(), nullable=True, comment="Status of the answer."),
        sa.Column(
            "headers", sa.LargeBinary(), nullable=True, comment="Headers of the answer; empty if it is not kept."
        ),
        sa.Column("body", sa.LargeBinary(), nullable=True, comment="Body of the answer; empty if it is not kept."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was claimed last.",
        ),
        sa.CheckConstraint("state IN ('running', 'written', 'done')", name=op.f("idempotent_request_state_check")),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("idempotent_request_pkey")),
        comment="Requests with a key, and their answers, for 24 hours.",
    )
    op.create_index(op.f("idempotent_request_created_at_idx"), "idempotent_request", ["created_at"], unique=False)
    op.execute("GRANT INSERT, UPDATE, DELETE ON idempotent_request TO fintech_api")  # the role of revision 0009


def downgrade() -> None:
    op.drop_index(op.f("idempotent_request_created_at_idx"), table_name="idempotent_request")
    op.drop_table("idempotent_request")
