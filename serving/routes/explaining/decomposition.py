"""Why a part of a portfolio has the risk that a decomposition on request says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from fastapi import APIRouter
from pydantic import Field

from pipeline.base.types import FloatArray
from pipeline.risk.measures.decomposition import RiskParts
from pipeline.risk.measures.splits import (
    Split,
    SplitSpec,
    decomposed,
    split_by_factor,
    split_by_group,
    split_by_position,
)
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.instruments import Instrument
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import PricePanel
from serving.deps import Database
from serving.inputs import Label, PortfolioPath
from serving.references import references
from serving.routes.decomposition import (
    DecompositionOut,
    DecompositionRequest,
    PartOut,
    Window,
    decomposition_answer,
    group_of,
    read_window,
)
from serving.routes.explaining.documented import (
    path_of,
    sources_of,
    words_of,
    words_of_field,
    words_of_module,
)
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, FigureName, InputsOut, Value
from serving.routes.explaining.figures import Figure, explanation, known_figure
from serving.routes.explaining.prices import (
    by_symbol,
    currencies_of,
    days_of,
    ids_of,
    name_of,
    rates_used,
)
from serving.routing import ComputingRoute

TOTAL = "total"
PART_FIGURES = ("size", "component", "share", "marginal", "incremental")

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])


class ExplainDecompositionRequest(DecompositionRequest):
    """A decomposition, and which figure of it."""

    figure: FigureName = Field("component", description=f"One of {', '.join(PART_FIGURES)}; without a part {TOTAL}.")
    part: Label | None = Field(None, description="Name of the part; null for the total.")


@router.post("/{reference}/decomposition/explain")
def explain_decomposition(
    reference: PortfolioPath, request: ExplainDecompositionRequest, database: Database
) -> ExplanationOut:
    """Explain a figure of a decomposition, which is computed for each request."""
    name = known_figure(request.figure if request.part else TOTAL, [TOTAL, *PART_FIGURES], "figure")
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        panel, window, held = read_window(connection, portfolio, request)
        served = decomposition_answer(portfolio, window, held, request)
        inputs = _inputs_out(portfolio, panel, window, held, request)
        value: Value = served.total
        if request.part is not None:
            parts: Mapping[str, PartOut] = {part.name: part for part in served.parts}
            value = getattr(parts[known_figure(request.part, parts, "part")], name)
        figure = Figure(
            name_of(portfolio),
            [*ids_of(portfolio), *(fund.id for fund in window.funds)],
            served.as_of,
            value,
            "the total is 0, or the part is `specific`, which has no size",
            None,
            _definition(name),
            _parameters(served, request),
        )
        again = decomposition_again(inputs, request.by, request.spec, request.part, name)
        return explanation(connection, figure, inputs, again, database.notice(connection))


def decomposition_again(inputs: InputsOut, by: str, spec: SplitSpec, part: str | None, name: str) -> float | None:
    """A figure from the closes and weights of the inputs; None where it has no value."""
    split = _split(inputs, by)
    parts = decomposed(split, spec)
    if part is None:
        return parts.total
    place = split.names.index(part)
    if name == "share":
        return float(parts.component[place]) / parts.total if parts.total else None
    values: FloatArray = split.sizes if name == "size" else getattr(parts, name)
    return float(values[place])


def _split(inputs: InputsOut, by: str) -> Split:
    assert inputs.weights is not None  # given below
    symbols = list(inputs.weights)
    weights = np.array(list(inputs.weights.values()))
    returns = _returns(inputs, symbols)
    if by == "position":
        return split_by_position(symbols, weights, returns)
    if by == "sector":
        groups = inputs.groups or {}
        return split_by_group([groups[symbol] for symbol in symbols], weights, returns)
    funds = list(inputs.factors or {})
    of_funds = np.column_stack([simple_returns(np.array((inputs.factors or {})[fund])) for fund in funds])
    return split_by_factor(symbols, weights, returns, funds, of_funds)


def _returns(inputs: InputsOut, symbols: list[str]) -> FloatArray:
    return np.column_stack([simple_returns(np.array(inputs.close[symbol])) for symbol in symbols])


def _inputs_out(
    portfolio: Portfolio,
    panel: PricePanel,
    window: Window,
    held: list[Instrument],
    request: DecompositionRequest,
) -> InputsOut:
    ids, currency, names = ids_of(portfolio), portfolio.base_currency, references(held)
    rows = np.searchsorted(panel.sessions, window.sessions)
    symbols = tuple(names[number] for number in ids)
    funds = [fund.id for fund in window.funds]
    own = dict(zip(symbols, currencies_of(panel, ids, currency), strict=True))
    fund_names = tuple(references(window.funds)[number] for number in funds)
    own |= dict(zip(fund_names, currencies_of(panel, funds, currency), strict=True))
    rates = rates_used(panel, rows, own, currency)
    factors = by_symbol(fund_names, panel.columns(funds, currency)[rows]) if funds else None
    groups = {names[instrument.id]: group_of(instrument) for instrument in held}
    return InputsOut(
        sessions=days_of(window.sessions),
        close=by_symbol(symbols, panel.columns(ids, currency)[rows]),
        exchange_rates={code: rate.tolist() for code, rate in rates.items()},
        currencies=own if rates else {},
        weights=dict(zip(symbols, window.weights.tolist(), strict=True)),
        factors=factors,
        groups=groups if request.by == "sector" else None,
    )


def _parameters(served: DecompositionOut, request: ExplainDecompositionRequest) -> dict[str, int | float | str]:
    """What the answer says of how it was made."""
    chosen = {"confidence": served.confidence, "covariance": served.covariance, "method": served.method}
    return {
        "measure": served.measure,
        "by": served.by,
        "window_sessions": served.window_sessions,
        **{name: value for name, value in chosen.items() if value is not None},
        **({} if request.part is None else {"part": request.part}),
    }


def _definition(name: str) -> DefinitionOut:
    fields = DecompositionOut.model_fields if name == TOTAL else PartOut.model_fields
    formula = [words_of_module(RiskParts), words_of_field(RiskParts, name), words_of(decomposed)]
    return DefinitionOut(
        name=name,
        function=path_of(decomposed),
        meaning=fields[name].description or "",
        unit="ratio" if name in ("share", "size") else "fraction of value, per session",
        formula=" ".join(filter(None, formula)),
        source=sources_of(RiskParts),
        parameters={},
    )
