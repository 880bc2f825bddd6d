"""How the paths of a run are sampled, by name: which runs can be, and what their paths count.

``plain``: independent paths. ``sobol``: the sums of a path's draws are points of a scrambled Sobol' net, in
`REPLICATES` independent scramblings (Owen 1997, "Scrambled net variance for integrals of smooth functions", Annals of
Statistics 25; direction numbers and scrambling are those of ``scipy.stats.qmc``). ``importance``: seven of eight paths
are shifted into the loss tail, and every path is weighed by its likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models import SimulationInputError
from pipeline.simulation.models.philox import WordArray, lane_key
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.protocol import FittedModel, SteeredModel
from pipeline.simulation.models.steering import UNSHIFTED_EACH, Steering, leading_coordinates, steering_of
from pipeline.simulation.run.samples import Replicated, Sample, Weighted

Sampling = Literal["plain", "sobol", "importance"]
SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)
STEERED_MODELS = ("gbm", "student_t")
"""Those driven by normal draws; the others draw sessions of history, or transform what they draw."""

REPLICATES = 16
"""Scramblings: what is said of their spread errs by a sixth."""
FEWEST_POINTS = 64
FEWEST_WEIGHTED = 1_000
"""Paths, below which a correction of weights might leave one below 0."""

TAIL_SHIFT = 2.665
"""Standard deviations of the loss: its mean in the worst percent if it is normal, φ(Φ⁻¹(0.99)) / 0.01."""

_NET_BITS = 32
_NO_NET: WordArray = np.empty((0, 0, 0), dtype=np.uint64)


def check_sampling(sampling: str, model: str, paths: int) -> None:
    """Refuse what cannot be sampled so.

    Raises
    ------
    SimulationInputError
        Naming the field.
    """
    if sampling not in SAMPLINGS:
        raise SimulationInputError(f"sampling={sampling!r}: give one of {', '.join(SAMPLINGS)}")
    if sampling == "plain":
        return
    if model not in STEERED_MODELS:
        raise SimulationInputError(
            f"sampling={sampling}: model={model} is not driven by normal draws alone;"
            f" give model={' or '.join(STEERED_MODELS)}, or sampling=plain"
        )
    _FEWEST[sampling](paths)


def _check_net(paths: int) -> None:
    points, rest = divmod(paths, REPLICATES)
    if rest or points < FEWEST_POINTS or points & (points - 1):
        lower = max(FEWEST_POINTS, 1 << max(points.bit_length() - 1, 0)) * REPLICATES
        raise SimulationInputError(
            f"sampling=sobol: paths={paths} are not {REPLICATES} scramblings of a power of two;"
            f" give paths={lower} or paths={2 * lower}"
        )


def _check_weighted(paths: int) -> None:
    if paths < FEWEST_WEIGHTED:
        raise SimulationInputError(
            f"sampling=importance: paths={paths} are too few to weigh; give at least {FEWEST_WEIGHTED}"
        )


_FEWEST: Mapping[str, Callable[[int], None]] = MappingProxyType({"sobol": _check_net, "importance": _check_weighted})


def steering_for(
    sampling: Sampling, fitted: FittedModel, plan: Plan, paths: int, key: tuple[int, int]
) -> Steering | None:
    """How the paths of a run are steered; None where they are not.

    Parameters
    ----------
    key
        Seed and subject.
    """
    if sampling == "plain":
        return None
    assert isinstance(fitted, SteeredModel)  # checked by its name
    if sampling == "importance":
        return steering_of(fitted.factor, plan, TAIL_SHIFT, _NO_NET)
    return steering_of(fitted.factor, plan, 0.0, scrambled_nets(len(fitted.factor), paths // REPLICATES, key))


def scrambled_nets(dimensions: int, points: int, key: tuple[int, int]) -> WordArray:
    """(REPLICATES, dimensions, bits + 1) generators and digital shift of independently scrambled Sobol' nets.

    scipy gives points, in Gray code's order: point 2^(b+1) - 1 is generator b alone, under the shift that point 0 is.

    Parameters
    ----------
    points
        Of each net, a power of two.
    """
    from scipy.stats import qmc  # noqa: PLC0415 - 50 MB, and for these points only

    bits = points.bit_length() - 1
    words = np.empty((REPLICATES, dimensions, bits + 1), dtype=np.uint64)
    for replicate in range(REPLICATES):
        rng = np.random.default_rng(np.random.SeedSequence((*key, replicate)))
        engine = qmc.Sobol(dimensions, scramble=True, bits=_NET_BITS, rng=rng)
        shift = words[replicate, :, bits] = _words(engine.random(1))
        drawn = 1
        for bit in range(bits):
            engine.fast_forward((2 << bit) - 1 - drawn)
            words[replicate, :, bit] = _words(engine.random(1)) ^ shift
            drawn = 2 << bit
    return words


def _words(points: FloatArray) -> WordArray:
    words: WordArray = (points[0] * 2.0**_NET_BITS).astype(np.uint64)
    return words


def sample_of(steering: Steering | None, paths: int, key: tuple[int, int]) -> Sample:
    """What each of the paths counts, and how errors follow from that."""
    if steering is None:
        return Sample()
    numbers: IntArray = np.arange(paths)
    if len(steering.net):
        return Replicated(numbers >> (steering.net.shape[2] - 1))
    leading = np.empty(paths)
    leading_coordinates(steering, lane_key(key), leading)
    is_shifted = numbers % UNSHIFTED_EACH != 0
    likelihood = np.exp(steering.shift * leading - 0.5 * steering.shift**2)
    shifted = float(is_shifted.mean())
    return Weighted.of(1.0 / (1.0 - shifted + shifted * likelihood), is_shifted.astype(np.int64))
