"""Why a portfolio has the risk, the tail or the backtest that is computed for a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

from fastapi import APIRouter
from psycopg import Connection
from pydantic import ConfigDict, Field

from pipeline.risk.measures import MEASURES, RiskSpec, measure_named
from pipeline.risk.measures.risk_free import MOST_DAYS_OLD
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.interest_rates import INTEREST_RATES
from pipeline.store.point_in_time import NOW
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.schema import LOSS, STANDARD_ERROR
from serving.deps import Database
from serving.inputs import PortfolioPath
from serving.routes.backtests import BacktestRequest, PortfolioBacktestOut, judged
from serving.routes.explaining.backtests import BACKTEST_FIGURES, backtest_definition
from serving.routes.explaining.documented import definition_of, path_of, sources_of, words_of
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, FigureName, Parameter, Value
from serving.routes.explaining.figures import Figure, Months, explanation, known_figure
from serving.routes.explaining.prices import (
    Inputs,
    Recomputed,
    days_of,
    held_window,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    recompute,
    with_rates,
)
from serving.routes.portfolio_risk import PortfolioRiskOut, RiskRequest, end_of, read_measured, read_reaching_panel
from serving.routes.tails import PortfolioTailOut, TailRequest, estimated, read_held
from serving.routing import ComputingRoute

VAR, ES = "var", "expected_shortfall"
RISK_FIGURES = (*(measure.name for measure in MEASURES), VAR, ES)
_RATED = frozenset(measure.name for measure in MEASURES if measure.reads_risk_free)
TAIL_FIGURES = (VAR, ES, "var_standard_error", "expected_shortfall_standard_error")

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])


class ExplainRiskRequest(RiskRequest):
    """How risk is measured, and which figure of it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"figure": "sharpe_ratio"}]})

    figure: FigureName = Field(description=f"A stored measure of GET /api/v1/measures, {VAR} or {ES}.")


class ExplainTailRequest(TailRequest):
    """How the tail is estimated, and which figure of it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"method": "filtered_historical", "figure": VAR}]}
    )

    figure: FigureName = Field(VAR, description=f"One of {', '.join(TAIL_FIGURES)}.")


class ExplainBacktestRequest(BacktestRequest):
    """What is backtested, and which figure of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"method": "ewma", "observations": 250, "figure": "kupiec_p_value"}]},
    )

    figure: FigureName = Field("kupiec_p_value", description=f"One of {', '.join(BACKTEST_FIGURES)}.")


@router.post("/{reference}/risk/explain")
def explain_computed_risk(reference: PortfolioPath, asked: ExplainRiskRequest, database: Database) -> ExplanationOut:
    """Explain a measure of a portfolio that is computed for each request."""
    name = known_figure(asked.figure, RISK_FIGURES, "figure")
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        benchmark = benchmark_of(read_instruments(connection), portfolio.benchmark_id)
        served = read_measured(connection, portfolio, benchmark, asked)
        inputs = _read_inputs(connection, portfolio, benchmark, asked.as_of, asked.window_sessions)
        months: dict[str, Months] = {}
        if name in _RATED and served.risk_free_rate_annual is None:
            inputs = with_rates(connection, inputs, served.risk_free, NOW)
            first, last = days_of(inputs.sessions[[0, -1]])
            months = {INTEREST_RATES: (first - timedelta(days=MOST_DAYS_OLD), last)}
        definition, parameters = _risk_definition(name, served), _risk_parameters(name, served)
        compared = [] if benchmark is None else [benchmark.id]
        figure = _figure(portfolio, served.as_of, getattr(served, name), definition, parameters, compared)
        figure = replace(figure, reason=served.undefined.get(name), inputs=months)
        found = recompute(inputs, RiskSpec(asked.window_sessions, risk_free_rate_annual=_rate(asked)))
        again = None if found is None else _risk_again(found, name, served.confidence)
        return explanation(connection, figure, inputs_out(inputs, found), again, database.notice(connection))


@router.post("/{reference}/tail/explain")
def explain_computed_tail(reference: PortfolioPath, asked: ExplainTailRequest, database: Database) -> ExplanationOut:
    """Explain a figure of a portfolio's tail that is estimated for each request."""
    name, window = known_figure(asked.figure, TAIL_FIGURES, "figure"), asked.window_sessions
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        series = read_held(connection, portfolio, end_of(connection, asked.as_of), window)
        served = estimated(portfolio, series, asked)
        inputs = _read_inputs(connection, portfolio, None, asked.as_of, window)
        definition, parameters = _tail_definition(name, served), _tail_parameters(served, asked)
        figure = _figure(portfolio, served.as_of, getattr(served, name), definition, parameters)
        figure = replace(figure, reason=served.undefined_because or "the method simulates nothing")
        again = getattr(estimated(portfolio, inputs.series, asked), name)
        made = inputs_out(inputs, held_window(inputs, window))
        return explanation(connection, figure, made, again, database.notice(connection))


