"""joint simulations.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Code of before asks for one series, and leaves it empty.
    op.add_column(
        "simulation_job",
        sa.Column(
            "held",
            JSONB(),
            nullable=True,
            comment="Positions whose returns these are, row by row, and the policy; empty for one series.",
        ),
    )


def downgrade() -> None:
    op.drop_column("simulation_job", "held")
