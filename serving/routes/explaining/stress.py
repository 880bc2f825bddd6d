"""Why a stored stress of a portfolio is what it is: its weights, and what its scenario does to each position."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection

from pipeline.base.types import FloatArray
from pipeline.risk.measures.stress_historical import HISTORICAL_WINDOWS, replay_window
from pipeline.risk.measures.stress_replays import Replays
from pipeline.risk.measures.stress_standing import FIGURES, Outcomes, moved_sums
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.provenance import Materialization, read_materialization
from pipeline.store.reading import Window
from pipeline.store.stress_results import STRESS_RESULT, StressRow, read_stress_results
from pipeline.store.stress_scenarios import STRESS_SCENARIO, ScenarioRow, read_stress_scenarios
from serving.deps import Database
from serving.inputs import Label, PortfolioPath, Symbol
from serving.routes.explaining.contributions import WEIGHT, position_of
from serving.routes.explaining.crises import crisis_inputs_out, read_crisis
from serving.routes.explaining.documented import (
    Documented,
    definition_of_column,
    path_of,
    words_of,
    words_of_field,
)
from serving.routes.explaining.envelope import AskedSession, DefinitionOut, ExplanationOut, InputsOut
from serving.routes.explaining.figures import (
    ROWS_OF_A_SESSION,
    Figure,
    explanation,
    flat,
    known_figure,
    not_stored,
)
from serving.routes.explaining.prices import (
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    read_held_panel,
)
from serving.routes.explaining.standing import outcome_of, read_stood, stood_inputs_out
from serving.routing import ComputingRoute

POSITION_FIGURES = (WEIGHT, "shock", "pnl", "worst_shock", "worst_pnl")
WHOLE_FIGURES = ("total", "worst_total", *FIGURES)

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["stress"])


@dataclass(frozen=True, slots=True)
class Again:
    """A scenario computed again.

    Parameters
    ----------
    inputs
        From which it was.
    positions, whole
        Figure → (k,) of the positions, and of the portfolio; NaN where there is none.
    function
        What makes the moves.
    """

    inputs: InputsOut
    positions: dict[str, FloatArray]
    whole: dict[str, float]
    function: Documented


@router.get("/{reference}/stress/explain")
def explain_stress(
    reference: PortfolioPath,
    scenario: Annotated[Label, Query(description="As GET …/stress names it.", examples=["lehman_2008"])],
    database: Database,
    symbol: Annotated[Symbol | None, Query(description="Symbol of a position; null for the portfolio.")] = None,
    measure: Annotated[
        str | None,
        Query(
            description=f"Of a position {', '.join(POSITION_FIGURES)}, else {', '.join(WHOLE_FIGURES)}; null for the"
            " profit or loss."
        ),
    ] = None,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a figure of a position, or of the portfolio, under a stored scenario."""
    figures, loss = (WHOLE_FIGURES, "total") if symbol is None else (POSITION_FIGURES, "pnl")
    wanted = known_figure(measure or loss, figures)
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        row = _scenario(connection, portfolio, scenario, session)
        write = read_materialization(connection, row.materialization_id)
        own, place = (None, None) if symbol is None else _position(connection, portfolio, row, symbol)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        figure = _figure(portfolio, row, own, write, wanted)
        if wanted == WEIGHT:
            inputs, weights = _weights(connection, portfolio, figure)
            again = None if weights is None or place is None else float(weights[place])
        else:
            figure, made = _read_again(connection, portfolio, row, figure)
            inputs, figure = made.inputs, replace(figure, definition=_definition(row, own, wanted, made.function))
            again = made.whole[wanted] if place is None else float(made.positions[wanted][place])
        return explanation(connection, figure, inputs, again, database.notice(connection))


def _scenario(connection: Connection, portfolio: Portfolio, scenario: str, session: date | None) -> ScenarioRow:
    """Of the session, or of the newest one that has any."""
    rows = read_stress_scenarios(connection, portfolio.id, Window(session, session, ROWS_OF_A_SESSION))
    if not rows:
        raise not_stored(
            name_of(portfolio), f"stress in {scenario}", session, f"portfolios/{name_of(portfolio)}/stress"
        )
    newest = {row.scenario: row for row in rows if row.session == rows[-1].session}
    return newest[known_figure(scenario, newest, "scenario")]


