"""Why a portfolio loses what stress on request says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fastapi import APIRouter
from psycopg import Connection
from pydantic import ConfigDict, Field

from pipeline.risk.measures.stress import Positions
from pipeline.risk.measures.stress_historical import HISTORICAL_WINDOWS, replay_window
from pipeline.risk.measures.stress_hypothetical import hypothetical_stress
from pipeline.risk.measures.stress_reverse import reverse_stress
from pipeline.risk.measures.stress_shifts import correlation_shift, volatility_shift
from pipeline.store.portfolios import read_portfolio
from pipeline.store.schema import LOSS, PROBABILITY
from serving.answers import Row
from serving.deps import Database
from serving.inputs import Label, PortfolioPath, Symbol
from serving.routes.explaining.crises import crisis_inputs_out, read_crisis
from serving.routes.explaining.documented import Documented, path_of, sources_of, words_of
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, FigureName, InputsOut, Parameter, Value
from serving.routes.explaining.figures import Figure, explanation, flat, known_figure
from serving.routes.explaining.prices import Inputs, held_window, ids_of, inputs_out, name_of, portfolio_inputs
from serving.routes.stress_forms import (
    CorrelationOut,
    ReverseOut,
    ScenarioOut,
    ShockedPositionOut,
    StressOut,
    StressRequest,
    VolatilityShiftOut,
)
from serving.routes.stress_on_request import WINDOW_SESSIONS, Held, computed, read_exposures, read_held
from serving.routing import ComputingRoute

WHOLE_FIGURES = ("total", "total_amount", "worst_total")
POSITION_FIGURES = ("weight", "shock", "pnl", "amount")
REVERSE_FIGURES = ("mahalanobis_distance", "gaussian_probability", "student_t_probability")
VOLATILITY_FIGURES = ("var_before", "var_after", "es_before", "es_after")
CORRELATION_FIGURES = ("volatility_before", "volatility_after", "gaussian_var_before", "gaussian_var_after")
STRESS_FIGURES = (*WHOLE_FIGURES, *POSITION_FIGURES, *REVERSE_FIGURES, *VOLATILITY_FIGURES, *CORRELATION_FIGURES)
_PARTS: Mapping[str, tuple[type[Row], Documented]] = (
    dict.fromkeys(REVERSE_FIGURES, (ReverseOut, reverse_stress))
    | dict.fromkeys(VOLATILITY_FIGURES, (VolatilityShiftOut, volatility_shift))
    | dict.fromkeys(CORRELATION_FIGURES, (CorrelationOut, correlation_shift))
)
"""Figure → what serves it, and what computes it; those of scenarios depend on the request."""

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])


class ExplainStressRequest(StressRequest):
    """A stress, and which figure of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"hypothetical": {"market": -0.2}, "figure": "pnl", "symbol": "AAPL"}]},
    )

    figure: FigureName = Field(
        "total",
        description=f"Of a scenario {', '.join(WHOLE_FIGURES)}; of a position in it {', '.join(POSITION_FIGURES)}; else"
        f" {', '.join(_PARTS)}.",
    )
    scenario: Label | None = Field(None, description="Which scenario; null for the only one.")
    symbol: Symbol | None = Field(None, description="Of a position.")


@router.post("/{reference}/stress/explain")
def explain_computed_stress(
    reference: PortfolioPath, asked: ExplainStressRequest, database: Database
) -> ExplanationOut:
    """Explain a figure of a stress that is computed for each request."""
    name = known_figure(asked.figure, STRESS_FIGURES, "figure")
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        held = read_held(connection, portfolio)
        served = computed(connection, held, asked)
        figure = Figure(
            name_of(portfolio),
            ids_of(portfolio),
            served.as_of,
            _value(served, asked),
            "the request does not say it, or the value of target weights is not known",
            None,
            _definition(name, asked, served),
            _parameters(asked, served),
        )
        if asked.historical is not None and name not in _PARTS:
            inputs, again = _replayed(connection, held, figure, served, asked)
        else:
            given = portfolio_inputs(held.panel, portfolio, None, WINDOW_SESSIONS if _measures(asked) else 1)
            inputs = _inputs_out(connection, held, given, asked)
            again = _value(computed(connection, _held_again(held, given), asked), asked)
        return explanation(connection, figure, inputs, again, database.notice(connection))


def _value(found: StressOut, asked: ExplainStressRequest) -> Value:
    """The figure of an answer; None where it has none."""
    name = asked.figure
    if name in _PARTS:
        part = {ReverseOut: found.reverse, VolatilityShiftOut: found.volatility, CorrelationOut: found.correlation}
        value: Value = getattr(part[_PARTS[name][0]], name, None)
        return value
    scenario = _scenario(found, asked.scenario)
    if name in WHOLE_FIGURES:
        whole: Value = getattr(scenario, name)
        return whole
    positions = {position.symbol: position for position in scenario.positions}
    own: Value = getattr(positions[known_figure(asked.symbol or "", positions, "symbol")], name)
    return own


