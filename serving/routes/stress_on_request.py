"""Any scenario of a portfolio, computed for a request; nothing is stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import DEFAULT_COVARIANCE, estimate_covariance
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.measures.stress import Positions, StressResult
from pipeline.risk.measures.stress_historical import (
    HISTORICAL_WINDOWS,
    Proxy,
    replay_window,
    window_named,
)
from pipeline.risk.measures.stress_historical import PricePanel as StressPrices
from pipeline.risk.measures.stress_hypothetical import ShockSet, Universe, hypothetical_stress
from pipeline.risk.measures.stress_replays import BETA_SESSIONS, trailing_betas
from pipeline.risk.measures.stress_reverse import reverse_stress
from pipeline.risk.measures.stress_shifts import correlation_shift, volatility_shift
from pipeline.risk.report import HeldSeries, held_series
from pipeline.store.factor_exposures import read_factor_exposures
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.portfolios import Portfolio
from pipeline.store.prices import PricePanel, read_last_session, read_price_panel
from pipeline.store.reading import Window
from serving.references import references
from serving.routes.stress_forms import (
    CorrelationOut,
    ReverseIn,
    ReverseOut,
    ScenarioOut,
    ShockedPositionOut,
    StressOut,
    StressRequest,
    VolatilityShiftOut,
)

WINDOW_SESSIONS = 252
CONFIDENCE = 0.99
MOST_FACTORS = 64

_HISTORICAL_METHOD = (
    "Each position's compounded return over the window, untouched in between; where it lacks a price, beta of the last"
    f" {BETA_SESSIONS} returns × the index's daily returns, compounded."
)
_HYPOTHETICAL_METHOD = (
    "The most specific stated shock (symbol, sector, market), plus OLS exposure × shock of each factor."
)
_REVERSE_METHOD = (
    "Most likely joint move of that loss in one session: least Mahalanobis distance"
    f" (Breuer, Jandačka, Rheinberger & Summer 2009), {DEFAULT_COVARIANCE} covariance."
)
_VOLATILITY_METHOD = (
    "Historical VaR and ES at 99 %, one session, after scaling each scenario's deviation from the mean."
)
_CORRELATION_METHOD = (
    f"Gaussian VaR at 99 %, one session, {DEFAULT_COVARIANCE} covariance, correlations moved towards 1."
)


@dataclass(frozen=True, slots=True)
class Held:
    """What is stressed.

    Parameters
    ----------
    series
        The portfolio on the sessions on which everything it holds has a price.
    panel
        Prices of the positions, in their order, and of the benchmark, if there is one.
    positions
        Its holdings at the newest close.
    names
        Instrument → reference.
    """

    portfolio: Portfolio
    series: HeldSeries
    panel: PricePanel
    benchmark: Instrument | None
    positions: Positions
    instruments: Sequence[Instrument]
    names: dict[int, str]

    @property
    def close(self) -> FloatArray:
        """(t, n) of the positions, in the portfolio's currency."""
        ids = [position.instrument_id for position in self.portfolio.positions]
        return self.panel.columns(ids, self.portfolio.base_currency)

    @property
    def covariance(self) -> FloatArray:
        """Of the positions' daily returns.

        Raises
        ------
        MeasureInputError
            If there are fewer than `WINDOW_SESSIONS` returns.
        """
        returns = self.series.held.asset_returns
        if len(returns) < WINDOW_SESSIONS:
            raise MeasureInputError(
                f"positions: {len(returns)} sessions have a return of every position, and {WINDOW_SESSIONS} are needed;"
                " ask for historical or hypothetical stress, or choose positions with a longer history"
            )
        return estimate_covariance(returns[-WINDOW_SESSIONS:])

    def answer(self, method: str, **parts: object) -> StressOut:
        """The answer with what all of them share."""
        return StressOut.model_validate(
            {
                "portfolio_id": self.portfolio.id,
                "as_of": self.series.sessions[-1].astype(date),
                "currency": self.portfolio.base_currency,
                "value": self.positions.value,
                "method": method,
                **parts,
            }
        )


