"""Why the tail of a portfolio by one of the methods is what it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pipeline.risk.measures.simulated_losses import losses_tail
from pipeline.risk.measures.tail_forecasts import PUBLISHED_CONFIDENCES, PUBLISHED_WINDOW_SESSIONS
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL, TAIL_COLUMNS, TailRow, read_portfolio_tails
from pipeline.store.portfolios import read_portfolio
from pipeline.store.provenance import read_materialization
from pipeline.store.reading import Window
from serving.deps import Database
from serving.inputs import PortfolioPath
from serving.routes.explaining.documented import definition_of_column, path_of, sources_of, words_of
from serving.routes.explaining.envelope import AskedSession, DefinitionOut, ExplanationOut, Parameter
from serving.routes.explaining.figures import Figure, explanation, known_figure, not_stored
from serving.routes.explaining.prices import (
    Recomputed,
    held_window,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    read_held_panel,
)
from serving.routing import ComputingRoute

TAIL_FIGURES = TAIL_COLUMNS
ERROR_FIGURES = tuple(f"{name}_error" for name in TAIL_FIGURES)

_CONFIDENCES = dict(zip(("95", "975", "99"), PUBLISHED_CONFIDENCES, strict=True))
router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])


@router.get("/{reference}/tail/explain")
def explain_portfolio_tail(
    reference: PortfolioPath,
    method: Annotated[str, Query(description=f"One of {', '.join(VAR_METHODS)}.", examples=["filtered_historical"])],
    measure: Annotated[
        str, Query(description=f"One of {', '.join((*TAIL_FIGURES, *ERROR_FIGURES))}.", examples=["var_99_1d"])
    ],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a stored value at risk, expected shortfall or standard error of a portfolio by one of the methods."""
    known_figure(method, VAR_METHODS, "method")
    known_figure(measure, (*TAIL_FIGURES, *ERROR_FIGURES))
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_tails(connection, portfolio.id, Window(session, session, 1), method)
        if not rows:
            raise not_stored(reference, f"tail by {method!r}", session, f"portfolios/{reference}/tail")
        row = rows[-1]
        write = read_materialization(connection, row.materialization_id)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        figure = Figure(
            name_of(portfolio),
            ids_of(portfolio),
            row.session,
            getattr(row, measure),
            _missing_because(row, measure),
            write,
            _definition(method, measure),
            {"window_sessions": PUBLISHED_WINDOW_SESSIONS, **_parameters()},
        )
        window = PUBLISHED_WINDOW_SESSIONS
        panel = read_held_panel(connection, portfolio, None, row.session, figure.known, window)
        inputs = portfolio_inputs(panel, portfolio, None, window)
        found = held_window(inputs, window) if len(inputs.sessions) else None
        again = None if found is None else tail_again(found, method, measure)
        return explanation(connection, figure, inputs_out(inputs, found), again, database.notice(connection))


def tail_again(found: Recomputed, method: str, measure: str) -> float | None:
    """A figure of one method from the scenarios of its window; None for the error of one that does not simulate."""
    estimates = VAR_METHODS[method].estimate_each(
        found.scenarios[None], TailSpec(PUBLISHED_CONFIDENCES[0]), PUBLISHED_CONFIDENCES
    )
    estimate = estimates[PUBLISHED_CONFIDENCES.index(confidence_of(measure))]
    of_var, of_error = measure.startswith("var"), measure in ERROR_FIGURES
    if of_error:
        made = estimate.var_standard_error if of_var else estimate.es_standard_error
    else:
        made = estimate.var if of_var else estimate.es
    return None if made is None else float(made[0])


def confidence_of(measure: str) -> float:
    """Of a figure such as ``var_99_1d``."""
    return _CONFIDENCES[measure.split("_")[1]]


def _missing_because(row: TailRow, measure: str) -> str | None:
    """Why a figure of a row is missing, if it is."""
    if measure in ERROR_FIGURES:
        if row.method != "monte_carlo":
            return "not_simulated"
        return row.reason or "written_before_errors_were_stored"
    return row.reason


def _definition(method: str, measure: str) -> DefinitionOut:
    described, of_error = VAR_METHODS[method], measure in ERROR_FIGURES
    return definition_of_column(
        PORTFOLIO_TAIL,
        measure,
        path_of(losses_tail) if of_error else f"pipeline.risk.measures.value_at_risk.VAR_METHODS[{method!r}]",
        words_of(losses_tail) if of_error else described.formula,
        sources_of(losses_tail) if of_error else described.source,
        {"confidence": confidence_of(measure)},
    )


def _parameters() -> dict[str, Parameter]:
    """Of all methods: those that one does not read leave its figures as they are."""
    spec = TailSpec(PUBLISHED_CONFIDENCES[0])
    return {"ewma_lambda": spec.ewma_lambda, "law": spec.law, "seed": spec.seed, "paths": spec.paths}
