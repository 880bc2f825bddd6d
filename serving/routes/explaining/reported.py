"""One figure of a report on a window: as it was computed, and again from nothing but the inputs of an explanation.

What calculations, what-ifs and the report of a portfolio share: each is a report on what `subjects` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, Field

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures import Windows
from pipeline.risk.measures.concentration import concentration
from pipeline.risk.measures.drawdown import DrawdownSpell
from pipeline.risk.measures.full_report import FullReport, MeasuredValue, ReportSpec, TailFigure, full_report
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.measures.limited import CONCENTRATION_MEASURES
from pipeline.risk.measures.on_request import REPORTED
from pipeline.risk.measures.position_parts import position_parts
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import held_series
from serving.inputs import Symbol
from serving.routes.calculate_forms import MOST_DRAWDOWNS, Name
from serving.routes.explaining.contributions import CONTRIBUTION_FIGURES
from serving.routes.explaining.envelope import FigureName, InputsOut, Value
from serving.routes.explaining.figures import known_figure
from serving.routes.subjects import Subject

MEASURE_FIGURES = tuple(measure.name for measure in REPORTED)
TAIL_FIGURES = ("var", "es", "var_standard_error", "es_standard_error")
ENTROPIC_FIGURES = ("evar", "edar")
SPELL_FIGURES = ("depth", "start", "trough", "recovery", "duration_sessions")
POSITION_FIGURES = tuple(name for name in CONTRIBUTION_FIGURES if name == "weight" or name.endswith("_component"))
VALUE = "value"
HOLDING_FIGURES = (VALUE, *CONCENTRATION_MEASURES, *POSITION_FIGURES)
DATE_FIGURES = ("start", "trough", "recovery")
_PLACE = "_position"


class ChosenFigure(BaseModel):
    """Which figure of a report, as a query or a body names it."""

    figure: FigureName = Field(
        description=f"A measure of GET /api/v1/measures; of a tail {', '.join(TAIL_FIGURES)};"
        f" {', '.join(ENTROPIC_FIGURES)}; of a drawdown {', '.join(SPELL_FIGURES)}, or {', '.join(DATE_FIGURES)} with"
        f" {_PLACE}; {', '.join(CONCENTRATION_MEASURES)}; of a position weight.",
        examples=["sharpe_ratio"],
    )
    method: Name | None = Field(
        None,
        description=f"Of a tail: one of {', '.join(VAR_METHODS)}, or the library of the convention.",
        examples=["filtered_historical"],
    )
    at: float = Field(0.99, gt=0.0, lt=1.0, description="Confidence of a tail or an entropic figure.")
    drawdown: int = Field(1, ge=1, le=MOST_DRAWDOWNS, description="Which drawdown: 1 is the deepest.")
    symbol: Symbol | None = Field(None, description="Of a position.", examples=["AAPL"])


@dataclass(frozen=True, slots=True)
class Measured:
    """What a report is made of.

    Parameters
    ----------
    windows
        (n,) each.
    sessions
        (n+1,) of the closes; NaT where not known, None without dates.
    symbols, weights, asset_returns
        (k,), (k,) at the last close and (n, k) of what is held; None for returns.
    value
        Of quantities at the last close.
    """

    windows: Windows
    sessions: DateArray | None
    symbols: tuple[str, ...] = ()
    weights: FloatArray | None = None
    asset_returns: FloatArray | None = None
    value: float | None = None

    @classmethod
    def of(cls, subject: Subject) -> Measured:
        """As it was read."""
        held = subject.held
        if held is None:
            return cls(subject.windows, subject.sessions)
        return cls(subject.windows, subject.sessions, held.symbols, held.weights, held.asset_returns, held.value)

    @classmethod
    def again(cls, inputs: InputsOut, window_sessions: int) -> Measured:
        """From the closes and holdings of inputs, or the returns that they give."""
        rates = None if inputs.risk_free is None else np.array(inputs.risk_free.daily, dtype=np.float64)
        if inputs.amounts is None:
            returns = np.array(inputs.returns)
            sessions = np.array([None, *inputs.sessions], dtype="datetime64[D]") if inputs.sessions else None
            return cls(Windows(returns, returns, _benchmark(inputs, window_sessions), rates), sessions)
        assert inputs.rebalancing is not None  # beside amounts
        holdings = Holdings(np.array(list(inputs.amounts.values())), inputs.rebalancing, inputs.drift_band)
        close = np.column_stack([inputs.close[symbol] for symbol in inputs.amounts])
        series = held_series(close, np.array(inputs.sessions, dtype="datetime64[D]"), None, holdings)
        returns = series.held.returns[-window_sessions:]
        scenarios = scenario_returns(series.held, len(series.held.returns), window_sessions)
        return cls(
            Windows(returns, scenarios, _benchmark(inputs, window_sessions), rates),
            series.sessions[-window_sessions - 1 :],
            tuple(inputs.amounts),
            series.held.weights[-1],
            series.held.asset_returns[-window_sessions:],
            float(close[-1] @ holdings.amounts) if inputs.rebalancing == "buy_and_hold" else None,
        )


@dataclass(frozen=True, slots=True)
class Told:
    """A figure, why it has no value, and what of the report it belongs to."""

    value: Value
    undefined: str | None = None
    measured: MeasuredValue | TailFigure | None = None


def report_figures(spec: ReportSpec, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of what a report has one of, or more."""
    of_spells = (*SPELL_FIGURES, *(f"{name}{_PLACE}" for name in DATE_FIGURES))
    return (*spec.measures, *TAIL_FIGURES, *ENTROPIC_FIGURES, *of_spells, *more)


