"""How forecasts did in calm and in stormy markets.

A month's regime is what was known of the market when its first forecast was made, not what the month became: scores
picked by outcomes reward whoever always forecasts a storm (Lerch, Thorarinsdottir, Ravazzolo & Gneiting 2017,
"Forecaster's dilemma: extreme events and forecast evaluation", Statistical Science 32).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Literal, get_args

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.evaluation import Evaluation, ScoredMonths, evaluate

Regime = Literal["calm", "usual", "stormy"]
REGIMES: tuple[Regime, ...] = get_args(Regime)
NO_REGIME = -1
MARKET_SESSIONS = 63
"""A quarter: as long as GJR-GARCH goes without a new fit."""


def market_returns(returns: FloatArray) -> FloatArray:
    """(t,) mean return of the instruments that have one; 0 where none has.

    Parameters
    ----------
    returns
        (t, n) NaN where an instrument has none.
    """
    known = np.isfinite(returns)
    means: FloatArray = np.where(known, returns, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return means


def regimes_of(months: DateArray, sessions: DateArray, market: FloatArray, horizon_sessions: int) -> IntArray:
    """(m,) place in `REGIMES` of each month: third of the months by the market's volatility before its forecasts.

    Parameters
    ----------
    months
        (m,) first days of the months in which horizons ended.
    sessions, market
        (t,) sessions, ascending, and the market's return into each.
    horizon_sessions
        Of the forecasts: that which ended with the first session of a month was made so many sessions before it.

    Returns
    -------
    IntArray
        `NO_REGIME` for months before which the market has too few sessions, and for those after its last.
    """
    if market.shape != sessions.shape:
        raise ForecastInputError(f"market: {market.shape} returns for {sessions.shape} sessions; give one of each")
    if not np.isfinite(market).all():
        raise ForecastInputError("market: NaN or infinite; give 0 for a session without any return")
    squares = np.concatenate([[0.0], np.cumsum(market**2)])
    # One after the session as of which the first forecast of a month was made.
    begin = np.searchsorted(sessions, months.astype("datetime64[D]"))
    stop = begin - horizon_sessions + 1
    found = np.full(len(months), NO_REGIME)
    known = (stop >= MARKET_SESSIONS) & (begin < len(sessions))
    if known.any():
        variance = (squares[stop[known]] - squares[stop[known] - MARKET_SESSIONS]) / MARKET_SESSIONS
        cuts = np.quantile(variance, np.arange(1, len(REGIMES)) / len(REGIMES))
        found[known] = np.searchsorted(cuts, variance, side="left")
    return found


def evaluate_regimes(kind: str, scored: ScoredMonths, regimes: IntArray) -> Mapping[Regime, Evaluation]:
    """Evaluations of the months of each regime that has any; parameters as in `evaluate` and of `regimes_of`."""
    places = {name: regimes == place for place, name in enumerate(REGIMES)}
    return {name: evaluate(kind, _chosen(scored, chosen)) for name, chosen in places.items() if chosen.any()}


def _chosen(scored: ScoredMonths, chosen: BoolArray) -> ScoredMonths:
    return replace(scored, **{field.name: getattr(scored, field.name)[chosen] for field in fields(scored)})
