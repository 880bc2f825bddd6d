"""Why selling positions takes as long, and costs as much risk, as a calculation on request says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date

import numpy as np
from fastapi import APIRouter
from pydantic import Field

from pipeline.base.errors import InvalidInputError
from pipeline.risk.measures.liquidity import (
    LiquidationHorizons,
    liquidation_horizons,
    liquidity_adjusted_var,
    spread_cost,
)
from pipeline.risk.measures.windows import simple_returns
from serving.answers import Row
from serving.deps import Database
from serving.inputs import Symbol
from serving.routes.calculate import liquidity_answer, read_subject
from serving.routes.calculate_forms import CalculateIn, LiquidationOut, LiquidityFigureOut, LiquidityOut
from serving.routes.explaining.documented import Documented, path_of, sources_of, words_of
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, FigureName, InputsOut, Parameter
from serving.routes.explaining.figures import Figure, explanation, known_figure
from serving.routes.explaining.prices import by_symbol, days_of
from serving.routes.subjects import Held, Subject
from serving.routing import ComputingRoute

SPREAD_COST = "spread_cost"
POSITION_FIGURES = ("liquidation_sessions", SPREAD_COST)
WHOLE_FIGURES = ("var", "liquidity_adjusted_var", SPREAD_COST)

router = APIRouter(route_class=ComputingRoute, tags=["risk"])


class ExplainLiquidityIn(CalculateIn):
    """A calculation, and which of its figures about selling."""

    figure: FigureName = Field(
        "liquidity_adjusted_var",
        description=f"{', '.join(WHOLE_FIGURES)}; with a symbol {', '.join(POSITION_FIGURES)}.",
    )
    symbol: Symbol | None = Field(None, description="Of a position.")
    at: float = Field(0.99, description="Confidence of the figure: one of `confidence`.")


@router.post("/calculate/liquidity/explain")
def explain_liquidity(asked: ExplainLiquidityIn, database: Database) -> ExplanationOut:
    """Explain how long selling takes, or the value at risk meanwhile, which are computed for each request."""
    name = known_figure(asked.figure, POSITION_FIGURES if asked.symbol else WHOLE_FIGURES, "figure")
    subject, _ = read_subject(asked, database)
    if subject.held is None or subject.sessions is None:
        raise InvalidInputError("positions: returns are sold in no market", "Give positions instead of returns.")
    held = subject.held
    positions, served = liquidity_answer(asked.liquidity, asked.spec, held)
    figure = Figure(
        ", ".join(held.symbols),
        list(held.ids),
        subject.sessions[-1].astype(date),
        _served(positions, served, asked, name),
        "spread_unknown" if name == SPREAD_COST else served.undefined or "volume_unknown",
        None,
        _definition(name),
        _parameters(asked, held),
    )
    inputs = _inputs_out(subject, held)
    again = liquidity_again(inputs, figure.parameters, name)
    with database.reading() as connection:
        return explanation(connection, figure, inputs, again, database.notice(connection))


def liquidity_again(inputs: InputsOut, parameters: Mapping[str, Parameter], name: str) -> float | None:
    """A figure from the closes, weights and turnover of the inputs; None where it is not known."""
    assert inputs.weights is not None  # given below
    assert inputs.turnover is not None
    symbols, weights = tuple(inputs.weights), np.array(list(inputs.weights.values()))
    if name == SPREAD_COST:
        return _spread_cost(symbols, weights, parameters)
    value = float(parameters.get("portfolio_value", 0.0))
    turnover = np.array([math.nan if traded is None else traded for traded in inputs.turnover.values()])
    horizons = liquidation_horizons(weights * value, turnover, symbols, float(parameters["participation"]))
    if name in POSITION_FIGURES:
        known = "portfolio_value" in parameters
        return float(horizons.days[symbols.index(str(parameters["symbol"]))]) if known else None
    return _measured(inputs, weights, horizons, parameters, name)


def _spread_cost(symbols: tuple[str, ...], weights: np.ndarray, parameters: Mapping[str, Parameter]) -> float | None:
    mean, deviation = (
        np.array([float(parameters.get(f"{name}.{symbol}", math.nan)) for symbol in symbols])
        for name in ("spread_mean", "spread_deviation")
    )
    found = spread_cost(weights, mean, deviation, symbols, float(parameters["spread_deviations"]))
    cost = found.cost[symbols.index(str(parameters["symbol"]))] if "symbol" in parameters else found.total
    return None if math.isnan(cost) else float(cost)


def _measured(
    inputs: InputsOut,
    weights: np.ndarray,
    horizons: LiquidationHorizons,
    parameters: Mapping[str, Parameter],
    name: str,
) -> float | None:
    returns = simple_returns(np.column_stack(list(inputs.close.values())))
    assumed = parameters.get("days_if_unknown")
    found = liquidity_adjusted_var(
        weights, returns, horizons, float(parameters["confidence"]), None if assumed is None else float(assumed)
    )
    if name == "var":
        return found.value_at_risk
    return found.liquidity_adjusted_var if "portfolio_value" in parameters else None


def _served(
    positions: list[LiquidationOut], served: LiquidityOut, asked: ExplainLiquidityIn, name: str
) -> float | None:
    if asked.symbol is not None:
        by_name = {position.symbol: position for position in positions}
        position: float | None = getattr(by_name[known_figure(asked.symbol, by_name, "symbol")], name)
        return position
    if name == SPREAD_COST:
        return served.spread_cost
    figures = {str(figure.confidence): figure for figure in served.figures}
    found: float | None = getattr(figures[known_figure(str(asked.at), figures, "at")], name)
    return found


def _parameters(asked: ExplainLiquidityIn, held: Held) -> dict[str, Parameter]:
    value = asked.liquidity.portfolio_value if held.value is None else held.value
    optional: dict[str, Parameter | None] = {
        "portfolio_value": value,
        "days_if_unknown": asked.liquidity.days_if_unknown,
        "symbol": asked.symbol,
    }
    if asked.figure == SPREAD_COST:
        optional |= {"spread_deviations": asked.liquidity.spread_deviations}
        for spread in asked.liquidity.spreads or []:
            optional |= {f"spread_mean.{spread.symbol}": spread.mean}
            optional |= {f"spread_deviation.{spread.symbol}": spread.deviation}
    return {
        "window_sessions": len(held.asset_returns),
        "participation": asked.liquidity.participation,
        "base_currency": held.currency,
        "confidence": asked.at,
        **{name: given for name, given in optional.items() if given is not None},
    }


def _inputs_out(subject: Subject, held: Held) -> InputsOut:
    assert subject.sessions is not None  # positions have them
    return InputsOut(
        sessions=days_of(subject.sessions),
        close=by_symbol(held.symbols, held.close),
        exchange_rates={code: rate.tolist() for code, rate in held.exchange_rates.items()},
        currencies=dict(zip(held.symbols, held.currencies, strict=True)) if held.exchange_rates else {},
        weights=dict(zip(held.symbols, held.weights.tolist(), strict=True)),
        scenarios=(held.asset_returns @ held.weights).tolist(),
        turnover={
            symbol: traded if math.isfinite(traded) else None
            for symbol, traded in zip(held.symbols, held.turnover.tolist(), strict=True)
        },
    )


def _definition(name: str) -> DefinitionOut:
    is_time = name == "liquidation_sessions"
    function: Documented = liquidation_horizons if is_time else liquidity_adjusted_var
    shown: type[Row] = LiquidationOut if is_time else LiquidityFigureOut
    if name == SPREAD_COST:
        function, shown = spread_cost, LiquidityOut
    return DefinitionOut(
        name=name,
        function=path_of(function),
        meaning=shown.model_fields[name].description or words_of(LiquidityFigureOut),
        unit="sessions" if is_time else "fraction of value, positive loss",
        formula=words_of(function),
        source=sources_of(function),
        parameters={},
    )
