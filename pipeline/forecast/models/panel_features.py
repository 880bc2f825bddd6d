"""What is known of an instrument and of all others, as numbers that explain its volatility.

Each is, or is taken beside, a logarithm of a variance, so that an exponent of their sum is a variance: memory of half a
year, a quarter and four years (Corsi 2009, with exponential weights), the response to falling prices (Black 1976), that
of the whole market, which many instruments measure better than one, and the season of a firm's own news: quarterly
reports come a year after those of last year (Beaver 1968, "The information content of annual earnings announcements").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.forecast.models.panel import Panel
from pipeline.forecast.models.protocol import VOLATILITY_FLOOR_DAILY

LEAST_VARIANCE = VOLATILITY_FLOOR_DAILY**2
LARGEST_SQUARE = 50.0
"""In variances: beyond it a wrong price is likelier than a move."""
LARGEST_SURPRISE = 40.0
LARGE_SURPRISE = 6.0
LEAST_SURPRISE = 0.2
QUIET_SURPRISES = 60
"""Returns before which an instrument's own surprises are not known, and count as 1."""

YEAR_SESSIONS = 252
YEAR_DAYS, QUARTER_DAYS = 364, 91
"""Whole weeks, since firms report on the same weekday."""
YEAR_WEIGHTS = tuple(0.85**back for back in range(1, 9))
QUARTER_WEIGHTS = (1.0, 1.0, 1.0)
SEASON_MARGIN = 3
"""Sessions by which a window is widened on both sides: reports do not always fall in the same week."""

BESIDE_GARCH = ("memory_80", "memory_1000", "absolute_66", "market_variance_60")
"""Features that are taken beside the logarithm of the variance by GJR-GARCH."""
SHARED = ("level", "falls_15", "surprise", "large_surprises_20")
MARKET = (
    "market_fall_1",
    "market_falls_4",
    "market_rises_2",
    "market_squares_1",
    "market_squares_12",
    "market_surprises_3",
)
SEASONS = ("season_year", "season_quarter", "season_year_wide")
OTHERS = "others_above_level"
FEATURES = (*BESIDE_GARCH, *SHARED, *MARKET, *SEASONS, OTHERS)


@dataclass(frozen=True, slots=True)
class Features:
    """What forecasts of every horizon are made of, as of each row of a panel.

    Parameters
    ----------
    memories
        (T, n, 4) of `BESIDE_GARCH`: logarithms of variances.
    shared
        (T, n, 4) of `SHARED`.
    market
        (T, 6) of `MARKET`.
    surprises
        (n) arrays: running sums of the own squared surprises, on the instrument's own rows.
    """

    panel: Panel
    memories: FloatArray
    shared: FloatArray
    market: FloatArray
    surprises: tuple[FloatArray, ...]

    @classmethod
    def of(cls, panel: Panel) -> Features:
        """Of everything in a panel; a row has seen what was before it and nothing else."""
        market = _market_returns(panel)
        own = [_own(panel, number, market) for number in range(len(panel.members))]
        shared = np.stack([panel.spread(number, made.for_mean) for number, made in enumerate(own)], axis=1)
        means = [panel.mean(shared[:, :, which]) for which in range(shared.shape[2])]
        of_market, variance = _market(market, *means)
        memories = [np.column_stack([panel.spread(number, made.memories), variance]) for number, made in enumerate(own)]
        return cls(
            panel,
            np.stack(memories, axis=1),
            np.stack([panel.spread(number, made.shared) for number, made in enumerate(own)], axis=1),
            of_market,
            tuple(made.surprises for made in own),
        )

    def at(self, horizon: int, garch: FloatArray, rows: slice) -> FloatArray:
        """(m, n, k) `FEATURES` of a horizon as of some rows.

        Parameters
        ----------
        garch
            (T, n) logarithm of the variance by GJR-GARCH over the horizon.
        rows
            Of the panel.
        """
        others = self.panel.mean(garch[rows] - self.shared[rows, :, 0])
        count = garch.shape[1]
        seasons = [self._seasons(number, horizon, rows) for number in range(count)]
        return np.concatenate(
            [
                self.memories[rows] - garch[rows, :, None],
                self.shared[rows],
                np.repeat(self.market[rows, None, :], count, axis=1),
                np.stack(seasons, axis=1),
                np.repeat(others[:, None, None], count, axis=1),
            ],
            axis=2,
        )

    def _seasons(self, number: int, horizon: int, rows: slice) -> FloatArray:
        """(m, 3) of `SEASONS`: mean squared surprise in the windows of years and quarters before."""
        sums, sessions = self.surprises[number], self.panel.members[number].sessions
        start, stop, _ = rows.indices(len(self.panel.sessions))
        own = range(*np.searchsorted(self.panel.places[number], [start, stop]).tolist())
        years = [row_of_return(sessions, back * YEAR_DAYS, own) for back in range(1, len(YEAR_WEIGHTS) + 1)]
        quarters = [row_of_return(sessions, back * QUARTER_DAYS, own) for back in range(1, len(QUARTER_WEIGHTS) + 1)]
        wide = [np.arange(own.start, own.stop) - back * YEAR_SESSIONS for back in range(1, len(YEAR_WEIGHTS) + 1)]
        columns = [
            season(sums, horizon, years, YEAR_WEIGHTS, 0, own),
            season(sums, horizon, quarters, QUARTER_WEIGHTS, 0, own),
            season(sums, horizon, wide, YEAR_WEIGHTS, SEASON_MARGIN, own),
        ]
        seasons = np.full((stop - start, len(SEASONS)), np.nan)
        seasons[self.panel.places[number][own.start : own.stop] - start] = np.column_stack(columns)
        return seasons


