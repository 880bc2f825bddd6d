"""Asset ``covariance``: how the returns of every pair of instruments move together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.base.types import FloatArray, MonthRange
from pipeline.orchestration.checks import CheckOutcome, Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.assets.month_ends import month_end_rows
from pipeline.risk.measures.common_window import common_window, market_sessions
from pipeline.risk.measures.covariance import DEFAULT_COVARIANCE, estimate_covariance, is_psd
from pipeline.risk.measures.pairs import known_correlation
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR
from pipeline.store.covariances import COVARIANCE, covariance_columns, unpacked
from pipeline.store.instruments import BENCHMARK_KIND, FACTOR_KIND, Instrument, benchmark_of, read_instruments
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.writing import Write, concatenated

WINDOW_SESSIONS = 252
LOOK_BACK_MONTHS = 16
"""The 317 sessions among which a window is looked for are fifteen months and a few days."""

MOST_INSTRUMENTS = 500
"""Pairs grow with the square: a month's end takes 1 MB for these, and 33 years 400 MB."""

PSD = "matrices_positive_semidefinite"
PSD_SPEC = (PSD, "No matrix gives a portfolio a negative variance.")
COVERED = "instruments_covered"
COVERED_SPEC = (COVERED, f"Every instrument is looked at: there are no more than {MOST_INSTRUMENTS}.")


def covariance_figures(rows: Columns) -> dict[str, float]:
    """How strongly the instruments of one month move, alone and together."""
    variances = np.diag(unpacked(rows["covariance"][-1]))
    figures = {
        "instruments_count": float(len(variances)),
        "mean_volatility_annual": float(np.sqrt(variances * TRADING_DAYS_PER_YEAR).mean()),
    }
    found = {name: float(rows[name][-1]) for name in ("mean_correlation", "largest_correlation")}
    return figures | {name: value for name, value in found.items() if np.isfinite(value)}


@TableAsset(
    table=COVARIANCE,
    location="risk",
    inputs={"instruments": None, "prices": LOOK_BACK_MONTHS},
    figures=covariance_figures,
    headline="mean_correlation",
    headline_subject={"estimator": DEFAULT_COVARIANCE},
    check_specs=(COVERED_SPEC,),
    blocking_check_specs=(PSD_SPEC,),
)
def covariance(write: Write, months: MonthRange) -> Produced:
    """Covariance of every pair of instruments over the 252 sessions up to each month's end.

    A run holds its matrices several times in memory: many years of many instruments are computed in parts.
    """
    instruments = read_instruments(write.connection)
    benchmark = benchmark_of(instruments)
    ids = covered(instruments, benchmark)
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end)
    rows = concatenated(COVARIANCE, covariance_rows(panel, benchmark, months))
    return Produced(
        rows,
        checks=[_covered_outcome(len(instruments) - len(ids)), _psd_outcome(rows)],
        empty_because=f"no instrument has {WINDOW_SESSIONS} returns up to this month's end",
    )


def covered(instruments: list[Instrument], benchmark: Instrument | None) -> list[int]:
    """Ids whose pairs are computed, ascending: of the benchmark, indices and funds, then stocks as registered."""

    def rank(instrument: Instrument) -> tuple[bool, bool, int]:
        return instrument != benchmark, instrument.kind not in (BENCHMARK_KIND, FACTOR_KIND), instrument.id

    return sorted(instrument.id for instrument in sorted(instruments, key=rank)[:MOST_INSTRUMENTS])


def covariance_rows(panel: PricePanel, benchmark: Instrument | None, months: MonthRange) -> Iterator[Columns]:
    """The matrix at the last session of each month; of those instruments that have a full window there."""
    index = None if benchmark is None else panel.column(benchmark.id)
    kept = market_sessions(panel.close, index)
    sessions, close = panel.sessions[kept], panel.close[kept]
    for row in month_end_rows(sessions, months):
        window = common_window(close[: row + 1], WINDOW_SESSIONS)
        if window is not None:
            matrix = estimate_covariance(window.returns)
            ids = panel.instrument_ids[window.columns]
            yield covariance_columns(
                DEFAULT_COVARIANCE, sessions[row], WINDOW_SESSIONS, ids, matrix, _correlations(matrix)
            )


def _correlations(matrix: FloatArray) -> FloatArray:
    """(m,) of each pair of different instruments that vary."""
    pairs = known_correlation(matrix)[np.tril_indices(len(matrix), -1)]
    known: FloatArray = pairs[np.isfinite(pairs)]
    return known


def _covered_outcome(left_out: int) -> CheckOutcome:
    return CheckOutcome(COVERED, left_out == 0, blocking=False, metadata={"instruments_left_out": left_out})


def _psd_outcome(rows: Columns) -> CheckOutcome:
    """Whether the matrices are what they were before they were packed."""
    broken = [
        str(session)
        for session, matrix in zip(rows["session"], rows["covariance"], strict=True)
        if not is_psd(unpacked(matrix))
    ]
    return CheckOutcome(
        PSD, not broken, blocking=True, metadata={"matrices": len(rows["session"]), "broken": broken[:20]}
    )
