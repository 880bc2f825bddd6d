"""Stress of a portfolio: stored crises, standard shocks and likeliest losses, and any scenario computed on request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import Field

from pipeline.risk.measures.stress import StressKind
from pipeline.risk.measures.stress_historical import (
    HISTORICAL_WINDOWS,
)
from pipeline.store.instruments import read_instruments
from pipeline.store.portfolios import read_portfolio
from pipeline.store.reading import Window
from pipeline.store.stress_results import STRESS_RESULT, StressRow, read_stress_results
from pipeline.store.stress_scenarios import STRESS_SCENARIO, ScenarioRow, read_stress_scenarios
from serving.answers import Collection, Row, described_by
from serving.deps import Database
from serving.inputs import PastDay, PortfolioPath, TableQuery
from serving.references import references
from serving.routes.stress_forms import (
    StressOut,
    StressRequest,
)
from serving.routes.stress_on_request import computed, read_held
from serving.routing import ThreadedRoute, computing

MOST_ROWS = 10_000
"""More than 300 positions under each scenario."""

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["stress"])


class StressQuery(TableQuery):
    """Which scenarios to answer with."""

    kind: StressKind | None = Field(None, description="Of the scenarios; every kind where left out.")
    as_of: PastDay | None = Field(
        None, description="The newest holdings up to this day are answered for; null for the newest of all."
    )


@described_by(STRESS_RESULT)
class StoredPositionOut(Row):
    """A position under a scenario."""

    symbol: str = Field(description="Symbol of the instrument; with a day if it is another's now.")
    weight: float | None
    shock: float | None
    pnl: float | None
    worst_shock: float | None
    worst_pnl: float | None
    shocked_by: str
    reason: str | None


@described_by(STRESS_SCENARIO)
class StoredScenarioOut(Row):
    """A portfolio under a scenario."""

    session: date = Field(description="At whose close the portfolio stood as it does here.")
    scenario: str
    kind: StressKind
    parameters: dict[str, Any] = Field(description="What the scenario states; fractions and sessions.")
    source: str
    total: float | None = Field(description="Sum of the positions' profit and loss; null if one is unknown.")
    worst_total: float | None = Field(description="The same at the deepest point on the way.")
    mahalanobis_distance: float | None
    gaussian_probability: float | None
    var_99_1d_before: float | None
    var_99_1d_after: float | None
    es_99_1d_before: float | None
    es_99_1d_after: float | None
    reason: str | None
    positions: list[StoredPositionOut] = Field(description="Those that the scenario moves.")


@router.get("/{reference}/stress")
def list_stress(
    reference: PortfolioPath, query: Annotated[StressQuery, Query()], database: Database
) -> Collection[StoredScenarioOut]:
    """The stored scenarios of the newest session that has them, with the shocks and the profit and loss of each."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        stored = read_stored_stress(connection, portfolio.id, query.as_of, query.kind)
        return Collection[StoredScenarioOut].of(stored, database.notice(connection))


@router.post("/{reference}/stress")
@computing
def compute_stress(reference: PortfolioPath, request: StressRequest, database: Database) -> StressOut:
    """Put the newest holdings under a scenario now; nothing is stored, and the shocks are in the answer."""
    with database.reading() as connection:
        held = read_held(connection, read_portfolio(connection, reference))
        answer = computed(connection, held, request)
        return answer.model_copy(update={"notice": database.notice(connection)})


def read_stored_stress(
    connection: Connection, portfolio_id: int, as_of: date | None = None, kind: StressKind | None = None
) -> list[StoredScenarioOut]:
    """The stored scenarios of the newest session that has them, up to a day."""
    scenarios: list[ScenarioRow] = []
    positions: list[StressRow] = []
    for newest in read_stress_scenarios(connection, portfolio_id, Window(end=as_of, limit=1), kind):
        window = Window(newest.session, newest.session, MOST_ROWS)
        scenarios = read_stress_scenarios(connection, portfolio_id, window, kind)
        positions = read_stress_results(connection, portfolio_id, window, kind)
    return _stored_scenarios(scenarios, positions, references(read_instruments(connection)))


def _stored_scenarios(
    scenarios: Sequence[ScenarioRow], positions: Sequence[StressRow], names: dict[int, str]
) -> list[StoredScenarioOut]:
    """Crises in the order of their registry, then the others by kind and name."""
    order = {name: place for place, name in enumerate(HISTORICAL_WINDOWS)}
    moved = {name: list(rows) for name, rows in groupby(positions, key=lambda row: row.scenario)}
    ordered = sorted(scenarios, key=lambda row: (row.kind, order.get(row.scenario, len(order)), row.scenario))
    return [_stored_scenario(row, moved.get(row.scenario, []), names) for row in ordered]


def _stored_scenario(scenario: ScenarioRow, rows: Sequence[StressRow], names: dict[int, str]) -> StoredScenarioOut:
    positions = [
        {
            **asdict(row),
            "symbol": names.get(row.instrument_id, str(row.instrument_id)),
            "reason": row.reason or None,
        }
        for row in rows
    ]
    return StoredScenarioOut.model_validate(
        {
            **asdict(scenario),
            "parameters": json.loads(scenario.parameters),
            "reason": scenario.reason or None,
            "positions": positions,
        }
    )
