"""Asset ``portfolio_contribution``: what each position has to do with the risk of its portfolio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from pipeline.base.types import FloatArray, MonthRange, SetUnits
from pipeline.orchestration.checks import CheckOutcome, Columns
from pipeline.orchestration.each_portfolio import COMPUTED_SPEC, each_portfolio
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.assets.month_ends import month_end_rows
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.position_parts import SUM_TOLERANCE, largest_miss, position_parts
from pipeline.risk.report import SHORT_WINDOW, HeldSeries, held_series
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.portfolio_contributions import MEASURED, PORTFOLIO_CONTRIBUTION
from pipeline.store.portfolio_units import PORTFOLIO_UNITS, read_set_units
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.writing import Write, concatenated

WINDOW_SESSIONS = 252
LOOK_BACK_MONTHS = 16
"""The window of 252 sessions, from the last quarterly rebalancing before it: as for portfolio_risk."""

SUMS = "components_sum_to_the_total"
SUMS_SPEC = (SUMS, f"Components of every measure sum to the portfolio's within {SUM_TOLERANCE:g}.")

PARTS = ("component", "marginal", "incremental")


def contribution_figures(rows: Columns) -> dict[str, float]:
    """The largest contributions of one month, and how many positions hedge; left out while no window is full."""
    known = np.isfinite(rows["volatility_component"])
    if not known.any():
        return {}
    largest = {
        f"largest_{name}_component_fraction": float(np.nanmax(rows[f"{name}_component"])) for name, _ in MEASURED
    }
    return largest | {"hedging_positions_fraction": float((rows["volatility_component"][known] < 0.0).mean())}


@TableAsset(
    table=PORTFOLIO_CONTRIBUTION,
    location="risk",
    inputs={
        PORTFOLIOS_INPUT: None,
        PORTFOLIO_UNITS: LOOK_BACK_MONTHS,
        "prices": LOOK_BACK_MONTHS,
        FX_RATES: LOOK_BACK_MONTHS + 1,
    },
    figures=contribution_figures,
    headline="var_99_1d_component",
    check_specs=(COMPUTED_SPEC,),
    blocking_check_specs=(SUMS_SPEC,),
)
def portfolio_contribution(write: Write, months: MonthRange) -> Produced:
    """Component, marginal and incremental risk of every position at the last session of each month."""
    portfolios = read_portfolios(write.connection)
    ids = sorted({position.instrument_id for portfolio in portfolios for position in portfolio.positions})
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end)
    units = read_set_units(write.connection, portfolios, months.back(LOOK_BACK_MONTHS), months.end)
    misses: list[float] = []
    blocks, computed = each_portfolio(
        portfolios, lambda portfolio: contribution_rows(panel, portfolio, months, misses, units), MeasureInputError
    )
    return Produced(
        concatenated(PORTFOLIO_CONTRIBUTION, blocks),
        checks=[computed, _sums_outcome(misses)],
        empty_because="no portfolio has two sessions with a price for each position up to this month's end",
    )


def contribution_rows(
    panel: PricePanel,
    portfolio: Portfolio,
    months: MonthRange,
    misses: list[float],
    units: Mapping[int, SetUnits] = MappingProxyType({}),
) -> Iterator[Columns]:
    """The positions of a portfolio at the last session of each month.

    Parameters
    ----------
    misses
        What components miss of their total is appended, one number a session.
    units
        Portfolio with a drift band → what it holds; none for a panel from its first session on.

    Raises
    ------
    MeasureInputError
        If the portfolio is worth nothing or less on a session.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    ids = np.array([position.instrument_id for position in portfolio.positions], dtype=np.int32)
    close = panel.columns(ids.tolist(), portfolio.base_currency)
    if not np.isfinite(close).all(axis=1).any():
        return
    holdings = Holdings(portfolio.amounts, *portfolio.policy, units.get(portfolio.id))
    series = held_series(close, panel.sessions, None, holdings)
    for row in month_end_rows(series.sessions, months):
        if row > 0:  # the first session has no return, and `held` no weights at its close
            yield {
                "portfolio_id": np.full(len(ids), portfolio.id, dtype=np.int32),
                "session": np.full(len(ids), series.sessions[row]),
                "instrument_id": ids,
                **_figures(series, int(row), misses),
            }


def _figures(series: HeldSeries, row: int, misses: list[float]) -> Columns:
    weights = series.held.weights[row - 1]
    used = min(row, WINDOW_SESSIONS)
    values: dict[str, FloatArray] = {}
    reasons = np.full(len(weights), f"{SHORT_WINDOW}: {used} of {WINDOW_SESSIONS} sessions".encode())
    if row >= WINDOW_SESSIONS:
        # Copied, so that the layout of the whole history leaves no trace in the bits.
        parts = position_parts(weights, np.ascontiguousarray(series.held.asset_returns[row - WINDOW_SESSIONS : row]))
        misses.append(largest_miss(parts))
        values = {f"{name}_{part}": getattr(made, part) for name, made in parts.items() for part in PARTS}
        reasons = np.where(np.isnan(values["volatility_marginal"]), b"no_variation", b"")
    missing = np.full(len(weights), np.nan)
    return {
        "window_sessions": np.full(len(weights), used, dtype=np.int16),
        "weight": weights,
        **{f"{name}_{part}": values.get(f"{name}_{part}", missing) for name, _ in MEASURED for part in PARTS},
        "reason": reasons,
    }


def _sums_outcome(misses: list[float]) -> CheckOutcome:
    largest = max(misses, default=0.0)
    metadata = {"sessions": len(misses), "largest_difference": f"{largest:.2g}"}
    return CheckOutcome(SUMS, largest <= SUM_TOLERANCE, blocking=True, metadata=metadata)
