"""Reverse stress: the most likely joint move that loses a given fraction of the portfolio.

The most likely move is the nearest in Mahalanobis distance, for a normal law as for a Student-t law with the same
covariance, whose densities both fall with that distance (Breuer, Jandačka, Rheinberger & Summer 2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pipeline.base import special
from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.stress import Positions, StressResult, require_covariance, stress_result

RANK_TOLERANCE = 1e-12
"""Eigenvalues below this part of the largest count as 0: rounding leaves about n × 1e-16 of it."""

RANGE_TOLERANCE = 1e-8
"""Part of the weights' length that may lie where the covariance sees no variance."""


class NoVarianceError(MeasureInputError):
    """A portfolio that the covariance expects never to move."""


class SingularCovarianceError(MeasureInputError):
    """A covariance that sees no variance in a part of the portfolio."""


@dataclass(frozen=True, slots=True)
class ReverseStress:
    """The most likely loss of a given size.

    Parameters
    ----------
    result
        Shocks and profit and loss of the positions; its total is minus the loss.
    loss
        That was asked for, as a positive fraction of value.
    mahalanobis_distance
        Of the move from none, in standard deviations.
    gaussian_probability
        Of a loss at least as large over the covariance's horizon, under a normal law with mean 0.
    degrees_of_freedom, student_t_probability
        The same under a Student-t law of that covariance; None unless asked for.
    factors, factor_shocks
        Names and (k,) returns of the factors that make the move; empty and None in the space of positions.
    """

    result: StressResult
    loss: float
    mahalanobis_distance: float
    gaussian_probability: float
    degrees_of_freedom: float | None = None
    student_t_probability: float | None = None
    factors: tuple[str, ...] = ()
    factor_shocks: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class FactorModel:
    """What moves the positions.

    Parameters
    ----------
    factors
        Names.
    exposures
        (n, k) return of each position per unit return of each factor.
    covariance
        (k, k) of the factors' returns.
    """

    factors: tuple[str, ...]
    exposures: FloatArray
    covariance: FloatArray


def reverse_stress(
    positions: Positions,
    covariance: FloatArray,
    loss: float,
    degrees_of_freedom: float | None = None,
    name: str = "reverse",
) -> ReverseStress:
    """Find the most likely move of the positions that loses `loss`.

    Minimising rᵀΣ⁻¹r under wᵀr = -X gives r = -X Σw / (wᵀΣw), at distance X / √(wᵀΣw). No inverse is taken: Σw lies
    in the range of Σ, also where Σ is singular.

    Parameters
    ----------
    covariance
        (n, n) of the positions' returns over the horizon that the loss is for.
    loss
        X above 0, as a fraction of the portfolio's value.
    degrees_of_freedom
        ν above 2 of a Student-t law; None for the normal law alone.

    Raises
    ------
    NoVarianceError
        If the portfolio has no variance.
    SingularCovarianceError
        If the covariance is singular and the weights lie partly where it sees no variance.
    MeasureInputError
        For other input that cannot be used, or a loss that would take a price below 0.
    """
    move, volatility = _most_likely_move(positions.weights, covariance, loss, "covariance")
    result = stress_result(name, "reverse", positions, move)
    return _reverse_stress(result, loss, volatility, degrees_of_freedom)


def reverse_factor_stress(
    positions: Positions,
    model: FactorModel,
    loss: float,
    degrees_of_freedom: float | None = None,
    name: str = "reverse_factors",
) -> ReverseStress:
    """Find the most likely move of the factors that loses `loss`.

    With b = Bᵀw the portfolio's exposures and F the factors' covariance, f = -X Fb / (bᵀFb), and the positions move
    by Bf. What is specific to a position stays still, so the distance is that of the factors alone.

    Raises
    ------
    NoVarianceError, SingularCovarianceError, MeasureInputError
        As `reverse_stress`; also for exposures that are NaN or of another shape.
    """
    shape = (len(positions.symbols), len(model.factors))
    if model.exposures.shape != shape or not model.factors:
        raise MeasureInputError(f"exposures: shape {model.exposures.shape}; give {shape}, with at least one factor")
    if not np.isfinite(model.exposures).all():
        raise MeasureInputError("exposures: NaN or infinite; estimate them for every position first")
    exposures = model.exposures.T @ positions.weights
    move, volatility = _most_likely_move(exposures, model.covariance, loss, "factor covariance")
    result = stress_result(name, "reverse", positions, model.exposures @ move)
    return _reverse_stress(result, loss, volatility, degrees_of_freedom, model.factors, move)


