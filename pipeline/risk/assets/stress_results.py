"""Asset ``stress_results``: each portfolio through the crises of the past and under the standard scenarios."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np

from pipeline.base.errors import NotFoundError
from pipeline.base.types import DateArray, FloatArray, IntArray, MonthRange
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.each_portfolio import COMPUTED_SPEC, each_portfolio
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.assets.month_ends import month_end_rows
from pipeline.risk.assets.stress_columns import SCENARIO_SPECS, position_rows, scenario_checks, scenario_rows
from pipeline.risk.assets.stress_reference import EXPOSURE_MONTHS, NOTHING_KNOWN, Reference
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.stress_historical import HISTORICAL_WINDOWS
from pipeline.risk.measures.stress_historical import PricePanel as StressPrices
from pipeline.risk.measures.stress_replays import WindowPaths, replay_sessions, trailing_betas, window_paths
from pipeline.risk.measures.stress_scenarios import standard_outcomes
from pipeline.risk.measures.stress_standing import Outcomes, Standing, Statement, standing_of
from pipeline.risk.report import held_series
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.instruments import benchmark_of, read_instruments
from pipeline.store.materializations import mark_changed
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.stress_results import STRESS_RESULT
from pipeline.store.stress_scenarios import STRESS_SCENARIO, replace_scenarios
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
        """(m, k) of instruments up to each row; NaN where unknown."""
        if self.benchmark_close is None:
            return np.full((len(rows), len(columns)), np.nan)
        return np.column_stack(
            [trailing_betas(close, self.benchmark_close, rows) for close in self.close[:, columns].T]
        )


WINDOWS_SOURCE = "S&P Dow Jones Indices, S&P 500 closes: from the high before the event to the low after it."


def stress_figures(rows: Columns) -> dict[str, float]:
    """Totals over the portfolios and crises of a month; left out while no position has a shock."""
    replayed = rows["kind"] == b"historical"
    known = np.isfinite(rows["pnl"]) & replayed
    if not known.any():
        return {}
    subject, scenario = (
        np.unique(rows[name][replayed], return_inverse=True)[1] for name in ("portfolio_id", "scenario")
    )
    _, group_of = np.unique(subject * (scenario.max() + 1) + scenario, return_inverse=True)
    totals = np.bincount(group_of, weights=np.where(known, rows["pnl"], 0.0)[replayed])
    return {
        "worst_crisis_pnl_fraction": float(totals.min()),
        "mean_crisis_pnl_fraction": float(totals.mean()),
        "proxied_positions_fraction": float((rows["shocked_by"][replayed] == b"benchmark_beta").mean()),
        "unknown_positions_fraction": float(1.0 - known.sum() / replayed.sum()),
    }


@TableAsset(
    table=STRESS_RESULT,
    location="risk",
    inputs={
        "instruments": None,
        PORTFOLIOS_INPUT: None,
        "prices": LOOK_BACK_MONTHS,
        FX_RATES: LOOK_BACK_MONTHS,
        "factor_exposure": EXPOSURE_MONTHS,
    },
    figures=stress_figures,
    headline="pnl",
    headline_subject={"scenario": HEADLINE_SCENARIO},
    check_specs=(COMPUTED_SPEC,),
    blocking_check_specs=SCENARIO_SPECS,
)
def stress_results(write: Write, months: MonthRange) -> Produced:
    """Every portfolio's holdings at each month's end under past crises, standard shocks and the likeliest losses."""
    instruments = read_instruments(write.connection)
    portfolios = read_portfolios(write.connection)
    panel = read_price_panel(write.connection, [instrument.id for instrument in instruments], None, months.end)
    benchmark = benchmark_of(instruments)
    index = None if benchmark is None else benchmark.id
    currencies = {portfolio.base_currency for portfolio in portfolios}
    crises = {currency: Crises.of(panel, index, months.end, currency) for currency in sorted(currencies)}
    reference = Reference.read(write.connection, instruments, months)
    scenarios: list[Columns] = []

    def rows_of(portfolio: Portfolio) -> list[Columns]:
        sessions, ids, outcomes = stressed_outcomes(crises[portfolio.base_currency], portfolio, months, reference)
        scenarios.extend(scenario_rows(portfolio.id, sessions, outcome) for outcome in outcomes)
        return [position_rows(portfolio.id, sessions, ids, outcome) for outcome in outcomes]

    blocks, computed = each_portfolio(portfolios, rows_of, MeasureInputError)
    rows, wholes = concatenated(STRESS_RESULT, blocks), concatenated(STRESS_SCENARIO, scenarios)
    return Produced(
        rows,
        checks=[computed, *scenario_checks(rows, wholes)],
        empty_because="no portfolio has two sessions with a price for each position",
        after_write=lambda _: _write_scenarios(write, wholes, months),
    )


def stressed_rows(
    crises: Crises, portfolio: Portfolio, months: MonthRange, reference: Reference = NOTHING_KNOWN
) -> Iterator[Columns]:
    """The positions of a portfolio: a block a scenario, as `stressed_outcomes`."""
    sessions, ids, outcomes = stressed_outcomes(crises, portfolio, months, reference)
    for outcome in outcomes:
        yield position_rows(portfolio.id, sessions, ids, outcome)


def stressed_outcomes(
    crises: Crises, portfolio: Portfolio, months: MonthRange, reference: Reference
) -> tuple[DateArray, IntArray, list[Outcomes]]:
    """A portfolio under every scenario at each month's end; with those sessions and the positions' numbers.

    Raises
    ------
    MeasureInputError
        If the portfolio is worth nothing or less on a session.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    ids = np.array([position.instrument_id for position in portfolio.positions], dtype=np.int64)
    close = crises.panel.columns(ids.tolist(), portfolio.base_currency)
    if not np.isfinite(close).all(axis=1).any():
        return np.array([], dtype="datetime64[D]"), ids, []
    series = held_series(close, crises.panel.sessions, None, Holdings(portfolio.amounts, *portfolio.policy))
    ends = month_end_rows(series.sessions, months)
    ends = ends[ends > 0]  # the first session has no return, and `held` no weights at its close
    sessions = series.sessions[ends]
    columns = np.array([np.flatnonzero(crises.panel.instrument_ids == wanted)[0] for wanted in ids])
    betas = crises.betas(columns, np.searchsorted(crises.panel.sessions, sessions))
    registered = reference.registered(ids, portfolio.base_currency)
    standing = standing_of(series.held, ends, registered, betas, reference.exposures(ids, sessions))
    replays = [_replayed(path, columns, sessions, standing) for path in crises.paths]
    return sessions, ids, [*filter(None, replays), *standard_outcomes(standing)]


