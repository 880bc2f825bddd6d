"""Ridge regression under QLIKE: a gamma law with a log link, fitted by Fisher's scoring.

The deviance of the gamma law is twice the QLIKE loss of Patton (2011), so that the fit minimises what forecasts are
judged by, without taking logarithms of returns that may be zero. With a log link Fisher's weights are all one
(McCullagh & Nelder 1989, Generalized Linear Models, 2nd edition, chapter 8): the matrix is inverted once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.models.errors import ForecastInputError

MOST_STEPS = 50
LARGEST_STEP = 1.0
CONVERGED_STEP = 1e-5


@dataclass(frozen=True, slots=True)
class LogLinear:
    """ln y = intercept + Σ coefficient · (x - centre).

    Parameters
    ----------
    intercept
        Of a row at the centre.
    coefficients, centres
        (k,) in the features' own units.
    """

    intercept: float
    coefficients: FloatArray
    centres: FloatArray

    def contributions(self, features: FloatArray) -> FloatArray:
        """(…, k) what each feature adds to the logarithm, beside the intercept."""
        added: FloatArray = (features - self.centres) * self.coefficients
        return added

    def logarithm(self, features: FloatArray) -> FloatArray:
        """(…,) the whole, term by term: a matrix product may round differently with the number of rows."""
        total = np.full(features.shape[:-1], self.intercept)
        for term in range(features.shape[-1]):
            total += (features[..., term] - self.centres[term]) * self.coefficients[term]
        return total


def fit_gamma_ridge(features: FloatArray, targets: FloatArray, ridge: float) -> LogLinear | None:
    """Fit targets by their mean exp(intercept + features); None where the climb does not end.

    Parameters
    ----------
    features
        (n, k) finite.
    targets
        (n,) at least 0, in units of what is expected without features: not all 0.
    ridge
        Penalty on the squares of the coefficients of features with standard deviation 1, by the number of rows.
    """
    if features.ndim != 2 or targets.shape != features.shape[:1] or len(targets) == 0:
        raise ForecastInputError(f"features: shape {features.shape} for {targets.shape} targets; give a row a target")
    if not targets.mean() > 0.0:
        return None
    centres, spreads = features.mean(axis=0), features.std(axis=0)
    spreads = np.where(spreads > 0.0, spreads, 1.0)
    x = (features - centres) / spreads
    rows, terms = x.shape
    inverse = np.linalg.inv(x.T @ x / rows + ridge * np.eye(terms))
    intercept, coefficients = float(np.log(targets.mean())), np.zeros(terms)
    for _ in range(MOST_STEPS):
        excess = targets * np.exp(-(intercept + x @ coefficients)) - 1.0
        rise, step = float(excess.mean()), inverse @ (x.T @ excess / rows - ridge * coefficients)
        largest = max(abs(rise), float(np.abs(step).max(initial=0.0)))
        if not np.isfinite(largest):
            return None
        shrunk = min(1.0, LARGEST_STEP / max(largest, CONVERGED_STEP))
        intercept, coefficients = intercept + shrunk * rise, coefficients + shrunk * step
        if largest < CONVERGED_STEP:
            return LogLinear(intercept, coefficients / spreads, centres)
    return None
