"""Covariance of daily returns: estimators by name, and the repair of matrices that no returns can have.

Every estimator takes ``(n, k)`` simple returns and gives the ``(k, k)`` covariance of one session, not annualised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.dispersion import RISKMETRICS_DECAY, decaying_weights
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.panels import require_panel, require_symmetric

PSD_TOLERANCE = 1e-12
"""Relative to the largest eigenvalue: below it a negative eigenvalue is rounding."""


class CovarianceRepairError(MeasureInputError):
    """A matrix whose repair did not converge."""


def sample_covariance(returns: FloatArray) -> FloatArray:
    """Sample covariance, divided by n - 1 (Anderson 2003, section 3.2). Singular with fewer sessions than instruments.

    Parameters
    ----------
    returns
        (n, k) simple returns, n ≥ 2.

    Returns
    -------
    FloatArray
        (k, k).

    Raises
    ------
    MeasureInputError
        For NaN, infinity, another shape or fewer than two sessions; so do all estimators.
    """
    centred = _centred(require_panel(returns))
    return _gram(centred) / (len(returns) - 1)


def ewma_covariance(returns: FloatArray, decay: float = RISKMETRICS_DECAY) -> FloatArray:
    """Exponentially weighted covariance Σ λ^i r r' / Σ λ^i about a mean of zero (RiskMetrics 1996, chapter 5).

    The weights are divided by their sum, so that a short window is not biased towards zero.

    Parameters
    ----------
    returns
        (n, k) simple returns, oldest first.
    decay
        λ: weight of each session against the one after it.
    """
    require_panel(returns)
    return _gram(returns * np.sqrt(decaying_weights(len(returns), decay))[:, None])


def ledoit_wolf_covariance(returns: FloatArray) -> FloatArray:
    """Ledoit & Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices".

    Shrinks the covariance (divided by n) towards the identity times the mean variance; this is what
    ``sklearn.covariance.ledoit_wolf`` computes. Not the constant-correlation target of their "Honey, I shrunk
    the sample covariance matrix" (2004). Positive definite if any instrument varies and the shrinkage is above 0.
    """
    return _shrunk(returns, ledoit_wolf_shrinkage(returns))


def ledoit_wolf_shrinkage(returns: FloatArray) -> float:
    """Weight of the target in `ledoit_wolf_covariance`: b²/d² of lemmas 3.3 and 3.4, from 0 to 1."""
    centred = _centred(require_panel(returns))
    sessions, instruments = centred.shape
    if instruments == 1:
        return 0.0
    covariance = _gram(centred) / sessions
    distance = _distance_to_target(covariance)
    if distance == 0.0:
        return 0.0
    squares = centred * centred
    error = (float(np.sum(_gram(squares))) / sessions - float(np.sum(covariance * covariance))) / sessions
    return float(np.clip(error / distance, 0.0, 1.0))


def oas_covariance(returns: FloatArray) -> FloatArray:
    """Oracle approximating shrinkage (Chen, Wiesel, Eldar & Hero 2010) towards the same target.

    The weight is min(1, (tr S² + tr² S) / ((n + 1) (tr S² - tr² S / k))), as in ``sklearn.covariance.oas``. The paper's
    equation 23 has (1 - 2/k) tr S² + tr² S above and n + 1 - 2/k below, which differs while k is small.
    """
    return _shrunk(returns, oas_shrinkage(returns))


def oas_shrinkage(returns: FloatArray) -> float:
    """Weight of the target in `oas_covariance`, from 0 to 1."""
    centred = _centred(require_panel(returns))
    sessions, instruments = centred.shape
    if instruments == 1:
        return 0.0
    covariance = _gram(centred) / sessions
    distance = _distance_to_target(covariance)
    if distance == 0.0:
        return 1.0
    traces = np.sum(covariance * covariance) + np.trace(covariance) ** 2
    return float(min(traces / ((sessions + 1) * distance), 1.0))


CovarianceEstimator = Callable[[FloatArray], FloatArray]

COVARIANCES: Mapping[str, CovarianceEstimator] = MappingProxyType(
    {
        "ledoit_wolf": ledoit_wolf_covariance,
        "sample": sample_covariance,
        "ewma": ewma_covariance,
        "oas": oas_covariance,
    }
)
DEFAULT_COVARIANCE = "ledoit_wolf"


def estimate_covariance(returns: FloatArray, method: str = DEFAULT_COVARIANCE) -> FloatArray:
    """Covariance by the estimator of that name in `COVARIANCES`.

    Raises
    ------
    MeasureInputError
        For an unknown name or returns that cannot be used.
    """
    if method not in COVARIANCES:
        raise MeasureInputError(f"covariance={method!r}: no such estimator; give one of {', '.join(COVARIANCES)}")
    return COVARIANCES[method](returns)


def correlation_of(covariance: FloatArray) -> FloatArray:
    """Correlation matrix of a covariance matrix, with a diagonal of exactly 1.

    Raises
    ------
    MeasureInputError
        If a variance is not above 0: a constant has no correlation.
    """
    symmetric = require_symmetric(covariance)
    variances = np.diag(symmetric)
    if not (variances > 0.0).all():
        still = int(np.argmin(variances))
        raise MeasureInputError(f"covariance: column {still} does not vary; leave it out of the correlation")
    deviations = np.sqrt(variances)
    correlation: FloatArray = symmetric / deviations / deviations[:, None]
    np.fill_diagonal(correlation, 1.0)
    return correlation


def is_psd(matrix: FloatArray) -> bool:
    """Whether no eigenvalue is below zero by more than rounding (`PSD_TOLERANCE`)."""
    eigenvalues = np.linalg.eigvalsh(require_symmetric(matrix, "matrix"))
    return bool(eigenvalues[0] >= -PSD_TOLERANCE * max(abs(eigenvalues[-1]), abs(eigenvalues[0])))


def nearest_psd(covariance: FloatArray, tolerance: float = 1e-10, max_iterations: int = 10_000) -> FloatArray:
    """Replace a matrix that is not positive semidefinite by one that is, and keep every variance.

    The correlations are replaced by the nearest ones (`nearest_correlation`). A matrix that needs no
    repair is returned as it is. An instrument without variance loses its covariances.

    Parameters
    ----------
    covariance
        (k, k) symmetric, with no negative variance.

    Returns
    -------
    FloatArray
        (k, k) a new array.

    Raises
    ------
    CovarianceRepairError
        If the alternating projections do not converge.
    MeasureInputError
        For a negative variance, NaN, or a matrix that is not symmetric.
    """
    symmetric = require_symmetric(covariance)
    variances = np.diag(symmetric)
    if (variances < 0.0).any():
        negative = int(np.argmin(variances))
        raise MeasureInputError(f"covariance: negative variance in column {negative}; estimate it from returns")
    if is_psd(symmetric):
        return symmetric
    repaired = np.zeros_like(symmetric)
    moving = np.flatnonzero(variances > 0.0)
    block = np.ix_(moving, moving)
    correlation = nearest_correlation(correlation_of(symmetric[block]), tolerance, max_iterations)
    deviations = np.sqrt(variances[moving])
    repaired[block] = correlation * deviations * deviations[:, None]
    np.fill_diagonal(repaired, variances)
    return repaired


def nearest_correlation(matrix: FloatArray, tolerance: float = 1e-10, max_iterations: int = 10_000) -> FloatArray:
    """Nearest correlation matrix in the Frobenius norm (Higham 2002, algorithm 3.3).

    Alternates between the positive semidefinite matrices, whose nearest one has the negative eigenvalues set to 0
    (Higham 1988), and those of unit diagonal. Without Dykstra's correction of the former the projections would meet
    in some correlation matrix, not in the nearest.

    Parameters
    ----------
    matrix
        (k, k) symmetric.
    tolerance
        Largest relative change of an iterate, and distance of the two projections, that counts as converged.

    Returns
    -------
    FloatArray
        (k, k) positive semidefinite, with a diagonal of exactly 1.

    Raises
    ------
    CovarianceRepairError
        If `max_iterations` do not reach the tolerance.
    """
    unit = require_symmetric(matrix, "correlation")
    correction = np.zeros_like(unit)
    semidefinite = unit
    for _ in range(max_iterations):
        corrected = unit - correction
        before, semidefinite = semidefinite, _without_negative_eigenvalues(corrected)
        correction = semidefinite - corrected
        before_unit, unit = unit, semidefinite.copy()
        np.fill_diagonal(unit, 1.0)
        changes = (semidefinite - before, unit - before_unit, unit - semidefinite)
        if max(float(np.linalg.norm(change)) for change in changes) <= tolerance * float(np.linalg.norm(unit)):
            # The projection that ends here has a diagonal of 1 only within the tolerance: scale, which keeps the signs.
            return correlation_of(semidefinite)
    raise CovarianceRepairError(
        f"correlation: no nearest matrix within {max_iterations} iterations at tolerance {tolerance:g};"
        " raise max_iterations or the tolerance"
    )


def _without_negative_eigenvalues(matrix: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(matrix)
    clipped: FloatArray = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return (clipped + clipped.T) / 2.0


def _centred(returns: FloatArray) -> FloatArray:
    """Deviations from the means; exactly 0 for a constant column, whose mean may round off it."""
    constant = np.ptp(returns, axis=0) == 0.0
    centred: FloatArray = np.where(constant, 0.0, returns - np.mean(returns, axis=0))
    return centred


def _gram(rows: FloatArray) -> FloatArray:
    product: FloatArray = rows.T @ rows
    return product


def _distance_to_target(covariance: FloatArray) -> float:
    """Squared Frobenius distance to the identity times the mean variance: tr S² - tr² S / k."""
    target = float(np.trace(covariance)) / len(covariance)
    return float(np.sum((covariance - target * np.eye(len(covariance))) ** 2))


def _shrunk(returns: FloatArray, shrinkage: float) -> FloatArray:
    covariance = _gram(_centred(returns)) / len(returns)
    target = float(np.trace(covariance)) / len(covariance)
    shrunk: FloatArray = (1.0 - shrinkage) * covariance
    shrunk[np.diag_indices_from(shrunk)] += shrinkage * target
    return shrunk
