"""Maximum likelihood of Student's t, against scipy's density and optimiser."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from pipeline.base.types import FloatArray
from pipeline.risk.measures.student_t_fit import DEGREES_OF_FREEDOM_BOUNDS
from pipeline.simulation.models.student_t_fit import LogLikelihood, most_likely

DRAWS = np.random.default_rng(7)
SAMPLES = {
    "returns": DRAWS.standard_t(4, 1_260),
    "few": DRAWS.standard_t(2.5, 63),
    "wild": DRAWS.standard_cauchy(1_260),
    "normal": DRAWS.standard_normal(1_260),
    "bounded": DRAWS.uniform(-1.0, 1.0, 500),
    "mostly_nothing": np.r_[np.zeros(250), DRAWS.standard_normal(50)],
    "one_shock": np.r_[1e-3 * DRAWS.standard_normal(1_259), 1.0],
}
POINTS = [(-0.4, 1.3), (0.1, 4.0), (-2.0, 0.8)]


def standardized(x: FloatArray) -> FloatArray:
    return (x - x.mean()) / x.std()


def mean_log_density(x: FloatArray, scale: float, freedom: float) -> float:
    return float(stats.t.logpdf(x, freedom, 0.0, scale).mean())


@pytest.mark.parametrize("point", POINTS)
def test_value_is_the_mean_log_density(point: tuple[float, float]) -> None:
    x = standardized(SAMPLES["returns"])
    found = LogLikelihood.at(point, x * x).value - 0.5 * np.log(np.pi)
    assert found == pytest.approx(mean_log_density(x, *np.exp(point)), rel=1e-12)


@pytest.mark.parametrize("point", POINTS)
def test_slope_and_curvature_are_those_of_the_value(point: tuple[float, float]) -> None:
    squares = standardized(SAMPLES["returns"]) ** 2
    here, step = LogLikelihood.at(point, squares), 1e-5

    def around(parameter: int) -> tuple[LogLikelihood, LogLikelihood]:
        move = step * np.eye(2)[parameter]
        low, high = np.subtract(point, move), np.add(point, move)
        return LogLikelihood.at((low[0], low[1]), squares), LogLikelihood.at((high[0], high[1]), squares)

    for parameter, bends in ((0, here.curvature[:2]), (1, here.curvature[1:])):
        low, high = around(parameter)
        assert (high.value - low.value) / (2 * step) == pytest.approx(here.slope[parameter], abs=1e-8)
        assert np.subtract(high.slope, low.slope) / (2 * step) == pytest.approx(bends, abs=1e-7)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_optimiser_finds_more(name: str) -> None:
    x = standardized(SAMPLES[name])
    scale, freedom = most_likely(x * x)
    assert DEGREES_OF_FREEDOM_BOUNDS[0] * (1 - 1e-12) <= freedom <= DEGREES_OF_FREEDOM_BOUNDS[1] * (1 + 1e-12)
    found = [
        minimize(
            lambda logs: -mean_log_density(x, *np.exp(logs)),
            x0=np.log(start),
            method="L-BFGS-B",
            bounds=[(np.log(1e-6), np.log(10.0)), np.log(DEGREES_OF_FREEDOM_BOUNDS)],
            options={"ftol": 1e-14, "gtol": 1e-9},
        ).fun
        for start in ((0.7, 5.0), (0.2, 2.5), (1.0, 60.0))
    ]
    assert -mean_log_density(x, scale, freedom) <= min(found) + 1e-12
