"""All measures that have a kernel, over the rolling windows of one subject."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.holdings import HeldPortfolio
from pipeline.risk.measures.kernels.moments import MOMENT_MEASURES, rolling_moments
from pipeline.risk.measures.kernels.relative import rolling_beta
from pipeline.risk.measures.kernels.sums import LONGEST_WINDOW, unit_of
from pipeline.risk.measures.kernels.tail import TAIL_MEASURES, held_tail, rolling_tail, room_of, tail_law
from pipeline.risk.measures.kernels.wealth import WEALTH_MEASURES, rolling_wealth
from pipeline.risk.measures.windows import RiskSpec

_INTEGER_ROWS, _NUMBER_ROWS = 6, 8
"""Room of the kernels that need most."""


def rolling_measures(
    returns: FloatArray, benchmark: FloatArray | None, spec: RiskSpec, held: HeldPortfolio | None = None
) -> dict[str, FloatArray]:
    """Measures of every full window.

    Parameters
    ----------
    returns
        (t,) simple returns, finite and -1 or more, t ≥ the window.
    benchmark
        (t,) returns of the benchmark on the same sessions, or None.
    held
        The portfolio behind `returns`, on the same sessions; its current weights then make the scenarios of the
        tail measures.

    Returns
    -------
    dict
        Measure name → ``(t - window + 1,)``; none for a window too long to sum exactly.
    """
    window = spec.window_sessions
    if window > LONGEST_WINDOW:
        return {}
    returns = np.ascontiguousarray(returns, dtype=np.float64)
    out = np.empty((13, len(returns) - window + 1))
    integers = np.empty((_INTEGER_ROWS, len(returns) + 1), dtype=np.int64)
    room = integers, np.empty((_NUMBER_ROWS, len(returns)))
    unit, law = unit_of(window), (spec.risk_free_rate_daily, float(spec.periods_per_year))
    rolling_wealth(returns, window, law[1], integers, out[:3])
    rolling_moments(returns, window, law, unit, room, out[3:8])
    _tail(returns, window, held, out[8:12])
    if benchmark is None:
        out[12] = np.nan
    else:
        rolling_beta(returns, np.ascontiguousarray(benchmark, dtype=np.float64), window, unit, room, out[12])
    return dict(zip((*WEALTH_MEASURES, *MOMENT_MEASURES, *TAIL_MEASURES, "beta"), out, strict=True))


def _tail(returns: FloatArray, window: int, held: HeldPortfolio | None, out: FloatArray) -> None:
    positions, weights = tail_law(window)
    if held is None:
        rolling_tail(returns, window, positions, weights, np.empty(room_of(positions, window) + 1), out)
    else:
        asset_returns = np.ascontiguousarray(held.asset_returns.T)
        held_tail(np.ascontiguousarray(held.weights), asset_returns, window, positions, weights, out)
