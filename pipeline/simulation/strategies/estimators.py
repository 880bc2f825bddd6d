"""The estimators of ``skfolio`` behind the strategies.

They are imported when the first weights are wanted: that takes 4 s and 200 MB, and whoever only reads what is stored
needs none of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.simulation.strategies.catalogue import (
    EQUAL_WEIGHT,
    HRP,
    INVERSE_VOLATILITY,
    MAX_SHARPE,
    MIN_CVAR,
    MIN_VARIANCE,
    RISK_PARITY,
)
from pipeline.simulation.strategies.errors import StrategyInputError
from pipeline.simulation.strategies.spec import StrategySpec


class NotSolvedError(Exception):
    """A strategy has no weights for these returns; the text is the reason that is stored."""


def solved_weights(name: str, returns: FloatArray, spec: StrategySpec) -> FloatArray:
    """(k,) weights that an estimator fits to ``(n, k)`` returns, as it gives them.

    Raises
    ------
    NotSolvedError
        If the estimator refuses them, or its solver finds no solution, or only an inaccurate one.
    StrategyInputError
        If there is no such strategy.
    """
    estimator = _estimator(name, spec)
    from sklearn import config_context  # noqa: PLC0415 - with skfolio

    try:
        # Returns are checked before, and the parameters are ours: a tenth of the time.
        with config_context(assume_finite=True, skip_parameter_validation=True), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="Solution may be inaccurate")
            estimator.fit(_scaled(returns))
    except Exception as error:  # skfolio, scikit-learn, cvxpy and its solver each have errors of their own
        raise NotSolvedError(f"not_solved: {type(error).__name__}") from error
    return np.asarray(estimator.weights_, dtype=np.float64)


def _scaled(returns: FloatArray) -> FloatArray:
    """The returns times a power of two by which they vary about as much as 1; the best weights are the same.

    Solvers stop at an error of about 1e-9 of the objective: of a daily variance of 1e-4 that is a thousandth of a
    weight.
    """
    deviation = float(returns.std())
    return returns * 2.0 ** -np.round(np.log2(deviation)) if deviation > 0.0 else returns


def _estimator(name: str, spec: StrategySpec) -> Any:
    """The estimator of a strategy: long only, fully invested."""
    builders: Mapping[str, Callable[[StrategySpec], Any]] = {
        EQUAL_WEIGHT: lambda _: _optimization().EqualWeighted(),
        INVERSE_VOLATILITY: lambda _: _optimization().InverseVolatility(),
        MIN_VARIANCE: lambda _: _optimization().MeanRisk(prior_estimator=_shrunk()),
        MAX_SHARPE: lambda _: _optimization().MeanRisk(
            objective_function=_optimization().ObjectiveFunction.MAXIMIZE_RATIO, prior_estimator=_shrunk()
        ),
        RISK_PARITY: lambda _: _optimization().RiskBudgeting(prior_estimator=_shrunk()),
        HRP: lambda _: _optimization().HierarchicalRiskParity(prior_estimator=_shrunk()),
        MIN_CVAR: _min_cvar,
    }
    if name not in builders:
        raise StrategyInputError(f"strategy={name!r} is unknown; use one of {', '.join(builders)}")
    return builders[name](spec)


def _min_cvar(spec: StrategySpec) -> Any:
    from skfolio import RiskMeasure  # noqa: PLC0415

    return _optimization().MeanRisk(risk_measure=RiskMeasure.CVAR, cvar_beta=spec.cvar_confidence)


def _shrunk() -> Any:
    """Moments whose covariance is shrunk: the sample's is singular where stocks move alike."""
    from skfolio.moments import LedoitWolf  # noqa: PLC0415
    from skfolio.prior import EmpiricalPrior  # noqa: PLC0415

    return EmpiricalPrior(covariance_estimator=LedoitWolf())


@cache
def _optimization() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the libraries are for their authors
        return import_module("skfolio.optimization")
