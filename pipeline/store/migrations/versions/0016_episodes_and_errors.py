"""episodes and errors.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TAILS = ("var_95_1d", "var_975_1d", "var_99_1d", "es_95_1d", "es_975_1d", "es_99_1d")

BACKTESTS = "Backtests of every published value at risk, at the last session of each month."
BACKTESTS_OF = (
    "Backtests of every published value at risk, at the last session of each month. Of an instrument, historical"
    " is that of instrument_risk; of a portfolio, historical_252 is that of portfolio_risk and the other methods are"
    " those of portfolio_tail. An expected shortfall is judged with the value at risk of its confidence: es_975_1d by"
    " the methods of portfolio_tail, as instrument_risk and portfolio_risk have no VaR 97.5 %."
)


def upgrade() -> None:
    op.create_table_comment("var_backtest", BACKTESTS_OF, existing_comment=BACKTESTS)
    op.add_column(
        "limit_event",
        sa.Column(
            "ordinal",
            sa.SmallInteger(),
            server_default="1",
            nullable=False,
            comment="Which of the limit's episodes that began on that session, from 1.",
        ),
    )
    for name in TAILS:
        op.add_column(
            "portfolio_tail",
            sa.Column(
                f"{name}_error",
                sa.Double(),
                nullable=True,
                comment=f"Standard error of the simulation in {name}; empty for a method that does not simulate.",
            ),
        )


def downgrade() -> None:
    for name in reversed(TAILS):
        op.drop_column("portfolio_tail", f"{name}_error")
    op.drop_column("limit_event", "ordinal")
    op.create_table_comment("var_backtest", BACKTESTS, existing_comment=BACKTESTS_OF)