def row_of_return(sessions: DateArray, days_back: int, rows: range | None = None) -> IntArray:
    """(m,) row whose next return lies that many days before the one that follows each of some rows, or of all.

    That return is taken to fall on the next weekday: holidays to come are not asked for.
    """
    asked = sessions if rows is None else sessions[rows.start : rows.stop]
    friday, saturday = (np.is_busday(asked, weekmask=day) for day in ("Fri", "Sat"))
    following = asked + np.where(friday, 3, np.where(saturday, 2, 1)).astype("timedelta64[D]")
    found: IntArray = np.searchsorted(sessions, following - np.timedelta64(days_back, "D")) - 1
    return found


def season(
    sums: FloatArray,
    horizon: int,
    starts: Sequence[IntArray],
    weights: Sequence[float],
    margin: int,
    asked: range | None = None,
) -> FloatArray:
    """(m,) weighted mean surprise in earlier windows, beside one more that counts as 1.

    Parameters
    ----------
    sums
        (t,) running sums of squared surprises: row p has those of the p returns before it.
    horizon
        Sessions of a window.
    starts
        (m,) row before each window; windows end with what has been seen.
    weights
        One of each of `starts`.
    margin
        Sessions added on both sides.
    asked
        Rows as of which it is asked for; None for all.
    """
    rows = np.arange(len(sums)) if asked is None else np.arange(asked.start, asked.stop)
    total, weighed = np.ones(len(rows)), np.ones(len(rows))
    for begun, weight in zip(starts, weights, strict=True):
        start = begun - margin
        stop = np.clip(start + horizon + 2 * margin, 0, rows)
        seen = (start >= QUIET_SURPRISES) & (stop > start)
        mean = (sums[stop] - sums[np.maximum(start, 0)]) / np.maximum(stop - start, 1)
        total += np.where(seen, weight * mean, 0.0)
        weighed += np.where(seen, weight, 0.0)
    return total / weighed


def exponential_mean(values: FloatArray, half_life: float) -> FloatArray:
    """(n + 1,) exponentially weighted mean of everything before each row, NaN for the first."""
    from pipeline.forecast.models.kernels.exponential_mean import exponential_means  # noqa: PLC0415 - API: no numba

    out = np.empty(len(values) + 1)
    exponential_means(np.ascontiguousarray(values), 0.5 ** (1.0 / half_life), out)
    return out


@dataclass(frozen=True, slots=True)
class _Own:
    """An instrument's features on its own rows."""

    memories: FloatArray
    shared: FloatArray
    for_mean: FloatArray
    surprises: FloatArray


