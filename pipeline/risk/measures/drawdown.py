"""Drawdown: the fall from a peak of compounded wealth, 0 or negative.

What is called "at risk" is a loss and positive, as in the family of the value at risk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.entropic import entropic_var
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.tail import historical_es
from pipeline.risk.measures.windows import quotient, require_returns

RECOVERY_TOLERANCE = 1e-12
"""Relative: compounding the returns of prices that come back to their peak ends this close to it."""


def max_drawdown(returns: FloatArray) -> FloatArray:
    """Deepest fall of compounded wealth from its running peak (Magdon-Ismail & Atiya 2004).

    The starting wealth is the first peak.

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    FloatArray
        (...) fraction, 0 or negative. A loss on the first session counts.
    """
    deepest: FloatArray = np.min(drawdowns(returns), axis=-1)
    return deepest


def calmar_ratio(cagr_annual: FloatArray, drawdown: FloatArray) -> FloatArray:
    """CAGR over the absolute maximum drawdown (Young 1991).

    Parameters
    ----------
    cagr_annual, drawdown
        (...) of the same windows.

    Returns
    -------
    FloatArray
        (...) ratio; NaN where there was no drawdown.
    """
    return quotient(cagr_annual, np.abs(drawdown), np.asarray(drawdown) < 0.0)


def drawdowns(returns: FloatArray) -> FloatArray:
    """Compounded wealth against its running peak after each return; the starting wealth is the first peak.

    As Magdon-Ismail & Atiya (2004) define it.

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    FloatArray
        (..., n) fractions, 0 at a peak and negative below.
    """
    wealth = np.cumprod(1.0 + returns, axis=-1)
    peak = np.maximum(np.maximum.accumulate(wealth, axis=-1), 1.0)
    path: FloatArray = wealth / peak - 1.0
    return path


def average_drawdown(returns: FloatArray) -> FloatArray:
    """Mean of the drawdowns of all sessions; its size is the pain index (Becker 2006).

    Returns
    -------
    FloatArray
        (...) fraction, 0 or negative.
    """
    average: FloatArray = np.mean(drawdowns(returns), axis=-1)
    return average


def ulcer_index(returns: FloatArray) -> FloatArray:
    """Root mean square of the drawdowns of all sessions (Martin & McCann 1989).

    Returns
    -------
    FloatArray
        (...) fraction (not per cent), 0 or positive.
    """
    mean_square: FloatArray = np.mean(drawdowns(returns) ** 2, axis=-1)
    return np.sqrt(mean_square)


def conditional_drawdown_at_risk(returns: FloatArray, confidence: float) -> FloatArray:
    """Mean of the worst drawdowns of probability 1 - α, with the fractional atom (Chekhlov, Uryasev & Zabarankin 2005).

    Returns
    -------
    FloatArray
        (...) positive fraction, between the sizes of the average and of the maximum drawdown.
    """
    return historical_es(drawdowns(returns), confidence)


def entropic_drawdown_at_risk(returns: FloatArray, confidence: float) -> FloatArray:
    """Entropic value at risk of the drawdowns (Cajas 2021), between CDaR and the size of the maximum drawdown.

    Returns
    -------
    FloatArray
        (...) positive fraction.
    """
    return entropic_var(drawdowns(returns), confidence)


@dataclass(frozen=True, slots=True)
class DrawdownSpell:
    """One fall from a peak and, if it ended, the way back.

    Positions count closes: 0 is the close before the first return, i the close after return i-1. For returns made
    of closes they are rows of those.

    Parameters
    ----------
    depth
        Compounded fraction at the trough, negative.
    start
        Position of the last close at the peak.
    trough
        Position of the lowest close, the first of equals.
    recovery
        Position of the first close at the peak again, or None if there is none yet.
    duration_sessions
        From the start to the recovery, or to the last close.
    """

    depth: float
    start: int
    trough: int
    recovery: int | None
    duration_sessions: int


def drawdown_spells(returns: FloatArray, count: int) -> tuple[DrawdownSpell, ...]:
    """The `count` deepest falls that do not overlap, deepest first; the earlier one of equals first.

    From a peak to its recovery (Bacon 2008, chapter 4).

    Parameters
    ----------
    returns
        (n,) simple returns.

    Raises
    ------
    MeasureInputError
        For returns that cannot be used or a count below 1.
    """
    if count < 1:
        raise MeasureInputError(f"count={count}: give at least 1")
    require_returns(returns, minimum_sessions=1)
    path = np.concatenate([[0.0], drawdowns(returns)])
    spells = _spells(np.where(path >= -RECOVERY_TOLERANCE, 0.0, path))
    return tuple(sorted(spells, key=lambda spell: spell.depth)[:count])


def deepest_drawdown(returns: FloatArray) -> DrawdownSpell | None:
    """The spell of the maximum drawdown (Magdon-Ismail & Atiya 2004), or None if wealth never fell."""
    spells = drawdown_spells(returns, 1)
    return spells[0] if spells else None


def _spells(path: FloatArray) -> list[DrawdownSpell]:
    """Every stretch below the peak, oldest first, of a path that begins at 0."""
    below = path < 0.0
    starts = np.flatnonzero(~below[:-1] & below[1:])
    recoveries = np.flatnonzero(below[:-1] & ~below[1:]) + 1
    return [
        _spell(path, int(start), int(recoveries[number]) if number < len(recoveries) else None)
        for number, start in enumerate(starts)
    ]


def _spell(path: FloatArray, start: int, recovery: int | None) -> DrawdownSpell:
    end = len(path) - 1 if recovery is None else recovery
    trough = start + int(np.argmin(path[start : end + 1]))
    return DrawdownSpell(float(path[trough]), start, trough, recovery, end - start)
