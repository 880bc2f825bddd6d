"""Value at risk and expected shortfall of fitted laws, in closed form."""

from __future__ import annotations

import numpy as np

from pipeline.base import special
from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures.dispersion import standard_deviation
from pipeline.risk.measures.moments import excess_kurtosis, skewness
from pipeline.risk.measures.student_t_fit import StudentTFit, fit_student_t, standard_student_t_density
from pipeline.risk.measures.tail_spec import FittedTail, TailEstimate, TailSpec


def gaussian_tail(returns: FloatArray, spec: TailSpec) -> TailEstimate:
    """Of a normal law with the sample's mean and standard deviation (ddof 1).

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    TailEstimate
        (...) each; the loss itself for a constant series.
    """
    return fitted_gaussian_tail(returns)(spec.confidence)


def fitted_gaussian_tail(returns: FloatArray) -> FittedTail:
    """`gaussian_tail` at any confidence."""
    mean, deviation = np.mean(returns, axis=-1), standard_deviation(returns)
    return lambda confidence: gaussian_law_tail(mean, deviation, confidence)


def gaussian_law_tail(mean: FloatArray, deviation: FloatArray, confidence: float) -> TailEstimate:
    """VaR = -μ + σz and ES = -μ + σφ(z)/(1-α) with z = Φ⁻¹(α) (McNeil, Frey & Embrechts 2015, section 2.3).

    Parameters
    ----------
    mean, deviation
        (...) of the returns.
    """
    z = float(special.ndtri(confidence))
    shortfall = _normal_density(z) / (1.0 - confidence)
    return TailEstimate(deviation * z - mean, deviation * shortfall - mean)


def cornish_fisher_tail(returns: FloatArray, spec: TailSpec) -> TailEstimate:
    """Of the normal law bent by the sample's skewness and excess kurtosis: modified value at risk.

    The quantile is μ + σw(z) with w(z) = z + (z²-1)S/6 + (z³-3z)K/24 - (2z³-5z)S²/36 (Cornish & Fisher
    1938; Zangari 1996). ES integrates that quantile over the tail exactly, which gives
    -μ + σ φ(z)/(1-α) [1 + zS/6 + (z²-1)K/24 - (2z²-1)S²/36] (Maillard 2012), so it agrees with the value at
    risk. The Edgeworth density of Boudt, Peterson & Croux (2008) can be negative in the tail; it is not used.

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    TailEstimate
        (...) each; NaN where `cornish_fisher_is_monotone` is false: there w is no quantile function.
    """
    return fitted_cornish_fisher_tail(returns)(spec.confidence)


def fitted_cornish_fisher_tail(returns: FloatArray) -> FittedTail:
    """`cornish_fisher_tail` at any confidence."""
    mean, deviation = np.mean(returns, axis=-1), standard_deviation(returns)
    # A constant series has no shape; without dispersion it bends nothing.
    skew = np.where(deviation > 0.0, skewness(returns), 0.0)
    kurtosis = np.where(deviation > 0.0, excess_kurtosis(returns), 0.0)
    known = np.where(cornish_fisher_is_monotone(skew, kurtosis), 1.0, np.nan)

    def at(confidence: float) -> TailEstimate:
        z = float(special.ndtri(1.0 - confidence))
        quantile = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * kurtosis / 24 - (2 * z**3 - 5 * z) * skew * skew / 36
        bend = 1 + z * skew / 6 + (z**2 - 1) * kurtosis / 24 - (2 * z**2 - 1) * skew * skew / 36
        shortfall = _normal_density(z) / (1.0 - confidence) * bend
        return TailEstimate((-mean - deviation * quantile) * known, (deviation * shortfall - mean) * known)

    return at


def cornish_fisher_is_monotone(skew: FloatArray, kurtosis: FloatArray) -> BoolArray:
    """Whether the expansion rises in z everywhere, as a quantile function must (Maillard 2012).

    Its derivative (K/8 - S²/6) z² + (S/3) z + 1 - K/8 + 5S²/36 has no sign change if its discriminant is not
    positive. K between 0 and 8 at S = 0; no K at all beyond |S| = 6(√2-1).

    Parameters
    ----------
    skew, kurtosis
        (...) skewness and excess kurtosis.
    """
    square, level = kurtosis / 8 - skew * skew / 6, 1 - kurtosis / 8 + 5 * skew * skew / 36
    monotone: BoolArray = (skew * skew / 9 <= 4 * square * level) & (square >= 0.0) & (level >= 0.0)
    return monotone


def student_t_tail(returns: FloatArray, spec: TailSpec) -> TailEstimate:
    """Of a Student-t law fitted by maximum likelihood.

    VaR = -μ + σt and ES = -μ + σ f(t)/(1-α) (ν+t²)/(ν-1), where t is the standard law's quantile at α and f
    its density (McNeil, Frey & Embrechts 2015, section 2.3).

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    TailEstimate
        (...) each; NaN where the likelihood has no maximum (`fit_student_t`).
    """
    return student_t_law_tail(fit_student_t(returns))(spec.confidence)


def student_t_law_tail(fit: StudentTFit) -> FittedTail:
    """`student_t_tail` of fitted laws, at any confidence."""
    freedom = fit.degrees_of_freedom

    def at(confidence: float) -> TailEstimate:
        t = np.asarray(special.stdtrit(freedom, confidence), dtype=np.float64)
        beyond = standard_student_t_density(t, freedom) / (1.0 - confidence) * (freedom + t * t) / (freedom - 1.0)
        return TailEstimate(fit.scale * t - fit.location, fit.scale * beyond - fit.location)

    return at


def _normal_density(z: float) -> float:
    return float(np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))
