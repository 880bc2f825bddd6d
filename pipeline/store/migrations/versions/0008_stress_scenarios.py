"""stress scenarios.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KIND = "historical: a crisis replayed; hypothetical: stated shocks; reverse: the most likely way to a loss."

SHOCKED_BY = (
    "prices: its own; benchmark_beta: its beta, times the index's; sector, factor_exposure, largest_position,"
    " currency, covariance: by what the scenario states; none: nothing could."
)

# Column of stress_result, its type, and its comments before and after.
REWORDED = (
    (
        "scenario",
        sa.Text(),
        False,
        "Scenario, such as lehman_2008.",
        "Scenario, such as lehman_2008; stress_scenario has what it states.",
    ),
    (
        "instrument_id",
        sa.Integer(),
        False,
        "Position.",
        "Position that the scenario moves; it leaves the others where they are.",
    ),
    (
        "shocked_by",
        sa.Text(),
        False,
        "prices: its own; benchmark_beta: it had none, and the index stood in; none: neither could.",
        SHOCKED_BY,
    ),
)
BEFORE = "Today's holdings through every crisis of the past, at the last session of each month."
AFTER = "Today's holdings under every stored scenario, at the last session of each month."


def upgrade() -> None:
    _name_rates_and_pack_matrices()
    # What is stored already are replays; from here on every write names its kind.
    op.add_column(
        "stress_result", sa.Column("kind", sa.Text(), server_default="historical", nullable=False, comment=KIND)
    )
    op.alter_column("stress_result", "kind", server_default=None)
    for name, kind, nullable, before, after in REWORDED:
        op.alter_column(
            "stress_result",
            name,
            existing_type=kind,
            existing_nullable=nullable,
            existing_comment=before,
            comment=after,
        )
    op.create_table_comment("stress_result", AFTER, existing_comment=BEFORE)
    op.create_table(
        "stress_scenario",
        sa.Column("portfolio_id", sa.Integer(), autoincrement=False, nullable=False, comment="Portfolio."),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment="Exchange session (New York)."),
        sa.Column(
            "scenario", sa.Text(), autoincrement=False, nullable=False, comment="Scenario, such as equity_down_20."
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment=KIND),
        sa.Column(
            "parameters",
            sa.Text(),
            nullable=False,
            comment="What the scenario states, as JSON; fractions and sessions.",
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="Where its sizes come from."),
        sa.Column(
            "total",
            sa.Double(),
            nullable=True,
            comment="Sum of the positions' profit and loss; 0 where no price moves.",
        ),
        sa.Column(
            "worst_total",
            sa.Double(),
            nullable=True,
            comment="The same where the portfolio stood lowest on the way.",
        ),
        sa.Column(
            "mahalanobis_distance",
            sa.Double(),
            nullable=True,
            comment="Distance of the move of one session from none; reverse scenarios only.",
        ),
        sa.Column(
            "gaussian_probability",
            sa.Double(),
            nullable=True,
            comment="Of a loss at least as large in one session, normal law; reverse scenarios only.",
        ),
        sa.Column(
            "var_99_1d_before",
            sa.Double(),
            nullable=True,
            comment="Value at risk as it is; of volatility and correlation only.",
        ),
        sa.Column(
            "var_99_1d_after",
            sa.Double(),
            nullable=True,
            comment="Value at risk under the scenario; likewise.",
        ),
        sa.Column(
            "es_99_1d_before",
            sa.Double(),
            nullable=True,
            comment="Expected shortfall as it is; of volatility only.",
        ),
        sa.Column(
            "es_99_1d_after",
            sa.Double(),
            nullable=True,
            comment="Expected shortfall under the scenario; of volatility only.",
        ),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=True,
            comment="Why a figure that the scenario has is missing; empty when all are there.",
        ),
        sa.Column(
            "materialization_id", sa.Integer(), nullable=False, comment="Write that made or last changed the row."
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "session", "scenario", name=op.f("stress_scenario_pkey")),
        comment="Every stored scenario with what it states and its total, at the last session of each month.",
    )


def downgrade() -> None:
    _unname_rates_and_unpack_matrices()
    op.drop_table("stress_scenario")
    # The older version knows replays alone.
    op.execute("DELETE FROM stress_result WHERE kind <> 'historical'")
    op.drop_column("stress_result", "kind")
    for name, kind, nullable, before, after in REWORDED:
        op.alter_column(
            "stress_result",
            name,
            existing_type=kind,
            existing_nullable=nullable,
            existing_comment=after,
            comment=before,
        )
    op.create_table_comment("stress_result", BEFORE, existing_comment=AFTER)


# Columns of the covariance table before it held a matrix a row.
KEYED_BY = (
    ("estimator", sa.Text(), "Estimator, such as ledoit_wolf."),
    ("session", sa.Date(), "Exchange session (New York)."),
    ("instrument_id", sa.Integer(), "Instrument."),
    ("other_instrument_id", sa.Integer(), "The other one, with the same or a higher number."),
)
RISK_FREE = 'Series of the risk-free rate, such as DTB3; "none stored: 0" for a rate of 0.'
PAIRS = "Covariance of daily returns of every pair of instruments, at the last session of each month."
TRIANGLE = "Covariances of daily returns, per session: the lower triangle row by row as float64; then a byte of 1."
WRITER = "Write that made or last changed the row."


def _name_rates_and_pack_matrices() -> None:
    """The risk-free rate of each risk row, and covariances as a matrix a row; they are computed again."""
    for table in ("instrument_risk", "portfolio_risk"):
        op.add_column(table, sa.Column("risk_free", sa.Text(), nullable=True, comment=RISK_FREE))
    _drop_covariances()
    op.create_table(
        "covariance",
        *_keys(2),
        sa.Column("window_sessions", sa.SmallInteger(), nullable=False, comment="Returns that were used."),
        sa.Column("instrument_count", sa.SmallInteger(), nullable=False, comment="Rows and columns of the matrix."),
        sa.Column(
            "instrument_ids",
            sa.LargeBinary(),
            nullable=False,
            comment="Instruments, ascending, as int32; then a byte of 1.",
        ),
        sa.Column("covariance", sa.LargeBinary(), nullable=False, comment=TRIANGLE),
        sa.Column(
            "mean_correlation", sa.Double(), nullable=True, comment="Mean correlation of two different instruments."
        ),
        sa.Column(
            "largest_correlation",
            sa.Double(),
            nullable=True,
            comment="Largest correlation of two different instruments.",
        ),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="Why there is no correlation: no two instruments that vary."
        ),
        sa.Column("materialization_id", sa.Integer(), nullable=False, comment=WRITER),
        sa.PrimaryKeyConstraint("estimator", "session", name=op.f("covariance_pkey")),
        comment=PAIRS,
    )


def _unname_rates_and_unpack_matrices() -> None:
    _drop_covariances()
    op.create_table(
        "covariance",
        *_keys(4),
        sa.Column("window_sessions", sa.SmallInteger(), nullable=False, comment="Returns that were used."),
        sa.Column(
            "covariance", sa.Double(), nullable=True, comment="Covariance of daily returns; the variance of one."
        ),
        sa.Column(
            "correlation", sa.Double(), nullable=True, comment="Correlation of daily returns; 1 of one with itself."
        ),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="Why there is no correlation: an instrument without variation."
        ),
        sa.Column("materialization_id", sa.Integer(), nullable=False, comment=WRITER),
        sa.PrimaryKeyConstraint(*(name for name, _, _ in KEYED_BY), name=op.f("covariance_pkey")),
        comment=PAIRS,
    )
    for table in ("instrument_risk", "portfolio_risk"):
        op.drop_column(table, "risk_free")


def _drop_covariances() -> None:
    """Without its partitions, so that they count as never built."""
    op.drop_table("covariance")
    op.execute("DELETE FROM asset_partition WHERE asset = 'covariance'")


def _keys(count: int) -> list[sa.Column[Any]]:
    return [
        sa.Column(name, kind, autoincrement=False, nullable=False, comment=meaning)
        for name, kind, meaning in KEYED_BY[:count]
    ]
