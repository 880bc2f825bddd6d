"""What the models expect of an instrument or a portfolio: stored by the pipeline, or computed by the same functions.

Forecasts are stored of instruments, simulated years of portfolios; the other half of each list is computed when
it is asked for, from the stored prices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray
from pipeline.forecast.backtest import ForecastSpec, latest_quantiles, latest_volatility
from pipeline.forecast.models import ForecastInputError
from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import held_series
from pipeline.simulation.models import SimulationInputError
from pipeline.simulation.run import SimulationSpec, simulate
from pipeline.store.instruments import read_instruments
from pipeline.store.portfolio_simulations import read_portfolio_simulations
from pipeline.store.portfolios import Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_last_session, read_price_panel
from pipeline.store.quantile_forecasts import read_quantile_forecasts
from pipeline.store.reading import LATEST, Window
from pipeline.store.volatility_forecasts import read_volatility_forecasts

VOLATILITY_MODEL = "har"
SIMULATION_MODEL = "stationary_bootstrap"

MODELS_AT_MOST = Window(limit=8)
"""Newest rows of a subject, enough to hold every model of the newest session."""

INSTRUMENT_SUBJECTS = 2**32
"""Instruments draw random numbers of their own, beyond those of any portfolio."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Volatility per year over the next sessions, and quantiles of the next return."""

    volatility_1d: float | None
    volatility_21d: float | None
    quantile_01: float | None
    quantile_05: float | None
    quantile_95: float | None


@dataclass(frozen=True, slots=True)
class Year:
    """Quantiles of the simulated return over one year."""

    return_05: float | None
    return_50: float | None
    return_95: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What lies ahead of a subject; None where a model has too few returns."""

    name: str
    forecast: Forecast | None
    year: Year | None


def read_outlooks(connection: Connection) -> Iterator[Outlook]:
    """Every instrument by symbol, then every portfolio."""
    last = read_last_session(connection)
    if last is None:
        return
    instruments = read_instruments(connection)
    panel = read_price_panel(connection, [i.id for i in instruments], None, last + timedelta(days=1))
    for instrument in instruments:
        close = panel.column(instrument.id)
        year = _simulated(simple_returns(close[np.isfinite(close)]), INSTRUMENT_SUBJECTS + instrument.id)
        yield Outlook(instrument.symbol, _stored_forecast(connection, instrument.id), year)
    for portfolio in read_portfolios(connection):
        name = portfolio.slug or str(portfolio.id)
        yield Outlook(name, _portfolio_forecast(panel, portfolio), _stored_year(connection, portfolio.id))


def _stored_forecast(connection: Connection, instrument_id: int) -> Forecast | None:
    volatility = read_volatility_forecasts(connection, instrument_id, MODELS_AT_MOST)
    quantiles = read_quantile_forecasts(connection, instrument_id, LATEST)
    newest = [row for row in volatility if row.model == VOLATILITY_MODEL and row.as_of == volatility[-1].as_of]
    if not newest or not quantiles:
        return None
    return Forecast(
        newest[0].volatility_1d,
        newest[0].volatility_21d,
        quantiles[0].quantile_0010,
        quantiles[0].quantile_0050,
        quantiles[0].quantile_0950,
    )


def _portfolio_forecast(panel: PricePanel, portfolio: Portfolio) -> Forecast | None:
    """Forecast what the portfolio earns from what it has earned under its rebalancing policy."""
    ids = [position.instrument_id for position in portfolio.positions]
    try:
        close = panel.columns(ids, portfolio.base_currency)
        held = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, *portfolio.policy)).held
        spec = ForecastSpec(quantile_horizons_sessions=(1,))
        volatility = {f.model: f for f in latest_volatility(held.returns, spec)}[VOLATILITY_MODEL]
        quantiles = latest_quantiles(held.returns, spec)[0]
    except (MeasureInputError, ForecastInputError, NotFoundError):
        return None
    by_horizon = dict(zip(volatility.horizons_sessions, volatility.volatility_annual[0].tolist(), strict=True))
    by_level = dict(zip(quantiles.levels, quantiles.quantiles[0].tolist(), strict=True))
    return Forecast(by_horizon[1], by_horizon[21], by_level[0.01], by_level[0.05], by_level[0.95])


def _simulated(returns: FloatArray, subject: int) -> Year | None:
    try:
        result = simulate(returns, SimulationSpec(model=SIMULATION_MODEL), subject)
    except SimulationInputError:
        return None
    return Year(result.return_05, result.return_50, result.return_95)


def _stored_year(connection: Connection, portfolio_id: int) -> Year | None:
    rows = read_portfolio_simulations(connection, portfolio_id, MODELS_AT_MOST)
    newest = [row for row in rows if row.model == SIMULATION_MODEL and row.session == rows[-1].session]
    return Year(newest[0].return_05, newest[0].return_50, newest[0].return_95) if newest else None
