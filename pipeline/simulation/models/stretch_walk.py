"""Paths through a history that look up how they do from one return to the targets to the next (see `stretches`).

A block that ends between two of them leaves positions that are not at their targets: until the next one a path holds
units of the index, and values each session. Nothing is paid and nothing is lost here, so wealth, peak and deepest fall
are all there is to a path.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import Key, random_words
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.replay import STREAM, Tables, block_of, stops_of
from pipeline.simulation.models.stretches import DEEPEST, HIGHEST, LOWEST, VALUE, WIDTH, weighted_sum

State = tuple[float, float, float]
"""Wealth, peak, and the lowest part of the peak before it."""


@njit(cache=True, nogil=True, error_model="numpy")
def walk_stretches(
    law: tuple[Tables, float], plan: Plan, key: Key, first_path: int, fan_steps: IntArray, outcomes: Outcomes
) -> None:
    """The paths of ``stationary_bootstrap`` whose plan has a `longest_stretch`."""
    tables, mean_block = law
    sessions, horizon = len(tables.closes) - 1, len(plan.flows)
    log_stay = np.log1p(-1.0 / mean_block) if mean_block > 1.0 else -np.inf
    units, targets = np.zeros(tables.closes.shape[1]), np.zeros(tables.closes.shape[1])
    room, stops = np.empty(horizon + WIDTH), stops_of(plan, fan_steps)
    targets[: len(plan.targets)] = plan.targets
    for row in range(len(outcomes.terminal_wealth)):
        path, state, origin = np.uint64(first_path + row), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)
        step, fan, block, start, left, is_at_targets = 0, 0, np.uint64(0), np.int64(0), np.int64(0), True
        while step < horizon:
            for word in random_words(block, path, STREAM, key[0], key[1]):
                if step == horizon:
                    break
                position, length = block_of(word, sessions, log_stay)
                end = min(step + length, horizon)
                while step < end:  # blocks wrap around the end of history
                    if is_at_targets:
                        start, origin = position, state
                    else:
                        _exchange(units, tables.closes[left], tables.bought[position])
                    last = min(end, int(step + sessions - position))
                    while step < last:
                        stop = min(stops[step], last)
                        position += stop - step
                        if is_at_targets:
                            state = _leap(tables.figures[start, position - start], origin)
                        else:
                            state = _ride(tables.growth, units, room, (position, stop - step), state)
                        step = stop
                        if plan.rebalances[step - 1]:
                            start, origin, is_at_targets = position, state, True
                        fan = _keep(outcomes.fan_wealth[row], fan, fan_steps, step, state[0])
                    if is_at_targets and position > start:
                        _buy(units, targets, tables.bought[start], origin[0])
                        is_at_targets = False
                    left, position = position, np.int64(0)
            block += np.uint64(1)
        outcomes.terminal_wealth[row], outcomes.gain[row] = state[0], state[0] - 1.0
        outcomes.max_drawdown[row], outcomes.cost[row] = state[2] - 1.0, 0.0


@register_jitable
def _keep(fan_wealth: FloatArray, fan: int, fan_steps: IntArray, step: int, wealth: float) -> int:
    """Keep the wealth of a step that is the next of the fan's, and give the number of the one after."""
    if fan == len(fan_steps) or step != fan_steps[fan]:
        return fan
    fan_wealth[fan] = wealth
    return fan + 1


@register_jitable
def _leap(figures: FloatArray, origin: State) -> State:
    """Go from a close at which the weights were the targets to another of the same stretch of history."""
    wealth, peak, least = origin
    top, part = wealth * figures[HIGHEST], wealth * figures[LOWEST] / peak
    part = part if part < figures[DEEPEST] else figures[DEEPEST]
    return wealth * figures[VALUE], top if top > peak else peak, part if part < least else least


@register_jitable
def _buy(units: FloatArray, targets: FloatArray, bought: FloatArray, wealth: float) -> None:
    """Units of the index for wealth at the target weights."""
    for first in range(0, len(units), WIDTH):
        for i in range(first, first + WIDTH):
            units[i] = targets[i] * wealth * bought[i]


@register_jitable
def _exchange(units: FloatArray, closes: FloatArray, bought: FloatArray) -> None:
    """Units at one close of the history for as much at another."""
    for first in range(0, len(units), WIDTH):
        for i in range(first, first + WIDTH):
            units[i] = units[i] * closes[i] * bought[i]


@register_jitable
def _ride(growth: FloatArray, units: FloatArray, room: FloatArray, ahead: tuple[int, int], state: State) -> State:
    """Hold units for some sessions up to a close, `WIDTH` of them whether wanted or not."""
    position, count = ahead
    for first in range(0, count, WIDTH):
        weighted_sum(units, growth, position - count + 1 + first, room, first)
    _, peak, least = state
    for number in range(count):
        wealth = room[number]
        peak = wealth if wealth > peak else peak
        if wealth < least * peak:  # seldom, so that there is seldom a division
            least = wealth / peak
    return room[count - 1], peak, least
