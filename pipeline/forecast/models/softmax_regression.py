"""Regression of classes that starts from given chances: without evidence it says what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.forecast.models.errors import ForecastInputError

MOST_ITERATIONS = 200


@dataclass(frozen=True, slots=True)
class Softmax:
    """A fit: features are centred and scaled as those of the training were.

    Parameters
    ----------
    centre, scale
        (f,) of the training's features.
    coefficients
        (f, k) log odds a standard deviation.
    """

    centre: FloatArray
    scale: FloatArray
    coefficients: FloatArray

    def probabilities(self, features: FloatArray, prior: FloatArray) -> FloatArray:
        """(m, k) chances of each class.

        Parameters
        ----------
        features
            (m, f).
        prior
            (m, k) chances that the regression starts from.
        """
        scaled = standardised(features, self.centre, self.scale)
        odds = np.log(prior)
        # One feature after the other: products of matrices differ in their last bits with the number of rows.
        for values, effects in zip(scaled.T, self.coefficients, strict=True):
            odds = odds + values[:, None] * effects
        return _softmax(odds)


def standardised(features: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    """Standard deviations from the centre, four at most: an extreme is no better known than a large one."""
    return np.clip((features - centre) / scale, -4.0, 4.0)


def fit_softmax(
    features: FloatArray, classes: IntArray, prior: FloatArray, *, weight: float, penalty: float
) -> Softmax | None:
    """Maximise weight · log-likelihood - penalty / 2 · Σ coefficients².

    Ridge-penalised logistic regression (Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, 4.4).

    Parameters
    ----------
    features
        (m, f) finite.
    classes
        (m,) 0 … k-1.
    prior
        (m, k) chances that the regression starts from, above 0.
    weight
        Independent observations that a row is worth: 1/21 of overlapping returns over 21 sessions.
    penalty
        Above 0.

    Returns
    -------
    Softmax or None
        None where the search does not end.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - 0.1 s of every service's start, and for a fit only

    if not (weight > 0.0 and penalty > 0.0):
        raise ForecastInputError(f"weight={weight}, penalty={penalty}: give numbers above 0")
    if not np.isfinite(features).all() or not (prior > 0.0).all():
        raise ForecastInputError("features: NaN or infinite, or a prior of 0; leave those rows out")
    centre, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0.0, spread, 1.0)
    scaled, offsets = standardised(features, centre, scale), np.log(prior)
    shape = (features.shape[1], prior.shape[1])
    hit = np.arange(prior.shape[1]) == classes[:, None]

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        coefficients = flat.reshape(shape)
        chances = _softmax(offsets + scaled @ coefficients)
        likelihood = np.log(np.maximum(chances[hit], 1e-300)).sum()
        gradient = weight * (scaled.T @ (chances - hit)) + penalty * coefficients
        return penalty / 2.0 * float(flat @ flat) - weight * float(likelihood), gradient.ravel()

    found = minimize(
        loss,
        np.zeros(shape[0] * shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MOST_ITERATIONS, "gtol": 1e-6, "ftol": 1e-12},
    )
    if not found.success or not np.isfinite(found.x).all():
        return None
    return Softmax(centre, scale, found.x.reshape(shape))


def _softmax(odds: FloatArray) -> FloatArray:
    raised = np.exp(odds - odds.max(axis=1, keepdims=True))
    # Added one by one, as the sum along an axis may group its terms by the number of rows.
    total = np.zeros(len(raised))
    for column in raised.T:
        total = total + column
    chances: FloatArray = raised / total[:, None]
    return chances
