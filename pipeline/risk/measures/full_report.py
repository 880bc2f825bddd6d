"""Everything about one window: measures, tails by method and confidence, drawdowns.

Every figure is a number, or None with its reason. There is no third way: what overflows is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures import MEASURES, Measure, MeasureInputError, RiskSpec, Windows
from pipeline.risk.measures.convention_meanings import MEANINGS, peer_name
from pipeline.risk.measures.conventions import CONVENTIONS, ConventionSpec, Library, by_convention
from pipeline.risk.measures.drawdown import DrawdownSpell, drawdown_spells, drawdowns
from pipeline.risk.measures.entropic import entropic_var
from pipeline.risk.measures.moments import MomentMethod
from pipeline.risk.measures.on_request import REPORTED, reported_measure
from pipeline.risk.measures.risk_free import why_unknown
from pipeline.risk.measures.tail_sample import TailSample
from pipeline.risk.measures.tail_spec import Scaling, TailEstimate, TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS, VarMethod
from pipeline.risk.measures.windows import require_returns

Convention: TypeAlias = Literal["platform"] | Library

ONE_SESSION_ONLY = "one_session_only: the library has no other horizon; ask for 1 session"

LARGEST_RETURN = 1_000.0
"""100,000 % in a session: more is a wrong unit. With it, no power of a return in any measure overflows."""
LARGEST_LOG_WEALTH = 600.0
"""Logarithm of wealth over the start, up or down; at 709 it overflows."""


@dataclass(frozen=True, slots=True)
class ReportSpec:
    """What a report holds.

    Parameters
    ----------
    risk
        Rate and periods; the window is that of the returns given.
    measures
        Names of `REPORTED` measures; without them, the stored ones.
    convention
        ``"platform"``, or the library whose figures stand in the platform's place where it has one.
    confidences
        α of the tails and the entropic measures.
    methods
        Names in `VAR_METHODS`.
    horizon_sessions
        Sessions over which a tail's loss is counted.
    scaling
        How several sessions are reached; None takes overlapping windows where the method allows them and simulation
        where it does not.
    drawdowns
        How many of the deepest to list.
    moments
        Whether skewness and kurtosis are corrected for the bias of a small sample.
    """

    risk: RiskSpec = field(default_factory=RiskSpec)
    measures: tuple[str, ...] = tuple(measure.name for measure in MEASURES)
    convention: Convention = "platform"
    confidences: tuple[float, ...] = (0.95, 0.975, 0.99)
    methods: tuple[str, ...] = tuple(VAR_METHODS)
    horizon_sessions: int = 1
    scaling: Scaling | None = None
    drawdowns: int = 5
    moments: MomentMethod = "population"

    def __post_init__(self) -> None:
        _require_known("measures", self.measures, [measure.name for measure in REPORTED])
        _require_known("moments", [self.moments], get_args(MomentMethod))
        _require_known("var_methods", self.methods, VAR_METHODS)
        _require_known("convention", [self.convention], ["platform", *CONVENTIONS])
        for name, values in (("measures", self.measures), ("confidence", self.confidences)):
            if len(values) == 0:
                raise MeasureInputError(f"{name}: none given; give at least one, or leave it out for the default")
        for confidence in self.confidences:
            TailSpec(confidence, self.horizon_sessions)

    def tail_spec(self, method: VarMethod, confidence: float) -> TailSpec:
        """What a method is asked for."""
        scaling = self.scaling or ("overlapping" if method.overlapping else "simulation")
        return TailSpec(confidence, self.horizon_sessions, scaling)


def _require_known(field_name: str, given: Iterable[str], known: Iterable[str]) -> None:
    choices = list(known)
    unknown = [name for name in given if name not in choices]
    if unknown:
        raise MeasureInputError(f"{field_name}: {unknown[0]!r} is unknown; choose among {', '.join(choices)}")


@dataclass(frozen=True, slots=True)
class MeasuredValue:
    """One measure.

    Parameters
    ----------
    value
        None where `undefined` says why.
    convention
        Whose definition it is.
    unit
        Of a library's figure that differs from the platform's; None for the measure's own unit.
    """

    name: str
    value: float | None
    convention: Convention
    formula: str
    unit: str | None
    undefined: str | None


@dataclass(frozen=True, slots=True)
class TailFigure:
    """Value at risk and expected shortfall by one method at one confidence.

    Parameters
    ----------
    method
        Name in `VAR_METHODS`, or the library of the report's convention.
    scaling
        How the horizon was reached; None for one session, and where the method has no other.
    var, es
        None where `undefined` says why; losses are positive.
    var_standard_error, es_standard_error
        Of a simulation; None for a method without one.
    unit
        As in `MeasuredValue`; a library's losses may be negative.
    """

    method: str
    confidence: float
    horizon_sessions: int
    scaling: Scaling | None
    var: float | None = None
    es: float | None = None
    var_standard_error: float | None = None
    es_standard_error: float | None = None
    unit: str | None = None
    undefined: str | None = None


@dataclass(frozen=True, slots=True)
class EntropicFigure:
    """Entropic value at risk of the scenarios and of the drawdowns, as positive fractions."""

    confidence: float
    evar: float
    edar: float


@dataclass(frozen=True, slots=True)
class FullReport:
    """A report on one window."""

    measures: tuple[MeasuredValue, ...]
    tails: tuple[TailFigure, ...]
    entropic: tuple[EntropicFigure, ...]
    drawdowns: tuple[DrawdownSpell, ...]


def full_report(windows: Windows, spec: ReportSpec) -> FullReport:
    """Measure one window.

    Parameters
    ----------
    windows
        (n,) each, n ≥ 2.

    Raises
    ------
    MeasureInputError
        For returns that cannot be used, or figures that no float can hold.
    """
    require_usable(windows.returns, "returns")
    require_usable(windows.scenarios, "positions", of_series=False)
    if windows.benchmark is not None:
        require_usable(windows.benchmark, "benchmark")
    # What overflows is found in the figures, and refused there by name.
    with np.errstate(all="ignore"):
        return FullReport(
            tuple(
                _measured(reported_measure(name, spec.moments), windows, spec) for name in dict.fromkeys(spec.measures)
            ),
            tuple(_tails(windows.scenarios, spec)),
            tuple(_entropic(windows, spec)),
            drawdown_spells(windows.returns, spec.drawdowns),
        )


def require_usable(returns: FloatArray, field_name: str, *, of_series: bool = True) -> None:
    """Refuse returns from which some figure would not be a number.

    Parameters
    ----------
    returns
        (n,) simple returns.
    of_series
        Whether they were earned one after the other, so that their product is a wealth.

    Raises
    ------
    MeasureInputError
        For NaN, infinity, a loss of everything, a return above `LARGEST_RETURN`, or wealth that leaves the numbers.
    """
    require_returns(np.maximum(returns, -1.0))
    _require_none(returns <= -1.0, returns, field_name, "loses everything; end before that session, or hold less risk")
    too_large = f"is above {LARGEST_RETURN:,.0f}; give fractions, not percent"
    _require_none(returns > LARGEST_RETURN, returns, field_name, too_large)
    if of_series and np.abs(np.cumsum(np.log1p(returns))).max() > LARGEST_LOG_WEALTH:
        raise MeasureInputError(
            f"{field_name}: compounded they leave the range of numbers; give fractions, not percent, or fewer sessions"
        )


def _require_none(broken: BoolArray, returns: FloatArray, field_name: str, what: str) -> None:
    if broken.any():
        first = int(np.argmax(broken))
        raise MeasureInputError(f"{field_name}: {returns[first]:.6g} at return {first} {what}")


def _measured(measure: Measure, windows: Windows, spec: ReportSpec) -> MeasuredValue:
    library = spec.convention
    formula, unit, because = measure.formula, None, measure.undefined_because
    if library != "platform" and peer_name(measure) in CONVENTIONS[library]:
        value = _by_library(measure, windows, spec, library)
        if (meaning := MEANINGS[library].get(peer_name(measure))) is not None:
            formula, unit, because = meaning.formula, meaning.unit, meaning.undefined_because or because
    else:
        value, library = float(measure.compute(windows, spec.risk)), "platform"
    if windows.risk_free is not None and (measure.reads_risk_free or library != "platform"):
        because = why_unknown(windows.risk_free) or because
    undefined = _why_undefined([value], because, measure.name)
    return MeasuredValue(measure.name, None if undefined else value, library, formula, unit, undefined)


def _by_library(measure: Measure, windows: Windows, spec: ReportSpec, library: Library) -> float:
    returns = windows.scenarios if measure.reads_scenarios else windows.returns
    asked = _convention_spec(spec, measure.parameters.get("confidence", ConventionSpec().confidence), windows)
    return float(by_convention(library, peer_name(measure), returns, asked))


def _convention_spec(spec: ReportSpec, confidence: float, windows: Windows | None = None) -> ConventionSpec:
    """What a library is asked for; its tails take neither rate nor benchmark."""
    if windows is None:
        return ConventionSpec(confidence, spec.risk.periods_per_year, spec.risk.risk_free_rate_daily)
    return ConventionSpec(confidence, spec.risk.periods_per_year, windows.rate(spec.risk), windows.benchmark)


def _tails(scenarios: FloatArray, spec: ReportSpec) -> Iterable[TailFigure]:
    if spec.convention != "platform":
        for confidence in spec.confidences:
            yield _library_tail(scenarios, spec, spec.convention, confidence)
    sample = TailSample(np.ascontiguousarray(scenarios))
    for name in dict.fromkeys(spec.methods):
        yield from _method_tails(sample, VAR_METHODS[name], spec)


def _library_tail(scenarios: FloatArray, spec: ReportSpec, library: Library, confidence: float) -> TailFigure:
    if spec.horizon_sessions > 1:
        return TailFigure(library, confidence, spec.horizon_sessions, None, undefined=ONE_SESSION_ONLY)
    asked = _convention_spec(spec, confidence)
    var, es = (
        float(by_convention(library, name, scenarios, asked)) for name in ("value_at_risk", "expected_shortfall")
    )
    unit = MEANINGS[library]["value_at_risk"].unit
    return TailFigure(library, confidence, 1, None, var, es, unit=unit)


def _method_tails(sample: TailSample, method: VarMethod, spec: ReportSpec) -> list[TailFigure]:
    """The figures of a method at each confidence."""
    asked = [spec.tail_spec(method, confidence) for confidence in spec.confidences]
    because = _why_not_asked(len(sample.returns), method, asked[0])
    if because is not None:
        return [replace(_tail_row(method, one), undefined=because) for one in asked]
    found = method.estimate_sample(sample, asked[0], spec.confidences)
    return [_tail(method, one, estimate) for one, estimate in zip(asked, found, strict=True)]


def _why_not_asked(sessions: int, method: VarMethod, spec: TailSpec) -> str | None:
    """Why a method has no figure for that many returns and that horizon, or None if it has."""
    if spec.horizon_sessions > 1 and spec.scaling not in method.scalings:
        return f"scaling_not_offered: choose {' or '.join(method.scalings)}"
    needed = method.returns_needed(spec)
    return f"short_window: {sessions} of {needed} sessions" if sessions < needed else None


def _tail_row(method: VarMethod, spec: TailSpec) -> TailFigure:
    scaling = spec.scaling if spec.horizon_sessions > 1 else None
    return TailFigure(method.name, spec.confidence, spec.horizon_sessions, scaling)


def _tail(method: VarMethod, spec: TailSpec, found: TailEstimate) -> TailFigure:
    row, var, es = _tail_row(method, spec), float(found.var), float(found.es)
    undefined = _why_undefined([var, es], method.undefined_because, method.name)
    if undefined:
        return replace(row, undefined=undefined)
    errors = _error(found.var_standard_error), _error(found.es_standard_error)
    return replace(row, var=var, es=es, var_standard_error=errors[0], es_standard_error=errors[1])


def _error(value: FloatArray | None) -> float | None:
    """A standard error; None without a simulation, or where so few paths lie in the tail that there is none."""
    return float(value) if value is not None and math.isfinite(value) else None


def _entropic(windows: Windows, spec: ReportSpec) -> Iterable[EntropicFigure]:
    # Entropic drawdown at risk is the entropic value at risk of the drawdowns: both are searched for together.
    both = np.stack([windows.scenarios, drawdowns(windows.returns)])
    for confidence in spec.confidences:
        evar, edar = entropic_var(both, confidence).tolist()
        _why_undefined([evar, edar], None, "evar and edar")
        yield EntropicFigure(confidence, evar, edar)


def _why_undefined(values: Sequence[float], because: str | None, name: str) -> str | None:
    """The reason of a missing value, or None if there is none missing.

    Raises
    ------
    MeasureInputError
        For infinity, or NaN without a registered reason: the numbers overflowed.
    """
    if any(math.isinf(value) for value in values) or (because is None and any(math.isnan(value) for value in values)):
        raise MeasureInputError(
            f"returns: {name} overflows; give fractions, not percent, a longer window, or leave the measure out"
        )
    return because if any(math.isnan(value) for value in values) else None
