"""What every function of windows must satisfy, for those that the registry does not name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures import dispersion, drawdown, entropic, growth, moments, relative
from tests.unit.risk.series import drawn_returns, same

Compute = Callable[[FloatArray, FloatArray], FloatArray]

LINEAR: dict[str, Compute] = {
    "ewma_volatility": lambda r, _: dispersion.ewma_volatility(r, 252),
    "downside_deviation": lambda r, _: dispersion.downside_deviation(r, 0.0, 252),
    "semi_deviation": lambda r, _: dispersion.semi_deviation(r, 252),
    "mean_absolute_deviation": lambda r, _: dispersion.mean_absolute_deviation(r),
    "lower_partial_moment_1": lambda r, _: dispersion.lower_partial_moment(r, 0.0, 1),
    "jensen_alpha": lambda r, b: relative.jensen_alpha(r, b, 0.0, 252),
    "entropic_var": lambda r, _: entropic.entropic_var(r, 0.95),
}
INVARIANT: dict[str, Compute] = {
    "lower_partial_moment_0": lambda r, _: dispersion.lower_partial_moment(r, 0.0, 0),
    "omega_ratio": lambda r, _: dispersion.omega_ratio(r, 0.0),
    "hit_rate": lambda r, _: growth.hit_rate(r),
    "gain_loss_ratio": lambda r, _: growth.gain_loss_ratio(r),
    "skewness": lambda r, _: moments.skewness(r, "adjusted"),
    "excess_kurtosis": lambda r, _: moments.excess_kurtosis(r, "adjusted"),
    "correlation": relative.correlation,
    "r_squared": relative.r_squared,
}
OTHERS: dict[str, Compute] = {
    "total_return": lambda r, _: growth.total_return(r),
    "tracking_error": lambda r, b: relative.tracking_error(r, b, 252),
    "information_ratio": lambda r, b: relative.information_ratio(r, b, 252),
    "up_capture": relative.up_capture,
    "down_capture": relative.down_capture,
    "average_drawdown": lambda r, _: drawdown.average_drawdown(r),
    "ulcer_index": lambda r, _: drawdown.ulcer_index(r),
    "conditional_drawdown_at_risk": lambda r, _: drawdown.conditional_drawdown_at_risk(r, 0.95),
    "entropic_drawdown_at_risk": lambda r, _: drawdown.entropic_drawdown_at_risk(r, 0.95),
}
EVERY = {**LINEAR, **INVARIANT, **OTHERS}
AGAINST_BENCHMARK = ("jensen_alpha", "correlation", "r_squared", "tracking_error", "information_ratio", "up_", "down_c")
EVERY_FUNCTION = pytest.mark.parametrize("compute", EVERY.values(), ids=EVERY)
SESSIONS = (4, 7, 8, 9, 63, 128, 129, 252)


def drawn_pair(*shape: int) -> tuple[FloatArray, FloatArray]:
    own = drawn_returns(*shape, seed=3)
    return own, 0.5 * own + 0.5 * drawn_returns(*shape, seed=4)


@pytest.mark.parametrize("name", [*LINEAR, *INVARIANT])
@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_scaling_the_returns_scales_the_function_or_leaves_it(name: str, factor: float) -> None:
    own, benchmark = drawn_pair(20, 252)
    multiple = factor if name in LINEAR else 1.0
    np.testing.assert_allclose(EVERY[name](own * factor, benchmark), EVERY[name](own, benchmark) * multiple, rtol=1e-9)


@EVERY_FUNCTION
def test_a_window_does_not_depend_on_how_many_are_computed_with_it(compute: Compute) -> None:
    for sessions in SESSIONS:
        own, benchmark = drawn_pair(17, sessions)
        together = np.asarray(compute(own, benchmark))
        assert together.shape == (17,)
        for rows in (slice(0, 1), slice(16, 17), slice(3, 5), slice(1, 17)):
            assert same(compute(own[rows].copy(), benchmark[rows].copy()), together[rows]), (sessions, rows)
        for row in (0, 16):
            assert same(np.asarray(compute(own[row].copy(), benchmark[row].copy())), together[row]), (sessions, row)


@EVERY_FUNCTION
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)], ids=str)
def test_the_last_axis_becomes_one_number(compute: Compute, shape: tuple[int, ...]) -> None:
    values = np.asarray(compute(*drawn_pair(*shape, 63)))
    assert values.shape == shape
    assert values.dtype == np.float64


@EVERY_FUNCTION
def test_the_input_is_never_modified(compute: Compute) -> None:
    own, benchmark = drawn_pair(5, 63)
    compute(own, benchmark)
    assert all(same(one, other) for one, other in zip((own, benchmark), drawn_pair(5, 63), strict=True))


@EVERY_FUNCTION
def test_one_missing_return_leaves_no_number_in_its_window_alone(compute: Compute) -> None:
    own, benchmark = drawn_pair(3, 63)
    expected = np.asarray(compute(own, benchmark))
    own[1, 40] = np.nan
    made = np.asarray(compute(own, benchmark))
    assert np.isnan(made[1])
    assert same(made[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("name", [name for name in EVERY if name.startswith(AGAINST_BENCHMARK)])
def test_one_missing_return_of_the_benchmark_leaves_no_number(name: str) -> None:
    own, benchmark = drawn_pair(3, 63)
    benchmark[1, 40] = np.nan
    assert list(np.isnan(EVERY[name](own, benchmark))) == [False, True, False]


@EVERY_FUNCTION
def test_no_window_has_an_infinite_number(compute: Compute) -> None:
    ordinary = drawn_returns(252)
    total_loss = ordinary.copy()
    total_loss[100] = -1.0
    for own in (np.zeros(252), np.full(252, 0.1), np.full(252, -0.1), np.abs(ordinary), -np.abs(ordinary), total_loss):
        for benchmark in (ordinary, np.zeros(252), own):
            assert not np.isinf(compute(own, benchmark))