def told(measured: Measured, spec: ReportSpec, chosen: ChosenFigure) -> Told:
    """The figure of what was measured.

    Raises
    ------
    NotFoundError
        If the report has no such tail, drawdown or position, naming those that it has.
    """
    name = chosen.figure
    if name in HOLDING_FIGURES:
        return Told(_of_holdings(measured, name, chosen.symbol), "target weights have no value")
    report = full_report(measured.windows, _narrowed(spec, chosen))
    if name in MEASURE_FIGURES:
        (found,) = report.measures
        return Told(found.value, found.undefined, found)
    if name in TAIL_FIGURES:
        return _of_tail(report, chosen)
    if name in ENTROPIC_FIGURES:
        return Told(getattr(report.entropic[0], name))
    return Told(_of_spell(report, measured.sessions, chosen), "not recovered, or of returns without dates")


def _benchmark(inputs: InputsOut, window_sessions: int) -> FloatArray | None:
    if inputs.benchmark_close is not None:
        return simple_returns(np.array(inputs.benchmark_close)[-window_sessions - 1 :])
    return None if inputs.benchmark_returns is None else np.array(inputs.benchmark_returns)


def _narrowed(spec: ReportSpec, chosen: ChosenFigure) -> ReportSpec:
    """No more than the figure needs: the others do not change it."""
    methods: tuple[str, ...] = ()
    measures, confidences = spec.measures[:1], spec.confidences[:1]
    if chosen.figure in MEASURE_FIGURES:
        measures = (chosen.figure,)
    if chosen.figure in TAIL_FIGURES:
        libraries = () if spec.convention == "platform" else (spec.convention,)
        asked = known_figure(chosen.method or "", (*libraries, *spec.methods), "method")
        methods = tuple(method for method in spec.methods if method == asked)
    if chosen.figure in (*TAIL_FIGURES, *ENTROPIC_FIGURES):
        known_figure(str(chosen.at), [str(one) for one in spec.confidences], "at")
        confidences = (chosen.at,)
    return replace(spec, measures=measures, methods=methods, confidences=confidences)


def _of_tail(report: FullReport, chosen: ChosenFigure) -> Told:
    (found,) = [tail for tail in report.tails if tail.method == chosen.method]
    return Told(getattr(found, chosen.figure), found.undefined or "the method simulates nothing", found)


def _of_spell(report: FullReport, sessions: DateArray | None, chosen: ChosenFigure) -> Value:
    spells = {str(place): spell for place, spell in enumerate(report.drawdowns, start=1)}
    spell: DrawdownSpell = spells[known_figure(str(chosen.drawdown), spells, "drawdown")]
    name = chosen.figure
    if name not in DATE_FIGURES:
        found: int | float | None = getattr(spell, name.removesuffix(_PLACE))
        return None if found is None else float(found)
    position = getattr(spell, name)
    if sessions is None or position is None or np.isnat(sessions[position]):
        return None
    return str(sessions[position])


def _of_holdings(measured: Measured, name: str, symbol: str | None) -> float | None:
    assert measured.weights is not None  # asked of positions alone
    assert measured.asset_returns is not None
    if name == VALUE:
        return measured.value
    if name in CONCENTRATION_MEASURES:
        return float(concentration(measured.weights)[name])
    place = measured.symbols.index(known_figure(symbol or "", measured.symbols, "symbol"))
    if name == "weight":
        return float(measured.weights[place])
    parts = position_parts(measured.weights, np.ascontiguousarray(measured.asset_returns))
    return float(parts[name.removesuffix("_component")].component[place])