def read_held(connection: Connection, portfolio: Portfolio) -> Held:
    """Hold the portfolio up to its newest close; the whole history is read, for the crises in it."""
    last = read_last_session(connection)
    if last is None:
        raise NotFoundError("There are no prices yet", "Run 'fintech run', which loads them.")
    instruments = read_instruments(connection)
    names, benchmark = references(instruments), benchmark_of(instruments)
    ids = [position.instrument_id for position in portfolio.positions]
    wanted = list(dict.fromkeys([*ids, *([benchmark.id] if benchmark else [])]))
    panel = read_price_panel(connection, wanted, None, last + timedelta(days=1))
    close = panel.columns(ids, portfolio.base_currency)
    series = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, *portfolio.policy))
    if len(series.held.weights) == 0:
        raise MeasureInputError("positions: one session has a price for each; two are needed, so load more prices")
    newest = close[np.isfinite(close).all(axis=1)][-1]
    # Quantities are worth something; target weights are fractions of a value that nobody has stated.
    value = math.fsum((newest * portfolio.amounts).tolist()) if portfolio.rebalancing == "buy_and_hold" else None
    positions = Positions(tuple(names[number] for number in ids), series.held.weights[-1], value)
    return Held(portfolio, series, panel, benchmark, positions, instruments, names)


def computed(connection: Connection, held: Held, request: StressRequest) -> StressOut:
    """The answer to a request of any kind."""
    if request.historical is not None:
        return _historical(held, request.historical)
    if request.hypothetical is not None:
        return _hypothetical(connection, held, request.hypothetical.shock_set)
    if request.reverse is not None:
        return _reverse(held, request.reverse)
    if request.volatility_scale is not None:
        volatility = _volatility(held, request.volatility_scale)
        return held.answer(_VOLATILITY_METHOD, window_sessions=WINDOW_SESSIONS, volatility=volatility)
    assert request.correlation_shift is not None
    correlation = _correlation(held, request.correlation_shift)
    return held.answer(_CORRELATION_METHOD, window_sessions=WINDOW_SESSIONS, correlation=correlation)


def _historical(held: Held, asked: str | Sequence[str]) -> StressOut:
    """Windows that were named must be replayed; of all, those that cannot be are named."""
    wants_all = asked == "all"
    names = list(HISTORICAL_WINDOWS) if wants_all else list(dict.fromkeys(asked))
    windows = [window_named(name) for name in names]
    prices, proxy = _replay_prices(held)
    scenarios, unavailable = [], {}
    for window in windows:
        try:
            result = replay_window(window, held.positions, prices, "proxy", proxy)
        except MeasureInputError as error:
            if not wants_all:
                raise
            unavailable[window.name] = str(error)
        else:
            scenarios.append(_scenario(result, _HISTORICAL_METHOD))
    return held.answer(_HISTORICAL_METHOD, window_sessions=BETA_SESSIONS, scenarios=scenarios, unavailable=unavailable)


def _replay_prices(held: Held) -> tuple[StressPrices, Proxy | None]:
    """Prices on the benchmark's sessions, and what stands in for those that are missing."""
    close = held.close
    if held.benchmark is None:
        return StressPrices(held.panel.sessions, close), None
    index = held.panel.column(held.benchmark.id, held.portfolio.base_currency)
    newest = np.searchsorted(held.panel.sessions, held.series.sessions[-1:])
    betas = {
        symbol: float(trailing_betas(column, index, newest)[0])
        for symbol, column in zip(held.positions.symbols, close.T, strict=True)
    }
    kept = np.isfinite(index)
    known = {symbol: beta for symbol, beta in betas.items() if math.isfinite(beta)}
    return StressPrices(held.panel.sessions[kept], close[kept]), Proxy(index[kept], known)


