"""Why a portfolio earned of prices, of exchange rates and of both together what its currency split says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from pipeline.base.errors import NotFoundError
from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures.currency import (
    CompoundedContributions,
    CurrencyContributions,
    compounded_contributions,
    currency_contributions,
    split_returns,
)
from pipeline.risk.measures.holdings import hold, opening_weights
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.portfolios import Portfolio, read_portfolio
from serving.deps import Database
from serving.inputs import IsoDate, PortfolioPath
from serving.routes.currency import (
    DEFAULT_DAYS,
    CurrencyQuery,
    CurrencySplitOut,
    ExposureOut,
    SplitOut,
    SplitSessionOut,
    read_split_panel,
    split_answer,
    split_of,
)
from serving.routes.explaining.documented import Documented, path_of, sources_of, words_of, words_of_field
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, FigureName, InputsOut, Value
from serving.routes.explaining.figures import Figure, explanation, known_figure
from serving.routes.explaining.prices import Inputs, ids_of, inputs_out, name_of, portfolio_inputs
from serving.routes.portfolio_risk import end_of
from serving.routing import ComputingRoute

RETURN_FIGURES = ("local", "fx", "cross", "total")
EXPOSURE_FIGURES = ("weight", "fx_return")

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])


class ExplainCurrencyQuery(CurrencyQuery):
    """Which figure of a split."""

    measure: FigureName = Field(
        description=f"{', '.join(RETURN_FIGURES)}; with a currency {', '.join(EXPOSURE_FIGURES)}.", examples=["fx"]
    )
    session: IsoDate | None = Field(None, description="Of one session's return; null for all of them, compounded.")
    currency: str | None = Field(None, description="Whose weight or return.", pattern=r"^[A-Z]{3}$")


@dataclass(frozen=True, slots=True)
class SplitAgain:
    """A split from nothing but its inputs.

    Parameters
    ----------
    sessions
        (n,) that the returns end with.
    contributions
        (n,) each.
    weights
        Currency → share at the last close.
    fx_returns
        Currency → return of one unit of it over all sessions.
    """

    sessions: DateArray
    contributions: CurrencyContributions
    weights: dict[str, float]
    fx_returns: dict[str, float]


@router.get("/{reference}/currency/explain")
def explain_currency_split(
    reference: PortfolioPath, query: Annotated[ExplainCurrencyQuery, Query()], database: Database
) -> ExplanationOut:
    """Explain a figure of the split of a portfolio's return by currency, which is computed for each request."""
    known_figure(query.measure, EXPOSURE_FIGURES if query.currency else RETURN_FIGURES)
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        end = end_of(connection, query.end)
        start = query.start or end - timedelta(days=DEFAULT_DAYS)
        panel = read_split_panel(connection, portfolio, start, end)
        split = split_of(panel, portfolio, start)
        served = split_answer(portfolio, panel, split)
        window = len(split.sessions) - 1
        inputs = portfolio_inputs(panel, portfolio, None, window)
        again = split_again(inputs, portfolio.base_currency, window)
        figure = _figure(portfolio, served, query, window)
        given = _inputs_out(inputs, again)
        return explanation(connection, figure, given, _again(again, query), database.notice(connection))


def split_again(inputs: Inputs, base: str, window: int) -> SplitAgain:
    """Split the last returns of the inputs.

    Parameters
    ----------
    base
        Currency of the closes.
    window
        Returns to split.
    """
    assert inputs.holdings is not None  # a portfolio's
    own = [(inputs.currencies or {}).get(symbol, base) for symbol in inputs.symbols]
    values = np.column_stack([_value_of(inputs, code, base) for code in own])
    local = inputs.close / values
    returns = split_returns(simple_returns(local[-window - 1 :]), simple_returns(values[-window - 1 :]))
    weights = opening_weights(inputs.close, inputs.sessions, inputs.holdings)[-window:]
    closing = hold(inputs.close, inputs.sessions, inputs.holdings).weights[-1]
    met = sorted(set(own))
    return SplitAgain(
        inputs.sessions[-window:],
        currency_contributions(weights, returns),
        {code: float(closing[np.array(own) == code].sum()) for code in met},
        {code: float(values[-1, own.index(code)] / values[-window - 1, own.index(code)] - 1.0) for code in met},
    )


def _value_of(inputs: Inputs, code: str, base: str) -> FloatArray:
    """(t,) of one unit of a currency in the base currency."""
    if code == base or inputs.exchange_rates is None:
        return np.ones(len(inputs.sessions))
    return inputs.exchange_rates[code]


def _again(again: SplitAgain, query: ExplainCurrencyQuery) -> Value:
    if query.currency is not None:
        by_currency = again.weights if query.measure == "weight" else again.fx_returns
        return by_currency[query.currency]
    if query.session is None:
        return float(getattr(compounded_contributions(again.contributions), query.measure))
    row = int(np.flatnonzero(again.sessions == np.datetime64(query.session, "D"))[0])
    return float(getattr(again.contributions, query.measure)[row])


def _figure(portfolio: Portfolio, served: CurrencySplitOut, query: ExplainCurrencyQuery, window: int) -> Figure:
    parameters: dict[str, int | float | str] = {
        "window_sessions": window,
        "window_start": served.window_start.isoformat(),
        "base_currency": portfolio.base_currency,
    }
    if query.currency is not None:
        parameters["currency"] = query.currency
    session = query.session or served.as_of
    value = _served(served, query)
    definition = _definition(query)
    return Figure(name_of(portfolio), ids_of(portfolio), session, value, None, None, definition, parameters)


def _served(served: CurrencySplitOut, query: ExplainCurrencyQuery) -> float:
    if query.currency is not None:
        known = {exposure.currency: exposure for exposure in served.exposures}
        return float(getattr(known[known_figure(query.currency, known, "currency")], query.measure))
    if query.session is None:
        return float(getattr(served.compounded, query.measure))
    row = next((row for row in served.sessions if row.session == query.session), None)
    if row is None:
        raise NotFoundError(
            f"session: no return of {query.session} is split",
            f"Ask for one up to {served.as_of}, or for another start.",
        )
    return float(getattr(row, query.measure))


def _definition(query: ExplainCurrencyQuery) -> DefinitionOut:
    """In the words of the answer's fields and of the functions that fill them."""
    function: Documented
    shown: type[BaseModel]
    if query.currency is not None:
        shown, function, formula = ExposureOut, hold if query.measure == "weight" else split_returns, ""
    elif query.session is None:
        shown, function = SplitOut, compounded_contributions
        formula = words_of_field(CompoundedContributions, query.measure)
    else:
        shown, function = SplitSessionOut, currency_contributions
        formula = f"{words_of(split_returns)} {words_of_field(CurrencyContributions, query.measure)}"
    return DefinitionOut(
        name=query.measure,
        function=path_of(function),
        meaning=shown.model_fields[query.measure].description or "",
        unit="fraction",
        formula=f"{words_of(function)} {formula}".strip(),
        source=sources_of(function),
        parameters={},
    )


def _inputs_out(inputs: Inputs, again: SplitAgain) -> InputsOut:
    return inputs_out(inputs, None).model_copy(update={"returns": again.contributions.total.tolist()})
