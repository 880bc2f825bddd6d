"""Liquidity: what selling costs, and what the risk is while it takes its time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.panels import require_panel, require_row
from pipeline.risk.measures.tail import historical_var

DEFAULT_PARTICIPATION = 0.2
"""Share of a session's volume that a seller may be: an assumption, which the caller may replace."""

SPREAD_DEVIATIONS_99 = 3.0
"""Standard deviations of the spread that reach its 99 % quantile. Bangia et al. (1999) find 2 to 4.5, more than the
normal distribution's 2.33, as spreads have fat tails."""


@dataclass(frozen=True, slots=True)
class SpreadCost:
    """What leaving each position through half of a stressed spread costs.

    Parameters
    ----------
    cost
        (k,) fraction of the portfolio's value; NaN for a position whose spread is unknown.
    total
        Sum over the positions; NaN if one that is held has no known spread.
    unknown
        Symbols of positions that are held and have no known spread.
    """

    cost: FloatArray
    total: float
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiquidationHorizons:
    """How long selling takes.

    Parameters
    ----------
    days
        (k,) sessions to sell each position, fractional; 0 if none is held; NaN if its volume is unknown.
    unknown
        Symbols of positions that are held and have no known volume, or one of 0.
    """

    days: FloatArray
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiquidityAdjustedVar:
    """Value at risk over one session, and over the time that selling takes.

    Parameters
    ----------
    value_at_risk
        Historical value at risk of one session, as if everything could be sold at its end.
    liquidity_adjusted_var
        The same with each position scaled by its factor; NaN if the days of one that is held are unknown.
    factors
        (k,) what each position's risk is multiplied by, 1 or more; NaN if unknown.
    unknown
        Symbols whose volume is unknown, also where a number of days was assumed for them.
    """

    value_at_risk: float
    liquidity_adjusted_var: float
    factors: FloatArray
    unknown: tuple[str, ...]


def spread_cost(
    weights: FloatArray,
    spread_mean: FloatArray,
    spread_deviation: FloatArray,
    symbols: Sequence[str],
    deviations: float = SPREAD_DEVIATIONS_99,
) -> SpreadCost:
    """Exogenous cost of liquidity, |w| (S + a σ) / 2 (Bangia, Diebold, Schuermann & Stroughair 1999).

    To be added to a value at risk of the same confidence: prices and spreads are taken to be at their worst together.

    Parameters
    ----------
    weights
        (k,) fractions of the portfolio's value.
    spread_mean, spread_deviation
        (k,) mean and standard deviation of the relative spread (ask - bid) / mid; NaN where unknown.
    symbols
        (k,) names of the positions.
    deviations
        a: standard deviations that reach the spread's quantile at the confidence.

    Raises
    ------
    MeasureInputError
        For shapes that do not fit, an infinite or negative spread, or a negative number of deviations.
    """
    _require_names(weights, symbols)
    _require_known(spread_mean, len(weights), "spread_mean")
    _require_known(spread_deviation, len(weights), "spread_deviation")
    if not (math.isfinite(deviations) and deviations >= 0.0):
        raise MeasureInputError(f"deviations={deviations}: give a number from 0, such as {SPREAD_DEVIATIONS_99}")
    half = (spread_mean + deviations * spread_deviation) / 2.0
    cost = np.where(weights == 0.0, 0.0, np.abs(weights) * half)
    return SpreadCost(cost, float(np.sum(cost)), _named(symbols, np.isnan(cost)))


def liquidation_horizons(
    units: FloatArray,
    average_daily_volume: FloatArray,
    symbols: Sequence[str],
    participation: float = DEFAULT_PARTICIPATION,
) -> LiquidationHorizons:
    """Sessions to sell each position as a share of the volume: units / (participation × average daily volume).

    A volume that is unknown or 0 is named in the result: such a position is not taken for a liquid one. Liquidity of
    positions that are large beside the market: Jorion (2006), chapter 13.

    Parameters
    ----------
    units
        (k,) units held; negative ones have to be bought back.
    average_daily_volume
        (k,) units traded a session; NaN where unknown.
    symbols
        (k,) names of the positions.
    participation
        Share of the volume that may be the portfolio's own, in (0, 1].

    Raises
    ------
    MeasureInputError
        For shapes that do not fit, an infinite or negative volume, or a participation outside (0, 1].
    """
    _require_names(units, symbols)
    _require_known(average_daily_volume, len(units), "average_daily_volume")
    if not 0.0 < participation <= 1.0:
        raise MeasureInputError(f"participation={participation}: give a fraction above 0 and up to 1, such as 0.2")
    traded = average_daily_volume > 0.0
    days = np.full(len(units), np.nan)
    np.divide(np.abs(units), participation * average_daily_volume, out=days, where=traded)
    days[units == 0.0] = 0.0
    return LiquidationHorizons(days, _named(symbols, np.isnan(days)))


