"""Synthetic universes: daily bars of many instruments that behave like stocks, made in seconds from a seed.

Moves have a market factor, volatility that clusters and fat tails; the market crashes three times as in 1987,
2008 and 2020. There are splits and dividends with their actions, jumps on news, halts, listings and delistings.
Everything in a universe is meant to be accepted: `tests.load.corruption` adds what is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.signal import lfilter

from pipeline.base.calendars import sessions_between
from pipeline.base.types import BoolArray, DateArray, FloatArray
from pipeline.market_data.measures.adjusted_close import adjusted_close
from pipeline.market_data.rules import Actions, Bars, Context

LAST_DAY = date(2024, 12, 31)

CRASHES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.25, (-0.205, 0.053, 0.091, -0.039, 0.0, -0.083)),  # S&P 500, 19 to 26 October 1987
    (0.55, (-0.088, 0.054, -0.057, -0.076, 0.116, -0.005, -0.090, 0.043)),  # 29 September to 16 October 2008
    (0.85, (-0.076, 0.049, -0.049, -0.095, 0.093, -0.120, 0.060, -0.052)),  # 9 to 18 March 2020
)
"""Share of the sessions before, and the market's simple returns, rounded."""

SPLIT_ABOVE, REVERSE_BELOW = 160.0, 5.0
SPLITS = ((2, 1), (3, 1), (3, 2), (4, 1), (2, 1), (5, 1))
REVERSE = (1, 10)
REVIEW_SESSIONS = 126
"""How often a board looks at its price."""

HALT_SESSIONS = 3_000

DIVIDEND_SESSIONS = 63
QUARTERLY_YIELD = 0.006


@dataclass(frozen=True, slots=True)
class UniverseSpec:
    """Size and seed of a universe."""

    instruments: int = 500
    sessions: int = 7_560
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Universe:
    """Bars that are right, sorted, with what rules need to know of them.

    Parameters
    ----------
    crash_sessions
        Days on which the market fell by 12 % or more.
    """

    bars: Bars
    context: Context
    crash_sessions: DateArray


def make_universe(spec: UniverseSpec) -> Universe:
    """The universe of a seed."""
    rng = np.random.default_rng(spec.seed)
    sessions = sessions_between(date(1970, 1, 1), LAST_DAY)[-spec.sessions :]
    market = _market(rng, spec)
    moves, sigma = _log_moves(rng, spec, market)
    symbols = tuple(f"S{number:04d}" for number in range(spec.instruments))
    units, cash, actions = _actions(rng, symbols, sessions, moves)
    close = _closes(moves, units, cash)
    bars = _bars(rng, symbols, sessions, close, moves, sigma, units)
    kept = _listed(rng, spec).ravel()
    bars = bars.take(kept)
    currencies = ("USD",) * len(symbols)
    context = Context(sessions, actions, frozenset({"USD"}), currencies)
    return Universe(_with_adjusted(bars, actions), context, sessions[market <= np.log(0.88)])


def _market(rng: np.random.Generator, spec: UniverseSpec) -> FloatArray:
    """(sessions,) log returns of the market."""
    volatility = 0.008 * np.exp(0.5 * _persistent(rng, (1, spec.sessions))[0])
    market = 0.0003 + volatility * rng.standard_t(5, spec.sessions) / np.sqrt(5 / 3)
    market = np.clip(market, -0.06, 0.06)  # larger ones are the crashes'
    for share, returns in CRASHES:
        start = int(share * spec.sessions)
        market[start : start + len(returns)] = np.log1p(returns)[: spec.sessions - start]
    clipped: FloatArray = market
    return clipped


