"""Factors: what the factor funds explain of an instrument, and factors made from the returns themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field

from pipeline.base.errors import InvalidInputError
from pipeline.risk.measures.common_window import CommonWindow
from pipeline.risk.measures.factors import principal_factors
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR
from pipeline.store.factor_exposures import FACTOR_EXPOSURE, read_factor_exposures
from pipeline.store.instruments import Instrument, read_instrument, read_instruments
from pipeline.store.prices import PricePanel
from serving.answers import Collection, Resource, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import InstrumentPath, PastDay, Windowed
from serving.references import references
from serving.routes.covariance import References, read_common_window
from serving.routes.portfolio_risk import LONGEST_WINDOW_SESSIONS, end_of
from serving.routing import ThreadedRoute, computing

MOST_FACTORS = 500

router = APIRouter(route_class=ThreadedRoute, tags=["risk"])

EXPOSURES = Order.of_series(FACTOR_EXPOSURE, "instrument_id")


@described_by(FACTOR_EXPOSURE)
class FactorExposureOut(Row):
    """The exposure to one factor fund at one month's end."""

    session: date
    factor: str
    window_sessions: int
    exposure_ols: float | None
    standard_error: float | None
    t_statistic: float | None
    exposure_ridge: float | None
    ridge_penalty: float | None
    r_squared: float | None
    residual_volatility: float | None
    reason: str | None
    materialization_id: int


class PrincipalQuery(BaseModel):
    """Which factors of which returns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(3, ge=1, le=MOST_FACTORS, description="Factors wanted, at most one an instrument.")
    window_sessions: int = Field(252, ge=2, le=LONGEST_WINDOW_SESSIONS, description="Returns to use.")
    symbols: References | None = Field(
        None, description="Instruments, one parameter each; every stock with a full window where left out."
    )
    as_of: PastDay | None = Field(None, description="Last day whose price may be used; null for the newest.")


class PrincipalFactorOut(Row):
    """A portfolio that explains as much of the variance as one can that is uncorrelated with those before it."""

    explained: float = Field(description="Share of the instruments' total variance.")
    volatility: float = Field(description="Of the factor's returns, √252 [fraction per year]")
    loadings: dict[str, float] = Field(description="Symbol → weight; squares sum to 1, the largest is positive.")


class PrincipalFactorsOut(Resource):
    """Principal components of the sample covariance, computed for this request."""

    as_of: date = Field(description="Last session that was used.")
    window_start: date = Field(description="Session before the first return.")
    window_sessions: int
    symbols: list[str]
    left_out: list[str] = Field(description="Stocks without a full window.")
    factors: list[PrincipalFactorOut]


@router.get("/instruments/{symbol}/factors")
def list_factor_exposures(symbol: InstrumentPath, query: Windowed, database: Database) -> Collection[FactorExposureOut]:
    """The newest stored exposures to the factor funds inside a window, oldest first: a row a month's end and fund."""
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        rows = read_factor_exposures(connection, instrument.id, query.page(EXPOSURES))
        return Collection[FactorExposureOut].page(rows, query.limit, EXPOSURES, database.notice(connection))


@router.get("/principal-factors")
@computing
def get_principal_factors(query: Annotated[PrincipalQuery, Query()], database: Database) -> PrincipalFactorsOut:
    """The portfolios that explain most of how instruments move, from the stored prices; nothing is stored."""
    with database.reading() as connection:
        panel, window, chosen = read_principal(connection, query)
        notice = database.notice(connection)
    return principal_answer(panel, window, chosen, query.count).model_copy(update={"notice": notice})


def read_principal(connection: Connection, query: PrincipalQuery) -> tuple[PricePanel, CommonWindow, list[Instrument]]:
    """The prices that factors are made of, the window in them, and the instruments of their columns.

    Raises
    ------
    InvalidInputError
        If an instrument that was named, or every one, has too few prices.
    """
    instruments = read_instruments(connection)
    last = end_of(connection, query.as_of) - timedelta(days=1)
    chosen = _chosen(connection, instruments, query.symbols)
    ids = [instrument.id for instrument in chosen]
    panel, window = read_common_window(connection, instruments, ids, last, query.window_sessions)
    if window is None:
        raise InvalidInputError(
            f"window_sessions: no instrument has {query.window_sessions} returns up to {last}",
            "Give a shorter window or a later as_of.",
        )
    left_out = [instrument for column, instrument in enumerate(chosen) if column not in window.columns]
    if left_out and query.symbols:
        raise InvalidInputError(
            f"symbols: {', '.join(i.symbol for i in left_out[:5])} without {query.window_sessions} returns up to"
            f" {panel.sessions[-1]} in common with the others",
            "Leave them out, or give a shorter window or a later as_of.",
        )
    return panel, window, chosen


def _chosen(
    connection: Connection, instruments: Sequence[Instrument], symbols: Sequence[str] | None
) -> list[Instrument]:
    """The instruments asked for; every stock where none is, since indices and funds are made of them."""
    if symbols:
        named = [read_instrument(connection, symbol) for symbol in symbols]
        return list({instrument.id: instrument for instrument in named}.values())
    stocks = [instrument for instrument in instruments if instrument.kind == "stock"]
    if not stocks:
        raise InvalidInputError("symbols: left out, and no stock is registered", "Name the instruments to use.")
    return stocks


def principal_answer(
    panel: PricePanel, window: CommonWindow, chosen: Sequence[Instrument], count: int
) -> PrincipalFactorsOut:
    """The factors of what was read."""
    found = principal_factors(window.returns, count)
    names = list(references(chosen).values())
    symbols = [names[column] for column in window.columns]
    volatilities = np.sqrt(found.variances * TRADING_DAYS_PER_YEAR)
    return PrincipalFactorsOut(
        as_of=panel.sessions[window.rows[-1]].astype(date),
        window_start=panel.sessions[window.rows[0]].astype(date),
        window_sessions=len(window.returns),
        symbols=symbols,
        left_out=[name for name in names if name not in symbols],
        factors=[
            PrincipalFactorOut(
                explained=float(found.explained[factor]),
                volatility=float(volatilities[factor]),
                loadings=dict(zip(symbols, found.loadings[:, factor].tolist(), strict=True)),
            )
            for factor in range(count)
        ],
        notice=None,
    )