def student_t_loss_probability(loss: float, volatility: float, degrees_of_freedom: float) -> float:
    """P(loss ≥ X) under a Student-t law with mean 0 and standard deviation `volatility`.

    The law's scale is σ √((ν - 2) / ν), so that its standard deviation, not its scale, is the covariance's.

    Raises
    ------
    MeasureInputError
        Unless ν is above 2, where the standard deviation exists.
    """
    if not (math.isfinite(degrees_of_freedom) and degrees_of_freedom > 2.0):
        raise MeasureInputError(
            f"degrees_of_freedom={degrees_of_freedom}: give a finite number above 2, where the variance exists"
        )
    scale = volatility * math.sqrt((degrees_of_freedom - 2.0) / degrees_of_freedom)
    return float(special.stdtr(degrees_of_freedom, -loss / scale))


def most_likely_direction(
    weights: FloatArray, covariance: FloatArray, field: str = "covariance"
) -> tuple[FloatArray, float]:
    """Σw and wᵀΣw: the most likely move that loses X is -X times the first over the second.

    Raises
    ------
    NoVarianceError, SingularCovarianceError, MeasureInputError
        As `reverse_stress`, but for the loss.
    """
    largest = float(require_covariance(covariance, len(weights), field)[-1])
    covariances = covariance @ weights
    variance = math.fsum((weights * covariances).tolist())
    if variance <= RANK_TOLERANCE * largest * float(weights @ weights):
        raise NoVarianceError(
            f"{field}: the portfolio's variance is 0, so no move is likely to lose anything; hold what varies, or"
            " estimate the covariance from more sessions"
        )
    _require_in_range(weights, covariance, field)
    return covariances, variance


def _most_likely_move(weights: FloatArray, covariance: FloatArray, loss: float, field: str) -> tuple[FloatArray, float]:
    """The move r = -X Σw / (wᵀΣw) and the volatility √(wᵀΣw)."""
    if not (math.isfinite(loss) and loss > 0.0):
        raise MeasureInputError(f"loss={loss}: give the fraction to lose, above 0, such as 0.2 for 20 %")
    covariances, variance = most_likely_direction(weights, covariance, field)
    move: FloatArray = covariances * (-loss / variance)
    return move, math.sqrt(variance)


def _require_in_range(weights: FloatArray, covariance: FloatArray, field: str) -> None:
    """Refuse weights that lie partly in the null space: that part would be counted as free of risk."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    null_space = vectors[:, eigenvalues <= RANK_TOLERANCE * eigenvalues[-1]]
    unseen = float(np.linalg.norm(null_space.T @ weights))
    if unseen > RANGE_TOLERANCE * float(np.linalg.norm(weights)):
        raise SingularCovarianceError(
            f"{field}: singular (rank {len(weights) - null_space.shape[1]} of {len(weights)}), and it sees no variance"
            " in a part of the portfolio; use a shrunk one such as Ledoit-Wolf's, or more sessions than positions"
        )


def _reverse_stress(
    result: StressResult,
    loss: float,
    volatility: float,
    degrees_of_freedom: float | None,
    factors: tuple[str, ...] = (),
    factor_shocks: FloatArray | None = None,
) -> ReverseStress:
    distance = loss / volatility
    probability = None
    if degrees_of_freedom is not None:
        probability = student_t_loss_probability(loss, volatility, degrees_of_freedom)
    gaussian = NormalDist().cdf(-distance)
    return ReverseStress(result, loss, distance, gaussian, degrees_of_freedom, probability, factors, factor_shocks)
