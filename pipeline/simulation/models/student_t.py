"""Independent Student-t returns: fat tails without memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from scipy.special import stdtrit

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.student_t_fit import standard_student_t_density
from pipeline.simulation.models.errors import SimulationInputError
from pipeline.simulation.models.inversion import draw, quantile_table
from pipeline.simulation.models.outcomes import START, Outcomes, advance
from pipeline.simulation.models.philox import WORDS_PER_BLOCK, Key, WordArray, packed_key, random_words
from pipeline.simulation.models.protocol import Parameter
from pipeline.simulation.models.student_t_fit import most_likely

STREAM = np.uint64(2)

LANES = 64
"""Paths walked side by side: the more, the better the vector instructions are used, while all fits in the cache."""

TABLES_KEPT = 16
"""At least one a thread: every chunk of a run asks for the same."""

LANES = 64
"""Paths walked side by side: the more, the better the vector instructions are used, while all fits in the cache."""

TABLES_KEPT = 16
"""At least one a thread: every chunk of a run asks for the same."""

DEGREES_OF_FREEDOM_BOUNDS = (2.1, 200.0)
"""Above 2 the variance is finite; at 200, where the fit of normal returns may end, 99 % quantiles differ from a
normal law's by under 1 %."""


@dataclass(frozen=True, slots=True)
class FittedStudentT:
    """Location and scale per session, and degrees of freedom."""

    location: float
    scale: float
    degrees_of_freedom: float

    @property
    def standard_deviation(self) -> float:
        """Of the law, per session: scale · √(ν / (ν - 2))."""
        return self.scale * math.sqrt(self.degrees_of_freedom / (self.degrees_of_freedom - 2.0))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The three parameters."""
        return (
            Parameter("location", self.location),
            Parameter("scale", self.scale),
            Parameter("degrees_of_freedom", self.degrees_of_freedom),
        )

    def walk(
        self, outcomes: Outcomes, fan_steps: IntArray, horizon_sessions: int, key: tuple[int, int], first_path: int
    ) -> None:
        """Walk by independent draws (see `FittedModel.walk`)."""
        law = (self.location, self.scale, standard_table(self.degrees_of_freedom))
        _walk(law, packed_key(key), first_path, horizon_sessions, fan_steps, outcomes)


@lru_cache(TABLES_KEPT)
def standard_table(degrees_of_freedom: float) -> FloatArray:
    """The quantile table of the law with location 0 and scale 1 (see `quantile_table`)."""
    freedom = np.array(degrees_of_freedom)
    return quantile_table(
        lambda probability: np.asarray(stdtrit(freedom, probability)),
        lambda t: standard_student_t_density(t, freedom),
    )


@dataclass(frozen=True, slots=True)
class StudentT:
    """A Student-t law fitted by maximum likelihood."""

    name: str = "student_t"

    def fit(self, returns: FloatArray) -> FittedStudentT:
        """Maximise the likelihood over scale and degrees of freedom, at the mean of the returns.

        The location is not left to the likelihood: a symmetric law puts it near the median, which for
        skewed returns lies above the mean and would compound to a drift that history did not have.

        Raises
        ------
        SimulationInputError
            If the returns do not vary.
        """
        mean, spread = float(returns.mean()), float(returns.std())
        if spread <= 1e-12:
            raise SimulationInputError("returns do not vary: a Student-t law cannot be fitted; check the prices")
        scale, freedom = most_likely((returns - mean) / spread)
        return FittedStudentT(mean, spread * scale, freedom)


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(words: WordArray, block: int, first_path: int, key: Key) -> None:
    """One block of every path's words, a path a column."""
    for lane in range(words.shape[1]):
        a, b, c, d = random_words(np.uint64(block), np.uint64(first_path + lane), STREAM, key[0], key[1])
        words[0, lane], words[1, lane], words[2, lane], words[3, lane] = a, b, c, d


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(
    law: tuple[float, float, FloatArray],
    key: Key,
    first_path: int,
    horizon: int,
    fan_steps: IntArray,
    outcomes: Outcomes,
) -> None:
    """Walk paths side by side, a word a step; lanes without a path are walked in vain.

    Loops over lanes are written out: whole-array statements take numba seconds to compile.
    """
    location, scale, table = law
    words, cells, draws = np.empty((WORDS_PER_BLOCK, LANES), np.uint64), np.empty(LANES, np.uint64), np.empty(LANES)
    wealth, peak, least = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for first in range(0, len(outcomes.terminal_wealth), LANES):
        size = min(LANES, len(outcomes.terminal_wealth) - first)
        for lane in range(LANES):
            wealth[lane], peak[lane], least[lane] = START
        fan = 0
        for step in range(horizon):
            use = step % WORDS_PER_BLOCK
            if use == 0:
                _fill(words, step // WORDS_PER_BLOCK, first_path + first, key)
            draw(words[use], table, cells, draws)
            for lane in range(LANES):
                state = (wealth[lane], peak[lane], least[lane])
                wealth[lane], peak[lane], least[lane] = advance(state, location + scale * draws[lane])
            if fan < len(fan_steps) and step + 1 == fan_steps[fan]:
                for lane in range(size):
                    outcomes.fan_wealth[first + lane, fan] = wealth[lane]
                fan += 1
        for lane in range(size):
            outcomes.terminal_wealth[first + lane] = wealth[lane]
            outcomes.max_drawdown[first + lane] = least[lane] - 1.0
