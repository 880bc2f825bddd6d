"""Each model against a twin: plain loops over the definition, without running sums, sorted lists or numpy's solver."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.filtered_historical import FilteredHistorical, expected_shortfall
from pipeline.forecast.models.har import Har
from pipeline.forecast.models.kernels.adaptive_quantiles import adaptive_quantiles, adaptive_quantiles_python
from pipeline.forecast.models.kernels.exponential_mean import exponential_means, exponential_means_python

Drawn = Callable[..., FloatArray]
FLOOR = 0.0001


def ewma_twin(returns: list[float], decay: float, warm_up: int) -> float:
    variance = sum(r * r for r in returns[:warm_up]) / warm_up
    for r in returns[warm_up:]:
        variance = decay * variance + (1.0 - decay) * r * r
    return max(math.sqrt(variance), FLOOR)


def har_row(returns: list[float]) -> tuple[list[float], float]:
    """Regressors and first guess as of the end of `returns`."""
    sizes = [abs(r) for r in returns]
    x = [fmean(sizes[-lag:]) for lag in (1, 5, 22)]
    return [1.0, *x], max((sum(x) + fmean(sizes)) / 4, FLOOR)


class HarFit(NamedTuple):
    line: float
    guess: float
    scale: float


def har_fit_twin(returns: list[float], horizon: int, window: int, refit: int) -> HarFit:
    """As of the end of `returns`, from its own refit."""
    trained_through = len(returns) // refit * refit
    ends = [end for end in range(22, trained_through + 1) if end + horizon <= trained_through][-window:]
    rows, targets, squares = [], [], []
    for end in ends:
        x, guess = har_row(returns[:end])
        ahead = returns[end : end + horizon]
        if guess > FLOOR:
            rows.append([value / guess for value in x])
            targets.append(fmean(abs(r) for r in ahead) / guess)
            squares.append(fmean(r * r for r in ahead) / guess**2)
    # Singular values rather than normal equations: another road to the same least squares.
    beta = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0].tolist()
    x, guess = har_row(returns)
    line = sum(b * value for b, value in zip(beta, x, strict=True))
    return HarFit(line, guess, math.sqrt(fmean(squares)) / fmean(targets))


def har_twin(returns: list[float], horizon: int, window: int, refit: int) -> float:
    fit = har_fit_twin(returns, horizon, window, refit)
    return max(fit.scale * min(max(fit.line, fit.guess / 4), fit.guess * 4), FLOOR)


def fhs_twin(returns: list[float], level: float, decay: float, warm_up: int, window: int) -> tuple[float, float]:
    """Quantile and expected shortfall as of the end of `returns`."""
    residuals = [returns[t] / ewma_twin(returns[:t], decay, warm_up) for t in range(warm_up, len(returns))][-window:]
    volatility = ewma_twin(returns, decay, warm_up)
    scenarios = sorted(max(z * volatility, -1.0) for z in residuals)
    n = len(scenarios)
    # The smallest value that at least level × n scenarios do not exceed.
    quantile = next(s for rank, s in enumerate(scenarios, start=1) if rank >= level * n - 1e-9)
    # Rockafellar & Uryasev: minimise c + E[(loss - c)+] / level over c; a scenario is always among the minima.
    shortfall = min(-c + sum(max(c - s, 0.0) for s in scenarios) / (n * level) for c in scenarios)
    return quantile, shortfall


def test_ewma_equals_its_twin(drawn: Drawn) -> None:
    returns = drawn(120, seed=1)
    returns[:6] = 0.0
    model = Ewma(decay=0.9, warm_up_sessions=5)
    made = model.forecast(returns, (1, 21), range(5, 121)).values
    expected = [ewma_twin(returns[:row].tolist(), 0.9, 5) for row in range(5, 121)]
    np.testing.assert_allclose(made[:, 0], expected, rtol=1e-13)
    assert (made[:, 0] == made[:, 1]).all()
    assert made[0, 0] == FLOOR


@pytest.mark.parametrize("horizon", [1, 4, 21])
@pytest.mark.parametrize("returns", ["clusters", "stands still at first", "turbulence, then calm"])
def test_har_equals_its_twin(horizon: int, returns: str, drawn: Drawn) -> None:
    series = drawn(260, seed=2)
    if returns == "stands still at first":
        series[:40] = 0.0
    if returns == "turbulence, then calm":
        series[120:] /= 60.0
    model = Har(window_targets=70, minimum_targets=30, refit_sessions=8)
    rows = range(model.minimum_returns(horizon), 261)
    made = model.forecast(series, (horizon,), rows)
    expected = [har_twin(series[:row].tolist(), horizon, 70, 8) for row in rows]
    np.testing.assert_allclose(made.values[:, 0], expected, rtol=2e-6)
    assert made.trained_through.tolist() == [row // 8 * 8 for row in rows]


def test_har_keeps_a_wild_line_near_its_first_guess(drawn: Drawn) -> None:
    """A fit on a series that woke up in the middle of the window extrapolates beyond both bounds."""
    series = drawn(260, seed=2)
    series[60:130] *= 1e-3
    model = Har(window_targets=40, minimum_targets=30, refit_sessions=8)
    rows = range(model.minimum_returns(1), 261)
    made = model.forecast(series, (1,), rows).values[:, 0]
    fits = [har_fit_twin(series[:row].tolist(), 1, 40, 8) for row in rows]
    too_low = [made[n] / (fit.scale * fit.guess) for n, fit in enumerate(fits) if fit.line < 0.24 * fit.guess]
    too_high = [made[n] / (fit.scale * fit.guess) for n, fit in enumerate(fits) if fit.line > 4.1 * fit.guess]
    assert too_low
    assert too_high
    np.testing.assert_allclose(too_low, 0.25, rtol=1e-6)
    np.testing.assert_allclose(too_high, 4.0, rtol=1e-6)


@pytest.mark.parametrize("level", [0.01, 0.025, 0.05, 0.5, 0.99])
def test_filtered_historical_equals_its_twin(level: float, drawn: Drawn) -> None:
    returns = drawn(190, seed=4)
    returns[185] = 1.5  # a jump after which old losses times today's volatility exceed everything
    model = FilteredHistorical(window_residuals=80, minimum_residuals=40, volatility=Ewma(0.9, 10))
    rows = range(50, 191)
    made = model.forecast(returns, (level,), (level,), rows)
    expected = [fhs_twin(returns[:row].tolist(), level, 0.9, 10, 80) for row in rows]
    np.testing.assert_allclose(made.quantiles[:, 0], [quantile for quantile, _ in expected], rtol=1e-12)
    np.testing.assert_allclose(made.shortfalls[:, 0], [shortfall for _, shortfall in expected], rtol=1e-9, atol=1e-12)


def test_the_shortfall_of_a_flat_tail_is_not_below_the_loss_at_the_quantile() -> None:
    sizes = np.arange(500, 1001)
    for level in (0.01, 0.025):
        tail = np.full((len(sizes), 26), -0.07)
        assert (expected_shortfall(tail, sizes, level) >= 0.07).all()
        np.testing.assert_allclose(expected_shortfall(tail, sizes, level), 0.07, rtol=1e-14)


def test_first_forecasts_come_when_the_parameters_say() -> None:
    assert Ewma().minimum_returns(21) == 22
    assert FilteredHistorical().minimum_returns == 522
    # 504 targets of 21 sessions, the first of which follows row 22, end at row 546 = 26 × 21.
    assert [Har().minimum_returns(horizon) for horizon in (1, 5, 21, 22)] == [546, 546, 546, 567]


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        (Ewma, {"decay": 1.0}, "decay=1.0"),
        (Ewma, {"warm_up_sessions": 0}, "warm_up_sessions=0"),
        (Har, {"minimum_targets": 4}, "minimum_targets=4"),
        (Har, {"window_targets": 100}, "window_targets=100"),
        (Har, {"refit_sessions": 0}, "refit_sessions=0"),
        (FilteredHistorical, {"minimum_residuals": 0}, "minimum_residuals=0"),
        (FilteredHistorical, {"window_residuals": 499}, "window_residuals=499"),
    ],
)
def test_impossible_parameters_are_refused(
    model: Callable[..., object], parameters: dict[str, float], message: str
) -> None:
    with pytest.raises(ForecastInputError, match=message):
        model(**parameters)


def test_compiled_recursions_equal_their_plain_twins(drawn: Drawn) -> None:
    values, one, other = drawn(400), np.empty(401), np.empty(401)
    exponential_means(values, 0.97, one)
    exponential_means_python(values, 0.97, other)
    np.testing.assert_allclose(one, other, rtol=1e-13)
    assert one[3] == pytest.approx((values[2] + 0.97 * values[1] + 0.97**2 * values[0]) / (1 + 0.97 + 0.97**2))
    asked = ((250, 100, 1, 0), np.array([0.01, 0.5, 0.95]), (0.05, 4.0), np.array([0.01]))
    compiled, plain = (np.empty((401, 3)), np.empty((401, 1))), (np.empty((401, 3)), np.empty((401, 1)))
    adaptive_quantiles(values, *asked, *compiled)
    adaptive_quantiles_python(values, *asked, *plain)
    for ours, theirs in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_without_learning_an_adaptive_quantile_is_that_of_the_window(drawn: Drawn) -> None:
    values, quantiles, below = drawn(600), np.empty((601, 1)), np.empty((601, 1))
    adaptive_quantiles(values, (250, 100, 1, 0), np.array([0.05]), (0.0, 4.0), np.array([0.05]), quantiles, below)
    assert np.isnan(quantiles[:100]).all()
    for row in (100, 250, 251, 600):
        window = values[max(row - 250, 0) : row]
        assert quantiles[row, 0] == pytest.approx(np.quantile(window, 0.05, method="hazen"), rel=1e-12)
        tail = np.sort(window)
        worst = 0.05 * len(window)
        weights = np.clip(worst - np.arange(len(window)), 0.0, 1.0)
        assert below[row, 0] == pytest.approx((weights * tail).sum() / worst, rel=1e-12)


def test_an_adaptive_level_moves_out_after_a_miss_and_back_without(drawn: Drawn) -> None:
    """Gibbs & Candès (2021): the share of misses is the level's in the long run, even of returns that grow wilder."""
    wilder = drawn(5_000) * np.linspace(1.0, 20.0, 5_000)
    share = {}
    for rate in (0.0, 0.05):
        quantiles, below = np.empty((5_001, 1)), np.empty((5_001, 1))
        adaptive_quantiles(wilder, (750, 500, 1, 0), np.array([0.05]), (rate, 4.0), np.array([0.05]), quantiles, below)
        share[rate] = float((wilder[500:] < quantiles[500:-1, 0]).mean())
    assert share[0.05] == pytest.approx(0.05, abs=0.005)
    assert abs(share[0.05] - 0.05) < abs(share[0.0] - 0.05)
