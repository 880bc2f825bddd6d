"""Kernels of models that are driven by normal draws, with the sums of these draws steered: see `steering`."""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.arithmetic import SingleArray, growth_less_one
from pipeline.simulation.models.correlating import correlate
from pipeline.simulation.models.inversion import draw, draw_two_sided
from pipeline.simulation.models.lanes import keep_fan, keep_paths, move, new_book, open_book
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import LANES, WORDS_PER_BLOCK, LaneKey, lane_row
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.steering import Steering, bridged, bridged_by_lane, draw_sums


@njit(cache=True, nogil=True, error_model="numpy")
def walk_gbm(
    law: tuple[SingleArray, SingleArray, FloatArray, SingleArray, np.uint64],
    plan: Plan,
    steering: Steering,
    start: tuple[LaneKey, int],
    fan_steps: IntArray,
    outcomes: Outcomes,
) -> None:
    """Walk as ``gbm`` does, over a bridge.

    Parameters
    ----------
    law
        Mean, factor and table of the model, the bridge of the profile, and the model's stream.
    start
        Key and first path.
    """
    mean, factor, table, bridge, stream = law
    key, first_path = start
    n = len(mean)
    words, cells = np.empty((WORDS_PER_BLOCK, LANES), np.uint64), np.empty(LANES, np.uint64)
    z, rise, room = np.empty((n, LANES), np.float32), np.empty((n, LANES), np.float32), np.empty(LANES)
    left = np.empty((n, LANES), np.float32)
    book = new_book(n, outcomes.position_gain.shape[1])
    for first in range(0, len(outcomes.terminal_wealth), LANES):
        open_book(book, plan)
        draw_sums(steering, table, first_path + first, key, left)
        row = fan = 0
        for step in range(len(plan.flows)):
            for i in range(n):
                draw(lane_row(words, row, first_path + first, stream, key), table, cells, room, z[i])
                row += 1
            bridged(z, left, bridge[step, 0], bridge[step, 1], bridge[step, 2])
            correlate(mean, factor, z, rise)
            for i in range(n):
                for lane in range(LANES):
                    rise[i, lane] = growth_less_one(rise[i, lane])
            move(book, plan, rise, step)
            fan = keep_fan(book, outcomes, first, fan, fan_steps, step)
        keep_paths(book, outcomes, first)


@njit(cache=True, nogil=True, error_model="numpy")
def walk_student_t(
    law: tuple[FloatArray, SingleArray, FloatArray, FloatArray, np.uint64],
    plan: Plan,
    steering: Steering,
    start: tuple[LaneKey, int],
    fan_steps: IntArray,
    outcomes: Outcomes,
) -> None:
    """Walk as ``student_t`` does, over a bridge whose exposures are each session's times its √(ν / χ²(ν)).

    These are drawn first, for the whole horizon: given them, what is earned is a sum of normal draws.

    Parameters
    ----------
    law
        Location, factor, normal and mixing table of the model, and its stream.
    start
        Key and first path.
    """
    location, factor, table, mixing, stream = law
    key, first_path = start
    n, horizon = len(location), len(plan.flows)
    words, cells = np.empty((WORDS_PER_BLOCK, LANES), np.uint64), np.empty(LANES, np.uint64)
    z, rise = np.empty((n, LANES), np.float32), np.empty((n, LANES), np.float32)
    left, factors = np.empty((n, LANES), np.float32), np.empty((3, LANES), np.float32)
    room, zero = np.empty(LANES), np.zeros(n, np.float32)
    spread, remaining = np.empty((horizon, LANES)), np.empty((horizon + 1, LANES))
    book = new_book(n, outcomes.position_gain.shape[1])
    for first in range(0, len(outcomes.terminal_wealth), LANES):
        open_book(book, plan)
        draw_sums(steering, table, first_path + first, key, left)
        row = fan = 0
        for step in range(horizon):
            draw_two_sided(lane_row(words, row, first_path + first, stream, key), mixing, cells, spread[step])
            row += 1
        _add_up(spread, steering.profile, remaining)
        for i in range(n):
            for lane in range(LANES):
                left[i, lane] *= np.float32(np.sqrt(remaining[0, lane]))
        for step in range(horizon):
            for i in range(n):
                draw(lane_row(words, row, first_path + first, stream, key), table, cells, room, z[i])
                row += 1
            for lane in range(LANES):
                taken = steering.profile[step] * spread[step, lane]
                factors[0, lane] = np.sqrt(remaining[step + 1, lane] / remaining[step, lane])
                factors[1, lane] = taken / remaining[step, lane]
                factors[2, lane] = taken
            bridged_by_lane(z, left, factors[0], factors[1], factors[2])
            correlate(zero, factor, z, rise)
            for i in range(n):
                for lane in range(LANES):
                    rise[i, lane] = max(location[i] + spread[step, lane] * rise[i, lane], -1.0)
            move(book, plan, rise, step)
            fan = keep_fan(book, outcomes, first, fan, fan_steps, step)
        keep_paths(book, outcomes, first)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_up(spread: FloatArray, profile: FloatArray, remaining: FloatArray) -> None:
    """Fill (horizon + 1, LANES) with the squared exposures from each session on."""
    for lane in range(LANES):
        remaining[len(spread), lane] = 0.0
    for step in range(len(spread) - 1, -1, -1):
        for lane in range(LANES):
            exposure = profile[step] * spread[step, lane]
            remaining[step, lane] = remaining[step + 1, lane] + exposure * exposure
