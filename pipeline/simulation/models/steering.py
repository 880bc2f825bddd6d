"""Where paths end, chosen ahead of the way there: what quasi-random and importance sampling have in common.

A path's normal draws z(1) … z(T), vectors of n, are walked given their sums Σ c(t) z(t) = s with Σ c² = 1: the bridge
z(t) = √(B(t+1) / B(t)) e(t) + c(t) r(t) / B(t), B(t) = Σ c² from t on, r(t) what is left of s, e(t) independent normal
draws. If s is normal, so are the z, and independent. What is earned depends on s above all, so its n coordinates are
drawn first, rotated so that the leading one is the direction of losses (Imai & Tan 2006, "A general dimension reduction
technique for derivative pricing", Journal of Computational Finance 10) and the others are principal components
(Acworth, Broadie & Glasserman 1998, "A comparison of some Monte Carlo and quasi Monte Carlo techniques for option
pricing"). They are points of a digital net, or the leading one is shifted into the tail (Glasserman, Heidelberger &
Shahabuddin 1999, "Asymptotically optimal importance sampling and stratification for pricing path-dependent options",
Mathematical Finance 9). The rest of a path is drawn as ever: its numbers are a function of (seed, subject, path) alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray
from pipeline.simulation.models.arithmetic import SingleArray, fused
from pipeline.simulation.models.normals import normal_draws
from pipeline.simulation.models.philox import LANES, WORDS_PER_BLOCK, LaneKey, LaneWords, WordArray, lane_row
from pipeline.simulation.models.plan import Plan

STREAM = np.uint64(64)
"""Of the sums' random words; models have others."""

UNSHIFTED_EACH = 8
"""With a shift, each eighth path has none: a defensive mixture (Hesterberg 1995, "Weighted average importance sampling
and defensive mixture distributions", Technometrics 37), by which no path weighs more than 8."""

LEAST_EXPOSURE = 0.05
"""Of the largest: where payments have taken nearly everything out."""

_BIT = np.uint64(1)


class Steering(NamedTuple):
    """How the sums are drawn; a named tuple, because compiled kernels take one.

    Parameters
    ----------
    profile
        (horizon,) c: the exposure of each session, of unit length.
    rotation
        (n, n) orthonormal; the first column is the direction of losses, in which the sum rises as money is lost.
    shift
        Of the mean of the leading coordinate, in standard deviations; 0 for none.
    net
        (replicates, n, bits + 1) words of 32 bits: the generators of a scrambled digital net for each coordinate, and
        its digital shift. Of each replicate are 2^bits paths, one after the other. (0, 0, 0) for independent draws.
    """

    profile: FloatArray
    rotation: SingleArray
    shift: float
    net: WordArray


def steering_of(factor: FloatArray, plan: Plan, shift: float, net: WordArray) -> Steering:
    """The steering of a plan's losses, to first order about its start.

    Parameters
    ----------
    factor
        (n, n) lower triangular, of the positions' covariance in a session.
    """
    traded = plan.rebalances.any() or np.isfinite(plan.band)
    exposure = 1.0 + np.cumsum(np.append(0.0, plan.flows[:-1]))
    exposure = np.maximum(exposure, LEAST_EXPOSURE * max(1.0, exposure.max()))
    profile = exposure / np.linalg.norm(exposure)
    return Steering(profile, rotation_of(factor, plan.targets if traded else plan.weights), shift, net)


def rotation_of(factor: FloatArray, weights: FloatArray) -> SingleArray:
    """(n, n) the direction in which weighted positions lose, and the principal components of what is left.

    Where positions weighted so do not move at all, the direction does not matter, and the first position's is taken.
    """
    n = len(factor)
    direction = -factor.T @ weights
    length = np.linalg.norm(direction)
    direction = direction / length if length > 0.0 else np.eye(n)[0]
    others = np.linalg.qr(np.column_stack([direction, np.eye(n)]))[0][:, 1:n]
    _, components = np.linalg.eigh(others.T @ (factor.T @ factor) @ others)
    found = np.column_stack([direction, others @ components[:, ::-1]])
    return np.ascontiguousarray(found, dtype=np.float32)


