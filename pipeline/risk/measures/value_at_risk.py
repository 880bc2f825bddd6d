"""The seven methods of value at risk by name, each with its expected shortfall, horizons and rolling forecasts.

A new method is a function in its family's file and an entry in `VAR_METHODS`; it inherits the property
tests of ``tests/unit/risk/test_value_at_risk.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures import filtered_tail, parametric_tail, simulated_tail
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.tail import fitted_historical_tail
from pipeline.risk.measures.tail_sample import TailSample
from pipeline.risk.measures.tail_spec import FittedTail, Scaling, TailEstimate, TailSpec
from pipeline.risk.measures.windows import require_returns, rolling

Fitter: TypeAlias = Callable[[TailSample, TailSpec], FittedTail]

_ROWS_AT_A_TIME = 512
"""Windows estimated together: a few MiB, which stay in the cache."""


@dataclass(frozen=True, slots=True)
class VarMethod:
    """A way to estimate value at risk and expected shortfall.

    Parameters
    ----------
    name
        As in fields and documents.
    fit_session
        From windows of returns to the figures of one period of the same length, at any confidence.
    minimum_sessions
        Returns without which there is no figure.
    description
        One plain sentence.
    formula
        Of one session's value at risk and expected shortfall at α, from the n returns r of the window.
    source
        Where the formula is published.
    undefined_because
        Why the figures may be NaN; None if they never are.
    simulate
        From windows of one-session returns to the figures of a compounded simulated horizon, at any confidence;
        None if the method does not simulate.
    overlapping
        Whether `fit_session` may be given overlapping returns of several sessions. Not where it models how
        volatility follows from one session to the next.
    """

    name: str
    fit_session: Fitter
    minimum_sessions: int
    description: str
    formula: str
    source: str
    undefined_because: str | None = None
    simulate: Fitter | None = None
    overlapping: bool = True

    @property
    def scalings(self) -> tuple[Scaling, ...]:
        """How this method reaches several sessions."""
        offered: list[Scaling] = ["overlapping"] if self.overlapping else []
        offered += ["square_root_of_time"]
        offered += ["simulation"] if self.simulate is not None else []
        return tuple(offered)

    def estimate(self, returns: FloatArray, spec: TailSpec) -> TailEstimate:
        """Value at risk and expected shortfall over the horizon of `spec`.

        Parameters
        ----------
        returns
            (..., n) simple returns of one session each, oldest first.

        Returns
        -------
        TailEstimate
            (...) each: positive losses as fractions of value.

        Raises
        ------
        MeasureInputError
            For returns that are too few, NaN, infinite or below -1, or a scaling that the method lacks.
        """
        self.require(spec)
        require_returns(returns, self.returns_needed(spec))
        return self._estimated(np.ascontiguousarray(returns), spec)

    def estimate_each(
        self, returns: FloatArray, spec: TailSpec, confidences: Sequence[float]
    ) -> tuple[TailEstimate, ...]:
        """The figures of the next session at several confidences, from one fit.

        Parameters
        ----------
        returns
            (..., n) simple returns of one session each, C-contiguous and finite, n ≥ `minimum_sessions`. May be below
            -1: short positions can lose more than the portfolio's value.
        spec
            Its confidence and horizon are not used.

        Returns
        -------
        tuple of TailEstimate
            One a confidence, with the bits of `estimate` at it.
        """
        return self.estimate_sample(TailSample(returns), replace(spec, horizon_sessions=1), confidences)

    def estimate_sample(
        self, sample: TailSample, spec: TailSpec, confidences: Sequence[float]
    ) -> tuple[TailEstimate, ...]:
        """The figures over the horizon at several confidences, from one fit and the same paths.

        Parameters
        ----------
        sample
            Windows of `returns_needed` returns or more; other methods may look at them too.
        spec
            Its confidence is not used; its scaling is one of `scalings`.

        Returns
        -------
        tuple of TailEstimate
            One a confidence.
        """
        sessions, session = spec.horizon_sessions, replace(spec, horizon_sessions=1)
        if sessions > 1 and spec.scaling == "simulation" and self.simulate is not None:
            at = self.simulate(sample, spec)
        elif sessions > 1 and spec.scaling == "overlapping":
            at = self.fit_session(TailSample(overlapping_returns(sample.returns, sessions)), session)
        else:
            at = self.fit_session(sample, session)
        is_scaled = sessions > 1 and spec.scaling == "square_root_of_time"
        return tuple(at(alpha).scaled_to(sessions) if is_scaled else at(alpha) for alpha in confidences)

    def require(self, spec: TailSpec) -> None:
        """Refuse a way to several sessions that the method does not have."""
        if spec.horizon_sessions > 1 and spec.scaling not in self.scalings:
            raise MeasureInputError(
                f"scaling={spec.scaling}: {self.name} does not reach {spec.horizon_sessions} sessions that way;"
                f" choose {' or '.join(self.scalings)}"
            )

    def returns_needed(self, spec: TailSpec) -> int:
        """Returns of one session that the horizon asks for."""
        overlap = spec.horizon_sessions - 1 if spec.scaling == "overlapping" else 0
        return self.minimum_sessions + overlap

    def _estimated(self, returns: FloatArray, spec: TailSpec) -> TailEstimate:
        return self.estimate_sample(TailSample(returns), spec, (spec.confidence,))[0]


def overlapping_returns(returns: FloatArray, horizon_sessions: int) -> FloatArray:
    """Compounded return of every run of `horizon_sessions` sessions.

    Parameters
    ----------
    returns
        (..., n) simple returns of one session.

    Returns
    -------
    FloatArray
        (..., n - `horizon_sessions` + 1).
    """
    count = returns.shape[-1] - horizon_sessions + 1
    growth = np.ones((*returns.shape[:-1], count))
    for ahead in range(horizon_sessions):
        growth *= 1.0 + returns[..., ahead : ahead + count]
    return growth - 1.0


def rolling_forecasts(
    returns: FloatArray, method: VarMethod, spec: TailSpec, window_sessions: int, rows: range
) -> TailEstimate:
    """What the method said before each session, from the window that ends on the session before.

    Parameters
    ----------
    returns
        (t,) simple returns of one session.
    window_sessions
        Returns in each window.
    rows
        Positions i in `returns`, consecutive: the forecast for i reads ``returns[i - window_sessions : i]`` and
        nothing else, so its bits depend neither on earlier nor on later history. The last may be t, the
        session to come. Over several sessions the loss from i on is forecast.

    Returns
    -------
    TailEstimate
        (m,) each.

    Raises
    ------
    MeasureInputError
        If a row has fewer returns before it than the window, or the window fewer than the method needs.
    """
    method.require(spec)
    _require_rows(returns, method.returns_needed(spec), window_sessions, rows)
    if len(rows) == 0:
        return TailEstimate(np.empty(0), np.empty(0))
    used = require_returns(returns[rows.start - window_sessions : rows.stop - 1])
    parts = [
        method._estimated(rolling(used[first : first + window_sessions + taken - 1], window_sessions), spec)
        for first in range(0, len(rows), _ROWS_AT_A_TIME)
        for taken in (min(_ROWS_AT_A_TIME, len(rows) - first),)
    ]
    return TailEstimate(np.concatenate([part.var for part in parts]), np.concatenate([part.es for part in parts]))


def _require_rows(returns: FloatArray, needed: int, window_sessions: int, rows: range) -> None:
    if returns.ndim != 1:
        raise MeasureInputError(f"returns: {returns.ndim} dimensions; give one series")
    if window_sessions < needed:
        raise MeasureInputError(f"window_sessions={window_sessions}: the method needs at least {needed}")
    if rows.step != 1:
        raise MeasureInputError(f"rows: step {rows.step}; give consecutive sessions")
    if len(rows) and not window_sessions <= rows.start < rows.stop <= len(returns) + 1:
        raise MeasureInputError(
            f"rows: {rows.start} to {rows.stop - 1}, but a window of {window_sessions} of {len(returns)} returns ends"
            f" before rows {window_sessions} to {len(returns)}; choose among these or give a longer history"
        )


def _of_returns(fit: Callable[[FloatArray], FittedTail]) -> Fitter:
    """A fit that takes neither parameters nor what others have fitted."""
    return lambda sample, _: fit(sample.returns)


def _with_parameters(fit: Callable[[FloatArray, TailSpec], FittedTail]) -> Fitter:
    return lambda sample, spec: fit(sample.returns, spec)


_METHODS = (
    VarMethod(
        name="historical",
        fit_session=_of_returns(fitted_historical_tail),
        minimum_sessions=1,
        description="The loss that past returns exceeded as rarely as asked, each counting the same.",
        formula=("VaR = L(⌈αn⌉), ES = [(⌈αn⌉/n − α) L(⌈αn⌉) + Σ_{i>⌈αn⌉} L(i)/n] / (1 − α), L the ascending losses −r"),
        source="VaR: Hyndman & Fan (1996), type 1; ES: Rockafellar & Uryasev (2002), proposition 8",
    ),
    VarMethod(
        name="gaussian",
        fit_session=_of_returns(parametric_tail.fitted_gaussian_tail),
        minimum_sessions=2,
        description="The tail of a normal law with the sample's mean and standard deviation.",
        formula="VaR = σz − r̄, ES = σ φ(z)/(1 − α) − r̄, z = Φ⁻¹(α), σ² = Σ(r − r̄)²/(n − 1)",
        source="McNeil, Frey & Embrechts (2015), section 2.3",
    ),
    VarMethod(
        name="cornish_fisher",
        fit_session=_of_returns(parametric_tail.fitted_cornish_fisher_tail),
        minimum_sessions=4,
        description="The normal tail bent by skewness and kurtosis, where the bent law exists.",
        formula=(
            "VaR = −r̄ − σ [z + (z² − 1)S/6 + (z³ − 3z)K/24 − (2z³ − 5z)S²/36],"
            " ES = σ φ(z)/(1 − α) [1 + zS/6 + (z² − 1)K/24 − (2z² − 1)S²/36] − r̄, z = Φ⁻¹(1 − α),"
            " σ² = Σ(r − r̄)²/(n − 1), S the skewness and K the excess kurtosis of r"
        ),
        source="Cornish & Fisher (1938); Zangari (1996); domain and ES: Maillard (2012)",
        undefined_because="outside_cornish_fisher_domain",
    ),
    VarMethod(
        name="student_t",
        fit_session=lambda sample, _: parametric_tail.student_t_law_tail(sample.student_t),
        minimum_sessions=30,
        description="The tail of a Student-t law fitted by maximum likelihood.",
        formula=(
            "VaR = σt − μ, ES = σ g(t)/(1 − α) (ν + t²)/(ν − 1) − μ, t the α-quantile and g the density of the standard"
            " law with ν degrees of freedom; μ, σ and ν of the greatest likelihood"
        ),
        source="McNeil, Frey & Embrechts (2015), section 2.3; fit: Lange, Little & Taylor (1989)",
        undefined_because="most_returns_are_equal",
    ),
    VarMethod(
        name="ewma",
        fit_session=_with_parameters(filtered_tail.fitted_ewma_tail),
        simulate=_with_parameters(filtered_tail.ewma_paths_tail),
        overlapping=False,
        minimum_sessions=filtered_tail.WARM_UP_SESSIONS,
        description="The tail of a normal law with mean 0 and exponentially weighted volatility.",
        formula="VaR = σz, ES = σ φ(z)/(1 − α), z = Φ⁻¹(α), σ² = Σ λ^(n−i) r_i² / Σ λ^(n−i)",
        source="RiskMetrics Technical Document, 4th edition (1996), chapter 5",
    ),
    VarMethod(
        name="filtered_historical",
        fit_session=_with_parameters(filtered_tail.fitted_filtered_historical_tail),
        simulate=_with_parameters(filtered_tail.filtered_historical_paths_tail),
        overlapping=False,
        minimum_sessions=3 * filtered_tail.WARM_UP_SESSIONS,
        description="Past returns rescaled from the volatility of their day to today's.",
        formula=(
            "historical VaR and ES of σ_{n+1} r_t/σ_t for t > "
            f"{filtered_tail.WARM_UP_SESSIONS}, σ_t² = Σ_{{i<t}} λ^(t−1−i) r_i² / Σ_{{i<t}} λ^(t−1−i), at least"
            f" {filtered_tail.VOLATILITY_FLOOR:g} of √(Σ r²/n)"
        ),
        source="Barone-Adesi, Giannopoulos & Vosper (1999)",
    ),
    VarMethod(
        name="monte_carlo",
        fit_session=simulated_tail.fitted_monte_carlo_tail,
        simulate=simulated_tail.monte_carlo_paths_tail,
        overlapping=False,
        minimum_sessions=30,
        description=(
            "The tail of simulated sessions, 10,000 unless asked otherwise, from the law of student_t, with its"
            " standard error."
        ),
        formula=(
            "historical VaR and ES of N draws μ + σ F⁻¹(u), u uniform and F the standard Student-t law with ν degrees"
            " of freedom; μ, σ and ν of the greatest likelihood"
        ),
        source="Glasserman (2003), chapter 9; one session by inversion, several by Bailey (1994)",
        undefined_because="most_returns_are_equal",
    ),
)

VAR_METHODS: Mapping[str, VarMethod] = MappingProxyType({method.name: method for method in _METHODS})
"""Every method by its name."""
