"""incidents.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_incidents()
    _create_failed_partitions()
    _create_successes()


def _create_incidents() -> None:
    op.create_table(
        "incident",
        sa.Column("key", sa.Text(), nullable=False, comment="What receivers know it by."),
        sa.Column("kind", sa.Text(), nullable=False, comment="run_failure or stale_asset."),
        sa.Column("subject", sa.Text(), nullable=False, comment="Run or asset."),
        sa.Column("summary", sa.Text(), nullable=False, comment="What happened, in a sentence."),
        sa.Column("detail", postgresql.JSONB(), nullable=False, comment="What helps to find the cause, by name."),
        sa.Column(
            "opened_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was noticed.",
        ),
        sa.Column(
            "resolved_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was seen to be over; empty until then.",
        ),
        sa.Column(
            "told_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the receiver took the message of it; empty until then.",
        ),
        sa.Column(
            "resolution_told_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the receiver was told that it is over.",
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False, comment="Deliveries that were tried."),
        sa.Column("last_error", sa.Text(), nullable=True, comment="Why the last delivery failed; empty if none did."),
        sa.CheckConstraint("kind IN ('run_failure', 'stale_asset')", name=op.f("incident_kind_check")),
        sa.PrimaryKeyConstraint("key", name=op.f("incident_pkey")),
        comment="What went wrong, from when it was noticed until it was over, and who was told.",
    )
    op.create_index(
        "incident_open_idx",
        "incident",
        ["kind", "subject"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )


def _create_failed_partitions() -> None:
    op.create_table(
        "failed_partition",
        sa.Column(
            "subject",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Asset, or job of a run without assets.",
        ),
        sa.Column(
            "month",
            sa.Date(),
            autoincrement=False,
            nullable=False,
            comment="First day of the month; 0001-01-01 for what has no partitions.",
        ),
        sa.Column("is_asset", sa.Boolean(), nullable=False, comment="Whether the subject is an asset."),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Failed run whose incident it belongs to."),
        sa.Column(
            "began_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When that run began: a later write makes it good.",
        ),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False, comment="When that run failed."),
        sa.PrimaryKeyConstraint("subject", "month", name=op.f("failed_partition_pkey")),
        comment="What failed runs left undone and no later one has done.",
    )


def _create_successes() -> None:
    op.create_table(
        "last_success",
        sa.Column("name", sa.Text(), autoincrement=False, nullable=False, comment="Schedule or sensor."),
        sa.Column("kind", sa.Text(), autoincrement=False, nullable=False, comment="schedule or sensor."),
        sa.Column(
            "succeeded_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When its run, or its tick, last succeeded.",
        ),
        sa.CheckConstraint("kind IN ('schedule', 'sensor')", name=op.f("last_success_kind_check")),
        sa.PrimaryKeyConstraint("name", "kind", name=op.f("last_success_pkey")),
        comment="When what runs regularly last succeeded.",
    )


def downgrade() -> None:
    for table in ("last_success", "failed_partition", "incident"):
        op.drop_table(table)