def _position(
    connection: Connection, portfolio: Portfolio, scenario: ScenarioRow, symbol: str
) -> tuple[StressRow, int]:
    """The row of a position, and its place among the positions."""
    number = position_of(portfolio, symbol).instrument_id
    window = Window(scenario.session, scenario.session, ROWS_OF_A_SESSION)
    rows: Sequence[StressRow] = read_stress_results(connection, portfolio.id, window, scenario.kind)
    found = [row for row in rows if row.scenario == scenario.scenario and row.instrument_id == number]
    if not found:
        name = name_of(portfolio)
        raise not_stored(
            name, f"move of {symbol} in {scenario.scenario}", scenario.session, f"portfolios/{name}/stress"
        )
    return found[0], ids_of(portfolio).index(number)


def _figure(
    portfolio: Portfolio, scenario: ScenarioRow, own: StressRow | None, write: Materialization, measure: str
) -> Figure:
    row = scenario if own is None else own
    parameters = {"scenario": scenario.scenario, "kind": scenario.kind, **flat(json.loads(scenario.parameters))}
    if own is not None:
        parameters["shocked_by"] = own.shocked_by
    return Figure(
        name_of(portfolio),
        ids_of(portfolio),
        scenario.session,
        getattr(row, measure),
        row.reason or "the scenario says nothing of it",
        write,
        _definition(scenario, own, measure, replay_window),
        parameters,
    )


def _read_again(connection: Connection, portfolio: Portfolio, row: ScenarioRow, figure: Figure) -> tuple[Figure, Again]:
    """The scenario again, and the figure with what else it rests on."""
    if row.kind == "historical":
        known_figure(row.scenario, HISTORICAL_WINDOWS, "scenario")
        crisis = read_crisis(connection, portfolio, HISTORICAL_WINDOWS[row.scenario], figure)
        return figure, _replayed(crisis_inputs_out(portfolio, crisis), crisis.replayed())
    stood = read_stood(connection, portfolio, figure)
    figure = replace(
        figure,
        inputs=stood.exposure_days,
        input_writes=sorted({used.materialization_id for used in stood.exposure_rows}),
    )
    found = outcome_of(stood.standing, row.scenario) if len(stood.inputs.sessions) > 1 else None
    if found is None:
        name = name_of(portfolio)
        raise not_stored(name, f"scenario {row.scenario} that is registered", None, f"portfolios/{name}/stress")
    record, outcomes = found
    return figure, _jumped(stood_inputs_out(stood), outcomes, type(record))


def _replayed(inputs: InputsOut, replays: Replays) -> Again:
    moved = np.ones(replays.pnl.shape, dtype=bool)
    positions = {
        "shock": replays.shocks[0],
        "pnl": replays.pnl[0],
        "worst_shock": replays.worst_shocks[0],
        "worst_pnl": replays.worst_pnl[0],
    }
    whole = dict.fromkeys(FIGURES, np.nan) | {
        "total": float(moved_sums(replays.pnl, moved)[0]),
        "worst_total": float(moved_sums(replays.worst_pnl, moved)[0]),
    }
    return Again(inputs, positions, whole, replay_window)


def _jumped(inputs: InputsOut, outcomes: Outcomes, record: type) -> Again:
    positions = {
        "shock": outcomes.shocks[0],
        "pnl": outcomes.pnl[0],
        "worst_shock": outcomes.worst_shocks[0],
        "worst_pnl": outcomes.worst_pnl[0],
    }
    figures = {name: float(values[0]) for name, values in outcomes.figures.items()}
    whole = dict.fromkeys(FIGURES, np.nan) | figures
    whole |= {"total": float(outcomes.totals[0]), "worst_total": float(outcomes.worst_totals[0])}
    return Again(inputs, positions, whole, record)


def _definition(row: ScenarioRow, own: StressRow | None, measure: str, function: Documented) -> DefinitionOut:
    """The column in the words of whatever makes the moves; the source is the scenario's own."""
    table = STRESS_SCENARIO if own is None else STRESS_RESULT
    of_figure = words_of_field(Replays, "pnl") if own is not None else ""
    formula = f"{words_of(function)} {of_figure}".strip()
    return definition_of_column(table, measure, path_of(function), formula, row.source)


def _weights(connection: Connection, portfolio: Portfolio, figure: Figure) -> tuple[InputsOut, FloatArray | None]:
    """The closes since the last rebalancing, and the weights that they make."""
    panel = read_held_panel(connection, portfolio, None, figure.session, figure.known, 1)
    inputs = portfolio_inputs(panel, portfolio, None, 1)
    weights = inputs.series.held.weights[-1] if len(inputs.sessions) > 1 else None
    return inputs_out(inputs, None), weights
