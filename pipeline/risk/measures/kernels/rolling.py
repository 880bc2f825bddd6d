"""All measures that have a kernel, over the rolling windows of one subject."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures import CDAR_CONFIDENCE
from pipeline.risk.measures.dispersion import RISKMETRICS_DECAY, decaying_weights
from pipeline.risk.measures.holdings import HeldPortfolio
from pipeline.risk.measures.kernels.capture import CAPTURE_MEASURES, rolling_capture
from pipeline.risk.measures.kernels.falls import FALL_MEASURES, rolling_falls
from pipeline.risk.measures.kernels.moments import MOMENT_MEASURES, rolling_moments
from pipeline.risk.measures.kernels.relative import RELATIVE_MEASURES, rolling_relative
from pipeline.risk.measures.kernels.sums import LONGEST_WINDOW, unit_of
from pipeline.risk.measures.kernels.tail import TAIL_MEASURES, held_tail, law_of, rolling_tail, room_of, tail_law
from pipeline.risk.measures.kernels.wealth import WEALTH_MEASURES, rolling_wealth
from pipeline.risk.measures.kernels.weighted import rolling_weighted_volatility
from pipeline.risk.measures.risk_free import known_in_windows
from pipeline.risk.measures.windows import RiskSpec

_TWELVE = (*WEALTH_MEASURES, *MOMENT_MEASURES, *TAIL_MEASURES)
EXCESS_MEASURES = ("sharpe_ratio", "sortino_ratio", "alpha")
"""Those that take the risk-free rate."""
_INTEGER_ROWS, _NUMBER_ROWS = 7, 10
"""Room of the kernels that need most."""


def rolling_measures(
    returns: FloatArray,
    benchmark: FloatArray | None,
    spec: RiskSpec,
    held: HeldPortfolio | None = None,
    risk_free: FloatArray | None = None,
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
    risk_free
        (t,) risk-free rates of the same sessions, NaN where unknown. A window that knows none takes the spec's, and
        one that knows some has no measure of the excess. None for the spec's rate alone, which costs nothing more.

    Returns
    -------
    dict
        Measure name → ``(t - window + 1,)``; none for a window too long to sum exactly.
    """
    if spec.window_sessions > LONGEST_WINDOW:
        return {}
    returns = np.ascontiguousarray(returns, dtype=np.float64)
    by_spec = twelve_rolling(returns, spec, held) | _path_measures(returns, spec) | _compared(returns, benchmark, spec)
    return by_spec if risk_free is None else by_spec | _by_rates(by_spec, returns, benchmark, spec, risk_free)


def twelve_rolling(returns: FloatArray, spec: RiskSpec, held: HeldPortfolio | None = None) -> dict[str, FloatArray]:
    """Growth, dispersion, higher moments and tail of every full window: what `whole_measures` gives of a series."""
    window = spec.window_sessions
    room, rows = _room(len(returns)), len(returns) - window + 1
    unit, law = unit_of(window), (spec.risk_free_rate_daily, float(spec.periods_per_year))
    out = np.empty((len(_TWELVE), rows))
    rolling_wealth(returns, window, law[1], room[0], out[:3])
    rolling_moments(returns, window, law, unit, room, out[3:8])
    _tail(returns, window, held, out[8:])
    return dict(zip(_TWELVE, out, strict=True))


def _path_measures(returns: FloatArray, spec: RiskSpec) -> dict[str, FloatArray]:
    """Those that depend on the order of a window's sessions, beside growth and the deepest fall."""
    window, work = spec.window_sessions, np.empty(len(returns))
    out = np.empty((1 + len(FALL_MEASURES), len(returns) - window + 1))
    weights = decaying_weights(window, RISKMETRICS_DECAY)
    rolling_weighted_volatility(returns, weights, float(spec.periods_per_year), work, out[0])
    rolling_falls(returns, window, *law_of(window, (CDAR_CONFIDENCE,)), work, out[1:])
    return dict(zip(("volatility_ewma", *FALL_MEASURES), out, strict=True))


def _compared(returns: FloatArray, benchmark: FloatArray | None, spec: RiskSpec) -> dict[str, FloatArray]:
    """Measures against the benchmark: NaN where there is none."""
    names, window = (*RELATIVE_MEASURES, *CAPTURE_MEASURES), spec.window_sessions
    out = np.full((len(names), len(returns) - window + 1), np.nan)
    if benchmark is not None:
        benchmark = np.ascontiguousarray(benchmark, dtype=np.float64)
        room, unit = _room(len(returns)), unit_of(window)
        law = spec.risk_free_rate_daily, float(spec.periods_per_year)
        rolling_relative(returns, benchmark, window, law, unit, room, out[:5])
        rolling_capture(returns, benchmark, window, unit, room[0], out[5:])
    return dict(zip(names, out, strict=True))


def _by_rates(
    by_spec: dict[str, FloatArray],
    returns: FloatArray,
    benchmark: FloatArray | None,
    spec: RiskSpec,
    risk_free: FloatArray,
) -> dict[str, FloatArray]:
    """The measures that take the risk-free rate, by a rate for each session; none if no rate is known.

    They are those of the excess over a rate of 0, from sums of their own: as differences of sums they would cancel.
    """
    window = spec.window_sessions
    known = known_in_windows(risk_free, window, slice(window, len(returns) + 1))
    if not known.any():
        return {}
    rate = np.where(np.isfinite(risk_free), risk_free, 0.0)
    unit, room, law = unit_of(window), _room(len(returns)), (0.0, float(spec.periods_per_year))
    excess, out = returns - rate, np.empty((5, len(known)))
    rolling_moments(excess, window, law, unit, room, out)
    found = dict(zip(MOMENT_MEASURES, out, strict=True))
    if benchmark is not None:
        against = np.empty((5, len(known)))
        rolling_relative(excess, benchmark - rate, window, law, unit, room, against)
        found |= dict(zip(RELATIVE_MEASURES, against, strict=True))
    partly = np.where(known == 0, 1.0, np.nan)
    return {
        name: np.where(known == window, found[name], by_spec[name] * partly)
        for name in EXCESS_MEASURES
        if name in found
    }


def _room(sessions: int) -> tuple[IntArray, FloatArray]:
    """Integers and numbers for the kernels to work in."""
    return np.empty((_INTEGER_ROWS, sessions + 1), dtype=np.int64), np.empty((_NUMBER_ROWS, sessions))


def _tail(returns: FloatArray, window: int, held: HeldPortfolio | None, out: FloatArray) -> None:
    positions, weights = tail_law(window)
    if held is None:
        rolling_tail(returns, window, positions, weights, np.empty(room_of(positions, window) + 1), out)
    else:
        asset_returns = np.ascontiguousarray(held.asset_returns.T)
        held_tail(np.ascontiguousarray(held.weights), asset_returns, window, positions, weights, out)
