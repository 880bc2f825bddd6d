"""Closed-form tails against integrals of their laws, scipy's laws and scipy's fits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from pipeline.base.types import FloatArray
from pipeline.risk.measures.moments import excess_kurtosis, skewness
from pipeline.risk.measures.parametric_tail import (
    cornish_fisher_is_monotone,
    cornish_fisher_tail,
    gaussian_law_tail,
    gaussian_tail,
    student_t_tail,
)
from pipeline.risk.measures.student_t_fit import DEGREES_OF_FREEDOM_BOUNDS, fit_student_t
from pipeline.risk.measures.tail_spec import TailSpec
from tests.unit.risk.series import PROPERTY, drawn_returns

LEVELS = (0.9, 0.95, 0.975, 0.99, 0.995)
EVERY_LEVEL = pytest.mark.parametrize("confidence", LEVELS)


def skewed_returns(sessions: int = 500) -> FloatArray:
    """Inside the domain of the expansion: skewness about -0.4, excess kurtosis about 1.5."""
    t = stats.t.ppf((np.arange(sessions) + 0.5) / sessions, 7.0)
    return 0.0005 + 0.01 * (t - 0.05 * t * t)


def expansion(z: float, skew: float, kurtosis: float) -> float:
    third, fourth, square = (z**2 - 1) / 6, (z**3 - 3 * z) / 24, (2 * z**3 - 5 * z) / 36
    return z + third * skew + fourth * kurtosis - square * skew**2


@EVERY_LEVEL
def test_gaussian_figures_are_those_of_scipys_law(confidence: float) -> None:
    returns = drawn_returns(400, seed=3)
    law = stats.norm(returns.mean(), returns.std(ddof=1))
    made = gaussian_tail(returns, TailSpec(confidence))
    quantile = law.ppf(1.0 - confidence)
    tail, _ = integrate.quad(lambda x: x * law.pdf(x), quantile - 1.0, quantile, epsabs=1e-15)
    assert made.var == pytest.approx(-quantile, rel=1e-12)
    assert made.es == pytest.approx(-tail / (1.0 - confidence), rel=1e-9)


def test_gaussian_figures_of_the_standard_law_as_tables_have_them() -> None:
    made = gaussian_law_tail(np.zeros(1), np.ones(1), 0.99)
    assert (made.var[0], made.es[0]) == (pytest.approx(2.326348, abs=5e-7), pytest.approx(2.665214, abs=5e-7))
    made = gaussian_law_tail(np.zeros(1), np.ones(1), 0.975)
    assert (made.var[0], made.es[0]) == (pytest.approx(1.959964, abs=5e-7), pytest.approx(2.337803, abs=5e-7))


# Cornish-Fisher


@EVERY_LEVEL
def test_cornish_fisher_is_the_expansion_and_its_integral(confidence: float) -> None:
    returns = skewed_returns()
    skew, kurtosis = float(skewness(returns)), float(excess_kurtosis(returns))
    mean, deviation = returns.mean(), returns.std(ddof=1)
    made = cornish_fisher_tail(returns, TailSpec(confidence))
    z = stats.norm.ppf(1.0 - confidence)
    tail, _ = integrate.quad(lambda x: expansion(x, skew, kurtosis) * stats.norm.pdf(x), -40.0, z, epsabs=1e-14)
    assert made.var == pytest.approx(-mean - deviation * expansion(z, skew, kurtosis), rel=1e-12)
    assert made.es == pytest.approx(-mean - deviation * tail / (1.0 - confidence), rel=1e-9)
    assert made.var > gaussian_tail(returns, TailSpec(confidence)).var or confidence < 0.95


@PROPERTY
@given(st.floats(-3.0, 3.0), st.floats(-1.0, 10.0))
def test_the_domain_is_where_the_expansion_rises_everywhere(skew: float, kurtosis: float) -> None:
    z = np.sinh(np.linspace(-10.0, 10.0, 40_001))  # dense in the middle, and out to where a small square term shows
    slope = 1 + skew * z / 3 + kurtosis * (z**2 - 1) / 8 - skew**2 * (6 * z**2 - 5) / 36
    monotone = bool(cornish_fisher_is_monotone(np.float64(skew), np.float64(kurtosis)))
    if abs(slope.min()) > 1e-3 and abs(kurtosis / 8 - skew**2 / 6) > 1e-6:
        assert monotone == (slope.min() > 0.0)


def test_the_domain_ends_where_maillard_says() -> None:
    kurtosis = np.linspace(-1.0, 14.0, 150_001)
    known = kurtosis[cornish_fisher_is_monotone(np.zeros_like(kurtosis), kurtosis)]
    assert (known.min(), known.max()) == (pytest.approx(0.0, abs=1e-4), pytest.approx(8.0, abs=1e-4))
    widest = 6.0 * (math.sqrt(2.0) - 1.0)
    assert cornish_fisher_is_monotone(np.full_like(kurtosis, widest - 1e-6), kurtosis).any()
    assert not cornish_fisher_is_monotone(np.full_like(kurtosis, widest + 1e-6), kurtosis).any()


def test_outside_the_domain_there_is_no_figure_and_the_neighbours_keep_theirs() -> None:
    inside, jump = skewed_returns(), skewed_returns()
    jump[0] = -0.5
    assert float(excess_kurtosis(jump)) > 8.0
    made = cornish_fisher_tail(np.array([inside, jump, inside]), TailSpec(0.99))
    assert np.isnan(made.var).tolist() == np.isnan(made.es).tolist() == [False, True, False]


# Student-t


def law_of(returns: FloatArray) -> tuple[float, float, float]:
    fit = fit_student_t(returns)
    return float(fit.degrees_of_freedom), float(fit.location), float(fit.scale)


@EVERY_LEVEL
def test_student_t_figures_are_those_of_scipys_law(confidence: float) -> None:
    returns = drawn_returns(500, seed=5)
    law = stats.t(*law_of(returns))
    made = student_t_tail(returns, TailSpec(confidence))
    tail, _ = integrate.quad(law.ppf, 0.0, 1.0 - confidence, epsabs=1e-13, limit=500)
    assert made.var == pytest.approx(-law.ppf(1.0 - confidence), rel=1e-10)
    assert made.es == pytest.approx(-tail / (1.0 - confidence), rel=1e-5)


@pytest.mark.parametrize("freedom", [2.6, 4.0, 8.0, 20.0])
@pytest.mark.parametrize("sessions", [60, 252, 1_000])
def test_the_fit_is_at_least_as_likely_as_scipys(freedom: float, sessions: int) -> None:
    returns = 0.001 + 0.01 * np.random.default_rng(int(freedom)).standard_t(freedom, sessions)
    ours, theirs = law_of(returns), stats.t.fit(returns)
    assert stats.t.logpdf(returns, *ours).sum() >= stats.t.logpdf(returns, *theirs).sum() - 1e-6 or theirs[0] < 2.1
    if DEGREES_OF_FREEDOM_BOUNDS[0] < theirs[0] < 50.0:
        assert ours == pytest.approx(theirs, rel=2e-3, abs=1e-5)


def test_the_fit_is_a_maximum_within_its_bounds() -> None:
    returns = drawn_returns(300, seed=30)
    freedom, location, scale = law_of(returns)
    best = stats.t.logpdf(returns, freedom, location, scale).sum()
    for change in (0.999, 1.001):
        assert stats.t.logpdf(returns, freedom * change, location, scale).sum() < best
        assert stats.t.logpdf(returns, freedom, location, scale * change).sum() < best
        assert stats.t.logpdf(returns, freedom, location + scale * (change - 1.0), scale).sum() < best


def test_the_fit_finds_the_law_that_many_returns_were_drawn_from() -> None:
    returns = 0.001 + 0.01 * np.random.default_rng(8).standard_t(4.0, 200_000)
    assert law_of(returns) == pytest.approx((4.0, 0.001, 0.01), rel=0.02, abs=1e-4)


def test_normal_returns_end_at_the_upper_bound_with_nearly_normal_figures() -> None:
    returns = stats.norm.ppf((np.arange(2_000) + 0.5) / 2_000)
    assert law_of(returns)[0] == pytest.approx(DEGREES_OF_FREEDOM_BOUNDS[1])
    made = student_t_tail(returns, TailSpec(0.99))
    assert (made.var, made.es) == (pytest.approx(2.326348, rel=0.01), pytest.approx(2.665214, rel=0.01))


def test_a_tail_without_variance_ends_at_the_lower_bound() -> None:
    returns = 0.001 * np.random.default_rng(3).standard_t(1.2, 500)
    assert law_of(returns)[0] == pytest.approx(DEGREES_OF_FREEDOM_BOUNDS[0])


def test_mostly_equal_returns_have_no_likeliest_law_and_the_neighbours_keep_theirs() -> None:
    still, ordinary = np.zeros(250), drawn_returns(250, seed=6)
    still[:60] = ordinary[:60]
    half = ordinary.copy()
    half[:100] = 0.0
    made = student_t_tail(np.array([ordinary, still, half]), TailSpec(0.99))
    assert np.isnan(made.var).tolist() == np.isnan(made.es).tolist() == [False, True, False]
