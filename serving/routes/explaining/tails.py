"""Why the tail of a portfolio by one of the methods is what it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pipeline.risk.measures.tail_forecasts import PUBLISHED_CONFIDENCES, PUBLISHED_WINDOW_SESSIONS
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL, read_portfolio_tails
from pipeline.store.portfolios import read_portfolio
from pipeline.store.provenance import read_materialization
from pipeline.store.reading import Window
from serving.deps import Database
from serving.inputs import PortfolioPath
from serving.routes.explaining.documented import definition_of_column
from serving.routes.explaining.envelope import AskedSession, ExplanationOut, Parameter
from serving.routes.explaining.figures import Figure, explanation, known_figure, not_stored
from serving.routes.explaining.prices import (
    Recomputed,
    held_window,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    read_known_panel,
)
from serving.routing import ThreadedRoute

TAIL_FIGURES = ("var_95_1d", "var_975_1d", "var_99_1d", "es_95_1d", "es_975_1d", "es_99_1d")

_CONFIDENCES = dict(zip(("95", "975", "99"), PUBLISHED_CONFIDENCES, strict=True))
router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["risk"])


@router.get("/{reference}/tail/explain")
def explain_portfolio_tail(
    reference: PortfolioPath,
    method: Annotated[str, Query(description=f"One of {', '.join(VAR_METHODS)}.", examples=["filtered_historical"])],
    measure: Annotated[str, Query(description=f"One of {', '.join(TAIL_FIGURES)}.", examples=["var_99_1d"])],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a stored value at risk or expected shortfall of a portfolio by one of the methods."""
    known_figure(method, VAR_METHODS, "method")
    known_figure(measure, TAIL_FIGURES)
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_tails(connection, portfolio.id, Window(session, session, 1), method)
        if not rows:
            raise not_stored(reference, f"tail by {method!r}", session, f"portfolios/{reference}/tail")
        row = rows[-1]
        write = read_materialization(connection, row.materialization_id)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        described = VAR_METHODS[method]
        figure = Figure(
            name_of(portfolio),
            ids_of(portfolio),
            row.session,
            getattr(row, measure),
            row.reason,
            write,
            definition_of_column(
                PORTFOLIO_TAIL,
                measure,
                f"pipeline.risk.measures.value_at_risk.VAR_METHODS[{method!r}]",
                described.description,
                described.source,
                {"confidence": confidence_of(measure)},
            ),
            {"window_sessions": PUBLISHED_WINDOW_SESSIONS, **_parameters()},
        )
        window = PUBLISHED_WINDOW_SESSIONS
        panel = read_known_panel(connection, ids_of(portfolio), None, row.session, figure.known, window)
        inputs = portfolio_inputs(panel, portfolio, None, window)
        found = held_window(inputs, window) if len(inputs.sessions) else None
        again = None if found is None else tail_again(found, method, measure)
        return explanation(connection, figure, inputs_out(inputs, found), again, database.notice(connection))


def tail_again(found: Recomputed, method: str, measure: str) -> float:
    """A figure of one method from the scenarios of its window."""
    estimates = VAR_METHODS[method].estimate_each(
        found.scenarios[None], TailSpec(PUBLISHED_CONFIDENCES[0]), PUBLISHED_CONFIDENCES
    )
    estimate = estimates[PUBLISHED_CONFIDENCES.index(confidence_of(measure))]
    return float((estimate.var if measure.startswith("var") else estimate.es)[0])


def confidence_of(measure: str) -> float:
    """Of a figure such as ``var_99_1d``."""
    return _CONFIDENCES[measure.split("_")[1]]


def _parameters() -> dict[str, Parameter]:
    spec = TailSpec(PUBLISHED_CONFIDENCES[0])
    return {"ewma_lambda": spec.ewma_lambda, "seed": spec.seed, "paths": spec.paths}
