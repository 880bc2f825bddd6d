"""Exposures of every instrument to the factor funds, over the window that ends with one session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.common_window import common_window, shared_rows
from pipeline.risk.measures.factors import FactorExposures, SingularFactorsError, ols_exposures, ridge_exposures
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR, simple_returns

SINGULAR = "singular_factors"
NO_VARIATION = "no_variation"
NO_RESIDUAL = "no_residual"

FIGURES = (
    "exposure_ols",
    "standard_error",
    "t_statistic",
    "exposure_ridge",
    "ridge_penalty",
    "r_squared",
    "residual_volatility",
)


@dataclass(frozen=True, slots=True)
class ExplainedInstruments:
    """Instruments that are explained by the same factors on the same sessions.

    Parameters
    ----------
    columns
        (k,) positions of the instruments.
    factors
        (f,) positions of the factors.
    window_sessions
        Returns that were used; too few, if the figures are missing.
    figures
        Name in `FIGURES` → (k, f); the same for every factor where it describes the whole regression.
    reasons
        (k,) why figures are missing, empty where none is.
    """

    columns: IntArray
    factors: IntArray
    window_sessions: int
    figures: Mapping[str, FloatArray]
    reasons: tuple[str, ...]


def explained_instruments(
    close: FloatArray, factor_columns: IntArray, window_sessions: int
) -> Iterator[ExplainedInstruments]:
    """Regress every instrument that has a price on the last session on the factors that have a full window there.

    A factor is explained by the others, never by itself: its R² tells how much of it they repeat. Nothing is
    explained before a factor has a full window.

    Parameters
    ----------
    close
        (t, n) prices up to the session, NaN where missing.
    factor_columns
        Positions of the factors among the n.
    window_sessions
        Returns in each regression: the newest on which the instrument and its factors all have a price.

    Raises
    ------
    MeasureInputError
        For a price that is 0 or less, or as many factors as sessions.
    """
    window = common_window(close[:, factor_columns], window_sessions)
    if window is None:
        return
    factors = factor_columns[window.columns]
    groups: dict[tuple[bytes, bytes], tuple[IntArray, IntArray, list[int]]] = {}
    for column in np.flatnonzero(np.isfinite(close[-1])):
        others = factors[factors != column]
        if len(others) == 0:
            continue
        rows = shared_rows(close[:, np.append(others, column)], window_sessions)
        groups.setdefault((others.tobytes(), rows.tobytes()), (others, rows, []))[2].append(int(column))
    for others, rows, columns in groups.values():
        yield _explained(close, np.array(columns), others, rows, window_sessions)


def _explained(
    close: FloatArray, columns: IntArray, factors: IntArray, rows: IntArray, window_sessions: int
) -> ExplainedInstruments:
    shape = (len(columns), len(factors))
    if len(rows) <= window_sessions:
        used = max(len(rows) - 1, 0)
        reason = f"short_window: {used} of {window_sessions} sessions"
        missing = dict.fromkeys(FIGURES, np.full(shape, np.nan))
        return ExplainedInstruments(columns, factors, used, missing, (reason,) * len(columns))
    returns, of_factors = (simple_returns(close[np.ix_(rows, chosen)]) for chosen in (columns, factors))
    ols, ridge = _least_squares(returns, of_factors), _penalised(returns, of_factors)
    figures = {name: np.broadcast_to(values, shape) for name, values in _figures(ols, ridge).items()}
    return ExplainedInstruments(columns, factors, window_sessions, figures, _reasons(ols, ridge, len(columns)))


def _least_squares(returns: FloatArray, factors: FloatArray) -> FactorExposures | None:
    """None where the factors repeat each other."""
    try:
        return ols_exposures(returns, factors)
    except SingularFactorsError:
        return None


def _penalised(returns: FloatArray, factors: FloatArray) -> FactorExposures | None:
    """None where a factor stands still."""
    try:
        return ridge_exposures(returns, factors)
    except SingularFactorsError:
        return None


def _figures(ols: FactorExposures | None, ridge: FactorExposures | None) -> dict[str, FloatArray]:
    """(k, f) or (k, 1) each; NaN where there is no regression."""
    missing = np.array([[np.nan]])
    figures = dict.fromkeys(FIGURES, missing)
    if ols is not None:
        figures |= {
            "exposure_ols": ols.betas,
            "standard_error": ols.beta_standard_errors,
            "t_statistic": ols.beta_t,
            "r_squared": ols.r_squared[:, None],
            "residual_volatility": ols.residual_volatility_daily[:, None] * np.sqrt(TRADING_DAYS_PER_YEAR),
        }
    if ridge is not None:
        figures |= {"exposure_ridge": ridge.betas, "ridge_penalty": ridge.penalty[:, None]}
    return figures


def _reasons(ols: FactorExposures | None, ridge: FactorExposures | None, count: int) -> tuple[str, ...]:
    if ols is None or ridge is None:
        return (SINGULAR,) * count
    unvarying, unexplained = np.isnan(ols.r_squared), np.isnan(ols.beta_t).any(axis=1)
    reasons = np.where(unvarying, NO_VARIATION, np.where(unexplained, NO_RESIDUAL, ""))
    return tuple(str(reason) for reason in reasons)
