"""Logistic regressions of direction and rank on momentum, reversal and the state of volatility, for all instruments.

The log odds start from the constant forecast and are moved by four features, as far as a ridge penalty lets them: with
little evidence the forecast is the constant. Twelve-month momentum without the last month is that of Jegadeesh & Titman
(1993), the reversal of the last month that of Jegadeesh (1990); that the sign depends on volatility is shown by
Christoffersen & Diebold (2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.frequency import Frequency
from pipeline.forecast.models.probability import (
    FEWEST_RANKED,
    HORIZON_SESSIONS,
    NO_QUINTILE,
    QUINTILES,
    Closes,
    Probabilities,
    rank_quintiles,
    reasons_of,
    returns_ahead,
)
from pipeline.forecast.models.protocol import VOLATILITY_FLOOR_DAILY
from pipeline.forecast.models.softmax_regression import Softmax, fit_softmax

YEAR_SESSIONS, MONTH_SESSIONS = 252, 21
FEATURES = ("momentum", "reversal", "volatility_state", "relative_volatility")


def features_of(closes: Closes) -> FloatArray:
    """(t, n, 4) features as of every row; NaN before a year of sessions, and for prices that stood still for a year.

    Momentum is the log return from 252 to 21 sessions ago and reversal that of the last 21, each over the volatility of
    the year; the state of volatility is the log of the last month's over the year's, and relative volatility the log of
    the year's less its mean over the instruments of the session. Missing sessions carry the last price.
    """
    logarithm = np.log(closes.carried())
    steps = np.diff(logarithm, axis=0, prepend=np.nan)
    year, month = (_root_mean_square(steps, sessions) for sessions in (YEAR_SESSIONS, MONTH_SESSIONS))
    year[year <= VOLATILITY_FLOOR_DAILY] = np.nan
    month = np.maximum(month, VOLATILITY_FLOOR_DAILY)
    recent, before = _back(logarithm, MONTH_SESSIONS), _back(logarithm, YEAR_SESSIONS)
    momentum = (recent - before) / (year * np.sqrt(YEAR_SESSIONS - MONTH_SESSIONS))
    reversal = (logarithm - recent) / (year * np.sqrt(MONTH_SESSIONS))
    level = np.where(closes.priced(), np.log(year), np.nan)
    found = np.stack([momentum, reversal, np.log(month / year), level - _mean(level)[:, None]], axis=2)
    found[~np.isfinite(found).all(axis=2)] = np.nan
    return found


def _back(values: FloatArray, sessions: int) -> FloatArray:
    back = np.full(values.shape, np.nan)
    back[sessions:] = values[: max(len(values) - sessions, 0)]
    return back


def _root_mean_square(steps: FloatArray, sessions: int) -> FloatArray:
    """(t, n) of the last steps; NaN where one is missing."""
    sums = np.cumsum(np.where(np.isfinite(steps), steps, 0.0) ** 2, axis=0)
    counts = np.cumsum(np.isfinite(steps), axis=0)
    full = np.full(steps.shape, np.nan)
    has = counts[sessions:] - counts[: max(len(counts) - sessions, 0)] == sessions
    mean = np.maximum(sums[sessions:] - sums[: max(len(sums) - sessions, 0)], 0.0) / sessions
    full[sessions:] = np.where(has, np.sqrt(mean), np.nan)
    return full


def _mean(values: FloatArray) -> FloatArray:
    """(t,) over the instruments that have a value, added one by one: one that comes later leaves every bit before."""
    total, count = np.zeros(len(values)), np.zeros(len(values))
    for column in values.T:
        has = np.isfinite(column)
        total += np.where(has, column, 0.0)
        count += has
    mean: FloatArray = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0.0)
    return mean


@dataclass(frozen=True, slots=True)
class Logistic:
    """Two ridge regressions, fitted anew with the first session of each calendar year on everything before.

    Parameters
    ----------
    direction_penalty, rank_penalty
        Of the squared coefficients, against the log-likelihood of returns that do not overlap. Chosen on the bundled
        stocks before 2013: docs/decisions/0026-probabilities.md.
    stride_sessions
        Every how many sessions one enters the fit; those between say nearly the same.
    minimum_sessions
        Sessions with a complete return over the horizon in the span of the fit, at least; no forecast before.
    """

    name: ClassVar[str] = "logistic"
    version: ClassVar[str] = "1"

    direction_penalty: float = 1_000.0
    rank_penalty: float = 10.0
    stride_sessions: int = 5
    minimum_sessions: int = 252

    def __post_init__(self) -> None:
        if not (self.direction_penalty > 0.0 and self.rank_penalty > 0.0):
            raise ForecastInputError(
                f"direction_penalty={self.direction_penalty}, rank_penalty={self.rank_penalty}: give numbers above 0"
            )
        if self.stride_sessions < 1 or self.minimum_sessions < 1:
            raise ForecastInputError(
                f"stride_sessions={self.stride_sessions}, minimum_sessions={self.minimum_sessions}: give at least 1"
            )

    def forecast(self, closes: Closes, rows: range) -> Probabilities:
        """Forecast as of each row; see `ProbabilityModel`."""
        training = Training.of(closes)
        shape = (len(rows), closes.close.shape[1])
        positive, quintiles = np.full(shape, np.nan), np.full((*shape, QUINTILES), np.nan)
        fitted = np.arange(rows.start, rows.stop)
        few, failed = np.ones((len(rows), 1), dtype=np.bool_), np.zeros((len(rows), 1), dtype=np.bool_)
        for refit, span in spans_of(closes, rows):
            fits, made = self.fit(training, refit), slice(span.start - rows.start, span.stop - rows.start)
            fitted[made], few[made] = refit, False
            if fits is None:
                few[made] = not self._has_enough(training, training.usable(), refit)
                failed[made] = ~few[made]
            else:
                positive[made], quintiles[made] = _predicted(training, fits, closes.priced(), span)
        return Probabilities(positive, quintiles, self._reasons(closes, training, rows, (few, failed)), fitted)

    def _has_enough(self, training: Training, usable: BoolArray, refit: int) -> bool:
        """Whether enough sessions, and some with a rank, had a complete return at a row."""
        complete = slice(max(refit - HORIZON_SESSIONS + 1, 0))
        ranked = usable[complete] & (training.quintiles[complete] != NO_QUINTILE)
        return int(usable[complete].any(axis=1).sum()) >= self.minimum_sessions and bool(ranked.any())

    def fit(self, training: Training, refit: int) -> tuple[Softmax, Softmax] | None:
        """Direction and rank on every return that was complete at a row; None for too few, or where a fit fails."""
        last = refit - HORIZON_SESSIONS
        picked = np.arange(last, -1, -self.stride_sessions)[::-1]
        usable = training.usable()
        if not self._has_enough(training, usable, refit):
            return None
        chosen = usable[picked]
        up = (training.ahead[picked][chosen] > 0.0).astype(np.int64)
        prior = training.frequency[picked][chosen]
        features = training.features[picked][chosen]
        # Stepped over, each return stands for those between.
        weight = self.stride_sessions / HORIZON_SESSIONS
        starts = np.stack([1.0 - prior, prior], axis=1)
        direction = fit_softmax(features, up, starts, weight=weight, penalty=self.direction_penalty)
        ranked = training.quintiles[picked][chosen]
        has = ranked != NO_QUINTILE
        if not has.any() or direction is None:
            return None
        starts = np.full((int(has.sum()), QUINTILES), 1.0 / QUINTILES)
        rank = fit_softmax(features[has], ranked[has], starts, weight=weight, penalty=self.rank_penalty)
        return None if rank is None else (direction, rank)

    def _reasons(
        self, closes: Closes, training: Training, rows: range, unfitted: tuple[BoolArray, BoolArray]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.bytes_]]:
        span = slice(rows.start, rows.stop)
        priced = closes.priced()[span]
        why = {
            b"no_price": ~priced,
            b"fewer_than_252_returns_or_constant": np.isnan(training.features[span]).any(axis=2),
            f"fewer_than_{Frequency().minimum_returns}_past_returns".encode(): np.isnan(training.frequency[span]),
            b"not_enough_sessions_for_a_fit": unfitted[0],
            f"fewer_than_{FEWEST_RANKED}_instruments".encode(): priced.sum(axis=1, keepdims=True) < FEWEST_RANKED,
            b"fit_did_not_converge": unfitted[1],
        }
        return reasons_of(priced.shape, why)


@dataclass(frozen=True, slots=True)
class Training:
    """What is known of every row: (t, n, 4) features, and (t, n) constant forecasts, returns ahead and their fifths."""

    features: FloatArray
    frequency: FloatArray
    ahead: FloatArray
    quintiles: IntArray

    @classmethod
    def of(cls, closes: Closes) -> Training:
        """Of every row of some closes."""
        ahead = returns_ahead(closes)
        return cls(features_of(closes), Frequency().positive(closes, ahead), ahead, rank_quintiles(ahead))

    def usable(self) -> BoolArray:
        """(t, n) rows that can enter a fit."""
        return np.isfinite(self.features).all(axis=2) & np.isfinite(self.frequency) & np.isfinite(self.ahead)


def spans_of(closes: Closes, rows: range) -> list[tuple[int, range]]:
    """Each refit, and the rows that are forecast with it."""
    refits = closes.refits().tolist()
    stops = [*refits, len(closes.sessions)][1:]
    spans = [
        (refit, range(max(refit, rows.start), min(stop, rows.stop))) for refit, stop in zip(refits, stops, strict=True)
    ]
    return [(refit, span) for refit, span in spans if len(span)]


def _predicted(
    training: Training, fits: tuple[Softmax, Softmax], priced: BoolArray, span: range
) -> tuple[FloatArray, FloatArray]:
    """(m, n) and (m, n, 5) probabilities of the rows of a span."""
    at = slice(span.start, span.stop)
    features, prior = training.features[at], training.frequency[at]
    known = priced[at] & np.isfinite(features).all(axis=2) & np.isfinite(prior)
    positive, quintiles = np.full(known.shape, np.nan), np.full((*known.shape, QUINTILES), np.nan)
    chances = prior[known]
    positive[known] = fits[0].probabilities(features[known], np.stack([1.0 - chances, chances], axis=1))[:, 1]
    quintiles[known] = fits[1].probabilities(features[known], np.full((len(chances), QUINTILES), 1.0 / QUINTILES))
    quintiles[priced[at].sum(axis=1) < FEWEST_RANKED] = np.nan
    return positive, quintiles
