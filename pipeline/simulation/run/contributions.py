"""What each position adds to what a portfolio earns and to its expected shortfall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.run.samples import Sample

CONFIDENCE = 0.975


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one position adds, as fractions of the portfolio's value at the start, before costs.

    Parameters
    ----------
    gain_mean
        Mean of what it earns.
    es_975
        Its part of the expected shortfall: its mean loss on the paths of the portfolio's worst 2.5 % (Tasche 2002,
        "Expected shortfall and beyond", Journal of Banking & Finance 26).
    gain_mean_error, es_975_error
        Monte Carlo standard errors.
    """

    gain_mean: float
    gain_mean_error: float
    es_975: float
    es_975_error: float


@dataclass(frozen=True, slots=True)
class Contributions:
    """Of every position, and of costs: they add up to the portfolio's mean return and to its expected shortfall.

    Parameters
    ----------
    positions
        In the order of the weights.
    costs
        What trades take: a gain that is 0 or negative.
    """

    positions: tuple[Contribution, ...]
    costs: Contribution


def contributions_of(outcomes: Outcomes, sample: Sample) -> Contributions | None:
    """The parts of the positions; None where what they earn is not kept."""
    if outcomes.position_gain.shape[1] == 0:
        return None
    ranks = np.argsort(outcomes.gain, kind="stable")
    ranked = sample.in_order(ranks)
    parts = [_contribution(gain[ranks], ranked) for gain in outcomes.position_gain.T]
    return Contributions(tuple(parts), _contribution(-outcomes.cost[ranks], ranked))


def _contribution(ordered: FloatArray, sample: Sample) -> Contribution:
    """One part, by the paths in the order of what the portfolio earns.

    The error of the shortfall is that of its influence function, (c - g) / (1 - α) on the worst paths and 0 elsewhere,
    with c what the part earns on paths about the portfolio's value at risk.
    """
    n, counted = len(ordered), sample.in_tail(len(ordered), CONFIDENCE)
    count = len(counted)
    spread = max(1, round(np.sqrt(n * CONFIDENCE * (1.0 - CONFIDENCE))))
    at_edge = float(ordered[max(0, count - spread) : count + spread].mean())
    influence = np.zeros(n)
    influence[:count] = (at_edge - ordered[:count]) / (1.0 - CONFIDENCE)
    return Contribution(
        sample.mean(ordered),
        sample.error(ordered),
        float(-(counted @ ordered[:count]) / (1.0 - CONFIDENCE)),
        sample.error(influence),
    )
