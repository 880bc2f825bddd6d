"""Asset ``instrument_risk``: rolling measures of every instrument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import MonthRange
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.table_assets import TableAsset
from pipeline.risk.assets.figures import RISK_HEADLINE, risk_figures
from pipeline.risk.assets.rates import read_rates
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.risk_free import RateSeries
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import benchmark_returns, rolling_report
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.interest_rates import INTEREST_RATES
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.series_kinds import RISK_KIND
from pipeline.store.writing import Write, concatenated

LOOK_BACK_MONTHS = 13
"""252 sessions are twelve months and a few days."""


@TableAsset(
    table=INSTRUMENT_RISK,
    location="risk",
    inputs={"instruments": None, "prices": LOOK_BACK_MONTHS, INTEREST_RATES: LOOK_BACK_MONTHS + 1},
    figures=risk_figures,
    headline=RISK_HEADLINE,
    series=RISK_KIND,
)
def instrument_risk(write: Write, months: MonthRange) -> Columns:
    """Rolling 252-session risk measures of every instrument, a row a session."""
    instruments = read_instruments(write.connection)
    ids = [instrument.id for instrument in instruments]
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end)
    rates = read_rates(write.connection, months, LOOK_BACK_MONTHS)
    return concatenated(INSTRUMENT_RISK, instrument_reports(panel, instruments, months, rates))


def instrument_reports(
    panel: PricePanel,
    instruments: list[Instrument],
    months: MonthRange,
    rates: Mapping[str, RateSeries] = MappingProxyType({}),
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The rows of each instrument that has a price in `months`, measured against the first index.

    Parameters
    ----------
    rates
        Currency → its risk-free rates; one of 0 for a currency without any.
    """
    benchmark = benchmark_of(instruments)
    for instrument in instruments:
        close = panel.column(instrument.id)
        priced = np.isfinite(close)
        sessions = panel.sessions[priced]
        rows = months.rows_of(sessions)
        if rows.start == rows.stop:
            continue
        index = benchmark_returns(panel.column(benchmark.id)[priced]) if benchmark else None
        risk_free = rates[instrument.currency].between(sessions) if instrument.currency in rates else None
        report = rolling_report(simple_returns(close[priced]), index, rows, RiskSpec(), None, risk_free)
        yield {
            "instrument_id": np.full(len(report.sessions_in_window), instrument.id, dtype=np.int32),
            "session": sessions[rows],
            **report.columns,
        }