def _hypothetical(connection: Connection, held: Held, shocks: ShockSet) -> StressOut:
    universe = _universe(connection, held, with_factors=bool(shocks.factors))
    result = hypothetical_stress(shocks, held.positions, universe)
    parts: dict[str, object] = {"scenarios": [_scenario(result, _HYPOTHETICAL_METHOD)]}
    if shocks.volatility_scale is not None:
        parts |= {"volatility": _volatility(held, shocks.volatility_scale), "window_sessions": WINDOW_SESSIONS}
    if shocks.correlation_shift is not None:
        parts |= {"correlation": _correlation(held, shocks.correlation_shift), "window_sessions": WINDOW_SESSIONS}
    return held.answer(_HYPOTHETICAL_METHOD, **parts)


def _universe(connection: Connection, held: Held, *, with_factors: bool) -> Universe:
    """What shocks may name; exposures are read of what is held, and only if a factor is shocked."""
    symbols = tuple(held.names[instrument.id] for instrument in held.instruments)
    sectors = tuple(instrument.sector or None for instrument in held.instruments)
    if not with_factors:
        return Universe(symbols, sectors)
    held_exposures = read_exposures(connection, held)
    factors = tuple(sorted({factor for known in held_exposures.values() for factor in known}))
    exposures = np.full((len(symbols), len(factors)), np.nan)
    for row, instrument in enumerate(held.instruments):
        for column, factor in enumerate(factors):
            exposures[row, column] = held_exposures.get(instrument.id, {}).get(factor, np.nan)
    return Universe(symbols, sectors, factors, exposures if factors else None)


def read_exposures(connection: Connection, held: Held) -> dict[int, dict[str, float]]:
    """Newest stored exposures of each position that are not younger than its price."""
    as_of: date = held.series.sessions[-1].astype(date)
    found: dict[int, dict[str, float]] = {}
    for position in held.portfolio.positions:
        rows = read_factor_exposures(connection, position.instrument_id, Window(end=as_of, limit=MOST_FACTORS))
        newest = [row for row in rows if row.session == rows[-1].session]
        found[position.instrument_id] = {row.factor: row.exposure_ols for row in newest if row.exposure_ols is not None}
    return found


def _reverse(held: Held, asked: ReverseIn) -> StressOut:
    found = reverse_stress(held.positions, held.covariance, asked.loss, asked.degrees_of_freedom)
    return held.answer(
        _REVERSE_METHOD,
        window_sessions=WINDOW_SESSIONS,
        scenarios=[_scenario(found.result, _REVERSE_METHOD)],
        reverse=ReverseOut.model_validate(found),
    )


def _volatility(held: Held, scale: float) -> VolatilityShiftOut:
    scenarios = scenario_returns(held.series.held, len(held.series.held.returns), WINDOW_SESSIONS)
    return VolatilityShiftOut.model_validate(volatility_shift(scenarios, scale, CONFIDENCE))


def _correlation(held: Held, shift: float) -> CorrelationOut:
    return CorrelationOut.model_validate(correlation_shift(held.positions, held.covariance, shift, CONFIDENCE))


def _scenario(result: StressResult, method: str) -> ScenarioOut:
    amounts = result.amounts
    by_prices = "prices" if result.kind == "historical" else "scenario"
    return ScenarioOut(
        scenario=result.name,
        kind=result.kind,
        method=method,
        total=result.total,
        total_amount=None if amounts is None else amounts.total,
        worst_total=None if result.worst is None else result.worst.total,
        worst_session=None if result.worst is None else result.worst.session,
        positions=[
            ShockedPositionOut(
                symbol=symbol,
                weight=float(result.positions.weights[row]),
                shock=float(result.shocks[row]),
                pnl=float(result.position_pnl[row]),
                amount=None if amounts is None else float(amounts.position[row]),
                shocked_by="benchmark_beta" if symbol in result.proxied else by_prices,
            )
            for row, symbol in enumerate(result.positions.symbols)
        ],
    )
