"""Whether value at risk and expected shortfall forecasts were right: every test of a published series.

A loss is an exception if it exceeds the value at risk forecast for its session. P-values of likelihood ratios are
asymptotic (χ²); those of the shortfall statistics are simulated (`shortfall_backtests`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from pipeline.base import special
from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.risk.measures.durations import duration_test
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.shortfall_backtests import DEFAULT_SIMULATIONS, acerbi_szekely_z1, acerbi_szekely_z2
from pipeline.risk.measures.statistic import Statistic

Zone: TypeAlias = Literal["green", "yellow", "red"]

MINIMUM_SIMULATIONS = 100

BASEL_SESSIONS = 250
BASEL_CONFIDENCE = 0.99

BASEL_PLUS_FACTORS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.40, 0.50, 0.65, 0.75, 0.85, 1.0)
"""By exceptions, the last for 10 and more; added to the multiplication factor of 3. Basel Committee (1996),
"Supervisory framework for the use of backtesting in conjunction with the internal models approach", table 2."""

BASEL_MULTIPLIERS = (1.50, 1.50, 1.50, 1.50, 1.50, 1.70, 1.76, 1.83, 1.88, 1.92, 2.00)
"""By exceptions, the last for 10 and more. Basel Committee (2019), MAR99."""


@dataclass(frozen=True, slots=True)
class TrafficLight:
    """The supervisor's view of the last 250 sessions at 99 %.

    Parameters
    ----------
    zone, exceptions, plus_factor, multiplier
        Green up to 4 exceptions, yellow up to 9, red from 10 on; `plus_factor` of 1996, `multiplier` of 2019.
        None together with a reason.
    undefined_because
        ``"fewer_than_250_sessions"`` or ``"confidence_is_not_99_percent"``.
    """

    zone: Zone | None = None
    exceptions: int | None = None
    plus_factor: float | None = None
    multiplier: float | None = None
    undefined_because: str | None = None


@dataclass(frozen=True, slots=True)
class VarBacktest:
    """All tests of one series of forecasts.

    Parameters
    ----------
    observations, exceptions, expected_exceptions
        Sessions, those with a loss above the value at risk, and (1-α) × sessions.
    kupiec
        Unconditional coverage: is their number right?
    independence
        Christoffersen's: is an exception as likely after an exception as after none?
    conditional_coverage
        Both together.
    duration
        Christoffersen & Pelletier's: do exceptions come without memory of the last?
    shortfall_z1, shortfall_z2
        Acerbi & Szekely's: are losses beyond VaR as large as ES says, given the exceptions (Z1), and together
        with their number (Z2)? Below 0 where ES was too low.
    traffic_light
        Basel's zones.
    """

    confidence: float
    observations: int
    exceptions: int
    expected_exceptions: float
    kupiec: Statistic
    independence: Statistic
    conditional_coverage: Statistic
    duration: Statistic
    shortfall_z1: Statistic
    shortfall_z2: Statistic
    traffic_light: TrafficLight


def backtest(
    returns: FloatArray,
    var: FloatArray,
    es: FloatArray | None,
    confidence: float,
    seed: int = 0,
    simulations: int = DEFAULT_SIMULATIONS,
) -> VarBacktest:
    """Run every test.

    Parameters
    ----------
    returns
        (n,) what was earned.
    var, es
        (n,) what was forecast for the same sessions as positive losses; `es` may be None.
    confidence
        α of the forecasts.
    seed, simulations
        Of the p-values of Z1 and Z2. Their time grows with simulations × expected exceptions: about 40 ms for
        10,000 × 40.

    Raises
    ------
    MeasureInputError
        For series of different lengths, none at all, NaN or infinite values, or ES below VaR.
    """
    _require(returns, var, es, confidence)
    if not 0 <= seed < 2**64:
        raise MeasureInputError(f"seed={seed}: give a whole number from 0 to 2⁶⁴ - 1")
    if simulations < MINIMUM_SIMULATIONS:
        raise MeasureInputError(f"simulations={simulations}: give at least {MINIMUM_SIMULATIONS}")
    hits = exceptions_of(returns, var)
    if es is None:
        z1 = z2 = Statistic.undefined("no_expected_shortfall")
    else:
        z1 = acerbi_szekely_z1(returns, var, es, seed, simulations)
        z2 = acerbi_szekely_z2(returns, var, es, confidence, seed, simulations)
    return VarBacktest(
        confidence=confidence,
        observations=len(hits),
        exceptions=int(hits.sum()),
        expected_exceptions=(1.0 - confidence) * len(hits),
        kupiec=kupiec_test(int(hits.sum()), len(hits), confidence),
        independence=independence_test(hits),
        conditional_coverage=conditional_coverage_test(hits, confidence),
        duration=duration_test(hits),
        shortfall_z1=z1,
        shortfall_z2=z2,
        traffic_light=traffic_light(hits, confidence),
    )


def exceptions_of(returns: FloatArray, var: FloatArray) -> BoolArray:
    """(n,) whether the loss of each session exceeded its value at risk; a loss equal to it did not.

    The hit sequence of Christoffersen (1998).
    """
    exceeded: BoolArray = -returns > var
    return exceeded


def kupiec_test(exceptions: int, observations: int, confidence: float) -> Statistic:
    """Proportion of failures (Kupiec 1995): LR = 2 [ln L(x/n) - ln L(1-α)], χ² with one degree of freedom."""
    if not 0 <= exceptions <= observations or observations == 0:
        raise MeasureInputError(
            f"exceptions={exceptions} of {observations}: give from 0 to the observations, at least 1"
        )
    return _statistic(kupiec_ratio(np.array(exceptions), np.array(observations), confidence), 1)


def kupiec_ratio(exceptions: IntArray, observations: IntArray, confidence: float) -> FloatArray:
    """(...) likelihood ratios of numbers of exceptions (...) among as many observations, at least 1 (Kupiec 1995)."""
    best = _log_likelihood(exceptions, observations, exceptions / observations)
    return _ratio(best, _log_likelihood(exceptions, observations, 1.0 - confidence))


def independence_test(hits: BoolArray) -> Statistic:
    """First-order Markov chain against independence (Christoffersen 1998), χ² with one degree of freedom.

    Undefined if only one of the two states was ever left: nothing was seen that could speak for or against it.
    With 0·ln 0 = 0, exceptions none of which follows another are an ordinary case.
    """
    transitions = transitions_of(hits, np.array([0]), np.array([len(hits)]))
    undefined = independence_undefined_because(transitions)[0]
    if undefined:
        return Statistic.undefined(undefined)
    return _statistic(independence_ratio(transitions)[0], 1)


@dataclass(frozen=True, slots=True)
class Transitions:
    """From a session to the next, (m,) each: how often without and with an exception, and exceptions after each."""

    from_none: IntArray
    from_one: IntArray
    one_after_none: IntArray
    one_after_one: IntArray


def transitions_of(hits: BoolArray, starts: IntArray, stops: IntArray) -> Transitions:
    """Of the parts ``hits[start:stop]`` of a series, each of at least one session (Christoffersen 1998)."""
    before, after = hits[:-1], hits[1:]

    def count(happened: BoolArray) -> IntArray:
        total = np.concatenate([[0], np.cumsum(happened)])
        counted: IntArray = total[stops - 1] - total[starts]
        return counted

    return Transitions(count(~before), count(before), count(~before & after), count(before & after))


def independence_undefined_because(transitions: Transitions) -> list[str]:
    """Why `independence_ratio` says nothing of a part; empty where it does."""
    reasons = np.where(transitions.from_one == 0, "no_exception_that_could_be_followed", "")
    words: list[str] = np.where(transitions.from_none == 0, "only_exceptions", reasons).tolist()
    return words


def independence_ratio(transitions: Transitions) -> FloatArray:
    """(m,) likelihood ratios (Christoffersen 1998); 0 where a state was never left."""
    parts = (
        (transitions.one_after_none, transitions.from_none),
        (transitions.one_after_one, transitions.from_one),
    )
    apart = [_log_likelihood(ones, left, ones / np.maximum(left, 1)) for ones, left in parts]
    ones, left = parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    return _ratio(apart[0] + apart[1], _log_likelihood(ones, left, ones / np.maximum(left, 1)))


def conditional_coverage_test(hits: BoolArray, confidence: float) -> Statistic:
    """Coverage and independence together (Christoffersen 1998), χ² with two degrees of freedom.

    The sum of both ratios. Without exceptions independence adds 0 and coverage alone speaks.
    """
    coverage = kupiec_test(int(hits.sum()), len(hits), confidence)
    independence = independence_test(hits)
    statistic = (coverage.value or 0.0) + (independence.value or 0.0)
    return Statistic(statistic, float(special.chdtrc(2, statistic)))


def traffic_light(hits: BoolArray, confidence: float) -> TrafficLight:
    """Zone by the exceptions among the last 250 sessions at 99 % (Basel Committee 1996, table 2).

    The zones and the plus factor are those of 1996, and the multiplier is that of MAR99 (Basel Committee 2019).
    """
    if abs(confidence - BASEL_CONFIDENCE) > 1e-12:
        return TrafficLight(undefined_because="confidence_is_not_99_percent")
    if len(hits) < BASEL_SESSIONS:
        return TrafficLight(undefined_because="fewer_than_250_sessions")
    exceptions = int(hits[-BASEL_SESSIONS:].sum())
    row = min(exceptions, len(BASEL_PLUS_FACTORS) - 1)
    return TrafficLight(zone_of(exceptions), exceptions, BASEL_PLUS_FACTORS[row], BASEL_MULTIPLIERS[row])


def zone_of(exceptions: int) -> Zone:
    """Zone of a number of exceptions in 250 sessions at 99 % (Basel Committee 1996, table 2)."""
    return "green" if exceptions < 5 else "yellow" if exceptions < 10 else "red"


def _log_likelihood(exceptions: IntArray, observations: IntArray, probability: FloatArray | float) -> FloatArray:
    """Of x exceptions in n sessions, x ln p + (n-x) ln(1-p) with 0·ln 0 = 0."""
    happened, not_happened = exceptions.astype(np.float64), (observations - exceptions).astype(np.float64)
    rate = np.asarray(probability, dtype=np.float64)
    return np.asarray(special.xlogy(happened, rate) + special.xlog1py(not_happened, -rate), dtype=np.float64)


def _ratio(best: FloatArray, restricted: FloatArray) -> FloatArray:
    # At the null's own rate both agree but for rounding, which must not make the ratio negative.
    ratio: FloatArray = np.maximum(0.0, 2.0 * (best - restricted))
    return ratio


def _statistic(ratio: FloatArray, degrees: int) -> Statistic:
    return Statistic(float(ratio), float(special.chdtrc(degrees, ratio)))


def _require(returns: FloatArray, var: FloatArray, es: FloatArray | None, confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise MeasureInputError(f"confidence={confidence}: give a fraction between 0 and 1, such as 0.99")
    given = {"returns": returns, "var": var} | ({} if es is None else {"es": es})
    for name, values in given.items():
        if values.ndim != 1 or values.shape != returns.shape or len(values) < 2:
            raise MeasureInputError(
                f"{name}: shape {values.shape}; give one series, as long as returns and of at least 2 sessions"
            )
        if not np.isfinite(values).all():
            raise MeasureInputError(f"{name}: NaN or infinite; drop the sessions without a return or a forecast")
    if es is not None and (es < var).any():
        raise MeasureInputError("es: below var on some session; give both at the same confidence and horizon")
