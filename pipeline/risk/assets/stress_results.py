"""Asset ``stress_results``: each portfolio through the crises of the past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray, IntArray, MonthRange
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.each_portfolio import COMPUTED_SPEC, each_portfolio
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.assets.month_ends import month_end_rows
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.stress_historical import HISTORICAL_WINDOWS
from pipeline.risk.measures.stress_historical import PricePanel as StressPrices
from pipeline.risk.measures.stress_replays import Replays, WindowPaths, replay_sessions, trailing_betas, window_paths
from pipeline.risk.report import held_series
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.instruments import benchmark_of, read_instruments
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.stress_results import STRESS_RESULT
from pipeline.store.writing import Write, concatenated

LOOK_BACK_MONTHS = 600
"""A row of any month depends on the prices of every crisis before it: the whole history is read, and a corrected price
of 1990 makes every later month stale. 50 years reach back to the first partition until 2040."""

HEADLINE_SCENARIO = "lehman_2008"


@dataclass(frozen=True, slots=True)
class Crises:
    """What every portfolio of a currency is replayed with.

    Parameters
    ----------
    panel
        Prices of every instrument, the whole history.
    close
        (t, n) of the panel in that currency; NaN where there is no rate.
    benchmark_close
        (t,) of the index on the panel's sessions, in that currency; None without one.
    paths
        Of each window that has ended, oldest first.
    """

    panel: PricePanel
    close: FloatArray
    benchmark_close: FloatArray | None
    paths: tuple[WindowPaths, ...]

    @classmethod
    def of(cls, panel: PricePanel, benchmark_id: int | None, end: date, currency: str | None = None) -> Crises:
        """Work out the windows that ended before `end`.

        The index's sessions are the calendar of a window: a holiday of its exchange is no gap in the others' prices.
        """
        close = _converted(panel, currency)
        index = None if benchmark_id is None else close[:, panel.instrument_ids == benchmark_id].ravel()
        kept = np.ones(len(panel.sessions), dtype=bool) if index is None else np.isfinite(index)
        prices = StressPrices(panel.sessions[kept], close[kept])
        ended = [window for window in HISTORICAL_WINDOWS.values() if window.last < end]
        kept_index = None if index is None else index[kept]
        return cls(panel, close, index, tuple(window_paths(window, prices, kept_index) for window in ended))

    def betas(self, columns: IntArray, rows: IntArray) -> FloatArray:
        """(m, k) of instruments that lack a price in some window, up to each row; NaN for the others."""
        betas = np.full((len(rows), len(columns)), np.nan)
        if self.benchmark_close is None:
            return betas
        priced = [path.is_priced(columns) for path in self.paths if path.growth is not None]
        for position in np.flatnonzero(~np.all(priced, axis=0)) if priced else ():
            close = self.close[:, columns[position]]
            betas[:, position] = trailing_betas(close, self.benchmark_close, rows)
        return betas


def stress_figures(rows: Columns) -> dict[str, float]:
    """Totals over the portfolios and scenarios of a month; left out while no position has a shock."""
    known = np.isfinite(rows["pnl"])
    if not known.any():
        return {}
    groups, group_of = np.unique(_group_keys(rows), return_inverse=True)
    totals = np.bincount(group_of, weights=np.where(known, rows["pnl"], 0.0), minlength=len(groups))
    return {
        "worst_scenario_pnl_fraction": float(totals.min()),
        "mean_scenario_pnl_fraction": float(totals.mean()),
        "proxied_positions_fraction": float((rows["shocked_by"] == b"benchmark_beta").mean()),
        "unknown_positions_fraction": float(1.0 - known.mean()),
    }


@TableAsset(
    table=STRESS_RESULT,
    location="risk",
    inputs={"instruments": None, PORTFOLIOS_INPUT: None, "prices": LOOK_BACK_MONTHS, FX_RATES: LOOK_BACK_MONTHS},
    figures=stress_figures,
    headline="pnl",
    headline_subject={"scenario": HEADLINE_SCENARIO},
    check_specs=(COMPUTED_SPEC,),
)
def stress_results(write: Write, months: MonthRange) -> Produced:
    """Every portfolio's holdings at each month's end through every crisis that had ended by then."""
    instruments = read_instruments(write.connection)
    portfolios = read_portfolios(write.connection)
    panel = read_price_panel(write.connection, [instrument.id for instrument in instruments], None, months.end)
    benchmark = benchmark_of(instruments)
    index = None if benchmark is None else benchmark.id
    currencies = {portfolio.base_currency for portfolio in portfolios}
    crises = {currency: Crises.of(panel, index, months.end, currency) for currency in sorted(currencies)}
    blocks, computed = each_portfolio(
        portfolios,
        lambda portfolio: stressed_rows(crises[portfolio.base_currency], portfolio, months),
        MeasureInputError,
    )
    return Produced(
        concatenated(STRESS_RESULT, blocks),
        checks=[computed],
        empty_because="no crisis had ended, or no portfolio has two sessions with a price for each position",
    )


def stressed_rows(crises: Crises, portfolio: Portfolio, months: MonthRange) -> Iterator[Columns]:
    """The rows of a portfolio: a block a window.

    Raises
    ------
    MeasureInputError
        If the portfolio is worth nothing or less on a session.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    ids = np.array([position.instrument_id for position in portfolio.positions], dtype=np.int32)
    close = crises.panel.columns(ids.tolist(), portfolio.base_currency)
    if not np.isfinite(close).all(axis=1).any():
        return
    series = held_series(close, crises.panel.sessions, None, Holdings(portfolio.amounts, portfolio.rebalancing))
    ends = month_end_rows(series.sessions, months)
    ends = ends[ends > 0]  # the first session has no return, and `held` no weights at its close
    sessions = series.sessions[ends]
    columns = np.array([np.flatnonzero(crises.panel.instrument_ids == wanted)[0] for wanted in ids])
    betas = crises.betas(columns, np.searchsorted(crises.panel.sessions, sessions))
    for path in crises.paths:
        after = sessions >= np.datetime64(path.window.last, "D")
        if after.any():
            weights = series.held.weights[ends[after] - 1]
            yield {
                "portfolio_id": np.full(weights.size, portfolio.id, dtype=np.int32),
                "session": sessions[after].repeat(len(ids)),
                "scenario": np.full(weights.size, path.window.name.encode()),
                "instrument_id": np.tile(ids, len(weights)),
                "weight": weights.ravel(),
                **_as_columns(replay_sessions(path, columns, weights, betas[after])),
            }


def _converted(panel: PricePanel, currency: str | None) -> FloatArray:
    """(t, n) closes of a panel in a currency: NaN where one has no rate, which stops only those who hold it."""
    close = panel.close.copy()
    for column, instrument_id in enumerate(panel.instrument_ids.tolist()):
        try:
            close[:, column] = panel.column(instrument_id, currency)
        except NotFoundError:
            close[:, column] = np.nan
    return close


def _as_columns(replays: Replays) -> Columns:
    """A row a session and position."""
    return {
        "shock": replays.shocks.ravel(),
        "pnl": replays.pnl.ravel(),
        "worst_shock": replays.worst_shocks.ravel(),
        "worst_pnl": replays.worst_pnl.ravel(),
        "shocked_by": replays.shocked_by.ravel(),
        "reason": replays.reasons.ravel(),
    }


def _group_keys(rows: Columns) -> NDArray[np.bytes_]:
    """One text a portfolio and scenario."""
    return np.char.add(np.char.add(rows["portfolio_id"].astype("S"), b":"), rows["scenario"])