def liquidation_factor(days: FloatArray) -> FloatArray:
    """By how much the volatility of one session grows if a position is sold in equal parts over n sessions.

    The risk of what is left is that of independent sessions, Σ (j/n)² for j = 1 … n, so the factor is
    √(n/3 (1 + 1/n) (1 + 1/(2n))) with n the days rounded up, at least 1 (Jorion 2007, chapter 13). For many
    days it is that of holding everything for a third of them.

    Parameters
    ----------
    days
        (k,) sessions that selling takes; NaN stays NaN.

    Returns
    -------
    FloatArray
        (k,) 1 for what is sold within a session.
    """
    sessions = np.maximum(np.ceil(days), 1.0)
    factor: FloatArray = np.sqrt(sessions / 3.0 * (1.0 + 1.0 / sessions) * (1.0 + 0.5 / sessions))
    return factor


def liquidity_adjusted_var(
    weights: FloatArray,
    returns: FloatArray,
    horizons: LiquidationHorizons,
    confidence: float,
    days_if_unknown: float | None = None,
) -> LiquidityAdjustedVar:
    """Historical value at risk with each position's returns scaled by its liquidation factor.

    The factor is that of `liquidation_factor` (Jorion 2007, chapter 13). Positions keep the correlations of the
    scenarios, as if they were sold on the same schedule: for one that is sold long before another this overstates how
    far the two move, or hedge each other, together. Scaling by the root of time is the method asked for by name here;
    overlapping windows would be its alternative.

    Parameters
    ----------
    weights
        (k,) fractions of the portfolio's value.
    returns
        (n, k) simple returns of one session, each row a scenario.
    horizons
        Of the same positions.
    confidence
        α in (0, 1).
    days_if_unknown
        Sessions assumed for positions without known volume; None leaves the result NaN if one is held.

    Raises
    ------
    MeasureInputError
        For input that cannot be used.
    """
    require_panel(returns, minimum_sessions=1)
    require_row(weights, returns.shape[1], "weights")
    _require_known(horizons.days, len(weights), "horizons")
    days = horizons.days if days_if_unknown is None else _filled(horizons.days, days_if_unknown)
    factors = liquidation_factor(days)
    scaled = np.where(weights == 0.0, 0.0, weights * factors)
    adjusted = math.nan if np.isnan(scaled).any() else float(historical_var(returns @ scaled, confidence))
    plain = float(historical_var(returns @ weights, confidence))
    return LiquidityAdjustedVar(plain, adjusted, factors, horizons.unknown)


def _filled(days: FloatArray, days_if_unknown: float) -> FloatArray:
    if not (math.isfinite(days_if_unknown) and days_if_unknown > 0.0):
        raise MeasureInputError(f"days_if_unknown={days_if_unknown}: give a number of sessions above 0, or None")
    return np.where(np.isnan(days), days_if_unknown, days)


def _require_names(amounts: FloatArray, symbols: Sequence[str]) -> None:
    require_row(amounts, len(symbols), "positions")


def _require_known(values: FloatArray, positions: int, field: str) -> None:
    """Check one number a position, NaN where it is unknown."""
    if values.shape != (positions,):
        raise MeasureInputError(f"{field}: shape {values.shape}, expected ({positions},); give one a position")
    if np.isinf(values).any() or (values < 0.0).any():
        raise MeasureInputError(f"{field}: infinite or negative; give numbers from 0, and NaN where it is unknown")


def _named(symbols: Sequence[str], chosen: BoolArray) -> tuple[str, ...]:
    return tuple(symbol for symbol, is_chosen in zip(symbols, chosen, strict=True) if is_chosen)
