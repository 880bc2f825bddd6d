"""Asset ``portfolio_tail``: value at risk and expected shortfall of every portfolio, by every method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from pipeline.base.types import DateArray, IntArray, MonthRange, SetUnits
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.each_portfolio import COMPUTED_SPEC, each_portfolio
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.assets.reach import sessions_in_reach
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.tail_forecasts import (
    PUBLISHED_CONFIDENCES,
    PUBLISHED_WINDOW_SESSIONS,
    TailForecasts,
    tail_forecasts,
)
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.report import SHORT_WINDOW, held_series
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.portfolio_units import PORTFOLIO_UNITS, read_set_units
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.writing import Write, concatenated

LOOK_BACK_MONTHS = 28
"""500 sessions are 24 months; quarterly weights were set up to three months before."""

HEADLINE_METHOD = "filtered_historical"

_VAR_COLUMNS = ("var_95_1d", "var_975_1d", "var_99_1d")
_ES_COLUMNS = ("es_95_1d", "es_975_1d", "es_99_1d")
_VAR_ERRORS, _ES_ERRORS = (tuple(f"{name}_error" for name in names) for names in (_VAR_COLUMNS, _ES_COLUMNS))


def tail_figures(rows: Columns) -> dict[str, float]:
    """Of a month: means of the headline method, and how far the methods lie apart."""
    own = rows["method"] == HEADLINE_METHOD.encode()
    if not np.isfinite(rows["var_99_1d"][own]).any():
        return {}
    return {
        "mean_var_99_1d_fraction": float(np.nanmean(rows["var_99_1d"][own])),
        "mean_es_975_1d_fraction": float(np.nanmean(rows["es_975_1d"][own])),
        "largest_var_99_1d_fraction": float(np.nanmax(rows["var_99_1d"])),
        "undefined_rows_fraction": float(np.isnan(rows["var_99_1d"]).mean()),
    }


@TableAsset(
    table=PORTFOLIO_TAIL,
    location="risk",
    inputs={
        PORTFOLIOS_INPUT: None,
        PORTFOLIO_UNITS: LOOK_BACK_MONTHS,
        "prices": LOOK_BACK_MONTHS,
        FX_RATES: LOOK_BACK_MONTHS + 1,
    },
    figures=tail_figures,
    headline="var_99_1d",
    headline_subject={"method": HEADLINE_METHOD},
    check_specs=(COMPUTED_SPEC,),
)
def portfolio_tail(write: Write, months: MonthRange) -> Produced:
    """Value at risk and expected shortfall of every portfolio's next session, by every method."""
    portfolios = read_portfolios(write.connection)
    ids = sorted({position.instrument_id for portfolio in portfolios for position in portfolio.positions})
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end)
    units = read_set_units(write.connection, portfolios, months.back(LOOK_BACK_MONTHS), months.end)
    blocks, computed = each_portfolio(
        portfolios, lambda portfolio: tail_rows(panel, portfolio, months, units), MeasureInputError
    )
    return Produced(concatenated(PORTFOLIO_TAIL, blocks), checks=[computed])


def tail_rows(
    panel: PricePanel,
    portfolio: Portfolio,
    months: MonthRange,
    units: Mapping[int, SetUnits] = MappingProxyType({}),
) -> Iterator[Columns]:
    """The rows of a portfolio: a block of sessions and a method at a time.

    Parameters
    ----------
    units
        Portfolio with a drift band → what it holds; none for a panel from its first session on.

    Raises
    ------
    MeasureInputError
        If the portfolio is worth nothing or less on a session.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    close = panel.columns([position.instrument_id for position in portfolio.positions], portfolio.base_currency)
    if not np.isfinite(close).all(axis=1).any():
        return
    holdings = Holdings(portfolio.amounts, *portfolio.policy, units.get(portfolio.id))
    series = held_series(close, panel.sessions, None, holdings)
    span = months.rows_of(series.sessions)
    rows = np.arange(span.start, span.stop)
    used = np.minimum(sessions_in_reach(series.sessions, rows, LOOK_BACK_MONTHS), PUBLISHED_WINDOW_SESSIONS)
    is_full = used == PUBLISHED_WINDOW_SESSIONS
    for method in VAR_METHODS:
        yield _short_columns(portfolio.id, series.sessions, rows[~is_full], used[~is_full], method)
    if is_full.any():
        full = slice(int(rows[is_full][0]), int(rows[is_full][-1]) + 1)
        for forecasts in tail_forecasts(series.held, full):
            # A row may have a window in this reading, and not in its own reach.
            yield _columns(portfolio.id, series.sessions, forecasts, is_full[forecasts.rows - span.start])


def _columns(portfolio_id: int, sessions: DateArray, made: TailForecasts, is_kept: np.ndarray) -> Columns:
    rows = made.rows[is_kept]
    figures = (
        (_VAR_COLUMNS, made.var),
        (_ES_COLUMNS, made.es),
        (_VAR_ERRORS, made.var_standard_error),
        (_ES_ERRORS, made.es_standard_error),
    )
    cause = (VAR_METHODS[made.method].undefined_because or "undefined").encode()
    missing = np.isnan(made.var[:, is_kept]).any(axis=0)
    return {
        **_keys(portfolio_id, sessions[rows], made.method),
        "window_sessions": np.full(len(rows), PUBLISHED_WINDOW_SESSIONS, dtype=np.int16),
        **{name: row for names, values in figures for name, row in zip(names, values[:, is_kept], strict=True)},
        "reason": np.where(missing, cause, b""),
    }


def _short_columns(portfolio_id: int, sessions: DateArray, rows: IntArray, used: IntArray, method: str) -> Columns:
    """Rows whose window is not full."""
    texts = [f"{SHORT_WINDOW}: {count} of {PUBLISHED_WINDOW_SESSIONS} sessions".encode() for count in used.tolist()]
    missing = np.full(len(rows), np.nan)
    return {
        **_keys(portfolio_id, sessions[rows], method),
        "window_sessions": used.astype(np.int16),
        **dict.fromkeys((*_VAR_COLUMNS, *_ES_COLUMNS, *_VAR_ERRORS, *_ES_ERRORS), missing),
        "reason": np.array(texts, dtype="S") if texts else np.array([], dtype="S1"),
    }


def _keys(portfolio_id: int, sessions: DateArray, method: str) -> dict[str, np.ndarray]:
    return {
        "portfolio_id": np.full(len(sessions), portfolio_id, dtype=np.int32),
        "session": sessions,
        "method": np.full(len(sessions), method.encode()),
    }


assert len(PUBLISHED_CONFIDENCES) == len(_VAR_COLUMNS) == len(_ES_COLUMNS)
