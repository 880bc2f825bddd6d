"""Why the tail of a portfolio, a part of its risk, or its loss in a crisis is what it is: as `explanations`."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.holdings import scenario_returns
from pipeline.risk.measures.position_parts import position_parts
from pipeline.risk.measures.stress_historical import HISTORICAL_WINDOWS, window_named
from pipeline.risk.measures.tail_forecasts import PUBLISHED_CONFIDENCES, PUBLISHED_WINDOW_SESSIONS
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.report import HeldSeries, held_series
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolio_contributions import PORTFOLIO_CONTRIBUTION, read_portfolio_contributions
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL, read_portfolio_tails
from pipeline.store.portfolios import Portfolio, Position, read_portfolio
from pipeline.store.prices import read_price_panel
from pipeline.store.provenance import Materialization, read_materialization
from pipeline.store.reading import Window
from pipeline.store.schema import unit_of
from pipeline.store.stress_results import STRESS_RESULT, read_stress_results
from serving.deps import Database
from serving.inputs import IsoDate, PortfolioPath, Symbol
from serving.routes.explanations import (
    DefinitionOut,
    ExplanationOut,
    Inputs,
    InputsOut,
    Recomputed,
    Stored,
    explanation,
    inputs_out,
    portfolio_inputs,
    read_known_panel,
    require_inputs,
)

TAIL_LOOK_BACK_MONTHS = 30
"""500 sessions are two years, and the quarter before them in which the weights were set."""

ROWS_OF_A_SESSION = 10_000
"""More than the positions and scenarios of a portfolio."""

TailMeasure = Literal["var_95_1d", "var_975_1d", "var_99_1d", "es_95_1d", "es_975_1d", "es_99_1d"]
ContributionMeasure = Literal[
    "volatility_component",
    "volatility_marginal",
    "volatility_incremental",
    "var_99_1d_component",
    "var_99_1d_marginal",
    "var_99_1d_incremental",
    "es_975_1d_component",
    "es_975_1d_marginal",
    "es_975_1d_incremental",
]
AskedSession = Annotated[IsoDate | None, Query(description="Session of the row; null for the newest.")]
PositionSymbol = Annotated[Symbol, Query(description="Symbol of a position.", examples=["AAPL"])]

_CONFIDENCES = dict(zip(("95", "975", "99"), PUBLISHED_CONFIDENCES, strict=True))
_PARTS = {
    "component": "Euler's allocation: weight × marginal; parts sum to the total",
    "marginal": "∂ total / ∂ weight",
    "incremental": "total − total without the position, its value in cash",
}

router = APIRouter(prefix="/portfolios", tags=["risk"])


@router.get("/{reference}/tail/explain")
def explain_portfolio_tail(
    reference: PortfolioPath,
    method: Annotated[str, Query(description="Method of the figure.", examples=["filtered_historical"])],
    measure: Annotated[TailMeasure, Query(description="Which figure.")],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a stored value at risk or expected shortfall of a portfolio by one of the methods."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_tails(connection, portfolio.id, Window(None, session, len(VAR_METHODS) * 32))
        row = next((r for r in reversed(rows) if r.method == method and session in (None, r.session)), None)
        if row is None:
            raise _missing(reference, f"tail by {method!r}", session, "tail")
        write = read_materialization(connection, row.materialization_id)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        panel = read_known_panel(connection, _ids(portfolio), None, row.session, write, TAIL_LOOK_BACK_MONTHS)
        inputs = portfolio_inputs(panel, portfolio, None, RiskSpec(window_sessions=PUBLISHED_WINDOW_SESSIONS))
        described = VAR_METHODS[method]
        unit = unit_of(PORTFOLIO_TAIL.columns[measure])
        stored = Stored(
            _name(portfolio),
            _ids(portfolio),
            row.session,
            getattr(row, measure),
            row.reason,
            write,
            DefinitionOut(
                name=measure,
                function=f"pipeline.risk.measures.value_at_risk.VAR_METHODS[{method!r}]",
                meaning=PORTFOLIO_TAIL.columns[measure].comment or "",
                unit=unit.name if unit else "",
                formula=described.description,
                source=described.source,
                parameters={"confidence": _confidence(measure)},
            ),
            {"window_sessions": PUBLISHED_WINDOW_SESSIONS, **_tail_parameters()},
        )
        require_inputs(stored, inputs)
        found = _held(inputs, PUBLISHED_WINDOW_SESSIONS)
        again = None if found is None else tail_again(found, method, measure)
        return explanation(connection, stored, inputs_out(inputs, found), again, database.notice(connection))


@router.get("/{reference}/contributions/explain")
def explain_contribution(
    reference: PortfolioPath,
    symbol: PositionSymbol,
    measure: Annotated[ContributionMeasure, Query(description="Which figure.")],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain what a position has to do with the risk of its portfolio."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        position = _position(portfolio, symbol)
        window = Window(session, session, ROWS_OF_A_SESSION)
        rows = read_portfolio_contributions(connection, portfolio.id, window)
        row = next((r for r in reversed(rows) if r.instrument_id == position.instrument_id), None)
        if row is None:
            raise _missing(reference, f"contribution of {symbol}", session, "contributions")
        write = read_materialization(connection, row.materialization_id)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        panel = read_known_panel(connection, _ids(portfolio), None, row.session, write)
        inputs = portfolio_inputs(panel, portfolio, None, RiskSpec())
        measured, _, part = measure.rpartition("_")
        unit = unit_of(PORTFOLIO_CONTRIBUTION.columns[measure])
        stored = Stored(
            _name(portfolio),
            _ids(portfolio),
            row.session,
            getattr(row, measure),
            row.reason,
            write,
            DefinitionOut(
                name=measure,
                function="pipeline.risk.measures.position_parts.position_parts",
                meaning=PORTFOLIO_CONTRIBUTION.columns[measure].comment or "",
                unit=unit.name if unit else "",
                formula=_PARTS[part],
                source="Tasche (1999); Litterman (1996)",
                parameters={},
            ),
            {"window_sessions": RiskSpec().window_sessions, "position": _place(portfolio, symbol)},
        )
        require_inputs(stored, inputs)
        found = _held(inputs, RiskSpec().window_sessions)
        again = contribution_again(inputs, measured, part, _place(portfolio, symbol)) if found is not None else None
        return explanation(connection, stored, inputs_out(inputs, found), again, database.notice(connection))


@router.get("/{reference}/stress/explain")
def explain_stress(
    reference: PortfolioPath,
    scenario: Annotated[str, Query(description="Crisis.", examples=["lehman_2008"])],
    symbol: PositionSymbol,
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain the profit or loss of a position in a crisis: its weight, and its closes before and at the end."""
    crisis = window_named(scenario)
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        position = _position(portfolio, symbol)
        rows = read_stress_results(connection, portfolio.id, Window(session, session, ROWS_OF_A_SESSION))
        of_position = (r for r in reversed(rows) if r.instrument_id == position.instrument_id)
        row = next((r for r in of_position if r.scenario == scenario), None)
        if row is None:
            raise _missing(reference, f"stress of {symbol} in {scenario}", session, "stress")
        write = read_materialization(connection, row.materialization_id)
        inputs = _crisis_inputs(connection, position, portfolio, write, scenario)
        stored = Stored(
            _name(portfolio),
            [position.instrument_id],
            row.session,
            row.pnl,
            row.reason,
            write,
            DefinitionOut(
                name="pnl",
                function="pipeline.risk.measures.stress.replay",
                meaning=STRESS_RESULT.columns["pnl"].comment or "",
                unit="fraction of portfolio value",
                formula="weight × (close at the end / close before the start − 1)",
                source=f"Closes from {crisis.first} to {crisis.last}; shocked by {row.shocked_by}",
                parameters={},
            ),
            {"weight": row.weight or 0.0, "shock": row.shock or 0.0},
        )
        if not inputs.sessions:
            raise NotFoundError(f"{symbol} has no price in {scenario}", "Its shock is derived from the index's.")
        close = inputs.close[symbol]
        again = None if row.shocked_by != "prices" or row.weight is None else row.weight * (close[-1] / close[0] - 1.0)
        return explanation(connection, stored, inputs, again, database.notice(connection))


