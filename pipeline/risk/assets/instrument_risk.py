"""Asset ``instrument_risk``: rolling measures of every instrument."""

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
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import benchmark_returns, rolling_report
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.writing import Write, concatenated

LOOK_BACK_MONTHS = 13
"""252 sessions are twelve months and a few days."""


@TableAsset(
    table=INSTRUMENT_RISK,
    location="risk",
    inputs={"instruments": None, "prices": LOOK_BACK_MONTHS},
    figures=risk_figures,
    headline=RISK_HEADLINE,
)
def instrument_risk(write: Write, months: MonthRange) -> Columns:
    """Rolling 252-session risk measures of every instrument, a row a session."""
    instruments = read_instruments(write.connection)
    ids = [instrument.id for instrument in instruments]
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end)
    return concatenated(INSTRUMENT_RISK, instrument_reports(panel, instruments, months))


def instrument_reports(
    panel: PricePanel, instruments: list[Instrument], months: MonthRange
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The rows of each instrument that has a price in `months`, measured against the first index."""
    benchmark = benchmark_of(instruments)
    for instrument in instruments:
        close = panel.column(instrument.id)
        priced = np.isfinite(close)
        sessions = panel.sessions[priced]
        rows = months.rows_of(sessions)
        if rows.start == rows.stop:
            continue
        index = benchmark_returns(panel.column(benchmark.id)[priced]) if benchmark else None
        report = rolling_report(simple_returns(close[priced]), index, rows, RiskSpec())
        yield {
            "instrument_id": np.full(len(report.sessions_in_window), instrument.id, dtype=np.int32),
            "session": sessions[rows],
            **report.columns,
        }
