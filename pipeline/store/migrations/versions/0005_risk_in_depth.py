"""risk in depth.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


MEASURES = (
    ("volatility_ewma", "Exponentially weighted volatility about zero (λ 0.94), annualised."),
    ("average_drawdown", "Mean over the sessions of the fall from the peak."),
    ("ulcer_index", "Root mean square of the falls from the peak."),
    ("cdar_95", "Mean of the worst 5 % of the falls from the peak."),
    ("alpha", "Jensen's alpha: intercept of that regression of excess returns, annualised."),
    ("r_squared", "Share of the variance that the benchmark explains."),
    ("tracking_error", "Standard deviation of the returns less the benchmark's, annualised."),
    ("information_ratio", "Mean of the returns less the benchmark's over the tracking error, annualised."),
    ("up_capture", "Mean return by the benchmark's on the sessions on which that rose (geometric)."),
    ("down_capture", "Mean return by the benchmark's on the sessions on which that fell (geometric)."),
)


def upgrade() -> None:
    for table in ("instrument_risk", "portfolio_risk"):
        for name, meaning in MEASURES:
            op.add_column(table, sa.Column(name, sa.Double(), nullable=True, comment=meaning))
    op.create_table(
        "covariance",
        sa.Column(
            "estimator", sa.Text(), autoincrement=False, nullable=False, comment="Estimator, such as ledoit_wolf."
        ),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment="Exchange session (New York)."),
        sa.Column("instrument_id", sa.Integer(), autoincrement=False, nullable=False, comment="Instrument."),
        sa.Column(
            "other_instrument_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="The other one, with the same or a higher number.",
        ),
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
        sa.Column(
            "materialization_id", sa.Integer(), nullable=False, comment="Write that made or last changed the row."
        ),
        sa.PrimaryKeyConstraint(
            "estimator", "session", "instrument_id", "other_instrument_id", name=op.f("covariance_pkey")
        ),
        comment="Covariance of daily returns of every pair of instruments, at the last session of each month.",
    )
    op.create_table(
        "factor_exposure",
        sa.Column(
            "instrument_id", sa.Integer(), autoincrement=False, nullable=False, comment="Instrument that is explained."
        ),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment="Exchange session (New York)."),
        sa.Column("factor", sa.Text(), autoincrement=False, nullable=False, comment="Symbol of the factor fund."),
        sa.Column("window_sessions", sa.SmallInteger(), nullable=False, comment="Returns that were used."),
        sa.Column(
            "exposure_ols", sa.Double(), nullable=True, comment="Slope of the multiple regression (OLS) with intercept."
        ),
        sa.Column("standard_error", sa.Double(), nullable=True, comment="Standard error of the OLS slope."),
        sa.Column("t_statistic", sa.Double(), nullable=True, comment="OLS slope over its standard error."),
        sa.Column(
            "exposure_ridge",
            sa.Double(),
            nullable=True,
            comment="Slope of the ridge regression; its penalty is cross-validated.",
        ),
        sa.Column("ridge_penalty", sa.Double(), nullable=True, comment="Penalty of the ridge regression."),
        sa.Column(
            "r_squared",
            sa.Double(),
            nullable=True,
            comment="Share of the variance that the factors explain together (OLS).",
        ),
        sa.Column(
            "residual_volatility",
            sa.Double(),
            nullable=True,
            comment="Volatility of what they do not explain (OLS), annualised.",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why figures are missing; empty when all are there."),
        sa.Column(
            "materialization_id", sa.Integer(), nullable=False, comment="Write that made or last changed the row."
        ),
        sa.PrimaryKeyConstraint("instrument_id", "session", "factor", name=op.f("factor_exposure_pkey")),
        comment="Exposure of every instrument to the factor funds, at the last session of each month.",
    )
    op.create_table(
        "portfolio_contribution",
        sa.Column("portfolio_id", sa.Integer(), autoincrement=False, nullable=False, comment="Portfolio."),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment="Exchange session (New York)."),
        sa.Column("instrument_id", sa.Integer(), autoincrement=False, nullable=False, comment="Position."),
        sa.Column("window_sessions", sa.SmallInteger(), nullable=False, comment="Returns that were used."),
        sa.Column("weight", sa.Double(), nullable=False, comment="Share of the portfolio's value."),
        sa.Column(
            "volatility_component",
            sa.Double(),
            nullable=True,
            comment="Part of the volatility of one session (Ledoit–Wolf covariance); parts sum to it.",
        ),
        sa.Column(
            "volatility_marginal",
            sa.Double(),
            nullable=True,
            comment="Change of the volatility of one session (Ledoit–Wolf covariance) per unit of weight.",
        ),
        sa.Column(
            "volatility_incremental",
            sa.Double(),
            nullable=True,
            comment="The volatility of one session (Ledoit–Wolf covariance), less that without the position.",
        ),
        sa.Column(
            "var_99_1d_component",
            sa.Double(),
            nullable=True,
            comment="Part of the historical value at risk, 99 %, one session; parts sum to it.",
        ),
        sa.Column(
            "var_99_1d_marginal",
            sa.Double(),
            nullable=True,
            comment="Change of the historical value at risk, 99 %, one session per unit of weight.",
        ),
        sa.Column(
            "var_99_1d_incremental",
            sa.Double(),
            nullable=True,
            comment="The historical value at risk, 99 %, one session, less that without the position.",
        ),
        sa.Column(
            "es_975_1d_component",
            sa.Double(),
            nullable=True,
            comment="Part of the historical expected shortfall, 97.5 %, one session; parts sum to it.",
        ),
        sa.Column(
            "es_975_1d_marginal",
            sa.Double(),
            nullable=True,
            comment="Change of the historical expected shortfall, 97.5 %, one session per unit of weight.",
        ),
        sa.Column(
            "es_975_1d_incremental",
            sa.Double(),
            nullable=True,
            comment="The historical expected shortfall, 97.5 %, one session, less that without the position.",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why figures are missing; empty when all are there."),
        sa.Column(
            "materialization_id", sa.Integer(), nullable=False, comment="Write that made or last changed the row."
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "session", "instrument_id", name=op.f("portfolio_contribution_pkey")),
        comment="Component, marginal and incremental risk of every position, at the last session of each month.",
    )
    op.create_table(
        "portfolio_tail",
        sa.Column("portfolio_id", sa.Integer(), autoincrement=False, nullable=False, comment="Portfolio."),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment="Exchange session (New York)."),
        sa.Column(
            "method",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="How the tail is estimated, such as filtered_historical.",
        ),
        sa.Column("window_sessions", sa.SmallInteger(), nullable=False, comment="Returns that were used."),
        sa.Column("var_95_1d", sa.Double(), nullable=True, comment="Value at risk of the next session, 95 %."),
        sa.Column("var_975_1d", sa.Double(), nullable=True, comment="Value at risk of the next session, 97.5 %."),
        sa.Column("var_99_1d", sa.Double(), nullable=True, comment="Value at risk of the next session, 99 %."),
        sa.Column("es_95_1d", sa.Double(), nullable=True, comment="Expected shortfall of the next session, 95 %."),
        sa.Column("es_975_1d", sa.Double(), nullable=True, comment="Expected shortfall of the next session, 97.5 %."),
        sa.Column("es_99_1d", sa.Double(), nullable=True, comment="Expected shortfall of the next session, 99 %."),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why figures are missing; empty when all are there."),
        sa.Column(
            "materialization_id", sa.Integer(), nullable=False, comment="Write that made or last changed the row."
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "session", "method", name=op.f("portfolio_tail_pkey")),
        comment="VaR and ES of every portfolio's holdings by seven methods; monte_carlo with 10,000 paths of seed 0.",
    )
    op.create_table(
        "stress_result",
        sa.Column("portfolio_id", sa.Integer(), autoincrement=False, nullable=False, comment="Portfolio."),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment="Exchange session (New York)."),
        sa.Column("scenario", sa.Text(), autoincrement=False, nullable=False, comment="Scenario, such as lehman_2008."),
        sa.Column("instrument_id", sa.Integer(), autoincrement=False, nullable=False, comment="Position."),
        sa.Column("weight", sa.Double(), nullable=True, comment="Share of the portfolio's value at that session."),
        sa.Column(
            "shock",
            sa.Double(),
            nullable=True,
            comment="Move of the position from the start to the end of the scenario.",
        ),
        sa.Column(
            "pnl", sa.Double(), nullable=True, comment="Profit or loss of the position; positions sum to the total."
        ),
        sa.Column(
            "worst_shock",
            sa.Double(),
            nullable=True,
            comment="Move up to the session at which the whole portfolio stood lowest.",
        ),
        sa.Column("worst_pnl", sa.Double(), nullable=True, comment="Profit or loss of the position up to there."),
        sa.Column(
            "shocked_by",
            sa.Text(),
            nullable=False,
            comment="prices: its own; benchmark_beta: it had none, and the index stood in; none: neither could.",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why figures are missing; empty when all are there."),
        sa.Column(
            "materialization_id", sa.Integer(), nullable=False, comment="Write that made or last changed the row."
        ),
        sa.PrimaryKeyConstraint(
            "portfolio_id", "session", "scenario", "instrument_id", name=op.f("stress_result_pkey")
        ),
        comment="Today's holdings through every crisis of the past, at the last session of each month.",
    )
    op.create_table(
        "var_backtest",
        sa.Column("subject_kind", sa.Text(), autoincrement=False, nullable=False, comment="portfolio or instrument."),
        sa.Column(
            "subject_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Number of the portfolio or instrument.",
        ),
        sa.Column("session", sa.Date(), autoincrement=False, nullable=False, comment="Exchange session (New York)."),
        sa.Column(
            "method", sa.Text(), autoincrement=False, nullable=False, comment="How the value at risk was estimated."
        ),
        sa.Column(
            "measure", sa.Text(), autoincrement=False, nullable=False, comment="Which value at risk, such as var_99_1d."
        ),
        sa.Column(
            "observations", sa.SmallInteger(), nullable=False, comment="Sessions up to this one that were tested."
        ),
        sa.Column("exceptions", sa.SmallInteger(), nullable=False, comment="Sessions with a larger loss."),
        sa.Column(
            "expected_exceptions", sa.Double(), nullable=True, comment="Exceptions that the confidence lets expect."
        ),
        sa.Column(
            "kupiec_statistic",
            sa.Double(),
            nullable=True,
            comment="Kupiec's likelihood ratio of the number of exceptions.",
        ),
        sa.Column(
            "kupiec_p_value", sa.Double(), nullable=True, comment="Its probability of being as bad by chance (kupiec)."
        ),
        sa.Column(
            "independence_statistic",
            sa.Double(),
            nullable=True,
            comment="Christoffersen's likelihood ratio of independent exceptions.",
        ),
        sa.Column(
            "independence_p_value",
            sa.Double(),
            nullable=True,
            comment="Its probability of being as bad by chance (independence).",
        ),
        sa.Column(
            "conditional_coverage_statistic",
            sa.Double(),
            nullable=True,
            comment="Christoffersen's likelihood ratio of both.",
        ),
        sa.Column(
            "conditional_coverage_p_value",
            sa.Double(),
            nullable=True,
            comment="Its probability of being as bad by chance (conditional_coverage).",
        ),
        sa.Column(
            "duration_statistic",
            sa.Double(),
            nullable=True,
            comment="Christoffersen and Pelletier's likelihood ratio of the durations between exceptions.",
        ),
        sa.Column(
            "duration_p_value",
            sa.Double(),
            nullable=True,
            comment="Its probability of being as bad by chance (duration).",
        ),
        sa.Column(
            "shortfall_z1_statistic",
            sa.Double(),
            nullable=True,
            comment="Acerbi and Szekely's Z1 of the expected shortfall, given the exceptions.",
        ),
        sa.Column(
            "shortfall_z1_p_value",
            sa.Double(),
            nullable=True,
            comment="Its probability of being as bad by chance (shortfall_z1).",
        ),
        sa.Column(
            "shortfall_z2_statistic",
            sa.Double(),
            nullable=True,
            comment="Acerbi and Szekely's Z2 of the expected shortfall and the exceptions.",
        ),
        sa.Column(
            "shortfall_z2_p_value",
            sa.Double(),
            nullable=True,
            comment="Its probability of being as bad by chance (shortfall_z2).",
        ),
        sa.Column(
            "traffic_light",
            sa.Text(),
            nullable=True,
            comment="Basel's zone over 250 sessions: green, yellow or red; 99 % only.",
        ),
        sa.Column(
            "basel_multiplier", sa.Double(), nullable=True, comment="Multiplication factor of that zone (MAR99)."
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why figures are missing; empty when all are there."),
        sa.Column(
            "materialization_id", sa.Integer(), nullable=False, comment="Write that made or last changed the row."
        ),
        sa.PrimaryKeyConstraint(
            "subject_kind", "subject_id", "session", "method", "measure", name=op.f("var_backtest_pkey")
        ),
        comment="Backtests of every published value at risk, at the last session of each month.",
    )


def downgrade() -> None:
    for table in ("instrument_risk", "portfolio_risk"):
        for name, _ in MEASURES:
            op.drop_column(table, name)
    op.drop_table("var_backtest")
    op.drop_table("stress_result")
    op.drop_table("portfolio_tail")
    op.drop_table("portfolio_contribution")
    op.drop_table("factor_exposure")
    op.drop_table("covariance")
