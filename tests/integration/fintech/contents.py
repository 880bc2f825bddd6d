"""What a database of the platform holds, compared with what its writes recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from sqlalchemy import Table

from pipeline.store.covariances import COVARIANCE
from pipeline.store.factor_exposures import FACTOR_EXPOSURE
from pipeline.store.forecast_scores import FORECAST_SCORE
from pipeline.store.fx_rates import FX_RATE
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import INSTRUMENT
from pipeline.store.portfolio_contributions import PORTFOLIO_CONTRIBUTION
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.portfolio_units import PORTFOLIO_UNIT
from pipeline.store.prices import PRICE
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.schema import WRITER, session_column
from pipeline.store.strategies import STRATEGY_NAV, STRATEGY_WEIGHT
from pipeline.store.stress_results import STRESS_RESULT
from pipeline.store.stress_scenarios import STRESS_SCENARIO
from pipeline.store.var_backtests import VAR_BACKTEST
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST

Ask = Callable[[str], list[tuple]]

MONTHLY_TABLES: dict[str, Table] = {
    "prices": PRICE,
    "fx_rates": FX_RATE,
    "instrument_risk": INSTRUMENT_RISK,
    "portfolio_risk": PORTFOLIO_RISK,
    "stress_results": STRESS_RESULT,
    "covariance": COVARIANCE,
    "factor_exposure": FACTOR_EXPOSURE,
    "portfolio_contribution": PORTFOLIO_CONTRIBUTION,
    "portfolio_tail": PORTFOLIO_TAIL,
    "portfolio_units": PORTFOLIO_UNIT,
    "var_backtests": VAR_BACKTEST,
    "portfolio_simulation": PORTFOLIO_SIMULATION,
    "strategy_weights": STRATEGY_WEIGHT,
    "strategy_nav": STRATEGY_NAV,
    "volatility_forecast": VOLATILITY_FORECAST,
    "quantile_forecast": QUANTILE_FORECAST,
    "probability_forecast": PROBABILITY_FORECAST,
    "forecast_scores": FORECAST_SCORE,
}
"""Asset key → table of every asset with partitions."""


def recorded_rows(ask: Ask, asset: str) -> dict[date, int]:
    """Rows of each month that is not empty, as the asset's writes recorded them."""
    return dict(ask(f"SELECT month, rows FROM asset_partition WHERE asset = '{asset}' AND rows > 0"))


def found_rows(ask: Ask, asset: str) -> dict[date, int]:
    """Rows of each month that is not empty, counted in the table."""
    table = MONTHLY_TABLES[asset]
    month = f"date_trunc('month', {session_column(table)})::date"
    return dict(ask(f"SELECT {month}, count(*) FROM {table.name} GROUP BY 1"))


def half_written(ask: Ask) -> list[str]:
    """Assets with a month whose rows are not those that its write recorded."""
    return [asset for asset in MONTHLY_TABLES if recorded_rows(ask, asset) != found_rows(ask, asset)]


def writers(ask: Ask) -> dict[str, dict[int, int]]:
    """Rows by the write that made them, for every table that results go to."""
    tables = [INSTRUMENT, STRESS_SCENARIO, *MONTHLY_TABLES.values()]
    return {table.name: dict(ask(f"SELECT {WRITER}, count(*) FROM {table.name} GROUP BY 1")) for table in tables}
