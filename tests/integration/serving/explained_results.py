"""A database whose results are those that the assets would write, of every kind that can be explained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from sqlalchemy import Table

from pipeline.base.types import FloatArray, Policy
from pipeline.forecast.backtest import ForecastSpec, quantile_forecasts, volatility_forecasts
from pipeline.risk.assets.covariance import covariance_rows
from pipeline.risk.assets.factor_exposure import exposure_rows
from pipeline.risk.assets.portfolio_contribution import contribution_rows
from pipeline.risk.assets.portfolio_tail import tail_rows
from pipeline.risk.assets.stress_columns import position_rows, scenario_rows
from pipeline.risk.assets.stress_reference import Reference
from pipeline.risk.assets.stress_results import Crises, stressed_outcomes
from pipeline.risk.assets.var_backtests import instrument_rows, portfolio_rows, read_portfolio_forecasts
from pipeline.risk.measures.windows import simple_returns
from pipeline.simulation.assets.portfolio_simulation import simulated_rows
from pipeline.simulation.models import MODELS
from pipeline.simulation.run import SimulationSpec
from pipeline.store.covariances import COVARIANCE
from pipeline.store.engine import Database
from pipeline.store.factor_exposures import FACTOR_EXPOSURE
from pipeline.store.instrument_risk import read_instrument_tails
from pipeline.store.instruments import Listing, benchmark_of, read_instruments, replace_instruments
from pipeline.store.limits import NewLimit, replace_limits
from pipeline.store.portfolio_contributions import PORTFOLIO_CONTRIBUTION
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.stress_results import STRESS_RESULT
from pipeline.store.stress_scenarios import STRESS_SCENARIO, replace_scenarios
from pipeline.store.var_backtests import VAR_BACKTEST
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import Columns, Write, concatenated, open_write
from tests.integration.serving.seeding import DOLLARS_PER_EURO, MONTHS, SESSIONS, Seeded, seed
from tests.integration.serving.test_explanations import write_prices, write_rates, write_risk

FIT_SESSIONS, PATHS = 252, 400
LATE_SESSIONS = 400
"""Prices of LATE: none in 2020, and enough for a beta."""

_MORE = (
    Listing("LATE", "Latecomer", "stock", "Energy", "USD", "XNYS", "bundled"),
    Listing("MTUM", "Momentum", "etf", "", "USD", "XNYS", "bundled"),
    Listing("QUAL", "Quality", "etf", "", "USD", "XNYS", "bundled"),
)


def seed_explained(database: Database) -> Seeded:
    """The seeded database with two factor funds, and portfolios of two currencies, in a drift band and with a beta."""
    seeded = _with_more(seed(database))
    with seeded.database.connect() as connection:
        held = {symbol: instrument.id for symbol, instrument in seeded.instruments.items()}
        for slug, policy, weights in (
            ("mixed", Policy("monthly"), {"AAPL": 0.4, "SAP": 0.6}),
            ("proxied", Policy("daily"), {"AAPL": 0.5, "LATE": 0.5}),
            ("banded", Policy("drift_band", 0.03), {"AAPL": 0.3, "SAP": 0.3, "MSFT": 0.4}),
        ):
            positions = tuple(Position(held[s], s, target_weight=weight) for s, weight in weights.items())
            made = NewPortfolio(slug.title(), policy.rebalancing, positions, slug=slug, drift_band=policy.drift_band)
            create_portfolio(connection, made)
        limits = [NewLimit("var_99_1d", "above", 0.001, 0.9), NewLimit("largest_weight", "above", 0.2, 0.3)]
        replace_limits(connection, seeded.portfolios["held"], limits)
        connection.commit()
    write_rates(seeded, 1.01 * DOLLARS_PER_EURO)
    write_risk(seeded)
    for name, write_rows in _WRITERS.items():
        with open_write(seeded.database, name, f"run-of-{name}", "code-3") as write:
            write_rows(write)
    write_rates(seeded, DOLLARS_PER_EURO)  # what is known later changes no explanation of what is stored
    return seeded


def _with_more(seeded: Seeded) -> Seeded:
    draws = np.random.default_rng(11)
    lengths = {"LATE": LATE_SESSIONS, "MTUM": len(SESSIONS), "QUAL": len(SESSIONS)}
    market = np.diff(np.log(seeded.close["SPX"]), prepend=np.log(100.0))
    more: dict[str, FloatArray] = {
        symbol: 50.0 * np.exp(np.cumsum(0.9 * market[-length:] + draws.normal(0, 0.006, length)))
        for symbol, length in lengths.items()
    }
    with open_write(seeded.database, "instruments", "test", "2") as write:
        replace_instruments(write, _MORE)
        instruments = {instrument.symbol: instrument for instrument in read_instruments(write.connection)}
    wider = replace(seeded, instruments=instruments, close=seeded.close | more)
    write_prices(wider, "run-of-more-prices", wider.close)
    return wider


def _panel(write: Write) -> PricePanel:
    ids = [instrument.id for instrument in read_instruments(write.connection)]
    return read_price_panel(write.connection, ids, None, MONTHS.end)


def _write(table: Table, rows: Callable[[Write, PricePanel], Iterable[Columns]]) -> Callable[[Write], None]:
    return lambda write: _replaced(write, table, rows(write, _panel(write)))


def _replaced(write: Write, table: Table, blocks: Iterable[Columns]) -> None:
    write.replace(table, concatenated(table, blocks), MONTHS)


def _each(rows: Callable[..., Iterable[Columns]], *more: object) -> Callable[[Write, PricePanel], list[Columns]]:
    return lambda write, panel: [
        block for portfolio in read_portfolios(write.connection) for block in rows(panel, portfolio, MONTHS, *more)
    ]


def _covariances(write: Write, panel: PricePanel) -> Iterable[Columns]:
    return covariance_rows(panel, benchmark_of(read_instruments(write.connection)), MONTHS)


def _exposures(write: Write, panel: PricePanel) -> Iterable[Columns]:
    return exposure_rows(panel, read_instruments(write.connection), MONTHS)


def _simulations(write: Write, panel: PricePanel) -> Iterable[Columns]:
    months = replace(MONTHS, first=MONTHS.end.replace(month=11, day=1, year=2022))
    specs = [SimulationSpec(model, fit_window_sessions=FIT_SESSIONS, paths=PATHS, seed=5) for model in MODELS]
    return [
        block
        for portfolio in read_portfolios(write.connection)
        for block in simulated_rows(panel, portfolio, months, specs)
    ]


def _backtests(write: Write, panel: PricePanel) -> Iterable[Columns]:
    tails = read_portfolio_forecasts(write.connection, MONTHS.first, MONTHS.end)
    risk = read_instrument_tails(write.connection, MONTHS.first, MONTHS.end)
    for portfolio in read_portfolios(write.connection):
        yield from portfolio_rows(panel, portfolio, tails, MONTHS)
    for instrument in read_instruments(write.connection):
        if (instrument.id,) in risk:
            yield from instrument_rows(panel, instrument, risk[instrument.id,], MONTHS)


def _forecasts(make: Callable[..., Iterable[object]]) -> Callable[[Write, PricePanel], Iterable[Columns]]:
    def rows(_: Write, panel: PricePanel) -> Iterable[Columns]:
        for instrument_id, close in zip(panel.instrument_ids.tolist(), panel.close.T, strict=True):
            priced = np.isfinite(close)
            for forecasts in make(simple_returns(close[priced]), ForecastSpec(), slice(0, None)):
                columns = forecasts.columns(panel.sessions[priced])  # type: ignore[attr-defined]
                yield {"instrument_id": np.full(len(columns["as_of"]), instrument_id, "i4"), **columns}

    return rows


def _stress(write: Write) -> None:
    panel, instruments = _panel(write), read_instruments(write.connection)
    index, reference = benchmark_of(instruments), Reference.read(write.connection, instruments, MONTHS)
    positions, wholes = [], []
    for portfolio in read_portfolios(write.connection):
        crises = Crises.of(panel, None if index is None else index.id, MONTHS.end, portfolio.base_currency)
        sessions, ids, outcomes = stressed_outcomes(crises, portfolio, MONTHS, reference)
        positions += [position_rows(portfolio.id, sessions, ids, outcome) for outcome in outcomes]
        wholes += [scenario_rows(portfolio.id, sessions, outcome) for outcome in outcomes]
    _replaced(write, STRESS_RESULT, positions)
    replace_scenarios(write, concatenated(STRESS_SCENARIO, wholes), MONTHS)


_WRITERS: dict[str, Callable[[Write], None]] = {
    "covariance": _write(COVARIANCE, _covariances),
    "factor_exposure": _write(FACTOR_EXPOSURE, _exposures),
    "portfolio_tail": _write(PORTFOLIO_TAIL, _each(tail_rows)),
    "portfolio_contribution": _write(PORTFOLIO_CONTRIBUTION, _each(contribution_rows, [])),
    "portfolio_simulation": _write(PORTFOLIO_SIMULATION, _simulations),
    "volatility_forecast": _write(VOLATILITY_FORECAST, _forecasts(volatility_forecasts)),
    "quantile_forecast": _write(QUANTILE_FORECAST, _forecasts(quantile_forecasts)),
    "stress_result": _stress,
    "var_backtest": _write(VAR_BACKTEST, _backtests),
}
"""Asset → what writes its rows, after those that it reads."""
