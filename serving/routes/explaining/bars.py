"""Why a price is what it is: the bar as its provider gave it, and the splits and dividends that adjust its close."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import Field

from pipeline.risk.measures.windows import simple_returns
from pipeline.store.corporate_actions import CORPORATE_ACTIONS
from pipeline.store.instruments import Instrument, read_instrument
from pipeline.store.point_in_time import Knowledge
from pipeline.store.price_origins import GivenBar, read_actions, read_given_bars, read_revisions
from pipeline.store.prices import PRICE, Bar, read_bars
from pipeline.store.reading import Window
from serving.deps import Database
from serving.inputs import InstrumentPath, IsoDate, KnownQuery
from serving.routes.explaining.documented import definition_of_column, path_of
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, FigureName, InputsOut, Parameter
from serving.routes.explaining.figures import Figure, explanation, known_figure, not_stored
from serving.routes.explaining.input_forms import ActionOut, BarInputsOut, GivenBarOut, RevisedOut
from serving.routing import ComputingRoute

ADJUSTED, RETURN = "close_adjusted", "daily_return"
AS_GIVEN = ("open", "high", "low", "close", "volume")
PRICE_FIGURES = (ADJUSTED, *AS_GIVEN, RETURN)

router = APIRouter(route_class=ComputingRoute, prefix="/instruments", tags=["market data"])


class PriceQuery(KnownQuery):
    """Which price to explain."""

    measure: FigureName = Field(ADJUSTED, description=f"One of {', '.join(PRICE_FIGURES)}.")
    session: IsoDate | None = Field(None, description="Session of the bar; null for the newest.")


@router.get("/{symbol}/prices/explain")
def explain_price(symbol: InstrumentPath, query: Annotated[PriceQuery, Query()], database: Database) -> ExplanationOut:
    """Explain a price of an instrument, or its return: who gave it, in which write, and by what it is adjusted."""
    measure = known_figure(query.measure, PRICE_FIGURES)
    with database.reading(as_known=query.known_at is not None) as connection:
        instrument = read_instrument(connection, symbol)
        count = 2 if measure == RETURN else 1
        given = read_given_bars(connection, instrument.id, query.session, count, query.known)
        served = read_bars(connection, instrument.id, Window(None, query.session, count), query.known)
        if not served or query.session not in (None, served[-1].session):
            raise not_stored(symbol, "price", query.session, f"instruments/{symbol}/prices")
        inputs = _inputs(connection, instrument, given, query.known)
        figure = _figure(instrument, inputs, measure, _served(served, measure), query.known)
        again = price_again(inputs, measure)
        return explanation(connection, figure, _out(inputs), again, database.notice(connection))


def price_again(inputs: BarInputsOut, measure: str) -> float | None:
    """A figure of the last of the bars, from what was given; None where it cannot be."""
    if measure != RETURN:
        return _of_bar(inputs, inputs.given[-1], measure)
    closes = [_of_bar(inputs, bar, ADJUSTED) for bar in inputs.given]
    return None if len(closes) < 2 or not closes[0] or closes[1] is None else closes[1] / closes[0] - 1.0


def _of_bar(inputs: BarInputsOut, bar: GivenBarOut, measure: str) -> float | None:
    if measure == "volume":
        return bar.volume
    if measure != ADJUSTED or bar.close is None:
        found: float | None = getattr(bar, measure)
        return None if found is None else found * inputs.price_unit
    factors = [action.factor for action in inputs.actions if action.ex_session > bar.session]
    return bar.close * math.prod(factors) * inputs.price_unit


def _served(bars: Sequence[Bar], measure: str) -> float | None:
    if measure != RETURN:
        found: float | None = getattr(bars[-1], measure)
        return found
    closes = [bar.close_adjusted for bar in bars]
    return None if len(closes) < 2 or not closes[0] or closes[1] is None else closes[1] / closes[0] - 1.0


def _inputs(
    connection: Connection, instrument: Instrument, given: Sequence[GivenBar], known: Knowledge
) -> BarInputsOut:
    sessions = [bar.session for bar in given]
    actions = read_actions(connection, instrument.id, sessions[0] if sessions else None, known)
    revisions = read_revisions(connection, instrument.id, sessions)
    return BarInputsOut(
        price_unit=instrument.price_scale,
        given=[GivenBarOut.model_validate(bar) for bar in given],
        actions=[ActionOut.model_validate(action) for action in actions],
        revisions=[RevisedOut.model_validate(revised) for revised in revisions],
    )


def _out(inputs: BarInputsOut) -> InputsOut:
    return InputsOut(sessions=[bar.session for bar in inputs.given], close={}, exchange_rates={}, bars=inputs)


def _figure(
    instrument: Instrument, inputs: BarInputsOut, measure: str, served: float | None, known: Knowledge
) -> Figure:
    bar, days = inputs.given[-1], [action.ex_session for action in inputs.actions]
    parameters: dict[str, Parameter] = {
        "provider": bar.provider,
        "price_unit": inputs.price_unit,
        "revisions": len(inputs.revisions),
    }
    if known.at is not None:
        parameters["known_at"] = known.at.isoformat()
    return Figure(
        instrument.symbol,
        [instrument.id],
        bar.session,
        served,
        f"{bar.provider} gave none" if measure != RETURN else "there is no price before it",
        None,
        _definition(measure, bar),
        parameters,
        inputs={CORPORATE_ACTIONS: (min(days), max(days))} if days else {},
        input_writes=[action.materialization_id for action in inputs.actions],
        asked_as=known,
    )


def _definition(measure: str, bar: GivenBarOut) -> DefinitionOut:
    if measure == RETURN:
        return DefinitionOut(
            name=RETURN,
            function=path_of(simple_returns),
            meaning="Return of the session, from the adjusted close of the session before to its own.",
            unit="fraction",
            formula=f"close_adjusted / close_adjusted of the session before - 1; {_ADJUSTMENT}",
            source=path_of(simple_returns),
            parameters={},
        )
    formula, source = f"{measure} as given", f"{bar.provider}, as it gave it"
    if measure == ADJUSTED and bar.close is not None:
        formula, source = _ADJUSTMENT, f"{bar.provider}: its closes, splits and dividends"
    found = definition_of_column(PRICE, measure, path_of(read_bars), formula, source)
    return found if bar.close is None else found.model_copy(update={"meaning": _MEANINGS.get(measure, found.meaning)})


_MEANINGS = {ADJUSTED: "Close as traded, adjusted for later splits and dividends."}
_ADJUSTMENT = (
    "close_adjusted = close as given × price_unit × Π factor of the actions with a later ex_session, where"
    " factor = split_denominator / split_numerator × (1 - dividend / close before it)"
)
