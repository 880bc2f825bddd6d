"""Asset ``portfolio_risk``: rolling measures of every portfolio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import MonthRange
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.table_assets import TableAsset
from pipeline.risk.assets.figures import RISK_HEADLINE, risk_figures
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.report import held_series, rolling_report
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.writing import Write, concatenated

LOOK_BACK_MONTHS = 16
"""The window of 252 sessions, from the last quarterly rebalancing before it."""


@TableAsset(
    table=PORTFOLIO_RISK,
    location="risk",
    inputs={"instruments": None, PORTFOLIOS_INPUT: None, "prices": LOOK_BACK_MONTHS},
    figures=risk_figures,
    headline=RISK_HEADLINE,
)
def portfolio_risk(write: Write, months: MonthRange) -> Columns:
    """Rolling 252-session risk measures of every portfolio, a row a session."""
    instruments = read_instruments(write.connection)
    portfolios = read_portfolios(write.connection)
    ids = [instrument.id for instrument in instruments]
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end)
    return concatenated(PORTFOLIO_RISK, portfolio_reports(panel, benchmark_of(instruments), portfolios, months))


def portfolio_reports(
    panel: PricePanel, benchmark: Instrument | None, portfolios: list[Portfolio], months: MonthRange
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The rows of each portfolio whose instruments all have a price on some session of `months`."""
    index = panel.column(benchmark.id) if benchmark else None
    for portfolio in portfolios:
        close = panel.columns([position.instrument_id for position in portfolio.positions])
        if not np.isfinite(close).all(axis=1).any():
            continue
        series = held_series(close, panel.sessions, index, Holdings(portfolio.amounts, portfolio.rebalancing))
        rows = months.rows_of(series.sessions)
        if rows.start == rows.stop:
            continue
        report = rolling_report(series.held.returns, series.benchmark, rows, RiskSpec(), series.held)
        yield {
            "portfolio_id": np.full(len(report.sessions_in_window), portfolio.id, dtype=np.int32),
            "session": series.sessions[rows],
            **report.columns,
        }
