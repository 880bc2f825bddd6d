"""Asset ``factor_exposure``: what the factor funds explain of every instrument."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.base.types import MonthRange
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.assets.month_ends import month_end_rows
from pipeline.risk.measures.common_window import market_sessions
from pipeline.risk.measures.factor_windows import ExplainedInstruments, explained_instruments
from pipeline.store.factor_exposures import FACTOR_EXPOSURE
from pipeline.store.instruments import Instrument, benchmark_of, factor_funds_of, read_instruments
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.writing import Write, concatenated

WINDOW_SESSIONS = 252
LOOK_BACK_MONTHS = 16
"""The 317 sessions among which a window is looked for are fifteen months and a few days."""

SIGNIFICANT_T = 2.0


def exposure_figures(rows: Columns) -> dict[str, float]:
    """How much the factors explain in one month; left out while they explain nothing."""
    if not np.isfinite(rows["r_squared"]).any():
        return {}
    known = np.isfinite(rows["t_statistic"])
    return {
        "mean_r_squared_fraction": float(np.nanmean(rows["r_squared"])),
        "mean_residual_volatility_annual": float(np.nanmean(rows["residual_volatility"])),
        "significant_exposures_fraction": float((np.abs(rows["t_statistic"][known]) > SIGNIFICANT_T).mean()),
        "explained_rows_count": float(np.isfinite(rows["r_squared"]).sum()),
    }


@TableAsset(
    table=FACTOR_EXPOSURE,
    location="risk",
    inputs={"instruments": None, "prices": LOOK_BACK_MONTHS},
    figures=exposure_figures,
    headline="r_squared",
)
def factor_exposure(write: Write, months: MonthRange) -> Produced:
    """Exposure of every instrument to the factor funds over the 252 sessions up to each month's end."""
    instruments = read_instruments(write.connection)
    ids = [instrument.id for instrument in instruments]
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end)
    return Produced(
        concatenated(FACTOR_EXPOSURE, exposure_rows(panel, instruments, months)),
        empty_because=f"no factor fund has {WINDOW_SESSIONS} returns up to this month's end",
    )


def exposure_rows(panel: PricePanel, instruments: list[Instrument], months: MonthRange) -> Iterator[Columns]:
    """A row an instrument and factor at the last session of each month on which a factor has a full window."""
    benchmark = benchmark_of(instruments)
    index = None if benchmark is None else panel.column(benchmark.id)
    kept = market_sessions(panel.close, index)
    sessions, close = panel.sessions[kept], panel.close[kept]
    symbols = {fund.id: fund.symbol.encode() for fund in factor_funds_of(instruments)}
    funds = np.flatnonzero(np.isin(panel.instrument_ids, list(symbols)))
    names = np.array([symbols.get(int(instrument_id), b"") for instrument_id in panel.instrument_ids], dtype="S")
    for row in month_end_rows(sessions, months):
        for explained in explained_instruments(close[: row + 1], funds, WINDOW_SESSIONS):
            yield _rows(explained, panel.instrument_ids[explained.columns], sessions[row], names[explained.factors])


def _rows(explained: ExplainedInstruments, ids: np.ndarray, session: np.datetime64, factors: np.ndarray) -> Columns:
    count = len(ids) * len(factors)
    return {
        "instrument_id": np.repeat(ids.astype(np.int32), len(factors)),
        "session": np.full(count, session),
        "factor": np.tile(factors, len(ids)),
        "window_sessions": np.full(count, explained.window_sessions, dtype=np.int16),
        **{name: values.ravel() for name, values in explained.figures.items()},
        "reason": np.repeat(np.array([reason.encode() for reason in explained.reasons], dtype="S"), len(factors)),
    }
