"""Exposures to factors: what of a return the factors explain, and factors made from the returns themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.panels import require_panel
from pipeline.risk.measures.windows import quotient

RANK_TOLERANCE = 1e-10
"""Share of a factor's deviation that the factors before it must leave unexplained."""

PENALTY_GRID: FloatArray = np.logspace(-6.0, 2.0, 81)
"""Ridge penalties that cross-validation chooses from, ten a decade."""

_WINDOWS_AT_ONCE = 512
"""Bounds the memory of rolling exposures; it does not enter the numbers."""


class SingularFactorsError(MeasureInputError):
    """Factors whose exposures are not determined, because one of them repeats the others or stands still."""


@dataclass(frozen=True, slots=True)
class FactorExposures:
    """Regression of k series on f factors with an intercept.

    Parameters
    ----------
    alpha_daily
        (k,) intercept, fraction per session.
    betas
        (k, f) exposures.
    alpha_standard_error, alpha_t
        (k,) of the intercept. For ridge those of the estimator around its own, shrunken mean.
    beta_standard_errors, beta_t
        (k, f) of the exposures. A t-statistic is NaN where the residuals are all 0.
    r_squared
        (k,) share of the variance explained; NaN for a series that does not vary.
    residual_volatility_daily
        (k,) standard deviation of the residuals, by the degrees of freedom that are left.
    penalty
        (k,) ridge penalty, 0 for ordinary least squares.
    """

    alpha_daily: FloatArray
    betas: FloatArray
    alpha_standard_error: FloatArray
    alpha_t: FloatArray
    beta_standard_errors: FloatArray
    beta_t: FloatArray
    r_squared: FloatArray
    residual_volatility_daily: FloatArray
    penalty: FloatArray


@dataclass(frozen=True, slots=True)
class RollingExposures:
    """Ordinary least squares over a window that ends at each of m rows; NaN where its factors are singular.

    Parameters
    ----------
    alpha_daily
        (m,) intercept, fraction per session.
    betas
        (m, f) exposures.
    r_squared
        (m,) share of the variance explained; NaN also where the series does not vary.
    residual_volatility_daily
        (m,) standard deviation of the residuals, by n - f - 1.
    """

    alpha_daily: FloatArray
    betas: FloatArray
    r_squared: FloatArray
    residual_volatility_daily: FloatArray


@dataclass(frozen=True, slots=True)
class PrincipalFactors:
    """Principal components of returns.

    Parameters
    ----------
    loadings
        (k, m) orthonormal columns; the largest entry of each is positive, the first one of equals.
    variances
        (m,) of the factors' daily returns (ddof 1), descending.
    explained
        (m,) share of the total variance.
    returns
        (n, m) the factors' returns: those of the portfolios that the loadings are.
    """

    loadings: FloatArray
    variances: FloatArray
    explained: FloatArray
    returns: FloatArray


@dataclass(frozen=True, slots=True)
class _Design:
    """Factors made comparable: centred, divided by their standard deviations (ddof 0), and decomposed as U S V'."""

    means: FloatArray
    deviations: FloatArray
    u: FloatArray
    singular: FloatArray
    v: FloatArray

    @property
    def sessions(self) -> int:
        return len(self.u)


def ols_exposures(returns: FloatArray, factors: FloatArray) -> FactorExposures:
    """Exposures by ordinary least squares (Greene 2018, chapter 3).

    Parameters
    ----------
    returns
        (n, k) simple returns of instruments or portfolios.
    factors
        (n, f) returns of the factors on the same sessions, n > f + 1.

    Raises
    ------
    SingularFactorsError
        If a factor does not vary, or is a combination of those before it.
    MeasureInputError
        For other input that cannot be used.
    """
    _require_same_sessions(returns, factors)
    _require_rank(factors)
    return _fit(returns, _design(factors), np.zeros(returns.shape[1]))


