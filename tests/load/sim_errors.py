"""Errors of tail figures against those of independent paths that take as long: by replications around a long reference.

A gain is the ratio of root mean squared errors at equal CPU seconds: the square root of the ratio of variances, which
is stated beside it. The portfolio is that of ``sim``: twenty stocks by GBM over a year, restored every month.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.simulation.run import SimulationSpec, begin
from tests.load.measuring import Figures, cpu_seconds

PATHS, REPLICATIONS = 2_048, 200
NET_PATHS, NET_REPLICATIONS = 16_384, 20
"""A net of 128 points, of each of sixteen scramblings, has one in the worst percent: nets are for more paths."""
REFERENCE = SimulationSpec("gbm", paths=524_288, rebalancing="monthly", fan_steps=(), sampling="importance", seed=2**40)


@dataclass(frozen=True, slots=True)
class Measured:
    """Root mean squared errors of VaR and ES at 99 %, and CPU seconds, of a run."""

    errors: FloatArray
    seconds: float


def error_gains(returns: FloatArray, weights: FloatArray) -> Figures:
    """How many times smaller the errors of sampled runs are than those of independent paths that take as long."""
    truth = tail(returns, weights, REFERENCE)
    plain = measured(returns, weights, replace(REFERENCE, sampling="plain", paths=PATHS), REPLICATIONS, truth)
    shifted = measured(returns, weights, replace(REFERENCE, paths=PATHS), REPLICATIONS, truth)
    net = replace(REFERENCE, sampling="sobol", paths=NET_PATHS)
    nets = measured(returns, weights, net, NET_REPLICATIONS, truth)
    var, es = gains(plain, shifted)
    net_var, net_es = gains(plain, nets)
    return {
        "var99_error_gain": var,
        "var99_variance_gain": var**2,
        "es99_error_gain": es,
        "es99_variance_gain": es**2,
        "sobol_var99_error_gain": net_var,
        "sobol_es99_error_gain": net_es,
    }


def gains(plain: Measured, other: Measured) -> tuple[float, float]:
    """Of VaR and of ES; errors of independent paths fall with the root of their number, and so of their seconds."""
    var, es = plain.errors / other.errors * np.sqrt(plain.seconds / other.seconds)
    return float(var), float(es)


def measured(
    returns: FloatArray, weights: FloatArray, spec: SimulationSpec, replications: int, truth: FloatArray
) -> Measured:
    """Runs by different seeds; the fit, which is the same, is made once and not counted."""
    begun = begin(returns, spec, 1, weights)
    found, started = [], cpu_seconds()
    for seed in range(replications):
        outcomes, again = begun.empty_outcomes(), begun.by_seed(seed)
        again.walk(outcomes, 0)
        gain, sample = again.sample().ordered(outcomes.gain)
        found.append((sample.value_at_risk(gain, 0.99), sample.shortfall(gain, 0.99)))
    seconds = (cpu_seconds() - started) / replications
    return Measured(np.sqrt(np.mean((np.array(found) - truth) ** 2, axis=0)), seconds)


def tail(returns: FloatArray, weights: FloatArray, spec: SimulationSpec) -> FloatArray:
    """VaR and ES at 99 %."""
    begun = begin(returns, spec, 1, weights)
    outcomes = begun.empty_outcomes()
    begun.walk(outcomes, 0)
    gain, sample = begun.sample().ordered(outcomes.gain)
    return np.array([sample.value_at_risk(gain, 0.99), sample.shortfall(gain, 0.99)])
