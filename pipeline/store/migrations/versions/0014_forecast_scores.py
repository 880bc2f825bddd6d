"""forecast scores.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

API_ROLE = "fintech_api"
WRITER = "Write that made or last changed the row."


def upgrade() -> None:
    _create_scores()
    _create_models()
    _create_champions()


def _create_scores() -> None:
    op.create_table(
        "forecast_score",
        sa.Column("instrument_id", sa.Integer(), autoincrement=False, nullable=False, comment="Instrument."),
        sa.Column(
            "month",
            sa.Date(),
            autoincrement=False,
            nullable=False,
            comment="First day of the month in which the horizons end.",
        ),
        sa.Column("model", sa.Text(), autoincrement=False, nullable=False, comment="Forecast model."),
        sa.Column(
            "kind",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="variance, quantile_0.01 and other levels, es_0.01 and es_0.025.",
        ),
        sa.Column(
            "horizon_sessions", sa.SmallInteger(), autoincrement=False, nullable=False, comment="Sessions ahead."
        ),
        sa.Column(
            "baseline",
            sa.Text(),
            nullable=False,
            comment="Naive forecast beside it: ewma, for ewma constant, or historical.",
        ),
        sa.Column(
            "forecasts",
            sa.SmallInteger(),
            nullable=False,
            comment="Forecasts whose horizon ended in the month.",
        ),
        sa.Column(
            "loss",
            sa.Double(),
            nullable=False,
            comment="Mean loss: QLIKE of a variance, tick loss of a quantile, Fissler-Ziegel loss of a shortfall.",
        ),
        sa.Column("baseline_loss", sa.Double(), nullable=False, comment="The same of the naive forecast."),
        sa.Column(
            "squared_error",
            sa.Double(),
            nullable=True,
            comment="Mean squared error of the annual variance; variances only.",
        ),
        sa.Column("baseline_squared_error", sa.Double(), nullable=True, comment="The same of the naive forecast."),
        sa.Column(
            "hits", sa.SmallInteger(), nullable=False, comment="Returns below their quantile; 0 for other kinds."
        ),
        sa.Column(
            "hit_bits",
            sa.Integer(),
            nullable=False,
            comment="Which they were: bit 0 is the first forecast of the month.",
        ),
        sa.Column("materialization_id", sa.Integer(), nullable=False, comment=WRITER),
        sa.PrimaryKeyConstraint(
            "instrument_id", "month", "model", "kind", "horizon_sessions", name=op.f("forecast_score_pkey")
        ),
        comment="Scores of every forecast whose horizon has passed, beside a naive forecast, by month.",
    )


def _create_models() -> None:
    op.create_table(
        "forecast_model",
        sa.Column(
            "target",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="What it forecasts: volatility or distribution.",
        ),
        sa.Column("name", sa.Text(), autoincrement=False, nullable=False, comment="Model."),
        sa.Column("version", sa.Text(), autoincrement=False, nullable=False, comment="Version of the model."),
        sa.Column("hyperparameters", postgresql.JSONB(), nullable=False, comment="Parameters of the model, by name."),
        sa.Column("trained_from", sa.Date(), nullable=True, comment="First session of the data that it was fitted on."),
        sa.Column(
            "trained_through",
            sa.Date(),
            nullable=True,
            comment="Last session that entered a fit; empty before the first forecast.",
        ),
        sa.Column("run_id", sa.Text(), nullable=True, comment="Run that made its newest forecasts."),
        sa.Column("code_version", sa.Text(), nullable=True, comment="Digest of the source that made them."),
        sa.Column(
            "scores",
            postgresql.JSONB(),
            nullable=False,
            comment="Past scores by kind and horizon, beside those of the naive forecast.",
        ),
        sa.Column(
            "relative_loss",
            sa.Double(),
            nullable=True,
            comment="Mean of its losses over the naive forecast's; below 1 is better.",
        ),
        sa.Column("scored_through", sa.Date(), nullable=True, comment="Last month with a score."),
        sa.Column(
            "registered_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was first registered.",
        ),
        sa.Column("materialization_id", sa.Integer(), nullable=False, comment=WRITER),
        sa.PrimaryKeyConstraint("target", "name", "version", name=op.f("forecast_model_pkey")),
        comment="Forecast models: what they are, what they were fitted on, and how they did.",
    )


def _create_champions() -> None:
    op.create_table(
        "forecast_champion",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="Number of the entry."),
        sa.Column("target", sa.Text(), nullable=False, comment="What is forecast: volatility or distribution."),
        sa.Column("name", sa.Text(), nullable=False, comment="Model that is champion from here on."),
        sa.Column("version", sa.Text(), nullable=False, comment="Version of the model."),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment="score: the best by past scores; promoted or rolled_back by a person.",
        ),
        sa.Column("actor", sa.Text(), nullable=False, comment="Who decided."),
        sa.Column("note", sa.Text(), nullable=False, comment="Why."),
        sa.Column("relative_loss", sa.Double(), nullable=True, comment="Its score when it was decided."),
        sa.Column("scored_through", sa.Date(), nullable=True, comment="Last month that this score saw."),
        sa.Column(
            "previous_id",
            sa.Integer(),
            nullable=True,
            comment="Entry that a withdrawal goes back to; empty for none.",
        ),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("forecast_champion_pkey")),
        comment="Champions of each target; the newest entry counts, and none is ever changed.",
    )
    op.create_index("forecast_champion_target_id_idx", "forecast_champion", ["target", "id"])
    op.execute(f"GRANT INSERT ON forecast_champion TO {API_ROLE}")
    op.execute(
        """
        CREATE TRIGGER note_data_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON forecast_champion
        FOR EACH STATEMENT EXECUTE FUNCTION note_data_change()
        """
    )


def downgrade() -> None:
    for table in ("forecast_champion", "forecast_model", "forecast_score"):
        op.drop_table(table)
    op.execute("DELETE FROM asset_partition WHERE asset = 'forecast_scores'")
