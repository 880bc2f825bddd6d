"""Kernels of models that are driven by normal draws, with the sums of these draws steered: see `steering`."""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.arithmetic import SingleArray, return_at_most_lost
from pipeline.simulation.models.inversion import draw_two_sided
from pipeline.simulation.models.lanes import keep_fan, keep_paths, move, new_book, open_book, settle_if_due
from pipeline.simulation.models.normals import new_page, session_draws
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import LANES, WORDS_PER_BLOCK, LaneKey, lane_row
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.session_growth import correlate, grow
from pipeline.simulation.models.steering import Steering, bridged, bridged_by_lane, draw_sums


@njit(cache=True, nogil=True, error_model="numpy")
def walk_gbm(
    law: tuple[SingleArray, SingleArray, SingleArray, np.uint64],
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
        Mean and factor of the model, the bridge of the profile, and the model's stream.
    start
        Key and first path.
    """
    mean, factor, bridge, stream = law
    key, first_path = start
    n = len(mean)
    page, left = new_page(n), np.empty((n, LANES), np.float32)
    book = new_book(n, outcomes.position_gain.shape[1])
    for first in range(0, len(outcomes.terminal_wealth), LANES):
        open_book(book, plan)
        draw_sums(steering, first_path + first, key, left)
        fan = 0
        for step in range(len(plan.flows)):
            z = session_draws(page, step, first_path + first, stream, key)
            bridged(z, left, bridge[step, 0], bridge[step, 1], bridge[step, 2])
            grow(mean, factor, z, book)
            settle_if_due(book, plan, step)
            fan = keep_fan(book, outcomes, first, fan, fan_steps, step)
        keep_paths(book, outcomes, first)


@njit(cache=True, nogil=True, error_model="numpy")
def walk_student_t(
    law: tuple[SingleArray, SingleArray, FloatArray, tuple[np.uint64, np.uint64]],
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
        Location, factor and mixing table of the model, and its streams: of normal and of mixing draws.
    start
        Key and first path.
    """
    location, factor, mixing, (stream, mixing_stream) = law
    key, first_path = start
    n, horizon = len(location), len(plan.flows)
    words, cells = np.empty((WORDS_PER_BLOCK, LANES), np.uint32), np.empty(LANES, np.uint64)
    rise, page = np.empty((n, LANES), np.float32), new_page(n)
    left, factors = np.empty((n, LANES), np.float32), np.empty((3, LANES), np.float32)
    zero = np.zeros(n, np.float32)
    spread, remaining = np.empty((horizon, LANES)), np.empty((horizon + 1, LANES))
    book = new_book(n, outcomes.position_gain.shape[1])
    for first in range(0, len(outcomes.terminal_wealth), LANES):
        open_book(book, plan)
        draw_sums(steering, first_path + first, key, left)
        fan = 0
        for step in range(horizon):
            draw_two_sided(lane_row(words, step, first_path + first, mixing_stream, key), mixing, cells, spread[step])
        _add_up(spread, steering.profile, remaining)
        for i in range(n):
            for lane in range(LANES):
                left[i, lane] *= np.float32(np.sqrt(remaining[0, lane]))
        for step in range(horizon):
            z = session_draws(page, step, first_path + first, stream, key)
            for lane in range(LANES):
                taken = steering.profile[step] * spread[step, lane]
                factors[0, lane] = np.sqrt(remaining[step + 1, lane] / remaining[step, lane])
                factors[1, lane] = taken / remaining[step, lane]
                factors[2, lane] = taken
            bridged_by_lane(z, left, factors[0], factors[1], factors[2])
            correlate(zero, factor, z, rise)
            for i in range(n):
                for lane in range(LANES):
                    rise[i, lane] = return_at_most_lost(location[i], np.float32(spread[step, lane]), rise[i, lane])
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
