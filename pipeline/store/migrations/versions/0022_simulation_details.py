"""simulation details.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

COLUMNS = {
    "var_95_error": "Standard error of the 95 % value at risk.",
    "es_99": "Expected shortfall at the horizon, 99 %.",
    "es_99_error": "Standard error of the 99 % expected shortfall.",
    "probability_of_loss_error": "Standard error of the probability of a loss.",
    "max_drawdown_mean_error": "Standard error of the mean of the deepest fall.",
    **{f"max_drawdown_{percent:02d}": f"{percent} % quantile of the deepest fall." for percent in (5, 25, 50, 75, 95)},
}
PARAMETERS = "Fitted parameters of the model, as JSON: name and value, the unit in the name."

ES_ERROR = "Standard error of the expected shortfall."
ES_975_ERROR = "Standard error of the 97.5 % expected shortfall."


def upgrade() -> None:
    # Empty in rows of before, and in those of code of before.
    for name, comment in COLUMNS.items():
        op.add_column("portfolio_simulation", sa.Column(name, sa.Double(), nullable=True, comment=comment))
    op.add_column("portfolio_simulation", sa.Column("parameters", sa.Text(), nullable=True, comment=PARAMETERS))
    op.alter_column("portfolio_simulation", "es_975_error", comment=ES_975_ERROR, existing_comment=ES_ERROR)


def downgrade() -> None:
    op.alter_column("portfolio_simulation", "es_975_error", comment=ES_ERROR, existing_comment=ES_975_ERROR)
    for name in ("parameters", *reversed(COLUMNS)):
        op.drop_column("portfolio_simulation", name)