def ridge_exposures(returns: FloatArray, factors: FloatArray, penalty: float | None = None) -> FactorExposures:
    """Exposures by ridge regression (Hoerl & Kennard 1970), which also collinear factors have.

    Minimises |y - a - Zb|² / n + penalty |b|² with Z the factors centred and divided by their standard deviations,
    so that a penalty means the same for factors of any size: at 1 it weighs as much as an uncorrelated factor.
    The exposures are given per unit of the factors themselves, the intercept is not penalised.

    Parameters
    ----------
    returns, factors
        As for `ols_exposures`.
    penalty
        Above 0, for all series; None chooses for each from `PENALTY_GRID` the one of the least generalised
        cross-validation error (Golub, Heath & Wahba 1979), the larger of equals.

    Raises
    ------
    SingularFactorsError
        If a factor does not vary.
    MeasureInputError
        For a penalty of 0 or less, or other input that cannot be used.
    """
    _require_same_sessions(returns, factors)
    _require_variation(factors)
    if penalty is not None and not (np.isfinite(penalty) and penalty > 0.0):
        raise MeasureInputError(f"penalty={penalty}: give a number above 0, None to choose it, or use ols_exposures")
    design = _design(factors)
    if penalty is None:
        return _fit(returns, design, _cross_validated(returns, design))
    return _fit(returns, design, np.full(returns.shape[1], penalty))


def rolling_exposures(
    returns: FloatArray, factors: FloatArray, rows: IntArray, window_sessions: int
) -> RollingExposures:
    """Exposures by least squares (Greene 2018, chapter 3) over the window that ends at each row, from its rows alone.

    A row's numbers are therefore the same whatever history lies before, and whichever other rows are asked for.

    Parameters
    ----------
    returns
        (t,) simple returns.
    factors
        (t, f) returns of the factors on the same sessions.
    rows
        (m,) positions of the windows' last returns, each at least ``window_sessions - 1``.
    window_sessions
        Returns in a window, more than f + 1.

    Raises
    ------
    MeasureInputError
        For a row without a full window, or other input that cannot be used. Singular factors are no error here:
        the figures of that window are NaN.
    """
    _require_same_sessions(returns[:, None], factors)
    _require_rows(rows, window_sessions, factors)
    blocks = [
        _window_fit(returns, factors, rows[first : first + _WINDOWS_AT_ONCE], window_sessions)
        for first in range(0, max(len(rows), 1), _WINDOWS_AT_ONCE)
    ]
    alphas, betas, explained, residual = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return RollingExposures(alphas, betas, explained, residual)


def principal_factors(returns: FloatArray, count: int) -> PrincipalFactors:
    """Portfolios that explain most of the variance (Hotelling 1933): eigenvectors of the sample covariance (ddof 1).

    Parameters
    ----------
    returns
        (n, k) simple returns.
    count
        Factors wanted, at most k.

    Raises
    ------
    MeasureInputError
        If nothing varies, for a count outside 1 to k, or for returns that cannot be used.
    """
    require_panel(returns)
    if not 1 <= count <= returns.shape[1]:
        raise MeasureInputError(f"count={count}: give 1 to {returns.shape[1]}, the number of instruments")
    if not np.ptp(returns, axis=0).any():
        raise MeasureInputError("returns: no column varies, so there are no factors; give a longer history")
    centred = returns - np.mean(returns, axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(returns) - 1))
    # Descending, and what rounding leaves below zero is zero.
    variances = np.maximum(values[::-1], 0.0)
    loadings = _oriented(vectors[:, ::-1])[:, :count]
    return PrincipalFactors(loadings, variances[:count], variances[:count] / variances.sum(), returns @ loadings)


def _require_same_sessions(returns: FloatArray, factors: FloatArray) -> None:
    require_panel(returns)
    require_panel(factors, field="factors")
    if len(returns) != len(factors):
        raise MeasureInputError(f"factors: {len(factors)} sessions against {len(returns)} of the returns; align them")
    _require_freedom(len(factors), factors.shape[1])