def tail_again(found: Recomputed, method: str, measure: str) -> float:
    """A figure of one method from the scenarios of its window."""
    estimates = VAR_METHODS[method].estimate_each(
        found.scenarios[None], TailSpec(PUBLISHED_CONFIDENCES[0]), PUBLISHED_CONFIDENCES
    )
    estimate = estimates[PUBLISHED_CONFIDENCES.index(_confidence(measure))]
    return float((estimate.var if measure.startswith("var") else estimate.es)[0])


def contribution_again(inputs: Inputs, measured: str, part: str, place: int) -> float:
    """A part of the risk of the last window of the inputs."""
    held = _series(inputs).held
    window = slice(-RiskSpec().window_sessions, None)
    parts = position_parts(held.weights[-1], np.ascontiguousarray(held.asset_returns[window]))[measured]
    return float(getattr(parts, part)[place])


def _held(inputs: Inputs, window_sessions: int) -> Recomputed | None:
    """The series between the inputs and the number; None if the window is not full."""
    if len(inputs.sessions) <= window_sessions:
        return None
    held = _series(inputs).held
    scenarios = scenario_returns(held, len(held.returns), window_sessions)
    return Recomputed({}, held.returns[-window_sessions:], scenarios, held.weights[-1])


def _series(inputs: Inputs) -> HeldSeries:
    assert inputs.holdings is not None  # a portfolio's
    return held_series(inputs.close, inputs.sessions, None, inputs.holdings)


