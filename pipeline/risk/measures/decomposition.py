"""Whose risk it is: volatility, value at risk and expected shortfall by position, group and factor.

Components follow Euler's theorem for measures that double with the holdings (Tasche 1999): a position's component
is its weight times the derivative of the total by that weight, and components sum to the total.

Groups and factors need no formulas of their own: `group_scenarios`, `group_covariance` and `factor_scenarios` make
one position of each, held with a weight of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.panels import require_panel, require_row, require_symmetric
from pipeline.risk.measures.tail import historical_es, historical_var

VARIANCE_TOLERANCE = 1e-12
"""Relative to the sum of the sizes of its terms: below it a negative variance is rounding."""


@dataclass(frozen=True, slots=True)
class RiskParts:
    """A measure of the portfolio and what each of k positions has to do with it.

    Parameters
    ----------
    total
        Measure of the portfolio, a fraction of its value per session.
    component
        (k,) parts that sum to `total`; negative for a hedge.
    marginal
        (k,) change of `total` per unit of weight; NaN for a volatility of 0, which has no derivative.
    incremental
        (k,) `total` less that of the portfolio without the position, whose value is held in cash that earns nothing.
    """

    total: float
    component: FloatArray
    marginal: FloatArray
    incremental: FloatArray


@dataclass(frozen=True, slots=True)
class FactorVolatility:
    """Daily volatility by factor, and what is specific to each position; all parts sum to `total`.

    Parameters
    ----------
    total
        Daily volatility of the portfolio, as a fraction.
    factor
        (f,) component of each factor.
    specific
        (k,) component of each position's own variance.
    exposures
        (f,) the portfolio's exposures.
    """

    total: float
    factor: FloatArray
    specific: FloatArray
    exposures: FloatArray


def volatility_parts(weights: FloatArray, covariance: FloatArray) -> RiskParts:
    """Daily volatility √(w'Σw) by position: components w (Σw) / σ (Litterman 1996).

    Parameters
    ----------
    weights
        (k,) fractions of the portfolio's value.
    covariance
        (k, k) of daily returns, positive semidefinite.

    Raises
    ------
    MeasureInputError
        For input that cannot be used, or a matrix that gives the portfolio a negative variance.
    """
    covariance = require_symmetric(covariance)
    require_row(weights, len(covariance), "weights")
    total = float(_volatilities(weights[None, :], covariance)[0])
    slope = covariance @ weights
    marginal = slope / total if total > 0.0 else np.full(len(weights), np.nan)
    component = weights * marginal if total > 0.0 else np.zeros(len(weights))
    without = weights * (1.0 - np.eye(len(weights)))
    return RiskParts(total, component, marginal, _removed(weights, total, _volatilities(without, covariance)))


def historical_var_parts(weights: FloatArray, returns: FloatArray, confidence: float) -> RiskParts:
    """Historical value at risk by position: what each loses in the scenario that is the value at risk.

    Scenarios that tie for it count equally. One scenario says little of a position: `kernel_var_parts` is smoother.

    Parameters
    ----------
    weights
        (k,) fractions of the portfolio's value today.
    returns
        (n, k) simple returns, each row a scenario.
    confidence
        α in (0, 1).

    Raises
    ------
    MeasureInputError
        For input that cannot be used.
    """
    losses = _portfolio_losses(weights, returns)
    total = float(historical_var(-losses, confidence))
    tied = losses == total
    return _parts(weights, returns, total, tied / np.count_nonzero(tied), _vars_without(weights, returns, confidence))


def kernel_var_parts(
    weights: FloatArray, returns: FloatArray, confidence: float, bandwidth: float | None = None
) -> RiskParts:
    """Historical value at risk by position, its components smoothed over scenarios with similar losses.

    A component is the expected loss of the position given that the portfolio loses its value at risk (Tasche 1999),
    estimated by local linear regression with a Gaussian kernel (Fan & Gijbels 1996). The line goes through
    the value at risk of the portfolio itself, so the components sum to the total without being rescaled.

    Parameters
    ----------
    weights, returns, confidence
        As for `historical_var_parts`, whose total and incremental parts these are.
    bandwidth
        Standard deviation of the kernel as a fraction of value; None for 1.06 σ n^(-1/5) (Silverman 1986).
    """
    losses = _portfolio_losses(weights, returns)
    total = float(historical_var(-losses, confidence))
    shares = _kernel_shares(losses - total, _bandwidth(losses) if bandwidth is None else bandwidth)
    return _parts(weights, returns, total, shares, _vars_without(weights, returns, confidence))


def historical_es_parts(weights: FloatArray, returns: FloatArray, confidence: float) -> RiskParts:
    """Historical expected shortfall by position: mean losses in the tail, with the atom of `historical_es`.

    Scenarios that tie for the value at risk share its fractional atom equally.

    Parameters
    ----------
    weights, returns, confidence
        As for `historical_var_parts`.
    """
    losses = _portfolio_losses(weights, returns)
    value_at_risk = float(historical_var(-losses, confidence))
    tail = len(losses) * (1.0 - confidence)
    shares = np.where(losses > value_at_risk, 1.0 / tail, 0.0)
    tied = losses == value_at_risk
    shares[tied] = (1.0 - np.count_nonzero(losses > value_at_risk) / tail) / np.count_nonzero(tied)
    without = historical_es(_scenarios_without(weights, returns), confidence)
    return _parts(weights, returns, float(historical_es(-losses, confidence)), shares, without)


def factor_volatility(
    weights: FloatArray, betas: FloatArray, factor_covariance: FloatArray, specific_variance: FloatArray
) -> FactorVolatility:
    """Daily volatility of a factor model, Σ = B F B' + diag(s²), by factor and by position's own part.

    Parameters
    ----------
    weights
        (k,) fractions of the portfolio's value.
    betas
        (k, f) exposures of the positions.
    factor_covariance
        (f, f) of the factors' daily returns.
    specific_variance
        (k,) variance of each position's residual, taken as independent of the others'.

    Raises
    ------
    MeasureInputError
        For shapes that do not fit, NaN, or a negative variance.
    """
    require_panel(betas, minimum_sessions=1, field="betas")
    require_row(weights, len(betas), "weights")
    require_row(specific_variance, len(betas), "specific_variance")
    if (specific_variance < 0.0).any():
        raise MeasureInputError("specific_variance: below 0; give the squares of the residual volatilities")
    exposures = betas.T @ weights
    of_factors = volatility_parts(exposures, factor_covariance)
    own = weights**2 * specific_variance
    total = float(np.sqrt(of_factors.total**2 + own.sum()))
    if total == 0.0:
        return FactorVolatility(0.0, np.zeros(len(exposures)), np.zeros(len(weights)), exposures)
    return FactorVolatility(total, of_factors.component * (of_factors.total / total), own / total, exposures)


def group_scenarios(
    weights: FloatArray, returns: FloatArray, labels: Sequence[str]
) -> tuple[tuple[str, ...], FloatArray]:
    """What each group earned of the portfolio's value: positions to hold with a weight of 1 each.

    Parameters
    ----------
    weights
        (k,) fractions of the portfolio's value.
    returns
        (n, k) simple returns.
    labels
        (k,) group of each position, such as its sector.

    Returns
    -------
    tuple
        Names of the g groups in alphabetical order, and (n, g) returns.
    """
    require_panel(returns, minimum_sessions=1)
    require_row(weights, returns.shape[1], "weights")
    names, membership = _groups(labels, len(weights))
    return names, (returns * weights) @ membership


def group_covariance(
    weights: FloatArray, covariance: FloatArray, labels: Sequence[str]
) -> tuple[tuple[str, ...], FloatArray]:
    """Covariance of what each group earns of the portfolio's value: positions to hold with a weight of 1 each.

    Returns
    -------
    tuple
        Names of the g groups in alphabetical order, and (g, g).
    """
    covariance = require_symmetric(covariance)
    require_row(weights, len(covariance), "weights")
    names, membership = _groups(labels, len(weights))
    held = membership * weights[:, None]
    return names, held.T @ covariance @ held


def factor_scenarios(portfolio_returns: FloatArray, exposures: FloatArray, factor_returns: FloatArray) -> FloatArray:
    """What each factor earned of the portfolio's value, and the rest: positions to hold with a weight of 1 each.

    Parameters
    ----------
    portfolio_returns
        (n,) simple returns of the portfolio.
    exposures
        (f,) its exposures.
    factor_returns
        (n, f) on the same sessions.

    Returns
    -------
    FloatArray
        (n, f + 1), the last column what the factors do not explain. Rows sum to the portfolio's returns.
    """
    require_panel(factor_returns, minimum_sessions=1, field="factor_returns")
    require_row(exposures, factor_returns.shape[1], "exposures")
    require_row(portfolio_returns, len(factor_returns), "portfolio_returns")
    explained = factor_returns * exposures
    return np.column_stack([explained, portfolio_returns - explained.sum(axis=1)])


def _volatilities(weights: FloatArray, covariance: FloatArray) -> FloatArray:
    """(m,) volatility of each row of weights (m, k)."""
    terms = (weights @ covariance) * weights
    variance = terms.sum(axis=1)
    if (variance < -VARIANCE_TOLERANCE * np.abs(terms).sum(axis=1)).any():
        raise MeasureInputError("covariance: gives the portfolio a negative variance; repair it with nearest_psd")
    volatilities: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return volatilities


def _portfolio_losses(weights: FloatArray, returns: FloatArray) -> FloatArray:
    require_panel(returns, minimum_sessions=1)
    require_row(weights, returns.shape[1], "weights")
    # Position by position, as scenarios are made everywhere: equal rows give equal bits, and ties are seen.
    losses = np.zeros(len(returns))
    for weight, column in zip(weights, returns.T, strict=True):
        losses -= weight * column
    return losses


def _scenarios_without(weights: FloatArray, returns: FloatArray) -> FloatArray:
    """(k, n) returns of the portfolio with each position in cash."""
    without: FloatArray = np.empty((len(weights), len(returns)))
    for position in range(len(weights)):
        kept = weights.copy()
        kept[position] = 0.0
        without[position] = returns @ kept
    return without


def _vars_without(weights: FloatArray, returns: FloatArray, confidence: float) -> FloatArray:
    return historical_var(_scenarios_without(weights, returns), confidence)


def _parts(
    weights: FloatArray, returns: FloatArray, total: float, shares: FloatArray, without: FloatArray
) -> RiskParts:
    """Parts of a total that is the mean loss of the scenarios weighted by `shares` (n,)."""
    # Only the scenarios that count: those of the tail are few.
    counted = shares != 0.0
    marginal = -(shares[counted] @ returns[counted])
    return RiskParts(total, weights * marginal, marginal, _removed(weights, total, without))


def _removed(weights: FloatArray, total: float, without: FloatArray) -> FloatArray:
    """What the total loses; exactly 0 for what is not held."""
    return np.where(weights == 0.0, 0.0, total - without)


def _bandwidth(losses: FloatArray) -> float:
    deviation = float(np.std(losses, ddof=1)) if len(losses) > 1 else 0.0
    return 1.06 * deviation / float(len(losses) ** 0.2)


def _kernel_shares(distances: FloatArray, bandwidth: float) -> FloatArray:
    """(n,) shares of a local linear regression at distance 0, which sum to 1 and give a mean distance of 0."""
    if not np.isfinite(bandwidth) or bandwidth < 0.0:
        raise MeasureInputError(f"bandwidth={bandwidth}: give a fraction of value such as 0.002, or None")
    if bandwidth == 0.0:
        return np.where(distances == 0.0, 1.0 / np.count_nonzero(distances == 0.0), 0.0)
    scaled = distances / bandwidth
    kernel = np.exp(-0.5 * scaled * scaled)
    first, second = float(np.sum(kernel * scaled)), float(np.sum(kernel * scaled * scaled))
    # The scenario at the value at risk has a kernel of 1, so the determinant is at least `second`.
    determinant = float(np.sum(kernel)) * second - first * first
    if second < np.finfo(np.float64).tiny:
        shares: FloatArray = kernel / np.sum(kernel)
    else:
        shares = kernel * (second - first * scaled) / determinant
    return shares


def _groups(labels: Sequence[str], positions: int) -> tuple[tuple[str, ...], FloatArray]:
    """Names, and (k, g) 1 where a position belongs to a group."""
    if len(labels) != positions:
        raise MeasureInputError(f"labels: {len(labels)} for {positions} positions; give one a position")
    names = tuple(sorted(set(labels)))
    return names, np.array([[float(label == name) for name in names] for label in labels])