def _require_freedom(sessions: int, factors: int) -> None:
    if sessions < factors + 2:
        raise MeasureInputError(
            f"returns: {sessions} sessions for {factors} factors and an intercept, at least {factors + 2} are needed;"
            " give a longer history or fewer factors"
        )


def _require_variation(factors: FloatArray) -> None:
    still = np.flatnonzero(np.ptp(factors, axis=0) == 0.0)
    if len(still):
        raise SingularFactorsError(f"factors: column {still[0]} does not vary; leave it out")


def _require_rank(factors: FloatArray) -> None:
    _require_variation(factors)
    means, deviations = _moments(factors)
    unexplained = np.abs(np.diag(np.linalg.qr((factors - means) / deviations, mode="r")))
    repeated = np.flatnonzero(unexplained <= RANK_TOLERANCE * np.sqrt(len(factors)))
    if len(repeated):
        raise SingularFactorsError(
            f"factors: column {repeated[0]} is a combination of those before it; leave it out or use ridge_exposures"
        )


def _require_rows(rows: IntArray, window_sessions: int, factors: FloatArray) -> None:
    _require_freedom(window_sessions, factors.shape[1])
    outside = rows[(rows < window_sessions - 1) | (rows >= len(factors))]
    if len(outside):
        raise MeasureInputError(
            f"rows: {outside[0]} has no window of {window_sessions} sessions among {len(factors)};"
            f" give rows from {window_sessions - 1} to {len(factors) - 1}"
        )


