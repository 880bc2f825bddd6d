"""Whether losses beyond value at risk were as large as expected shortfall said (Acerbi & Szekely 2014).

P-values are simulated under a stated model, because a forecast of VaR and ES is not a distribution: exceptions are
independent with probability 1-α, and the loss beyond VaR is generalised Pareto with mean ES - VaR and
the shape 0.2 of a Student-t tail with five degrees of freedom. They are the part of simulated
statistics that is no larger than the observed one, so a small p-value says that ES was too low. The paper's own
critical values of Z2 for 250 sessions at 97.5 % are -0.70 (5 %) and -1.8 (0.01 %) across such tails.
"""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.statistic import Statistic

TAIL_SHAPE = 0.2
DEFAULT_SIMULATIONS = 10_000
"""By which a p-value of 5 % has a standard error of 0.2 points."""

Z2_CRITICAL_5_PERCENT = -0.70
"""Acerbi & Szekely (2014), for 250 sessions at 97.5 %."""


def acerbi_szekely_z1(
    returns: FloatArray, var: FloatArray, es: FloatArray, seed: int, simulations: int = DEFAULT_SIMULATIONS
) -> Statistic:
    """Z1 = 1 - mean of loss / ES over the exceptions, whatever their number.

    Simulated given the sessions on which exceptions happened.

    Parameters
    ----------
    returns, var, es
        (n,) returns and the forecasts for them.
    seed, simulations
        Of the p-value.

    Returns
    -------
    Statistic
        0 is expected; undefined without exceptions or where ES is not above 0.
    """
    if not (es > 0.0).all():
        return Statistic.undefined("expected_shortfall_not_above_0")
    hits = np.flatnonzero(-returns > var)
    if len(hits) == 0:
        return Statistic.undefined("no_exceptions")
    observed = 1.0 + float(np.mean(returns[hits] / es[hits]))
    generator = _generator(seed, 1)
    simulated = np.ones(simulations)
    # An exception at a time: memory stays at one number a simulation however long the series.
    for ratio in (var[hits] / es[hits]).tolist():
        simulated -= _relative_losses(generator, np.full(simulations, ratio)) / len(hits)
    return Statistic(observed, _p_value(observed, simulated))


def acerbi_szekely_z2(
    returns: FloatArray,
    var: FloatArray,
    es: FloatArray,
    confidence: float,
    seed: int,
    simulations: int = DEFAULT_SIMULATIONS,
) -> Statistic:
    """Z2 = 1 - Σ over the exceptions of loss / ES, over their expected number (1-α) n.

    Parameters
    ----------
    returns, var, es
        (n,) returns and the forecasts for them.
    confidence
        α.
    seed, simulations
        Of the p-value.

    Returns
    -------
    Statistic
        0 is expected, 1 without exceptions; undefined where ES is not above 0.
    """
    if not (es > 0.0).all():
        return Statistic.undefined("expected_shortfall_not_above_0")
    hits = -returns > var
    expected = (1.0 - confidence) * len(returns)
    observed = 1.0 + float(np.sum(returns[hits] / es[hits])) / expected
    generator = _generator(seed, 2)
    cells = _exceptions(generator, 1.0 - confidence, simulations * len(returns))
    losses = _relative_losses(generator, (var / es)[cells % len(returns)])
    total = np.bincount(cells // len(returns), weights=losses, minlength=simulations)
    return Statistic(observed, _p_value(observed, 1.0 - total / expected))


def _relative_losses(generator: np.random.Generator, var_over_es: FloatArray) -> FloatArray:
    """Losses beyond VaR as multiples of ES, whose mean is 1."""
    losses: FloatArray = var_over_es + (1.0 - var_over_es) * pareto_excesses(generator.random(var_over_es.shape))
    return losses


def pareto_excesses(uniform: FloatArray) -> FloatArray:
    """Generalised Pareto excesses with mean 1 and `TAIL_SHAPE`, of numbers in [0, 1)."""
    excesses: FloatArray = (1.0 - TAIL_SHAPE) / TAIL_SHAPE * ((1.0 - uniform) ** -TAIL_SHAPE - 1.0)
    return excesses


def _exceptions(generator: np.random.Generator, probability: float, trials: int) -> IntArray:
    """Positions of the successes among independent trials, by the geometric gaps between them."""
    found, last = [], -1
    while last < trials:
        gaps = generator.geometric(probability, int(trials * probability) + 1_000)
        found.append(last + np.cumsum(gaps))
        last = int(found[-1][-1])
    positions = np.concatenate(found)
    return positions[positions < trials]


def _p_value(observed: float, simulated: FloatArray) -> float:
    """With the observed statistic counted among the simulated, so that it is never 0 (Davison & Hinkley 1997)."""
    return float((1 + np.count_nonzero(simulated <= observed)) / (1 + len(simulated)))


def _generator(seed: int, stream: int) -> np.random.Generator:
    """Numbers of a seed for one of the statistics: the upper half of Philox's key names the stream."""
    return np.random.Generator(np.random.Philox(key=seed + (stream << 64)))