def _log_moves(rng: np.random.Generator, spec: UniverseSpec, market: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(instruments, sessions) log total returns, and the volatility of what is each instrument's own."""
    shape = (spec.instruments, spec.sessions)
    beta = rng.uniform(0.5, 1.6, (spec.instruments, 1))
    sigma = rng.uniform(0.008, 0.025, (spec.instruments, 1)) * np.exp(0.4 * _persistent(rng, shape))
    sigma *= 1.0 + 8.0 * _recent(np.abs(market))  # fear is common
    moves = beta * market + sigma * rng.standard_t(4, shape) / np.sqrt(2.0)
    news = rng.random(shape) < 1 / 500
    moves[news] += rng.normal(0.0, 0.12, np.count_nonzero(news))
    np.clip(moves, -1.2, 0.8, out=moves)
    return moves, sigma


def _persistent(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """A standard AR(1) along the last axis; half of it is forgotten in a month."""
    decay = 0.5 ** (1 / 21)
    steps = rng.standard_normal(shape) * np.sqrt(1 - decay**2)
    filtered: FloatArray = lfilter([1.0], [1.0, -decay], steps, axis=-1)
    return filtered


def _recent(size: FloatArray) -> FloatArray:
    """Exponentially weighted past sizes (10 sessions), without today's."""
    weighted: FloatArray = lfilter([0.0, 0.1], [1.0, -0.9], size)
    return weighted


def _actions(
    rng: np.random.Generator, symbols: tuple[str, ...], sessions: DateArray, moves: FloatArray
) -> tuple[FloatArray, FloatArray, Actions]:
    """(instruments, sessions) units that one unit becomes and yield paid, and both as actions.

    The dividend of an action is set later, as it depends on the close: see `_closes`.
    """
    instruments, length = moves.shape
    units = np.ones((instruments, length))
    numerator, denominator = np.ones(moves.shape, dtype=np.int64), np.ones(moves.shape, dtype=np.int64)
    start = np.log(rng.uniform(20, 120, instruments))
    level = start[:, None] + np.cumsum(moves, axis=1)
    shift = np.zeros(instruments)
    for review in range(REVIEW_SESSIONS, length, REVIEW_SESSIONS):
        price = np.exp(level[:, review - 1] + shift)
        days = np.minimum(review + rng.integers(0, 20, instruments), length - 1)
        for chosen, (new, old) in _decisions(rng, price):
            units[chosen, days[chosen]] = new / old
            numerator[chosen, days[chosen]], denominator[chosen, days[chosen]] = new, old
            shift[chosen] -= np.log(new / old)
    pays = rng.random(instruments) < 0.6
    offset = rng.integers(1, DIVIDEND_SESSIONS, instruments)
    is_due = pays[:, None] & ((np.arange(length) - offset[:, None]) % DIVIDEND_SESSIONS == 0)
    is_due[:, 0] = False
    paid = np.where(is_due, QUARTERLY_YIELD, 0.0)
    moves[:, 0] = start  # the first "move" is the first price
    instrument, day = np.nonzero(is_due | (units != 1.0))
    close = _closes(moves, units, paid)
    cash = np.round(paid[instrument, day] * close[instrument, np.maximum(day - 1, 0)], 4)
    actions = Actions(
        symbols, instrument, sessions[day], numerator[instrument, day], denominator[instrument, day], cash
    )
    return units, paid, actions


def _decisions(rng: np.random.Generator, price: FloatArray) -> list[tuple[BoolArray, tuple[int, int]]]:
    """Who splits how."""
    choice = rng.integers(0, len(SPLITS), len(price))
    high = price > SPLIT_ABOVE
    decisions = [(high & (choice == number), ratio) for number, ratio in enumerate(SPLITS)]
    return [*decisions, (price < REVERSE_BELOW, REVERSE)]


def _closes(moves: FloatArray, units: FloatArray, paid: FloatArray) -> FloatArray:
    """(instruments, sessions) closes as traded, in cents: total returns less the yield paid, per unit."""
    steps = moves + np.log1p(-paid) - np.log(units)
    np.cumsum(steps, axis=1, out=steps)
    np.exp(steps, out=steps)
    return np.maximum(np.round(steps, 2, out=steps), 0.05)


def _bars(
    rng: np.random.Generator,
    symbols: tuple[str, ...],
    sessions: DateArray,
    close: FloatArray,
    moves: FloatArray,
    sigma: FloatArray,
    units: FloatArray,
) -> Bars:
    """Bars around the closes; the day's range and volume grow with its move."""
    shape = close.shape
    opening = np.empty(shape)
    opening[:, 1:] = close[:, :-1] / units[:, 1:] * np.exp(0.5 * moves[:, 1:])
    opening[:, 0] = close[:, 0]
    opening = np.maximum(np.round(opening * np.exp(0.3 * sigma * rng.standard_normal(shape)), 2), 0.05)
    reach = 0.6 * sigma * np.abs(rng.standard_normal(shape, dtype=np.float32))
    high = np.round(np.maximum(opening, close) * np.exp(reach), 2)
    low = np.maximum(np.round(np.minimum(opening, close) * np.exp(-reach[:, ::-1]), 2), 0.01)
    surprise = np.abs(moves) / (sigma + 0.008)
    surprise[:, 0] = 0.0
    usual = np.exp(rng.uniform(11, 15, (shape[0], 1)) + 0.35 * _persistent(rng, shape))
    activity = np.exp(0.25 * rng.standard_normal(shape, dtype=np.float32)) * (0.7 + 0.4 * surprise + 0.06 * surprise**2)
    volume = np.round(usual * activity * np.cumprod(units, axis=1))
    _halt(rng, units, (opening, high, low, close), volume)
    index = np.repeat(np.arange(shape[0]), shape[1])
    unknown = np.full(close.size, np.nan)
    prices = (column.ravel() for column in (opening, high, low, close, volume))
    return Bars(symbols, index, np.tile(sessions, shape[0]), *prices, unknown)


def _halt(rng: np.random.Generator, units: FloatArray, prices: tuple[FloatArray, ...], volume: FloatArray) -> None:
    """On some days nobody trades: the close before is carried on."""
    halted = (rng.random(units.shape, dtype=np.float32) < 1 / HALT_SESSIONS) & (units == 1.0)
    halted[:, :2] = False
    halted[:, 1:] &= ~halted[:, :-1]
    instrument, day = np.nonzero(halted)
    carried = prices[-1][instrument, day - 1]
    for column in prices:
        column[instrument, day] = carried
    volume[instrument, day] = 0.0


def _listed(rng: np.random.Generator, spec: UniverseSpec) -> BoolArray:
    """(instruments, sessions) sessions with a bar: after the listing, before the delisting, not in a halt."""
    day = np.arange(spec.sessions)
    starts = np.where(rng.random(spec.instruments) < 0.2, rng.integers(0, spec.sessions // 2, spec.instruments), 0)
    ends = np.where(
        rng.random(spec.instruments) < 0.2,
        rng.integers(3 * spec.sessions // 4, spec.sessions, spec.instruments),
        spec.sessions,
    )
    listed: BoolArray = (day >= starts[:, None]) & (day < ends[:, None])
    halts = rng.integers(0, spec.sessions - 10, spec.instruments)
    lengths = rng.integers(0, 4, spec.instruments)
    listed &= ~((day >= halts[:, None]) & (day < (halts + lengths)[:, None]))
    return listed


def _with_adjusted(bars: Bars, actions: Actions) -> Bars:
    adjusted = adjusted_close(bars, actions)
    return Bars(
        bars.symbols,
        bars.symbol_index,
        bars.sessions,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        adjusted,
    )