def _moments(factors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means and standard deviations (ddof 0)."""
    return np.mean(factors, axis=0), np.std(factors, axis=0)


def _design(factors: FloatArray) -> _Design:
    means, deviations = _moments(factors)
    u, singular, v_transposed = np.linalg.svd((factors - means) / deviations, full_matrices=False)
    return _Design(means, deviations, u, singular, v_transposed.T)


def _centred(returns: FloatArray) -> FloatArray:
    """Deviations from the mean; exactly 0 for a series that does not vary."""
    constant = np.ptp(returns, axis=0) == 0.0
    centred: FloatArray = np.where(constant, 0.0, returns - np.mean(returns, axis=0))
    return centred


def _shrinkage(design: _Design, penalty: FloatArray) -> FloatArray:
    """(f, k) share of each principal direction that the penalty leaves."""
    squares = (design.singular**2)[:, None]
    shrinkage: FloatArray = squares / (squares + design.sessions * penalty)
    return shrinkage


def _residuals(centred: FloatArray, design: _Design, shrinkage: FloatArray) -> FloatArray:
    residuals: FloatArray = centred - design.u @ (shrinkage * (design.u.T @ centred))
    return residuals


def _fit(returns: FloatArray, design: _Design, penalty: FloatArray) -> FactorExposures:
    """Regress with a penalty of each series' own; a penalty of 0 is ordinary least squares."""
    centred, shrinkage = _centred(returns), _shrinkage(design, penalty)
    per_unit = design.v / design.deviations[:, None]
    # (f, k): how a series' share along each direction becomes an exposure, in units of the directions.
    gains = design.singular[:, None] / (design.singular[:, None] ** 2 + design.sessions * penalty)
    betas = (per_unit @ (gains * (design.u.T @ centred))).T
    residual_squares = np.sum(_residuals(centred, design, shrinkage) ** 2, axis=0)
    residual_volatility = np.sqrt(residual_squares / (design.sessions - 1.0 - shrinkage.sum(axis=0)))
    beta_errors = residual_volatility[:, None] * np.sqrt((per_unit**2 @ gains**2).T)
    mean_errors = np.sqrt(1.0 / design.sessions + np.sum((gains * (per_unit.T @ design.means)[:, None]) ** 2, axis=0))
    alphas = np.mean(returns, axis=0) - betas @ design.means
    alpha_errors = residual_volatility * mean_errors
    totals = np.sum(centred**2, axis=0)
    return FactorExposures(
        alpha_daily=alphas,
        betas=betas,
        alpha_standard_error=alpha_errors,
        alpha_t=quotient(alphas, alpha_errors, alpha_errors > 0.0),
        beta_standard_errors=beta_errors,
        beta_t=quotient(betas, beta_errors, beta_errors > 0.0),
        r_squared=1.0 - quotient(residual_squares, totals, totals > 0.0),
        residual_volatility_daily=residual_volatility,
        penalty=penalty,
    )


def _cross_validated(returns: FloatArray, design: _Design) -> FloatArray:
    """(k,) penalty of the least n |residuals|² / (n - trace of the hat matrix)², the intercept's 1 in the trace."""
    centred = _centred(returns)
    scores = [_cross_validation_score(centred, design, float(penalty)) for penalty in PENALTY_GRID[::-1]]
    chosen: FloatArray = PENALTY_GRID[::-1][np.argmin(scores, axis=0)]
    return chosen


def _cross_validation_score(centred: FloatArray, design: _Design, penalty: float) -> FloatArray:
    shrinkage = _shrinkage(design, np.array([penalty]))
    freedom = design.sessions - 1.0 - float(shrinkage.sum())
    squares: FloatArray = np.sum(_residuals(centred, design, shrinkage) ** 2, axis=0)
    return design.sessions * squares / freedom**2


def _window_fit(
    returns: FloatArray, factors: FloatArray, rows: IntArray, window_sessions: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Alphas (m,), betas (m, f), R² (m,) and residual volatilities (m,).

    Stacked linear algebra works on each window by itself, and sums run along a contiguous axis: a window's
    bits do not depend on the others.
    """
    positions = rows[:, None] + np.arange(1 - window_sessions, 1)
    own, panel = returns[positions], np.ascontiguousarray(factors.T[:, positions].transpose(1, 0, 2))
    means, deviations = np.mean(panel, axis=-1), np.std(panel, axis=-1)
    moving = (np.ptp(panel, axis=-1) > 0.0).all(axis=-1)
    scale = np.where(moving[:, None], deviations, 1.0)
    q, r = np.linalg.qr(((panel - means[..., None]) / scale[..., None]).transpose(0, 2, 1))
    unexplained = np.abs(np.diagonal(r, axis1=1, axis2=2)).min(axis=-1)
    regular = moving & (unexplained > RANK_TOLERANCE * np.sqrt(window_sessions))
    constant = np.ptp(own, axis=-1, keepdims=True) == 0.0
    centred = np.where(constant, 0.0, own - np.mean(own, axis=-1, keepdims=True))
    along = np.sum(np.ascontiguousarray(q.transpose(0, 2, 1)) * centred[:, None, :], axis=-1)
    solvable = np.where(regular[:, None, None], r, np.eye(r.shape[-1]))
    betas = np.linalg.solve(solvable, along[..., None])[..., 0] / scale
    # einsum without BLAS sums the few factors in order.
    residuals = centred - np.einsum("mf,mfn->mn", betas, panel - means[..., None], optimize=False)
    squares, totals = np.sum(residuals**2, axis=-1), np.sum(centred**2, axis=-1)
    alphas = np.mean(own, axis=-1) - np.sum(betas * means, axis=-1)
    volatility = np.sqrt(squares / (window_sessions - 1.0 - panel.shape[1]))
    explained = 1.0 - quotient(squares, totals, totals > 0.0)
    known = np.where(regular, 1.0, np.nan)
    return alphas * known, betas * known[:, None], explained * known, volatility * known


def _oriented(vectors: FloatArray) -> FloatArray:
    """Columns whose largest entry is positive; the first one of those that are equal but for rounding."""
    sizes = np.abs(vectors)
    first = np.argmax(sizes >= sizes.max(axis=0) * (1.0 - 1e-9), axis=0)
    signs = np.sign(vectors[first, np.arange(vectors.shape[1])])
    oriented: FloatArray = vectors * signs
    return oriented
