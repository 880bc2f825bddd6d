"""A portfolio through a crisis of the past, from the closes that a write knew of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from psycopg import Connection

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.stress_historical import (
    EDGE_DAYS,
    HistoricalWindow,
    MissingPricesError,
    PricePanel,
    rows_of_window,
)
from pipeline.risk.measures.stress_replays import BETA_SESSIONS, Replays, replay_sessions, trailing_betas, window_paths
from pipeline.risk.report import held_series
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.portfolios import Portfolio
from pipeline.store.prices import read_price_panel
from serving.routes.explaining.envelope import InputsOut
from serving.routes.explaining.figures import Figure, not_stored
from serving.routes.explaining.prices import (
    by_symbol,
    currencies_of,
    days_of,
    ids_of,
    name_of,
    rates_used,
    read_held_panel,
    symbols_of,
)


@dataclass(frozen=True, slots=True)
class Crisis:
    """A portfolio as it stood on a session, and a crisis.

    Parameters
    ----------
    window
        The crisis.
    prices
        (s, k) of the positions from the close before it to its end, NaN throughout for one that lacks a price.
    benchmark, benchmark_close
        The index and (s,) its closes; None where it lacks one.
    weights, betas
        (k,) of the positions; betas NaN where they have prices.
    exchange_rates, currencies
        As of `Inputs`.
    """

    window: HistoricalWindow
    prices: PricePanel
    benchmark: str | None
    benchmark_close: FloatArray | None
    weights: FloatArray
    betas: FloatArray
    exchange_rates: Mapping[str, FloatArray]
    currencies: Mapping[str, str]

    def replayed(self) -> Replays:
        """The positions through the crisis, as one session."""
        paths = window_paths(self.window, self.prices, self.benchmark_close)
        columns = np.arange(len(self.weights))
        return replay_sessions(paths, columns, self.weights[None], self.betas[None])


def read_crisis(connection: Connection, portfolio: Portfolio, window: HistoricalWindow, figure: Figure) -> Crisis:
    """What the write of a figure knew of a crisis, and of the holdings at the figure's session.

    Raises
    ------
    NotFoundError
        If no prices cover the crisis.
    """
    benchmark = benchmark_of(read_instruments(connection))
    ids, currency = ids_of(portfolio), portfolio.base_currency
    wanted = list(dict.fromkeys([*ids, *([benchmark.id] if benchmark else [])]))
    start, end = window.first - timedelta(days=EDGE_DAYS), window.last + timedelta(days=1)
    panel = read_price_panel(connection, wanted, start, end, figure.known)
    index = None if benchmark is None else panel.column(benchmark.id, currency)
    kept = np.arange(len(panel.sessions)) if index is None else np.flatnonzero(np.isfinite(index))
    try:
        rows = kept[rows_of_window(window, panel.sessions[kept])]
    except MissingPricesError as error:
        address = f"portfolios/{name_of(portfolio)}/stress"
        raise not_stored(name_of(portfolio), f"price in {window.name}", figure.session, address) from error
    close = panel.columns(ids, currency)[rows]
    close[:, ~np.isfinite(close).all(axis=0)] = np.nan
    own = dict(zip(symbols_of(portfolio), currencies_of(panel, ids, currency), strict=True))
    if benchmark is not None:
        own.setdefault(benchmark.symbol, *currencies_of(panel, [benchmark.id], currency))
    rates = rates_used(panel, rows, own, currency)
    weights, betas = _standing(connection, portfolio, benchmark, figure, ~np.isfinite(close[0]))
    return Crisis(
        window,
        PricePanel(panel.sessions[rows], close),
        benchmark.symbol if benchmark else None,
        None if index is None else index[rows],
        weights,
        betas,
        rates,
        own if rates else {},
    )


def crisis_inputs_out(portfolio: Portfolio, crisis: Crisis) -> InputsOut:
    """The closes of the crisis, and the weights and betas of the figure's session."""
    symbols = symbols_of(portfolio)
    priced = np.isfinite(crisis.prices.close[0])
    known = [symbol for symbol, has_prices in zip(symbols, priced, strict=True) if has_prices]
    betas = zip(symbols, crisis.betas.tolist(), strict=True)
    return InputsOut(
        sessions=days_of(crisis.prices.sessions),
        close=by_symbol(tuple(known), crisis.prices.close[:, priced]),
        exchange_rates={code: rate.tolist() for code, rate in crisis.exchange_rates.items()},
        currencies=dict(crisis.currencies),
        weights=dict(zip(symbols, crisis.weights.tolist(), strict=True)),
        betas={symbol: beta for symbol, beta in betas if np.isfinite(beta)},
        benchmark=crisis.benchmark,
        benchmark_close=None if crisis.benchmark_close is None else crisis.benchmark_close.tolist(),
    )


def _standing(
    connection: Connection,
    portfolio: Portfolio,
    benchmark: Instrument | None,
    figure: Figure,
    is_missing: BoolArray,
) -> tuple[FloatArray, FloatArray]:
    """(k,) weights at the figure's session, and the betas of those that need one."""
    ids, currency = ids_of(portfolio), portfolio.base_currency
    panel = read_held_panel(connection, portfolio, benchmark, figure.session, figure.known, BETA_SESSIONS)
    close = panel.columns(ids, currency)
    holdings = Holdings(portfolio.amounts, *portfolio.policy)
    weights = held_series(close, panel.sessions, None, holdings).held.weights[-1]
    betas = np.full(len(ids), np.nan)
    if benchmark is not None:
        index, last = panel.column(benchmark.id, currency), np.array([len(panel.sessions) - 1])
        for position in np.flatnonzero(is_missing):
            betas[position] = trailing_betas(close[:, position], index, last)[0]
    return weights, betas
