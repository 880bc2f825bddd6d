"""longer quantiles.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TABLE = "quantile_forecast"
COMMENTS = (
    "Daily forecasts of every instrument's next return distribution.",
    "Daily forecasts of the distribution of every instrument's next return, and of that over 5 sessions.",
)
HORIZON_COMMENTS = ("Sessions ahead.", "Sessions ahead of the columns that name none.")
QUANTILES = {
    "quantile_0010_5d": "1.0%",
    "quantile_0025_5d": "2.5%",
    "quantile_0050_5d": "5.0%",
    "quantile_0250_5d": "25.0%",
    "quantile_0500_5d": "50.0%",
    "quantile_0750_5d": "75.0%",
    "quantile_0950_5d": "95.0%",
    "quantile_0975_5d": "97.5%",
    "quantile_0990_5d": "99.0%",
}
SHORTFALLS = {"es_0010_5d": "1", "es_0025_5d": "2.5"}


def upgrade() -> None:
    # Code of before neither gives nor asks for these.
    for name, level in QUANTILES.items():
        comment = f"{level} quantile of the return over 5 sessions."
        op.add_column(TABLE, sa.Column(name, sa.Double(), nullable=True, comment=comment))
    for name, level in SHORTFALLS.items():
        comment = f"Expected shortfall over 5 sessions below the {level} % quantile; positive loss."
        op.add_column(TABLE, sa.Column(name, sa.Double(), nullable=True, comment=comment))
    _comment(1)


def downgrade() -> None:
    _comment(0)
    op.execute(
        "DELETE FROM forecast_score WHERE horizon_sessions = 5"
        " AND (starts_with(kind, 'quantile_') OR starts_with(kind, 'es_'))"
    )
    for name in (*QUANTILES, *SHORTFALLS):
        op.drop_column(TABLE, name)


def _comment(which: int) -> None:
    op.create_table_comment(TABLE, COMMENTS[which], existing_comment=COMMENTS[1 - which])
    op.alter_column(
        TABLE, "horizon_sessions", comment=HORIZON_COMMENTS[which], existing_comment=HORIZON_COMMENTS[1 - which]
    )