def _own(panel: Panel, number: int, market: FloatArray) -> _Own:
    returns = panel.members[number].returns
    squares = returns * returns
    level = np.maximum(exponential_mean(squares, 500.0), LEAST_VARIANCE)
    scale = np.sqrt(np.maximum(exponential_mean(squares, 33.0), LEAST_VARIANCE))[1:]
    surprises = _surprises(returns, market[panel.places[number][1:]])
    memories = [
        _log(exponential_mean(squares, 80.0)),
        _log(exponential_mean(squares, 1_000.0)),
        2.0 * np.log(np.maximum(_mean_of_last(np.abs(returns), 66), VOLATILITY_FLOOR_DAILY)),
    ]
    large = _mean_of_last(np.maximum(surprises - LARGE_SURPRISE, 0.0), 20)
    shared = [
        np.log(level),
        exponential_mean(np.minimum(returns / scale, 0.0), 15.0),
        np.log(LEAST_SURPRISE + _before(surprises)),
        np.log(LEAST_SURPRISE + large),
    ]
    return _Own(
        np.column_stack(memories),
        np.column_stack(shared),
        np.column_stack([np.minimum(_before(squares) / level, LARGEST_SQUARE), _before(surprises)]),
        np.concatenate([[0.0], np.cumsum(surprises)]),
    )


def _surprises(returns: FloatArray, market: FloatArray) -> FloatArray:
    """(n,) squares of what the market does not explain, in variances of their past."""
    covariance, variance = exponential_mean(returns * market, 125.0), exponential_mean(market * market, 125.0)
    beta = covariance / np.maximum(variance, LEAST_VARIANCE)
    beta[:1] = 1.0
    squares = (returns - beta[:-1] * market) ** 2
    usual = np.maximum(exponential_mean(squares, 60.0), LEAST_VARIANCE)[:-1]
    surprises = np.ones(len(returns))
    known = slice(QUIET_SURPRISES, None)
    surprises[known] = np.minimum(squares[known] / usual[known], LARGEST_SURPRISE)
    return surprises


def _market_returns(panel: Panel) -> FloatArray:
    """(T,) mean return into each session; 0 where none has one."""
    into = [
        panel.spread(number, np.concatenate([[np.nan], member.returns])) for number, member in enumerate(panel.members)
    ]
    return np.nan_to_num(panel.mean(np.stack(into, axis=1)))


def _market(into: FloatArray, squares: FloatArray, surprises: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(T, 6) of `MARKET` and (T,) logarithm of the market's variance; a row's own return is known."""
    variance = np.maximum(exponential_mean(into * into, 33.0), LEAST_VARIANCE)[1:]
    moves = into / np.sqrt(variance)
    falls = np.minimum(moves, 0.0)
    usual, surprising = (np.where(np.isfinite(means), means, 1.0) for means in (squares, surprises))
    features = [
        exponential_mean(falls, 1.0),
        exponential_mean(falls, 4.0),
        exponential_mean(np.maximum(moves, 0.0), 2.0),
        _log(exponential_mean(usual, 1.0)),
        _log(exponential_mean(usual, 12.0)),
        _log(exponential_mean(surprising, 3.0)),
    ]
    return np.column_stack(features)[1:], _log(exponential_mean(into * into, 60.0))[1:]


def _log(variances: FloatArray) -> FloatArray:
    logarithms: FloatArray = np.log(np.maximum(variances, LEAST_VARIANCE))
    return logarithms


def _before(values: FloatArray) -> FloatArray:
    """(n + 1,) the value into each row; NaN for the first."""
    return np.concatenate([[np.nan], values])


def _mean_of_last(values: FloatArray, count: int) -> FloatArray:
    """(n + 1,) mean of the newest `count` before each row, of fewer where there are no more; NaN for the first."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    rows = np.arange(len(sums))
    since = np.maximum(rows - count, 0)
    means = np.full(len(sums), np.nan)
    means[1:] = (sums[1:] - sums[since[1:]]) / (rows - since)[1:]
    return means