def _crisis_inputs(
    connection: Connection, position: Position, portfolio: Portfolio, write: Materialization, scenario: str
) -> InputsOut:
    """The closes of a position from before a crisis to its end, in the portfolio's currency."""
    crisis = HISTORICAL_WINDOWS[scenario]
    start, end = crisis.first - timedelta(days=14), crisis.last + timedelta(days=1)
    panel = read_price_panel(connection, [position.instrument_id], start, end, Knowledge(write.finished_at))
    close = panel.column(position.instrument_id, portfolio.base_currency)
    before = int(np.searchsorted(panel.sessions, np.datetime64(crisis.first, "D"))) - 1
    used = slice(max(before, 0), None) if np.isfinite(close[max(before, 0) :]).all() else slice(0, 0)
    return InputsOut(
        sessions=panel.sessions[used].astype(object).tolist(),
        close={position.symbol: close[used].tolist()},
        exchange_rates={},
        amounts=None,
        rebalancing=None,
        weights=None,
        returns=(close[used][1:] / close[used][:-1] - 1.0).tolist(),
        scenarios=[],
        benchmark=None,
        benchmark_close=None,
    )


def _confidence(measure: str) -> float:
    return _CONFIDENCES[measure.split("_")[1]]


def _tail_parameters() -> dict[str, float]:
    spec = TailSpec(PUBLISHED_CONFIDENCES[0])
    return {"ewma_lambda": spec.ewma_lambda, "seed": spec.seed, "paths": spec.paths}


def _ids(portfolio: Portfolio) -> list[int]:
    return [position.instrument_id for position in portfolio.positions]


def _name(portfolio: Portfolio) -> str:
    return portfolio.slug or str(portfolio.id)


def _position(portfolio: Portfolio, symbol: str) -> Position:
    found = next((position for position in portfolio.positions if position.symbol == symbol), None)
    if found is None:
        raise NotFoundError(f"{_name(portfolio)} does not hold {symbol!r}", "Ask for one of its positions.")
    return found


def _place(portfolio: Portfolio, symbol: str) -> int:
    return [position.symbol for position in portfolio.positions].index(symbol)


def _missing(reference: str, what: str, session: date | None, route: str) -> NotFoundError:
    when = "" if session is None else f" on {session}"
    return NotFoundError(
        f"{reference} has no stored {what}{when}", f"GET /api/v1/portfolios/{reference}/{route} lists what there is."
    )