@router.post("/{reference}/backtests/explain")
def explain_computed_backtest(
    reference: PortfolioPath, asked: ExplainBacktestRequest, database: Database
) -> ExplanationOut:
    """Explain a figure of a portfolio's backtest that is computed for each request."""
    name, sessions = known_figure(asked.figure, BACKTEST_FIGURES, "figure"), asked.window_sessions + asked.observations
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        series = read_held(connection, portfolio, end_of(connection, asked.as_of), sessions)
        served = judged(portfolio, series, asked)
        inputs = _read_inputs(connection, portfolio, None, asked.as_of, sessions)
        parameters: dict[str, Parameter] = {
            "method": served.method,
            "confidence": served.confidence,
            "window_sessions": served.window_sessions,
            "observations": asked.observations,
        }
        figure = _figure(portfolio, served.as_of, _judged(served, name), backtest_definition(name), parameters)
        figure = replace(figure, reason=_why_unjudged(served, name))
        again = _judged(judged(portfolio, inputs.series, asked), name)
        made = inputs_out(inputs, held_window(inputs, sessions))
        return explanation(connection, figure, made, again, database.notice(connection))


def _read_inputs(
    connection: Connection, portfolio: Portfolio, benchmark: Instrument | None, as_of: date | None, sessions: int
) -> Inputs:
    """Closes up to a day, on no more sessions than so many returns need."""
    policy, currency = portfolio.rebalancing, portfolio.base_currency
    end = end_of(connection, as_of)
    panel = read_reaching_panel(connection, ids_of(portfolio), benchmark, policy, end, sessions, currency)
    return portfolio_inputs(panel, portfolio, benchmark, sessions)


def _figure(
    portfolio: Portfolio,
    as_of: date,
    value: Value,
    definition: DefinitionOut,
    parameters: Mapping[str, Parameter | None],
    more_ids: Sequence[int] = (),
) -> Figure:
    known = {name: given for name, given in parameters.items() if given is not None}
    ids = [*ids_of(portfolio), *more_ids]
    return Figure(name_of(portfolio), ids, as_of, value, None, None, definition, known)


def _rate(asked: RiskRequest) -> float:
    return asked.risk_free_rate_annual or 0.0


def _risk_again(found: Recomputed, name: str, confidence: float) -> float:
    if name == VAR:
        return float(historical_var(found.scenarios, confidence))
    if name == ES:
        return float(historical_es(found.scenarios, confidence))
    return found.values[name]


def _risk_definition(name: str, served: PortfolioRiskOut) -> DefinitionOut:
    if name not in (VAR, ES):
        return definition_of(measure_named(name))
    function = historical_var if name == VAR else historical_es
    return DefinitionOut(
        name=name,
        function=path_of(function),
        meaning=PortfolioRiskOut.model_fields[name].description or "",
        unit=LOSS.name,
        formula=words_of(function),
        source=sources_of(function),
        parameters={"confidence": served.confidence},
    )


def _risk_parameters(name: str, served: PortfolioRiskOut) -> dict[str, Parameter | None]:
    rate = served.risk_free_rate_annual if name in _RATED else None
    return {"window_sessions": served.window_sessions, "risk_free_rate_annual": rate}


def _tail_definition(name: str, served: PortfolioTailOut) -> DefinitionOut:
    method = VAR_METHODS[served.method]
    return DefinitionOut(
        name=name,
        function=f"pipeline.risk.measures.value_at_risk.VAR_METHODS[{served.method!r}]",
        meaning=f"{PortfolioTailOut.model_fields[name].description or ''}. {method.description}",
        unit=LOSS.name if name in (VAR, ES) else STANDARD_ERROR.name,
        formula=method.formula,
        source=method.source,
        parameters={"confidence": served.confidence},
    )


def _tail_parameters(served: PortfolioTailOut, asked: TailRequest) -> dict[str, Parameter | None]:
    return {
        "method": served.method,
        "window_sessions": served.window_sessions,
        "horizon_sessions": served.horizon_sessions,
        "scaling": served.scaling,
        "ewma_lambda": asked.spec.ewma_lambda,
        "law": asked.spec.law if served.paths else None,
        "seed": served.seed,
        "paths": served.paths,
    }


def _judged(served: PortfolioBacktestOut, name: str) -> Value:
    """A figure by the name that the table of stored backtests has for it."""
    if name == "traffic_light":
        return served.traffic_light.zone
    if name == "basel_multiplier":
        return served.traffic_light.multiplier
    for ending, part in (("_p_value", "p_value"), ("_statistic", "value")):
        if name.endswith(ending):
            found: float | None = getattr(getattr(served, name.removesuffix(ending)), part)
            return found
    return float(getattr(served, name))


def _why_unjudged(served: PortfolioBacktestOut, name: str) -> str | None:
    if name in ("traffic_light", "basel_multiplier"):
        return served.traffic_light.undefined_because
    test = getattr(served, name.removesuffix("_p_value").removesuffix("_statistic"))
    return getattr(test, "undefined_because", None)
