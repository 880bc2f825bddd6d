"""Losses of forecasts beside those of a baseline, by the month in which the last session of the horizon lies.

A forecast can be scored once its horizon has passed, and counts in that month: what comes later changes no score. Only
sessions count for which the model and the baseline both have a forecast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from pipeline.forecast.models.kinds import VARIANCE, quantile_kind, shortfall_kind
from pipeline.forecast.models.scores import (
    REALISED_VARIANCE_FLOOR_DAILY,
    SHORTFALL_FLOOR,
    fissler_ziegel_losses,
    pinball_losses,
    qlike_losses,
    realised_variance,
    returns_over,
    squared_errors,
)

MOST_HITS_IN_A_MONTH = 31
"""Bits of a positive 32-bit integer, and days of a month."""


@dataclass(frozen=True, slots=True)
class Past:
    """What became of an instrument.

    Parameters
    ----------
    sessions
        (t,) sessions.
    returns
        (t-1,) simple returns.
    rows
        Positions of the sessions in which a horizon must end.
    """

    sessions: DateArray
    returns: FloatArray
    rows: slice

    def ending(self, horizon: int) -> IntArray:
        """Positions in which a forecast of a horizon can end."""
        return np.arange(max(self.rows.start, horizon), self.rows.stop)


@dataclass(frozen=True, slots=True)
class Distributions:
    """Forecasts of the return over one horizon as of every session.

    Parameters
    ----------
    quantiles, shortfalls
        (t, q) and (t, s); NaN where there is none.
    """

    quantiles: FloatArray
    shortfalls: FloatArray


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of one forecast on consecutive sessions.

    Parameters
    ----------
    kind, model, baseline, horizon_sessions
        What was forecast, and by whom.
    ends
        (m,) last session of each horizon.
    losses, baseline_losses
        (m,) QLIKE of a variance, tick loss of a quantile, Fissler-Ziegel loss of a shortfall.
    squares
        (m,) squared errors of annual variances by the model and the baseline; None where it is not a variance.
    hits
        (m,) whether the return was below the quantile; None where it is none.
    """

    kind: str
    model: str
    baseline: str
    horizon_sessions: int
    ends: DateArray
    losses: FloatArray
    baseline_losses: FloatArray
    squares: tuple[FloatArray, FloatArray] | None = None
    hits: BoolArray | None = None


def variance_losses(
    past: Past,
    horizons: Sequence[int],
    volatilities: Mapping[str, FloatArray],
    baselines: Mapping[str, str],
    periods_per_year: int,
) -> Iterator[Losses]:
    """Losses of models at every horizon.

    Parameters
    ----------
    volatilities
        Model → (t, h) annual volatility as of every session; NaN where there is none.
    baselines
        Model → the one that it is compared with, both in `volatilities`.
    """
    annual = float(periods_per_year) ** 2
    for column, horizon in enumerate(horizons):
        ends = past.ending(horizon)
        as_of = ends - horizon
        realised = np.maximum(realised_variance(past.returns, horizon, as_of), REALISED_VARIANCE_FLOOR_DAILY)
        variances = {name: values[as_of, column] ** 2 / periods_per_year for name, values in volatilities.items()}
        for model, baseline in baselines.items():
            both = np.isfinite(variances[model]) & np.isfinite(variances[baseline])
            if not both.any():
                continue
            seen, made, naive = realised[both], variances[model][both], variances[baseline][both]
            yield Losses(
                VARIANCE,
                model,
                baseline,
                horizon,
                past.sessions[ends[both]],
                qlike_losses(seen, made),
                qlike_losses(seen, naive),
                (squared_errors(seen, made) * annual, squared_errors(seen, naive) * annual),
            )


def distribution_losses(
    past: Past,
    levels: Sequence[float],
    shortfall_levels: Sequence[float],
    distributions: Mapping[str, Distributions],
    baselines: Mapping[str, str],
    horizon: int = 1,
) -> Iterator[Losses]:
    """Losses of models at every level, of the return over a horizon.

    Parameters
    ----------
    distributions
        Model → its forecasts.
    baselines
        Model → the one that it is compared with, both in `distributions`.
    horizon
        Sessions ahead.
    """
    ends, over = past.ending(horizon), returns_over(past.returns, horizon)
    for model, baseline in baselines.items():
        made, naive = distributions[model], distributions[baseline]
        both = np.isfinite(made.quantiles[ends - horizon, 0]) & np.isfinite(naive.quantiles[ends - horizon, 0])
        if not both.any():
            continue
        as_of = ends[both] - horizon
        named = (model, baseline, horizon, past.sessions[ends[both]])
        realised = over[as_of]
        for column, level in enumerate(levels):
            own, other = made.quantiles[as_of, column], naive.quantiles[as_of, column]
            losses = (pinball_losses(realised, own, level), pinball_losses(realised, other, level))
            yield Losses(quantile_kind(level), *named, *losses, hits=realised < own)
        for column, level in enumerate(shortfall_levels):
            at = list(levels).index(level)
            own, other = (_joint_losses(realised, d, as_of, (at, column), level) for d in (made, naive))
            yield Losses(shortfall_kind(level), *named, own, other)


def _joint_losses(
    realised: FloatArray, made: Distributions, as_of: IntArray, columns: tuple[int, int], level: float
) -> FloatArray:
    shortfall = np.maximum(made.shortfalls[as_of, columns[1]], SHORTFALL_FLOOR)
    return fissler_ziegel_losses(realised, made.quantiles[as_of, columns[0]], shortfall, level)


def monthly_columns(losses: Losses) -> dict[str, NDArray[Any]]:
    """A row a month: numbers of forecasts, means of their losses, and which returns were below their quantile."""
    months = losses.ends.astype("datetime64[M]")
    starts = np.flatnonzero(np.append(True, months[1:] != months[:-1]))
    counts = np.diff(np.append(starts, len(months)))
    count = len(starts)
    hits = np.zeros(len(months), dtype=np.int64) if losses.hits is None else losses.hits.astype(np.int64)
    place = np.arange(len(months)) - np.repeat(starts, counts)
    squares: Sequence[FloatArray | None] = (None, None) if losses.squares is None else losses.squares

    def mean(values: FloatArray | None) -> FloatArray:
        return np.full(count, np.nan) if values is None else np.add.reduceat(values, starts) / counts

    return {
        "month": months[starts].astype("datetime64[D]"),
        "model": np.full(count, losses.model.encode()),
        "kind": np.full(count, losses.kind.encode()),
        "horizon_sessions": np.full(count, losses.horizon_sessions, dtype=np.int16),
        "baseline": np.full(count, losses.baseline.encode()),
        "forecasts": counts.astype(np.int16),
        "loss": mean(losses.losses),
        "baseline_loss": mean(losses.baseline_losses),
        "squared_error": mean(squares[0]),
        "baseline_squared_error": mean(squares[1]),
        "hits": np.add.reduceat(hits, starts).astype(np.int16),
        "hit_bits": np.add.reduceat(hits << place, starts).astype(np.int32),
    }


def hits_of(forecasts: IntArray, hit_bits: IntArray) -> BoolArray:
    """The hits of consecutive months, in the order of time, from the columns of `monthly_columns`."""
    bits = (hit_bits[:, None] >> np.arange(MOST_HITS_IN_A_MONTH)) & 1
    return bits[np.arange(MOST_HITS_IN_A_MONTH) < forecasts[:, None]].astype(np.bool_)
