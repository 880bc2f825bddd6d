"""What a simulation says."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.simulation.models import Parameter
from pipeline.simulation.run.contributions import Contributions
from pipeline.simulation.run.samples import Probability


@dataclass(frozen=True, slots=True)
class Fan:
    """How wealth spreads over the horizon; the start is 1.

    Parameters
    ----------
    steps
        Sessions ahead.
    levels
        Quantile levels.
    wealth
        For each step the quantile at each level: the order statistic ⌈qn⌉, without interpolation.
    """

    steps: tuple[int, ...]
    levels: tuple[float, ...]
    wealth: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution over the paths, by order statistics ⌈qn⌉ and their standard errors.

    Parameters
    ----------
    levels
        Quantile levels.
    values, errors
        One each.
    """

    levels: tuple[float, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """Where the paths end.

    Returns are what is earned after costs, as fractions of the value at the start: what is paid in and out is no part
    of them. VaR and ES are positive losses at the horizon; quantiles are order statistics ⌈qn⌉, without interpolation.
    Errors are Monte Carlo standard errors: of a mean, ``s / √n``; of VaR, half the distance between the order
    statistics one binomial standard deviation to each side of it (David & Nagaraja 2003, section 7.1); of ES, the
    standard error of the Rockafellar–Uryasev objective at its minimum. If `sampling` is not plain they follow from
    independent scramblings or from weighted paths instead: see `samples`. They do not contain the error of the fit.

    Drawdowns are those of a share: payments are no rise or fall. ``depletion`` is the share of paths on which nothing
    is left at the horizon. ``fit_first`` and ``fit_last`` are positions in the returns that were given.
    """

    model: str
    horizon_sessions: int
    paths: int
    seed: int
    sampling: str
    fit_window_sessions: int
    fit_first: int
    fit_last: int
    return_mean: float
    return_mean_error: float
    return_05: float
    return_25: float
    return_50: float
    return_75: float
    return_95: float
    var_95: float
    var_95_error: float
    var_99: float
    var_99_error: float
    es_975: float
    es_975_error: float
    es_99: float
    es_99_error: float
    probability_of_loss: float
    probability_of_loss_error: float
    max_drawdown_mean: float
    max_drawdown_mean_error: float
    max_drawdown_05: float
    max_drawdown_25: float
    max_drawdown_50: float
    max_drawdown_75: float
    max_drawdown_95: float
    drawdown: Quantiles
    wealth_mean: float
    wealth_mean_error: float
    cost_mean: float
    cost_mean_error: float
    depletion: Probability
    fan: Fan
    contributions: Contributions | None
    parameters: tuple[Parameter, ...]
