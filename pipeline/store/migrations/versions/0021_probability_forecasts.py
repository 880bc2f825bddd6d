"""probability forecasts.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

SCORE_COMMENTS = {
    "kind": (
        "variance, quantile_0.01 and other levels, es_0.01 and es_0.025.",
        "variance, quantile_0.01 and other levels, es_0.01 and es_0.025, probability_positive, rank_quintiles.",
    ),
    "baseline": (
        "Naive forecast beside it: ewma, for ewma constant, or historical.",
        "Naive forecast beside it: ewma, for ewma constant, historical, or frequency.",
    ),
    "loss": (
        "Mean loss: QLIKE of a variance, tick loss of a quantile, Fissler-Ziegel loss of a shortfall.",
        (
            "Mean loss: QLIKE of a variance, tick loss of a quantile, Fissler-Ziegel loss of a shortfall,"
            " log loss of a probability, ranked probability score of quintiles."
        ),
    ),
    "squared_error": (
        "Mean squared error of the annual variance; variances only.",
        "Mean squared error of the annual variance, or Brier score of a probability.",
    ),
}
"""Column of ``forecast_score`` → its comment before and after."""


def upgrade() -> None:
    op.create_table(
        "probability_forecast",
        sa.Column("instrument_id", sa.Integer(), autoincrement=False, nullable=False, comment="Instrument."),
        sa.Column(
            "as_of",
            sa.Date(),
            autoincrement=False,
            nullable=False,
            comment="Exchange session (New York).",
        ),
        sa.Column(
            "model",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Forecast model; frequency is the constant forecast.",
        ),
        sa.Column("horizon_sessions", sa.SmallInteger(), nullable=False, comment="Sessions ahead."),
        sa.Column(
            "probability_positive", sa.Double(), nullable=True, comment="Probability that the return is above 0."
        ),
        *(
            sa.Column(
                f"rank_quintile_{number}",
                sa.Double(),
                nullable=True,
                comment=f"Probability that the return is in fifth {number} of all instruments' returns;"
                " 1 is the lowest.",
            )
            for number in range(1, 6)
        ),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=True,
            comment="Why probabilities are missing; empty when all are there.",
        ),
        sa.Column("model_version", sa.Text(), nullable=False, comment="Version of the model."),
        sa.Column(
            "trained_through",
            sa.Date(),
            nullable=True,
            comment="Last session that entered the model's fit; empty where nothing is forecast.",
        ),
        sa.Column(
            "materialization_id",
            sa.Integer(),
            nullable=False,
            comment="Write that made or last changed the row.",
        ),
        sa.PrimaryKeyConstraint("instrument_id", "as_of", "model", name=op.f("probability_forecast_pkey")),
        comment="Daily forecasts of the sign and the rank of every instrument's return by each model.",
    )
    _comment_scores(1)


def downgrade() -> None:
    _comment_scores(0)
    op.execute("DELETE FROM forecast_score WHERE kind IN ('probability_positive', 'rank_quintiles')")
    op.drop_table("probability_forecast")
    op.execute("DELETE FROM asset_partition WHERE asset = 'probability_forecast'")


def _comment_scores(which: int) -> None:
    for name, comments in SCORE_COMMENTS.items():
        op.alter_column("forecast_score", name, comment=comments[which], existing_comment=comments[1 - which])
