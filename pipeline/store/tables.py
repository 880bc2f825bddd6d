"""Every table, imported so that `METADATA` is whole: what migrations are compared with."""

from __future__ import annotations

from sqlalchemy import MetaData

from pipeline.store import (
    api_keys,  # noqa: F401
    audit,  # noqa: F401
    corporate_actions,  # noqa: F401
    covariances,  # noqa: F401
    data_version,  # noqa: F401
    factor_exposures,  # noqa: F401
    feature_flags,  # noqa: F401
    forecast_models,  # noqa: F401
    forecast_scores,  # noqa: F401
    fx_rates,  # noqa: F401
    idempotency,  # noqa: F401
    incidents,  # noqa: F401
    ingest_runs,  # noqa: F401
    instrument_risk,  # noqa: F401
    instruments,  # noqa: F401
    interest_rates,  # noqa: F401
    limits,  # noqa: F401
    materializations,  # noqa: F401
    outdating,  # noqa: F401
    portfolio_contributions,  # noqa: F401
    portfolio_risk,  # noqa: F401
    portfolio_simulations,  # noqa: F401
    portfolio_tails,  # noqa: F401
    portfolio_units,  # noqa: F401
    portfolios,  # noqa: F401
    price_blocks,  # noqa: F401
    prices,  # noqa: F401
    probability_forecasts,  # noqa: F401
    providers,  # noqa: F401
    quantile_forecasts,  # noqa: F401
    quarantine,  # noqa: F401
    raw_payloads,  # noqa: F401
    refresh_tokens,  # noqa: F401
    served_series,  # noqa: F401
    simulation_jobs,  # noqa: F401
    strategies,  # noqa: F401
    stress_results,  # noqa: F401
    stress_scenarios,  # noqa: F401
    symbols,  # noqa: F401
    transactions,  # noqa: F401
    users,  # noqa: F401
    var_backtests,  # noqa: F401
    volatility_forecasts,  # noqa: F401
)
from pipeline.store.schema import METADATA


def all_tables() -> MetaData:
    """The complete schema."""
    return METADATA
