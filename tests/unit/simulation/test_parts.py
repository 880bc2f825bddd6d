"""Parts of a simulation are the whole, and what is asked of its paths."""

import numpy as np
import pytest

from pipeline.simulation.models import MODELS, SimulationInputError
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.run import SimulationSpec, begin, probability_of_goal, probability_of_ruin, simulate

RETURNS = np.random.default_rng(11).standard_t(6, size=1_500) * 0.009 + 0.0003


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("threads", [1, 3])
def test_parts_in_any_order_are_the_whole_bit_for_bit(model: str, threads: int) -> None:
    spec = SimulationSpec(model=model, paths=1_000, horizon_sessions=50, threads=threads)
    begun = begin(RETURNS, spec, 4)
    outcomes = begun.empty_outcomes()
    for first, end in ((700, 1_000), (0, 129), (130, 700), (129, 130)):
        begin(RETURNS, spec, 4).walk(outcomes.part(slice(first, end)), first)
    assert begun.describe(outcomes) == simulate(RETURNS, spec, 4)


def test_a_bad_subject_is_refused_before_anything_is_walked() -> None:
    with pytest.raises(SimulationInputError, match="subject=-1"):
        begin(RETURNS, SimulationSpec(), -1)


def test_probabilities_are_shares_with_binomial_errors() -> None:
    wealth, falls, nothing = np.array([0.5, 0.9, 1.1, 1.25]), np.array([-0.6, -0.5, -0.25, 0.0]), np.empty((4, 0))
    outcomes = Outcomes(wealth, wealth - 1.0, falls, np.zeros(4), nothing, nothing)
    goal, ruin = probability_of_goal(outcomes, 0.25), probability_of_ruin(outcomes, 0.5)
    assert (goal.value, ruin.value) == (0.25, 0.5)
    assert goal.error == pytest.approx(np.sqrt(0.25 * 0.75 / 4))
    assert probability_of_goal(outcomes, 0.3).value == 0.0
    assert probability_of_ruin(outcomes, 1.0).error == 0.0
