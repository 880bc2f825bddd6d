"""feature flags.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feature_flag",
        sa.Column("name", sa.Text(), autoincrement=False, nullable=False, comment="Name of the flag."),
        sa.Column("is_on", sa.Boolean(), nullable=False, comment="What it is instead of its default."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why."),
        sa.Column("set_by", sa.Text(), nullable=False, comment="Who set it."),
        sa.Column(
            "set_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was set.",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("feature_flag_pkey")),
        comment="Flags that are not what the code says.",
    )


def downgrade() -> None:
    op.drop_table("feature_flag")
