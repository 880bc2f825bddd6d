"""A portfolio cut by position, group or factor, and any measure decomposed over the parts.

Every cut becomes the same thing, so that one function decomposes all of them: parts, each a holding of instruments,
that are held with a weight each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import DEFAULT_COVARIANCE, estimate_covariance
from pipeline.risk.measures.decomposition import (
    RiskParts,
    factor_scenarios,
    historical_es_parts,
    historical_var_parts,
    kernel_var_parts,
    volatility_parts,
)
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.factors import SingularFactorsError, ols_exposures
from pipeline.risk.measures.panels import require_panel, require_row

SplitMeasure: TypeAlias = Literal["volatility", "var", "es"]
TailMethod: TypeAlias = Literal["historical", "kernel"]

SPECIFIC = "specific"
"""Name of what the factors do not explain."""

SHRUNK = frozenset({"ledoit_wolf", "oas"})
"""Estimators that are regular whatever the number of returns."""

SINGULARITY = 1e-12
"""Smallest eigenvalue by the largest below which a matrix is singular but for rounding."""


@dataclass(frozen=True, slots=True)
class Split:
    """m parts of a portfolio, made of K instruments.

    Parameters
    ----------
    names
        Of the m parts.
    weights
        (m,) that the parts are held with: shares of value for positions, 1 for groups and factors.
    sizes
        (m,) what a reader wants to know of them: shares of value, or exposures for factors; NaN where there is none.
    returns
        (n, m) of the parts.
    panel
        (n, K) returns of the instruments, from which the covariance is estimated.
    makeup
        (K, m) what each part holds of each instrument.
    """

    names: tuple[str, ...]
    weights: FloatArray
    sizes: FloatArray
    returns: FloatArray
    panel: FloatArray
    makeup: FloatArray


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """What is decomposed, and how.

    Parameters
    ----------
    measure
        Of one session.
    confidence
        Of value at risk and expected shortfall.
    covariance
        Estimator of the volatility's covariance.
    method
        Of the components of value at risk.
    """

    measure: SplitMeasure = "volatility"
    confidence: float = 0.99
    covariance: str = DEFAULT_COVARIANCE
    method: TailMethod = "historical"


def split_by_position(names: Sequence[str], weights: FloatArray, returns: FloatArray) -> Split:
    """Every position by itself.

    Parameters
    ----------
    weights
        (k,) fractions of the portfolio's value.
    returns
        (n, k) simple returns.

    Raises
    ------
    MeasureInputError
        For input that cannot be used; so do all splits.
    """
    require_panel(returns)
    require_row(weights, returns.shape[1], "weights")
    return Split(tuple(names), weights, weights, returns, returns, np.eye(len(weights)))


def split_by_group(labels: Sequence[str], weights: FloatArray, returns: FloatArray) -> Split:
    """Positions of the same label together, in alphabetical order; each group is held once."""
    require_panel(returns)
    require_row(weights, returns.shape[1], "weights")
    names = tuple(sorted(set(labels)))
    membership = np.array([[float(label == name) for name in names] for label in labels])
    makeup = membership * weights[:, None]
    return Split(names, np.ones(len(names)), makeup.sum(axis=0), returns @ makeup, returns, makeup)


def split_by_factor(
    positions: Sequence[str],
    weights: FloatArray,
    returns: FloatArray,
    factors: Sequence[str],
    factor_returns: FloatArray,
) -> Split:
    """What the factors earned of the portfolio's value, by its exposures (OLS), and the rest as the last part.

    Parameters
    ----------
    positions, factors
        (k,) and (f,) names; a factor that is held too is one instrument with its position.
    factor_returns
        (n, f) on the same sessions.

    Raises
    ------
    MeasureInputError
        Also for factors that repeat each other, and for too few sessions.
    """
    require_panel(returns)
    require_row(weights, returns.shape[1], "weights")
    earned = returns @ weights
    exposures = _exposures(earned, factors, factor_returns)
    foreign = [column for column, name in enumerate(factors) if name not in positions]
    instruments = [*positions, *(factors[column] for column in foreign)]
    makeup = np.zeros((len(instruments), len(factors) + 1))
    for column, name in enumerate(factors):
        makeup[instruments.index(name), column] = exposures[column]
    makeup[: len(weights), -1] = weights
    makeup[:, -1] -= makeup[:, :-1].sum(axis=1)
    return Split(
        (*factors, SPECIFIC),
        np.ones(len(factors) + 1),
        np.append(exposures, np.nan),
        factor_scenarios(earned, exposures, factor_returns),
        np.column_stack([returns, factor_returns[:, foreign]]),
        makeup,
    )


def decomposed(split: Split, spec: SplitSpec) -> RiskParts:
    """The measure of the whole and of every part.

    Raises
    ------
    MeasureInputError
        For a covariance that the returns do not determine, a method that the measure does not have, or an unknown name.
    """
    if spec.measure == "volatility":
        covariance = estimate_covariance(split.panel, spec.covariance)
        if spec.covariance not in SHRUNK:
            _require_regular(covariance, spec.covariance, len(split.panel))
        return volatility_parts(split.weights, split.makeup.T @ covariance @ split.makeup)
    if spec.measure == "es":
        if spec.method != "historical":
            raise MeasureInputError(f"method={spec.method}: it smooths value at risk alone; choose historical")
        return historical_es_parts(split.weights, split.returns, spec.confidence)
    parts = kernel_var_parts if spec.method == "kernel" else historical_var_parts
    return parts(split.weights, split.returns, spec.confidence)


def _exposures(earned: FloatArray, factors: Sequence[str], factor_returns: FloatArray) -> FloatArray:
    if len(earned) < len(factors) + 2:
        raise MeasureInputError(
            f"window_sessions: {len(earned)} returns for {len(factors)} factors; give at least {len(factors) + 2}"
        )
    try:
        exposures: FloatArray = ols_exposures(earned[:, None], factor_returns).betas[0]
    except SingularFactorsError as error:
        raise MeasureInputError(
            f"by: the factors {', '.join(factors)} repeat each other in this window or stand still;"
            " give a longer window_sessions, or split by position or sector"
        ) from error
    return exposures


def _require_regular(covariance: FloatArray, estimator: str, sessions: int) -> None:
    eigenvalues = np.linalg.eigvalsh(covariance)
    if eigenvalues[0] <= SINGULARITY * eigenvalues[-1]:
        raise MeasureInputError(
            f"covariance={estimator}: singular, for {sessions} returns of {len(covariance)} instruments do not"
            " determine it; give a longer window_sessions, or covariance=ledoit_wolf"
        )