def _scenario(found: StressOut, name: str | None) -> ScenarioOut:
    scenarios = {scenario.scenario: scenario for scenario in found.scenarios}
    if name is None and len(scenarios) == 1:
        return found.scenarios[0]
    return scenarios[known_figure(name or "", scenarios, "scenario")]


def _measures(asked: StressRequest) -> bool:
    """Whether the answer is made of a window of returns, not of the weights alone."""
    stated = asked.hypothetical
    return stated is None or stated.volatility_scale is not None or stated.correlation_shift is not None


def _held_again(held: Held, given: Inputs) -> Held:
    """The same, held on the closes of the inputs alone."""
    assert given.holdings is not None  # a portfolio's
    series, close = given.series, given.close[-1]
    is_counted = given.holdings.rebalancing == "buy_and_hold"
    value = float(close @ given.holdings.amounts) if is_counted else None
    return replace(held, series=series, positions=Positions(held.positions.symbols, series.held.weights[-1], value))


def _inputs_out(connection: Connection, held: Held, given: Inputs, asked: StressRequest) -> InputsOut:
    """The closes, with the sectors and exposures that shocks go by."""
    window = WINDOW_SESSIONS if _measures(asked) else 1
    inputs = inputs_out(given, held_window(given, window))
    if asked.hypothetical is None:
        return inputs
    ids = ids_of(held.portfolio)
    sectors = {instrument.id: instrument.sector for instrument in held.instruments}
    symbols = dict(zip(ids, held.positions.symbols, strict=True))
    exposures = read_exposures(connection, held) if asked.hypothetical.factors else {}
    return inputs.model_copy(
        update={
            "groups": {symbols[number]: sectors[number] for number in ids},
            "exposures": {symbols[number]: exposures[number] for number in exposures} or None,
        }
    )


def _replayed(
    connection: Connection, held: Held, figure: Figure, served: StressOut, asked: ExplainStressRequest
) -> tuple[InputsOut, Value]:
    """The closes of a crisis, and the figure from them."""
    scenario = _scenario(served, asked.scenario).scenario
    crisis = read_crisis(connection, held.portfolio, HISTORICAL_WINDOWS[scenario], figure)
    inputs, made, value = crisis_inputs_out(held.portfolio, crisis), crisis.replayed(), served.value
    whole = {"total": float(made.pnl[0].sum()), "worst_total": float(made.worst_pnl[0].sum())}
    if asked.figure in whole:
        return inputs, whole[asked.figure]
    if asked.figure == "total_amount":
        return inputs, None if value is None else whole["total"] * value
    place = held.positions.symbols.index(asked.symbol or "")
    own = {"weight": crisis.weights[place], "shock": made.shocks[0, place], "pnl": made.pnl[0, place]}
    if asked.figure == "amount":
        return inputs, None if value is None else float(own["pnl"]) * value
    return inputs, float(own[asked.figure])


def _definition(name: str, asked: ExplainStressRequest, served: StressOut) -> DefinitionOut:
    shown, function = _PARTS.get(name, (ScenarioOut if name in WHOLE_FIGURES else ShockedPositionOut, _mover(asked)))
    return DefinitionOut(
        name=name,
        function=path_of(function),
        meaning=shown.model_fields[name].description or words_of(shown),
        unit=_unit(name, served),
        formula=f"{served.method} {words_of(function)}",
        source=sources_of(function),
        parameters={},
    )


def _mover(asked: StressRequest) -> Documented:
    """What makes the moves of a scenario."""
    if asked.historical is not None:
        return replay_window
    return hypothetical_stress if asked.hypothetical is not None else reverse_stress


def _unit(name: str, served: StressOut) -> str:
    if name in ("amount", "total_amount"):
        return served.currency
    if name.endswith("probability"):
        return PROBABILITY.name
    if name in REVERSE_FIGURES:
        return "standard deviations"
    if name.startswith("volatility"):
        return "fraction of value, per session"
    return LOSS.name if name in _PARTS else "fraction of value"


def _parameters(asked: ExplainStressRequest, served: StressOut) -> dict[str, Parameter]:
    """What was asked for, and the value that fractions are of."""
    given = flat(asked.model_dump(exclude={"figure", "historical"}, exclude_none=True))
    known: dict[str, Parameter | None] = {"window_sessions": served.window_sessions, "value": served.value}
    if served.scenarios and asked.figure not in _PARTS:
        known |= {"scenario": _scenario(served, asked.scenario).scenario}
    return {**given, **{name: value for name, value in known.items() if value is not None}}
