"""Paths put into figures, each with its Monte Carlo standard error."""

from __future__ import annotations

from pipeline.base.types import FloatArray
from pipeline.simulation.models import FittedModel
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.run.contributions import contributions_of
from pipeline.simulation.run.results import Fan, Quantiles, SimulationResult
from pipeline.simulation.run.samples import Probability, Sample
from pipeline.simulation.run.spec import QUANTILE_LEVELS, SimulationSpec

PLAIN = Sample()


def probability_of_goal(outcomes: Outcomes, goal_return: float, sample: Sample = PLAIN) -> Probability:
    """How likely what is earned up to the horizon is `goal_return`, a fraction of the start, or more."""
    return sample.share(outcomes.gain >= goal_return)


def probability_of_wealth(outcomes: Outcomes, goal_wealth: float, sample: Sample = PLAIN) -> Probability:
    """How likely wealth at the horizon, with what was paid in and out, is `goal_wealth` values at the start or more."""
    return sample.share(outcomes.terminal_wealth >= goal_wealth)


def probability_of_ruin(outcomes: Outcomes, ruin_drawdown: float, sample: Sample = PLAIN) -> Probability:
    """How likely wealth falls by `ruin_drawdown` (positive fraction) or more from its peak, at any time on the way."""
    return sample.share(-outcomes.max_drawdown >= ruin_drawdown)


def describe(
    outcomes: Outcomes, spec: SimulationSpec, fitted: FittedModel, sessions_given: int, sample: Sample = PLAIN
) -> SimulationResult:
    """The figures of all paths, which count as `sample` has it."""
    gain, ranked = sample.ordered(outcomes.gain)
    drawdown = outcomes.max_drawdown
    return_05, return_25, return_50, return_75, return_95 = ranked.quantiles(gain, QUANTILE_LEVELS)
    loss, falls = ranked.share(gain < 0.0), _distribution(drawdown, sample)
    return SimulationResult(
        model=spec.model,
        horizon_sessions=spec.horizon_sessions,
        paths=spec.paths,
        seed=spec.seed,
        sampling=spec.sampling,
        fit_window_sessions=spec.fit_window_sessions,
        fit_first=sessions_given - spec.fit_window_sessions,
        fit_last=sessions_given - 1,
        return_mean=ranked.mean(gain),
        return_mean_error=ranked.error(gain),
        return_05=return_05,
        return_25=return_25,
        return_50=return_50,
        return_75=return_75,
        return_95=return_95,
        var_95=ranked.value_at_risk(gain, 0.95),
        var_95_error=ranked.quantile_error(gain, 0.05),
        var_99=ranked.value_at_risk(gain, 0.99),
        var_99_error=ranked.quantile_error(gain, 0.01),
        es_975=ranked.shortfall(gain, 0.975),
        es_975_error=ranked.shortfall_error(gain, 0.975),
        es_99=ranked.shortfall(gain, 0.99),
        es_99_error=ranked.shortfall_error(gain, 0.99),
        probability_of_loss=loss.value,
        probability_of_loss_error=loss.error,
        max_drawdown_mean=sample.mean(drawdown),
        max_drawdown_mean_error=sample.error(drawdown),
        max_drawdown_05=falls.values[0],
        max_drawdown_25=falls.values[1],
        max_drawdown_50=falls.values[2],
        max_drawdown_75=falls.values[3],
        max_drawdown_95=falls.values[4],
        drawdown=falls,
        wealth_mean=sample.mean(outcomes.terminal_wealth),
        wealth_mean_error=sample.error(outcomes.terminal_wealth),
        cost_mean=sample.mean(outcomes.cost),
        cost_mean_error=sample.error(outcomes.cost),
        depletion=sample.share(outcomes.terminal_wealth <= 0.0),
        fan=_fan(outcomes.fan_wealth, spec.fan_sessions, sample),
        contributions=contributions_of(outcomes, sample),
        parameters=fitted.parameters,
    )


def _fan(fan_wealth: FloatArray, steps: tuple[int, ...], sample: Sample) -> Fan:
    return Fan(steps, QUANTILE_LEVELS, tuple(sample.quantiles(at_step, QUANTILE_LEVELS) for at_step in fan_wealth.T))


def _distribution(values: FloatArray, sample: Sample) -> Quantiles:
    ordered, ranked = sample.ordered(values)
    errors = tuple(ranked.quantile_error(ordered, level) for level in QUANTILE_LEVELS)
    return Quantiles(QUANTILE_LEVELS, ranked.quantiles(ordered, QUANTILE_LEVELS), errors)
