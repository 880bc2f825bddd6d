"""Portfolios of paths that are walked side by side, a path a lane: moved by returns, and traded at closes.

Loops over lanes are innermost and written out: they compile to vector instructions, which whole-array statements do
only after seconds. Positions are moved in every session, and everything else is done where something is traded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.arithmetic import SingleArray, fused
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import LANES
from pipeline.simulation.models.plan import Plan


class Book(NamedTuple):
    """The portfolios of some paths; a named tuple, because compiled kernels take one. The value at the start is 1.

    Parameters
    ----------
    value
        (n, lanes) of each position.
    opened
        (n, lanes) the same after the last trade; (0, lanes) where what they earn is not kept.
    earned
        (n, lanes) by each position up to the last trade; (0, lanes) where it is not kept.
    wealth
        (lanes,) their sum.
    shares
        (lanes,) value of a share for each unit of wealth: 1 until something is paid in or out.
    peak
        (lanes,) highest value of a share.
    least
        (lanes,) lowest value of a share as a part of the peak before it.
    paid
        (lanes,) paid in less taken out.
    cost
        (lanes,) of trades.
    room
        (3, lanes) to trade in.
    """

    value: FloatArray
    opened: FloatArray
    earned: FloatArray
    wealth: FloatArray
    shares: FloatArray
    peak: FloatArray
    least: FloatArray
    paid: FloatArray
    cost: FloatArray
    room: FloatArray


@njit(cache=True, nogil=True, error_model="numpy")
def new_book(positions: int, kept: int, lanes: int = LANES) -> Book:
    """Room for some paths, of which the gains of `kept` positions are kept: all or none."""
    return Book(
        np.empty((positions, lanes)),
        np.empty((kept, lanes)),
        np.empty((kept, lanes)),
        np.empty(lanes),
        np.empty(lanes),
        np.empty(lanes),
        np.empty(lanes),
        np.empty(lanes),
        np.empty(lanes),
        np.empty((3, lanes)),
    )


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def open_book(book: Book, plan: Plan) -> None:
    """Begin with the weights."""
    lanes = len(book.wealth)
    for i in range(len(plan.weights)):
        for lane in range(lanes):
            book.value[i, lane] = plan.weights[i]
    for i in range(len(book.opened)):
        for lane in range(lanes):
            book.opened[i, lane] = plan.weights[i]
    book.earned[:] = 0.0
    book.wealth[:] = 1.0
    book.shares[:] = 1.0
    book.peak[:] = 1.0
    book.least[:] = 1.0
    book.paid[:] = 0.0
    book.cost[:] = 0.0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def move(book: Book, plan: Plan, rise: FloatArray | SingleArray, step: int) -> None:
    """One session: positions rise or fall, and at its close is paid and traded what is due.

    Parameters
    ----------
    rise
        (n, lanes) return of each position, -1 or more.
    """
    value, wealth = book.value, book.wealth
    for lane in range(LANES):
        wealth[lane] = 0.0
    for i in range(0, len(value) - 1, 2):  # in pairs, which halves what is read and written of wealth
        for lane in range(LANES):
            one = fused(value[i, lane], np.float64(rise[i, lane]), value[i, lane])
            other = fused(value[i + 1, lane], np.float64(rise[i + 1, lane]), value[i + 1, lane])
            value[i, lane] = one
            value[i + 1, lane] = other
            wealth[lane] += one + other
    if len(value) % 2 == 1:
        last = len(value) - 1
        for lane in range(LANES):
            value[last, lane] = fused(value[last, lane], np.float64(rise[last, lane]), value[last, lane])
            wealth[lane] += value[last, lane]
    if value_shares(book):
        close_lost(book)
    settle_if_due(book, plan, step)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def settle_if_due(book: Book, plan: Plan, step: int) -> None:
    """Pay and trade at a close where anything is due; apart, for a call of `settle` takes 0.3 µs."""
    if plan.rebalances[step] or plan.flows[step] != 0.0 or plan.band < np.inf:
        settle(book, plan, step)


@njit(cache=True, nogil=True, error_model="numpy")
def settle(book: Book, plan: Plan, step: int) -> bool:
    """Pay and trade what is due at a close, and tell whether anything was.

    A return to the weights that costs nothing, where what positions earn is not kept, is the usual one.
    """
    lanes = len(book.wealth)
    if plan.rebalances[step] and plan.flows[step] == 0.0 and plan.cost == 0.0 and len(book.earned) == 0:
        for i in range(len(book.value)):
            for lane in range(lanes):
                book.value[i, lane] = plan.targets[i] * book.wealth[lane]
        return True
    if plan.rebalances[step] or plan.flows[step] != 0.0:
        trade(book, plan, (0, lanes), plan.flows[step], plan.rebalances[step])
        return True
    is_traded = False
    if plan.band < np.inf:
        for lane in range(lanes):
            if is_outside(book, plan, lane):
                trade(book, plan, (lane, lane + 1), 0.0, True)
                is_traded = True
    return is_traded


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def value_shares(book: Book) -> bool:
    """Take the wealth of a close into account, and tell whether one is nothing or less."""
    wealth, shares, peak, least = book.wealth, book.shares, book.peak, book.least
    is_any_lost = False
    for lane in range(len(wealth)):
        share = wealth[lane] * shares[lane]
        top = share if share > peak[lane] else peak[lane]  # `max` takes care of NaN, in three instructions more
        part = share / top
        peak[lane] = top
        least[lane] = part if part < least[lane] else least[lane]
        is_any_lost |= wealth[lane] <= 0.0
    return is_any_lost


@njit(cache=True, nogil=True, error_model="numpy")
def close_lost(book: Book) -> None:
    """With nothing or less a portfolio is closed, and owes nothing."""
    for lane in range(len(book.wealth)):
        if book.wealth[lane] <= 0.0:
            close_lane(book, lane)


@njit(cache=True, nogil=True, error_model="numpy")
def close_lane(book: Book, lane: int) -> None:
    """Of a portfolio that is worth nothing or less nothing is left."""
    book.wealth[lane] = 0.0
    if book.peak[lane] > 0.0:
        book.least[lane] = 0.0
    for i in range(len(book.value)):
        book.value[i, lane] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def is_outside(book: Book, plan: Plan, lane: int) -> bool:
    """Whether a weight has left its target by more than the band."""
    farthest = 0.0
    for i in range(len(book.value)):
        farthest = max(farthest, abs(book.value[i, lane] - plan.targets[i] * book.wealth[lane]))
    found: bool = farthest > plan.band * book.wealth[lane]
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def trade(book: Book, plan: Plan, lanes: tuple[int, int], flow: float, rebalances: bool) -> None:
    """Pay in or out at a close, return to the weights, and pay for what is traded.

    No more is taken out than there is. Without a return to the weights what is paid changes every position by the same
    part. A portfolio that has nothing left begins again with the weights, and its shares count no more.

    Parameters
    ----------
    lanes
        First, and the one after the last.
    """
    value, wealth, after, part, traded = book.value, book.wealth, book.room[0], book.room[1], book.room[2]
    for lane in range(*lanes):
        paid = max(flow, -wealth[lane])
        after[lane] = wealth[lane] + paid
        part[lane] = after[lane] / wealth[lane] if wealth[lane] > 0.0 and not rebalances else -1.0
        traded[lane] = 0.0
        book.paid[lane] += paid
    for i in range(len(value)):
        if len(book.earned) > 0:
            for lane in range(*lanes):
                book.earned[i, lane] += value[i, lane] - book.opened[i, lane]
        for lane in range(*lanes):
            new = value[i, lane] * part[lane] if part[lane] >= 0.0 else plan.targets[i] * after[lane]
            traded[lane] += abs(new - value[i, lane])
            value[i, lane] = new
    for lane in range(*lanes):
        cost = min(plan.cost * traded[lane], after[lane])
        part[lane] = 1.0 - cost / after[lane] if after[lane] > 0.0 else 0.0
        book.cost[lane] += cost
        # Shares of nothing have no value to fall from: with a peak of 0 they are never compared again.
        book.shares[lane] *= wealth[lane] / after[lane] if after[lane] > 0.0 else 0.0
        book.peak[lane] *= 1.0 if after[lane] > 0.0 else 0.0
        wealth[lane] = after[lane] - cost
    if plan.cost > 0.0:
        for i in range(len(value)):
            for lane in range(*lanes):
                value[i, lane] *= part[lane]
    for i in range(len(book.opened)):
        for lane in range(*lanes):
            book.opened[i, lane] = value[i, lane]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def keep_fan(book: Book, outcomes: Outcomes, first: int, fan: int, fan_steps: IntArray, step: int) -> int:
    """Keep the wealth of a close that is the next of the fan's steps, and give the number of the one after."""
    if fan == len(fan_steps) or step + 1 != fan_steps[fan]:
        return fan
    for lane in range(min(len(book.wealth), len(outcomes.terminal_wealth) - first)):
        outcomes.fan_wealth[first + lane, fan] = book.wealth[lane]
    return fan + 1


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def keep_paths(book: Book, outcomes: Outcomes, first: int) -> None:
    """Keep what became of the lanes that have a path."""
    for lane in range(min(len(book.wealth), len(outcomes.terminal_wealth) - first)):
        row = first + lane
        outcomes.terminal_wealth[row] = book.wealth[lane]
        outcomes.gain[row] = book.wealth[lane] - 1.0 - book.paid[lane]
        outcomes.max_drawdown[row] = book.least[lane] - 1.0
        outcomes.cost[row] = book.cost[lane]
        for i in range(len(book.earned)):
            outcomes.position_gain[row, i] = book.earned[i, lane] + book.value[i, lane] - book.opened[i, lane]