def _replayed(path: WindowPaths, columns: IntArray, sessions: DateArray, standing: Standing) -> Outcomes | None:
    """A portfolio through a crisis, on the sessions by which it had ended; None without such a session."""
    rows = np.flatnonzero(sessions >= np.datetime64(path.window.last, "D"))
    if len(rows) == 0:
        return None
    weights = standing.weights[rows]
    made = replay_sessions(path, columns, weights, standing.betas[rows])
    days = {"first": path.window.first.isoformat(), "last": path.window.last.isoformat()}
    statement = Statement(path.window.name, "historical", days, WINDOWS_SOURCE)
    moved = np.ones(weights.shape, dtype=bool)
    return Outcomes(statement, rows, weights, moved, made.shocks, made.worst_shocks, made.shocked_by, made.reasons)


def _write_scenarios(write: Write, rows: Columns, months: MonthRange) -> None:
    """What reads the scenarios is out of date with them, even where no position's row changed."""
    outcome = replace_scenarios(write, rows, months)
    mark_changed(write.connection, write.materialization_id, write.asset, outcome.changed_months)


def _converted(panel: PricePanel, currency: str | None) -> FloatArray:
    """(t, n) closes of a panel in a currency: NaN where one has no rate, which stops only those who hold it."""
    close = panel.close.copy()
    for column, instrument_id in enumerate(panel.instrument_ids.tolist()):
        try:
            close[:, column] = panel.column(instrument_id, currency)
        except NotFoundError:
            close[:, column] = np.nan
    return close