def bridge_of(profile: FloatArray) -> SingleArray:
    """(horizon, 3) of each session: the factor of its own draw, that of what is left, and what it takes of that."""
    remaining = np.append(np.cumsum((profile * profile)[::-1])[::-1], 0.0)
    columns = [np.sqrt(remaining[1:] / remaining[:-1]), profile / remaining[:-1], profile]
    return np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def coordinate(
    steering: Steering, number: int, words: LaneWords, room: LaneWords, first_path: int, key: LaneKey
) -> LaneWords:
    """(LANES,) words of one coordinate of the paths' sums; coordinates are asked for in turn, from 0."""
    net = steering.net
    if len(net) == 0:
        return lane_row(words, number, first_path, STREAM, key)
    bits = net.shape[2] - 1
    for lane in range(LANES):
        path = first_path + lane
        replicate = min(path >> bits, len(net) - 1)  # lanes without a path are walked in vain
        word, generator = net[replicate, number, bits], 0
        point = path & ((1 << bits) - 1)
        while point > 0:
            if point & 1:
                word ^= net[replicate, number, generator]
            point >>= 1
            generator += 1
        room[lane] = np.uint32(word)
    return room


@njit(cache=True, nogil=True, error_model="numpy")
def draw_sums(steering: Steering, first_path: int, key: LaneKey, sums: SingleArray) -> None:
    """Fill `sums`, (n, LANES), of the paths from the first on: rotated coordinates, of which the leading is shifted."""
    n = len(sums)
    words, row = np.empty((WORDS_PER_BLOCK, LANES), np.uint32), np.empty(LANES, np.uint32)
    room, drawn = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    sums[:] = np.float32(0.0)
    shift = np.float32(steering.shift)
    for number in range(n):
        normal_draws(coordinate(steering, number, words, row, first_path, key), room, drawn)
        if number == 0 and shift != 0.0:
            for lane in range(LANES):
                if (first_path + lane) % UNSHIFTED_EACH != 0:
                    drawn[lane] += shift
        for i in range(n):
            part = steering.rotation[i, number]
            for lane in range(LANES):
                sums[i, lane] = fused(part, drawn[lane], sums[i, lane])


@njit(cache=True, nogil=True, error_model="numpy")
def leading_coordinates(steering: Steering, key: LaneKey, leading: FloatArray) -> None:
    """Fill `leading`, (paths,), with the first coordinate of every path from 0 on, shifted as `draw_sums` has it."""
    words, row = np.empty((WORDS_PER_BLOCK, LANES), np.uint32), np.empty(LANES, np.uint32)
    room, drawn = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    shift = np.float32(steering.shift)
    for first in range(0, len(leading), LANES):
        normal_draws(coordinate(steering, 0, words, row, first, key), room, drawn)
        for lane in range(min(LANES, len(leading) - first)):
            is_shifted = (first + lane) % UNSHIFTED_EACH != 0
            leading[first + lane] = drawn[lane] + shift if is_shifted else drawn[lane]


@njit(cache=True, nogil=True, error_model="numpy")
def bridged(z: SingleArray, left: SingleArray, kept: np.float32, pulled: np.float32, taken: np.float32) -> None:
    """Turn a session's own draws `z`, (n, LANES), into those of the bridge, and take them off what is left."""
    for i in range(len(z)):
        for lane in range(LANES):
            moved = fused(pulled, left[i, lane], kept * z[i, lane])
            z[i, lane] = moved
            left[i, lane] = fused(-taken, moved, left[i, lane])


@njit(cache=True, nogil=True, error_model="numpy")
def bridged_by_lane(
    z: SingleArray, left: SingleArray, kept: SingleArray, pulled: SingleArray, taken: SingleArray
) -> None:
    """The same where the paths' exposures differ: factors of (LANES,)."""
    for i in range(len(z)):
        for lane in range(LANES):
            moved = fused(pulled[lane], left[i, lane], kept[lane] * z[i, lane])
            z[i, lane] = moved
            left[i, lane] = fused(-taken[lane], moved, left[i, lane])
