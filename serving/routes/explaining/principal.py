"""Why a factor that is made of returns explains what it explains."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from pipeline.risk.measures.factors import PrincipalFactors, principal_factors
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR, simple_returns
from serving.deps import Database
from serving.inputs import Symbol
from serving.routes.explaining.documented import path_of, sources_of, words_of, words_of_field
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, FigureName, InputsOut, Parameter
from serving.routes.explaining.figures import Figure, explanation, known_figure
from serving.routes.explaining.prices import by_symbol, days_of
from serving.routes.factors import PrincipalFactorOut, PrincipalQuery, principal_answer, read_principal
from serving.routing import ComputingRoute

LOADING = "loading"
FACTOR_FIGURES = ("explained", "volatility", LOADING)
_FIELDS = {"explained": "explained", "volatility": "variances", LOADING: "loadings"}
"""Figure → field of `PrincipalFactors` that it is made of."""

router = APIRouter(route_class=ComputingRoute, tags=["risk"])


class ExplainPrincipalQuery(PrincipalQuery):
    """Which figure of which factor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    figure: FigureName = Field("explained", description=f"One of {', '.join(FACTOR_FIGURES)}.")
    factor: int = Field(1, ge=1, description="Which factor: 1 explains most.")
    symbol: Symbol | None = Field(None, description="Of a loading.", examples=["AAPL"])


@router.get("/principal-factors/explain")
def explain_principal_factor(query: Annotated[ExplainPrincipalQuery, Query()], database: Database) -> ExplanationOut:
    """Explain a figure of a principal component, which is computed for each request."""
    name = known_figure(query.figure, FACTOR_FIGURES, "figure")
    known_figure(str(query.factor), [str(one) for one in range(1, query.count + 1)], "factor")
    with database.reading() as connection:
        panel, window, chosen = read_principal(connection, query)
        served = principal_answer(panel, window, chosen, query.count)
        symbol = known_figure(query.symbol or "", served.symbols, "symbol") if name == LOADING else None
        inputs = InputsOut(
            sessions=days_of(panel.sessions[window.rows]),
            close=by_symbol(tuple(served.symbols), panel.close[np.ix_(window.rows, window.columns)]),
            exchange_rates={},
        )
        factor = served.factors[query.factor - 1]
        parameters: dict[str, Parameter] = {
            "window_sessions": served.window_sessions,
            "count": query.count,
            "factor": query.factor,
        }
        figure = Figure(
            ", ".join(served.symbols),
            [chosen[column].id for column in window.columns],
            panel.sessions[window.rows[-1]].astype(date),
            factor.loadings[symbol] if symbol else getattr(factor, name),
            None,
            None,
            _definition(name),
            parameters | ({"symbol": symbol} if symbol else {}),
        )
        again = principal_again(inputs, query.count, query.factor, name, symbol)
        return explanation(connection, figure, inputs, again, database.notice(connection))


def principal_again(inputs: InputsOut, count: int, factor: int, name: str, symbol: str | None) -> float:
    """A figure of a factor from the closes of the inputs."""
    found = principal_factors(simple_returns(np.column_stack(list(inputs.close.values()))), count)
    if symbol is not None:
        return float(found.loadings[list(inputs.close).index(symbol), factor - 1])
    if name == "explained":
        return float(found.explained[factor - 1])
    return float(np.sqrt(found.variances[factor - 1] * TRADING_DAYS_PER_YEAR))


def _definition(name: str) -> DefinitionOut:
    shown = PrincipalFactorOut.model_fields["loadings" if name == LOADING else name]
    return DefinitionOut(
        name=name,
        function=path_of(principal_factors),
        meaning=shown.description or "",
        unit={"explained": "share", "volatility": "fraction per year"}.get(name, "weight"),
        formula=f"{words_of(principal_factors)} {words_of_field(PrincipalFactors, _FIELDS[name])}",
        source=sources_of(principal_factors),
        parameters={},
    )
