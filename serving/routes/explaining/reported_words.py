"""What a figure of a report is, and what it was computed with."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.risk.measures import concentration as of_weights
from pipeline.risk.measures.convention_meanings import MEANINGS
from pipeline.risk.measures.conventions import by_convention
from pipeline.risk.measures.drawdown import DrawdownSpell, drawdown_spells
from pipeline.risk.measures.entropic import entropic_var
from pipeline.risk.measures.full_report import MeasuredValue, ReportSpec, TailFigure
from pipeline.risk.measures.holdings import hold
from pipeline.risk.measures.on_request import reported_measure
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.store.schema import DRAWDOWN, LOSS, STANDARD_ERROR
from serving.answers import Row
from serving.routes.calculate_forms import ConcentrationOut, DrawdownOut, EntropicOut, MeasuredTailOut
from serving.routes.explaining.contributions import contribution_definition
from serving.routes.explaining.documented import (
    Documented,
    definition_of,
    path_of,
    sources_of,
    words_of,
    words_of_field,
)
from serving.routes.explaining.envelope import DefinitionOut, Parameter
from serving.routes.explaining.reported import (
    ENTROPIC_FIGURES,
    HOLDING_FIGURES,
    POSITION_FIGURES,
    VALUE,
    ChosenFigure,
    Told,
)
from serving.routes.subjects import Subject

MONTE_CARLO = "monte_carlo"
_CONCENTRATIONS: Mapping[str, Documented] = {
    "largest_weight": of_weights.largest_weight,
    "top_5_weight": of_weights.top_weight,
    "herfindahl_index": of_weights.herfindahl_index,
    "effective_positions": of_weights.effective_positions,
}


def reported_definition(told: Told, spec: ReportSpec, chosen: ChosenFigure) -> DefinitionOut:
    """In the words of what computes it: the platform's, or those of the library whose figure it is."""
    name = chosen.figure
    if isinstance(told.measured, MeasuredValue):
        return _of_measure(told.measured, spec)
    if isinstance(told.measured, TailFigure):
        return _of_tail(told.measured, name)
    if name in HOLDING_FIGURES:
        return _of_holdings(name)
    if name in ENTROPIC_FIGURES:
        formula = words_of(entropic_var) if name == "evar" else f"{words_of(entropic_var)} Of the drawdowns."
        meaning, at = EntropicOut.model_fields[name].description or "", {"confidence": chosen.at}
        return _definition(name, entropic_var, meaning, LOSS.name, formula, at)
    field = name.removesuffix("_position")
    formula = f"{words_of(drawdown_spells)} {words_of(DrawdownSpell)} {words_of_field(DrawdownSpell, field)}"
    unit = {"depth": DRAWDOWN.name, "duration_sessions": "sessions"}.get(name, "date" if field == name else "returns")
    return _definition(name, drawdown_spells, _meaning(DrawdownOut, name, DrawdownSpell), unit, formula)


def reported_parameters(subject: Subject, spec: ReportSpec, chosen: ChosenFigure, told: Told) -> dict[str, Parameter]:
    """All that the figure was computed with, beside its inputs."""
    held, found = subject.held, told.measured
    known: dict[str, Parameter | None] = {
        "window_sessions": len(subject.windows.returns),
        "base_currency": None if held is None else held.currency,
        "symbol": chosen.symbol if chosen.figure in POSITION_FIGURES else None,
    }
    if isinstance(found, MeasuredValue):
        known |= {"convention": found.convention, "periods_per_year": spec.risk.periods_per_year}
        known |= {"moments": spec.moments} if found.name in ("skewness", "excess_kurtosis") else {}
        if subject.windows.risk_free is None:
            known |= {"risk_free_rate_annual": spec.risk.risk_free_rate_annual}
    elif isinstance(found, TailFigure):
        known |= _of_method(found)
    elif chosen.figure in ENTROPIC_FIGURES:
        known |= {"confidence": chosen.at}
    elif chosen.figure in DrawdownOut.model_fields:
        known |= {"drawdown": chosen.drawdown}
    return {name: value for name, value in known.items() if value is not None}


def _of_method(found: TailFigure) -> dict[str, Parameter | None]:
    asked = TailSpec(found.confidence, found.horizon_sessions)
    simulated = found.var_standard_error is not None
    return {
        "method": found.method,
        "confidence": found.confidence,
        "horizon_sessions": found.horizon_sessions,
        "scaling": found.scaling,
        "ewma_lambda": asked.ewma_lambda if found.method in VAR_METHODS else None,
        "law": asked.law if found.method == MONTE_CARLO else None,
        "seed": asked.seed if simulated else None,
        "paths": asked.paths if simulated else None,
    }


def _of_measure(found: MeasuredValue, spec: ReportSpec) -> DefinitionOut:
    own = definition_of(reported_measure(found.name, spec.moments))
    if found.convention == "platform":
        return own
    changed = {"function": path_of(by_convention), "formula": found.formula, "source": found.convention}
    return own.model_copy(update=changed | ({"unit": found.unit} if found.unit else {}))


def _of_holdings(name: str) -> DefinitionOut:
    if name in POSITION_FIGURES:
        return contribution_definition(name)
    if name == VALUE:
        return _definition(name, hold, "At the last close, in the base currency.", "money", "Σ quantity close.")
    function = _CONCENTRATIONS[name]
    return _definition(name, function, _meaning(ConcentrationOut, name, function), "ratio", words_of(function))


def _of_tail(found: TailFigure, name: str) -> DefinitionOut:
    of_error = name not in ("var", "es")
    meaning = MeasuredTailOut.model_fields[name].description or ""
    if found.method in VAR_METHODS:
        method = VAR_METHODS[found.method]
        function = f"pipeline.risk.measures.value_at_risk.VAR_METHODS[{found.method!r}]"
        formula, source, unit = method.formula, method.source, LOSS.name
        meaning = f"{method.description} {meaning}".strip()
    else:
        peers = MEANINGS[found.method]  # type: ignore[index]  # the report took it for a library
        peer = peers["value_at_risk" if name.startswith("var") else "expected_shortfall"]
        function, formula, source, unit = path_of(by_convention), peer.formula, found.method, peer.unit
        meaning = meaning or words_of(TailFigure)
    return DefinitionOut(
        name=name,
        function=function,
        meaning=meaning,
        unit=STANDARD_ERROR.name if of_error else unit,
        formula=formula,
        source=source,
        parameters={"confidence": found.confidence},
    )


def _meaning(shown: type[Row], name: str, function: Documented) -> str:
    field = shown.model_fields.get(name)
    return (field.description if field else None) or words_of(function)


def _definition(
    name: str,
    function: Documented,
    meaning: str,
    unit: str,
    formula: str,
    parameters: Mapping[str, float] | None = None,
) -> DefinitionOut:
    return DefinitionOut(
        name=name,
        function=path_of(function),
        meaning=meaning,
        unit=unit,
        formula=formula,
        source=sources_of(function),
        parameters=dict(parameters or {}),
    )
