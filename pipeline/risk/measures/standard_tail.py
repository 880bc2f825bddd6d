"""The simulated tail of standard laws: each path is the law's quantile at a uniform random number.

A quantile rises with its number, so the same paths lie in the tail of every law, only they are looked at, and what
they say changes smoothly with the degrees of freedom. `tabulated_tail` uses that for the windows of a rolling series.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.polynomial import chebyshev

from pipeline.base import special
from pipeline.base.types import FloatArray
from pipeline.risk.measures.simulated_losses import largest_losses_tail, tail_length, uniform_draws
from pipeline.risk.measures.student_t_fit import DEGREES_OF_FREEDOM_BOUNDS
from pipeline.risk.measures.tail_spec import TailEstimate, TailSpec

_NODES = 24
"""Their polynomial errs by under 1e-12 of each figure between the bounds of the fit, of up to 10,000 paths."""
_LOW, _HIGH = 1.0 / DEGREES_OF_FREEDOM_BOUNDS[1], 1.0 / DEGREES_OF_FREEDOM_BOUNDS[0]


def gaussian_standard_tail(spec: TailSpec, confidence: float) -> TailEstimate:
    """Of `TailSpec.paths` draws of the normal law, of shape () each."""
    return _tail(special.ndtri(_lowest(spec, confidence)), spec, confidence)


def student_t_standard_tail(freedom: FloatArray, spec: TailSpec, confidence: float) -> TailEstimate:
    """Of `TailSpec.paths` draws of each Student-t law with location 0 and scale 1.

    Parameters
    ----------
    freedom
        (...) degrees of freedom.

    Returns
    -------
    TailEstimate
        (...) each, with the standard errors of the simulation; NaN for NaN.
    """
    return _tail(special.stdtrit(freedom[..., None], _lowest(spec, confidence)), spec, confidence)


def tabulated_tail(freedom: FloatArray, spec: TailSpec, confidence: float) -> TailEstimate:
    """`student_t_standard_tail` to 1e-12 of its size, for (m,) degrees of freedom within the bounds of the fit.

    A polynomial in 1/ν through the figures at `_NODES` laws (Trefethen 2013, "Approximation Theory and Approximation
    Practice", chapter 8): a row costs 1 µs instead of 200.
    """
    x = (2.0 / freedom - (_LOW + _HIGH)) / (_HIGH - _LOW)
    # Clenshaw's recurrence goes through the rows element by element: no row's bits depend on the others.
    return TailEstimate(*(chebyshev.chebval(x, column) for column in _coefficients(spec.paths, spec.seed, confidence)))


def _tail(lowest: FloatArray, spec: TailSpec, confidence: float) -> TailEstimate:
    return largest_losses_tail(-lowest[..., ::-1], spec.paths, confidence)


def _lowest(spec: TailSpec, confidence: float) -> FloatArray:
    """(k,) ascending numbers of the paths in the tail."""
    return _ascending_draws(spec.paths, spec.seed)[: tail_length(spec.paths, confidence)]


@lru_cache(maxsize=8)
def _ascending_draws(paths: int, seed: int) -> FloatArray:
    draws = np.sort(uniform_draws(seed, paths))
    draws.flags.writeable = False
    return draws


@cache
def _coefficients(paths: int, seed: int, confidence: float) -> FloatArray:
    """(4, `_NODES`) of the Chebyshev polynomials through the figures: value at risk, shortfall and their errors."""
    nodes = chebyshev.chebpts1(_NODES)
    made = student_t_standard_tail(
        2.0 / (nodes * (_HIGH - _LOW) + (_LOW + _HIGH)), TailSpec(confidence, paths=paths, seed=seed), confidence
    )
    errors = made.var_standard_error, made.es_standard_error
    figures = np.stack([made.var, made.es, *(error for error in errors if error is not None)])
    polynomials = chebyshev.chebvander(nodes, _NODES - 1)
    coefficients: FloatArray = 2.0 / _NODES * np.add.reduce(figures[:, :, None] * polynomials, axis=1)
    coefficients[:, 0] *= 0.5
    return coefficients
