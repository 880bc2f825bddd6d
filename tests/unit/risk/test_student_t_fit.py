"""The Student-t fit: its series, its maximum, its compiled form and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.special import digamma, gammaln, polygamma

from pipeline.base.types import FloatArray
from pipeline.risk.measures import tail_sample
from pipeline.risk.measures.full_report import ReportSpec, full_report
from pipeline.risk.measures.kernels.student_t import fit_many, fit_windows, fit_windows_python
from pipeline.risk.measures.student_t_fit import (
    DEGREES_OF_FREEDOM_BOUNDS,
    StudentTFit,
    fit_student_t,
    half_steps,
)
from pipeline.risk.measures.windows import rolling
from tests.unit.risk.market import stock_returns
from tests.unit.risk.series import PROPERTY, drawn_returns, drawn_windows, same

FIELDS = ("location", "scale", "degrees_of_freedom")


def market_windows(sessions: int, step: int) -> FloatArray:
    """Windows of five stocks and of their mean."""
    returns = np.column_stack([stock_returns()[:, ::4], stock_returns().mean(axis=1)])
    return np.concatenate([rolling(column, sessions)[::step] for column in np.ascontiguousarray(returns.T)])


def difficult_windows(sessions: int = 250) -> dict[str, FloatArray]:
    """A window each that stands at a bound, ties, jumps or leaves hardly anything to fit."""
    ordinary, draw = drawn_returns(sessions, seed=41), np.random.default_rng(42)
    normal = stats.norm.ppf((np.arange(sessions) + 0.5) / sessions) * 0.01
    crash, tied, skewed = ordinary.copy(), ordinary.copy(), np.exp(ordinary * 20) - 1
    crash[7] = -0.9
    tied[:150] = 0.0
    return {
        "ordinary": ordinary,
        "normal": normal,
        "nearly normal": 0.01 * draw.standard_t(60, sessions),
        "uniform": draw.uniform(-0.02, 0.02, sessions),
        "two values": np.where(np.arange(sessions) % 2, 0.01, -0.01),
        "without a variance": 0.001 * draw.standard_t(1.2, sessions),
        "a crash": crash,
        "three fifths at zero": tied,
        "whole percent": np.round(ordinary, 2),
        "skewed": skewed,
        "tiny": ordinary * 1e-12,
        "constant": np.full(sessions, 0.001),
        "one that differs": np.r_[0.01, np.zeros(sessions - 1)],
    }


def assert_same_law(made: StudentTFit, expected: StudentTFit, tolerance: float = 1e-9) -> None:
    """Location and scale to a part of the scale; of the degrees of freedom the reciprocal."""
    for name in FIELDS:
        found, wanted = getattr(made, name), getattr(expected, name)
        assert (np.isnan(found) == np.isnan(wanted)).all(), name
        scale = np.where(expected.scale > 0.0, expected.scale, 1.0)
        unit = expected.degrees_of_freedom**2 if name == "degrees_of_freedom" else scale
        error = (np.abs(found - wanted) / unit)[~np.isnan(wanted)]
        assert error.max(initial=0.0) < tolerance, (name, error.max())


@pytest.mark.parametrize("x", [1.05, 1.9, 7.3, 15.99, 16.0, 40.0, 100.0])
def test_half_steps_of_the_gamma_function_are_scipys(x: float) -> None:
    expected = (
        gammaln(x + 0.5) - gammaln(x),
        digamma(x + 0.5) - digamma(x),
        polygamma(1, x + 0.5) - polygamma(1, x),
    )
    assert half_steps(x) == pytest.approx(expected, rel=1e-12, abs=2e-14)


@pytest.mark.parametrize(("sessions", "step"), [(30, 5_003), (252, 6_007), (500, 5_003)])
def test_the_fit_of_real_windows_is_the_likeliest_that_a_search_finds(sessions: int, step: int) -> None:
    """Nelder and Mead from ``scipy.stats.t.fit``, until its corners agree to 1e-11."""
    for window in market_windows(sessions, step):
        freedom, location, scale = stats.t.fit(window)
        if not 2.2 < freedom < 100.0:
            continue
        found = optimize.minimize(
            lambda law, x=window: -stats.t.logpdf(x, math.exp(law[0]), law[1], math.exp(law[2])).mean(),
            [math.log(freedom), location, math.log(scale)],
            method="Nelder-Mead",
            options={"xatol": 1e-11, "fatol": 1e-15, "maxfev": 4_000},
        ).x
        made = fit_student_t(window)
        assert made.degrees_of_freedom == pytest.approx(math.exp(found[0]), rel=2e-5)
        assert made.location == pytest.approx(found[1], abs=1e-5 * scale)
        assert made.scale == pytest.approx(math.exp(found[2]), rel=1e-6)


def test_the_compiled_fit_is_the_definition_on_real_windows() -> None:
    for sessions, step in ((30, 301), (252, 601), (500, 401)):
        windows = market_windows(sessions, step)
        assert_same_law(fit_many(windows), fit_student_t(windows))


def test_the_compiled_fit_is_the_definition_on_difficult_windows() -> None:
    windows = difficult_windows()
    expected = fit_student_t(np.stack(list(windows.values())))
    assert_same_law(fit_many(np.stack(list(windows.values()))), expected)
    freedom = dict(zip(windows, expected.degrees_of_freedom.tolist(), strict=True))
    lowest, highest = DEGREES_OF_FREEDOM_BOUNDS
    assert freedom["normal"] == freedom["uniform"] == freedom["two values"] == pytest.approx(highest)
    assert freedom["without a variance"] == freedom["three fifths at zero"] == pytest.approx(lowest)
    assert [name for name, value in freedom.items() if math.isnan(value)] == ["one that differs"]


@PROPERTY
@given(st.lists(st.integers(-3, 3), min_size=30, max_size=60))
def test_ties_are_judged_alike_by_both_forms(percent: list[int]) -> None:
    window = np.array([percent]) / 100.0
    assert_same_law(fit_many(window), fit_student_t(window), 1e-7)


@pytest.mark.parametrize(("equal", "is_known"), [(167, True), (170, False), (249, False), (250, True)])
def test_two_thirds_of_equal_returns_have_no_likeliest_law(equal: int, is_known: bool) -> None:
    """170 of 250 are more than 2.1 for each of the others."""
    window = drawn_returns(1, 250, seed=43)
    window[0, :equal] = 0.002
    shuffled = np.random.default_rng(1).permuted(window, axis=1)
    for made in (fit_student_t(shuffled), fit_many(shuffled)):
        assert [bool(np.isfinite(getattr(made, name)[0])) for name in FIELDS] == [is_known] * 3


def test_the_plain_twin_gives_the_same_bits() -> None:
    windows = np.concatenate([np.stack(list(difficult_windows().values())), market_windows(250, 4_001)])
    out = np.zeros((2, 3, len(windows)))
    for fit, columns in ((fit_windows, out[0]), (fit_windows_python, out[1])):
        fit(windows, np.empty((4, 250)), columns)
    assert same(out[0], out[1])


def test_the_bits_of_a_window_depend_on_it_alone() -> None:
    """Computed among others, from an array that begins elsewhere, and alone."""
    returns = stock_returns()[:2_001, 3].copy()
    together = fit_many(rolling(returns, 500))
    later, alone = fit_many(rolling(returns[777:], 500)), fit_many(returns[None, 1_501:])
    for name in FIELDS:
        assert same(getattr(together, name)[777:], getattr(later, name))
        assert same(getattr(together, name)[-1:], getattr(alone, name))


def test_a_report_fits_a_window_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Student-t and Monte Carlo, at three confidences, over one session and over five."""
    fitted: list[FloatArray] = []

    def counted(returns: FloatArray) -> StudentTFit:
        fitted.append(returns)
        return fit_student_t(returns)

    monkeypatch.setattr(tail_sample, "fit_student_t", counted)
    windows = drawn_windows(300)
    full_report(windows, ReportSpec(methods=("student_t", "monte_carlo")))
    assert len(fitted) == 1
    full_report(windows, ReportSpec(methods=("monte_carlo",), horizon_sessions=5))
    assert len(fitted) == 2
