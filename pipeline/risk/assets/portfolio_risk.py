"""Asset ``portfolio_risk``: rolling measures of every portfolio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from pipeline.base.types import MonthRange, SetUnits
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.each_portfolio import COMPUTED_SPEC, each_portfolio
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.assets.figures import RISK_HEADLINE, risk_figures
from pipeline.risk.assets.limit_watch import LIMIT_SPECS, judge_limits, limit_checks
from pipeline.risk.assets.rates import read_rates
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.risk_free import RateSeries
from pipeline.risk.report import held_series, rolling_report
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.interest_rates import INTEREST_RATES
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolio_units import PORTFOLIO_UNITS, read_set_units
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.writing import Write, concatenated

LOOK_BACK_MONTHS = 16
"""The window of 252 sessions, from the last quarterly rebalancing before it."""


@TableAsset(
    table=PORTFOLIO_RISK,
    location="risk",
    inputs={
        "instruments": None,
        PORTFOLIOS_INPUT: None,
        PORTFOLIO_UNITS: LOOK_BACK_MONTHS,
        "prices": LOOK_BACK_MONTHS,
        FX_RATES: LOOK_BACK_MONTHS + 1,
        INTEREST_RATES: LOOK_BACK_MONTHS + 1,
    },
    figures=risk_figures,
    headline=RISK_HEADLINE,
    check_specs=(COMPUTED_SPEC, *LIMIT_SPECS),
)
def portfolio_risk(write: Write, months: MonthRange) -> Produced:
    """Rolling 252-session risk measures of every portfolio, a row a session."""
    instruments = read_instruments(write.connection)
    portfolios = read_portfolios(write.connection)
    ids = [instrument.id for instrument in instruments]
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end)
    rates = read_rates(write.connection, months, LOOK_BACK_MONTHS)
    units = read_set_units(write.connection, portfolios, months.back(LOOK_BACK_MONTHS), months.end)
    blocks, computed = each_portfolio(
        portfolios,
        lambda portfolio: portfolio_report(
            panel, benchmark_of(instruments, portfolio.benchmark_id), portfolio, months, rates, units
        ),
        MeasureInputError,
    )
    return Produced(
        concatenated(PORTFOLIO_RISK, blocks),
        checks=[computed],
        checks_after_write=lambda: limit_checks(judge_limits(write.connection)),
    )


def portfolio_report(
    panel: PricePanel,
    benchmark: Instrument | None,
    portfolio: Portfolio,
    months: MonthRange,
    rates: Mapping[str, RateSeries] = MappingProxyType({}),
    units: Mapping[int, SetUnits] = MappingProxyType({}),
) -> Iterator[Columns]:
    """The rows of a portfolio, if its instruments all have a price and a rate on some session of `months`.

    Parameters
    ----------
    rates
        Currency → its risk-free rates; one of 0 for a base currency without any.
    units
        Portfolio with a drift band → what it holds; none for a panel from its first session on.

    Raises
    ------
    MeasureInputError
        If the portfolio is worth nothing or less on a session.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    currency = portfolio.base_currency
    close = panel.columns([position.instrument_id for position in portfolio.positions], currency)
    if not np.isfinite(close).all(axis=1).any():
        return
    index = panel.column(benchmark.id, currency) if benchmark else None
    holdings = Holdings(portfolio.amounts, *portfolio.policy, units.get(portfolio.id))
    series = held_series(close, panel.sessions, index, holdings)
    rows = months.rows_of(series.sessions)
    if rows.start == rows.stop:
        return
    risk_free = rates[currency].between(series.sessions) if currency in rates else None
    report = rolling_report(series.held.returns, series.benchmark, rows, RiskSpec(), series.held, risk_free)
    yield {
        "portfolio_id": np.full(len(report.sessions_in_window), portfolio.id, dtype=np.int32),
        "session": series.sessions[rows],
        **report.columns,
    }
