"""strategies.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STRATEGY = "Strategy, such as min_variance."
SESSION = "Exchange session (New York)."
WRITER = "Write that made or last changed the row."


def upgrade() -> None:
    _create_weights()
    _create_nav()


def _create_weights() -> None:
    op.create_table(
        "strategy_weight",
        sa.Column("strategy", sa.Text(), autoincrement=False, nullable=False, comment=STRATEGY),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment=SESSION),
        sa.Column("instrument_id", sa.Integer(), autoincrement=False, nullable=False, comment="Stock."),
        sa.Column(
            "weight",
            sa.Double(),
            nullable=False,
            comment="Weight from the next session on; a stock of weight 0 has no row.",
        ),
        sa.Column(
            "method",
            sa.Text(),
            nullable=False,
            comment="Strategy that gave the weights: itself, or the one it falls back to.",
        ),
        sa.Column("window_sessions", sa.SmallInteger(), nullable=False, comment="Returns that were used."),
        sa.Column("eligible", sa.SmallInteger(), nullable=False, comment="Stocks that could have been held."),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why another strategy's weights were taken."),
        sa.Column("materialization_id", sa.Integer(), nullable=False, comment=WRITER),
        sa.PrimaryKeyConstraint("strategy", "session", "instrument_id", name=op.f("strategy_weight_pkey")),
        comment="Weights of every strategy, set at the last session of each month from prices up to it.",
    )


def _create_nav() -> None:
    op.create_table(
        "strategy_nav",
        sa.Column("strategy", sa.Text(), autoincrement=False, nullable=False, comment=STRATEGY),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment=SESSION),
        sa.Column("nav", sa.Double(), nullable=False, comment="Net asset value after costs."),
        sa.Column("daily_return", sa.Double(), nullable=False, comment="Simple return after costs."),
        sa.Column(
            "turnover",
            sa.Double(),
            nullable=False,
            comment="Traded at the close before, at which weights were set.",
        ),
        sa.Column("cost", sa.Double(), nullable=False, comment="What that trade cost."),
        sa.Column("materialization_id", sa.Integer(), nullable=False, comment=WRITER),
        sa.PrimaryKeyConstraint("strategy", "session", name=op.f("strategy_nav_pkey")),
        comment="Net asset value of every strategy, walked forward and rebalanced monthly, after costs.",
    )


def downgrade() -> None:
    for table in ("strategy_nav", "strategy_weight"):
        op.drop_table(table)
    op.execute("DELETE FROM asset_partition WHERE asset IN ('strategy_nav', 'strategy_weights')")
