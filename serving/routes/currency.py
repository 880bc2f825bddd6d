"""What exchange rates added to a portfolio: its return split into local, currency and their product, on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures.currency import (
    CompoundedContributions,
    CurrencyContributions,
    compounded_contributions,
    currency_contributions,
    split_returns,
)
from pipeline.risk.measures.holdings import Holdings, opening_weights
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import held_series
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import PricePanel, read_price_panel
from serving.answers import Resource, Row
from serving.deps import Database
from serving.inputs import IsoDate, PortfolioPath
from serving.routes.portfolio_risk import QUARTER_DAYS, end_of
from serving.routing import ComputingRoute

DEFAULT_DAYS = 365

DAYS_BEFORE = 2 * QUARTER_DAYS
"""Weights at the first close may have been set at the end of the quarter before the last."""

_LOCAL = "What the prices earned in their own currencies [fraction of value at the close before]"
_FX = "What those currencies earned in the base currency [fraction of value at the close before]"
_CROSS = "Local × currency return: what each earned of the other [fraction of value at the close before]"
_TOTAL = "Return in the base currency; the sum of the three [fraction of value at the close before]"

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])


class CurrencyQuery(BaseModel):
    """Which returns to split; both ends are included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: IsoDate | None = Field(None, description="Session of the first return; null for a year before the end.")
    end: IsoDate | None = Field(None, description="Session of the last return; null for the newest.")

    @model_validator(mode="after")
    def _require_order(self) -> CurrencyQuery:
        if self.start and self.end and self.start > self.end:
            raise PydanticCustomError("window_order", "start lies after end")
        return self


class SplitSessionOut(Row):
    """The return of one session."""

    session: date
    local: float = Field(description=_LOCAL)
    fx: float = Field(description=_FX)
    cross: float = Field(description=_CROSS)
    total: float = Field(description=_TOTAL)


class SplitOut(Row):
    """The return of all sessions."""

    local: float = Field(description="The sessions' local returns, compounded [fraction]")
    fx: float = Field(description="The sessions' currency returns, compounded [fraction]")
    cross: float = Field(description="The rest of the total: what the two earned of each other [fraction]")
    total: float = Field(description="Compounded return in the base currency [fraction]")


class ExposureOut(Row):
    """A currency in which positions are priced."""

    currency: str
    weight: float = Field(description="Share of the portfolio's value at `as_of`; currencies sum to 1.")
    symbols: list[str] = Field(description="Positions that are priced in it.")
    fx_return: float = Field(description="Of one unit of it in the base currency, from `window_start` to `as_of`.")


class CurrencySplitOut(Resource):
    """Where a portfolio's return came from, computed for this request."""

    portfolio_id: int
    base_currency: str
    window_start: date = Field(description="Close before the first return.")
    as_of: date = Field(description="Close of the last return.")
    sessions_left_out: int = Field(
        description="Sessions between both with every price, and without an exchange rate of the week before; the"
        " next return spans them."
    )
    compounded: SplitOut
    exposures: list[ExposureOut] = Field(description="By currency.")
    sessions: list[SplitSessionOut] = Field(description="Oldest first.")


@dataclass(frozen=True, slots=True)
class Split:
    """The returns of a window.

    Parameters
    ----------
    sessions
        (t+1,) closes.
    weights
        (k,) at the last of them.
    values
        (t+1, k) of one unit of each position's currency in the base currency.
    contributions
        (t,) each.
    left_out
        Sessions between the first and the last with every price and without a rate.
    """

    sessions: DateArray
    weights: FloatArray
    values: FloatArray
    contributions: CurrencyContributions
    left_out: int


@router.get("/{reference}/currency")
def split_by_currency(
    reference: PortfolioPath, query: Annotated[CurrencyQuery, Query()], database: Database
) -> CurrencySplitOut:
    """Split the portfolio's returns into what prices, exchange rates and both together earned; nothing is stored."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        end = end_of(connection, query.end)
        start = query.start or end - timedelta(days=DEFAULT_DAYS)
        panel = read_split_panel(connection, portfolio, start, end)
        notice = database.notice(connection)
    return CurrencySplitOut.of(split_answer(portfolio, panel, split_of(panel, portfolio, start)), notice)


def read_split_panel(connection: Connection, portfolio: Portfolio, start: date, end: date) -> PricePanel:
    """Prices from the rebalancing before a return to split, to the last; with a drift band all of them."""
    ids = [position.instrument_id for position in portfolio.positions]
    since = None if portfolio.rebalancing == "drift_band" else start - timedelta(days=DAYS_BEFORE)
    return read_price_panel(connection, ids, since, end)


def split_of(panel: PricePanel, portfolio: Portfolio, start: date) -> Split:
    """The returns from `start` on, by the weights at the close before each.

    Raises
    ------
    InvalidInputError
        If there is no return from then on.
    MeasureInputError
        If the portfolio cannot be held.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    ids = [position.instrument_id for position in portfolio.positions]
    local, converted = panel.columns(ids), panel.columns(ids, portfolio.base_currency)
    priced, complete = (np.isfinite(close).all(axis=1) for close in (local, converted))
    if not complete.any():
        raise _without_returns(panel, portfolio)
    holdings = Holdings(portfolio.amounts, *portfolio.policy)
    series = held_series(converted, panel.sessions, None, holdings)
    first = max(int(np.searchsorted(series.sessions, np.datetime64(start, "D"))), 1)
    if first >= len(series.sessions):
        raise _without_returns(panel, portfolio)
    values = _values(panel, ids, portfolio.base_currency)[complete]
    returns = split_returns(simple_returns(local[complete][first - 1 :]), simple_returns(values[first - 1 :]))
    weights = opening_weights(converted[complete], series.sessions, holdings)[first - 1 :]
    sessions = series.sessions[first - 1 :]
    inside = (panel.sessions > sessions[0]) & (panel.sessions < sessions[-1])
    return Split(
        sessions,
        series.held.weights[-1],
        values[first - 1 :],
        currency_contributions(weights, returns),
        int((priced & ~complete & inside).sum()),
    )


def _values(panel: PricePanel, ids: Sequence[int], base: str) -> FloatArray:
    """(t, k) value of one unit of each instrument's currency."""
    currencies = _currencies(panel, ids, base)
    values = [np.broadcast_to(panel.exchange.rate(own, base), len(panel.sessions)) for own in currencies]
    return np.column_stack(values)


def _currencies(panel: PricePanel, ids: Sequence[int], base: str) -> list[str]:
    """Of each instrument."""
    places = [int(np.flatnonzero(panel.instrument_ids == number)[0]) for number in ids]
    return [panel.exchange.currencies[place] if panel.exchange.currencies else base for place in places]


def _without_returns(panel: PricePanel, portfolio: Portfolio) -> InvalidInputError:
    read = f"{panel.sessions[0]} to {panel.sessions[-1]}" if len(panel.sessions) else "that time"
    return InvalidInputError(
        f"start: no two sessions of {read} have a price of every position and its rate in {portfolio.base_currency},"
        " the later one from start on",
        "Give an earlier start or a later end, or load prices and fx_rates of that time.",
    )


def split_answer(portfolio: Portfolio, panel: PricePanel, split: Split) -> CurrencySplitOut:
    """A split as it is served."""
    parts = split.contributions
    compounded: CompoundedContributions = compounded_contributions(parts)
    columns = (part.tolist() for part in (parts.local, parts.fx, parts.cross, parts.total))
    rows = zip(split.sessions[1:].astype(object).tolist(), *columns, strict=True)
    return CurrencySplitOut(
        portfolio_id=portfolio.id,
        base_currency=portfolio.base_currency,
        window_start=split.sessions[0].astype(date),
        as_of=split.sessions[-1].astype(date),
        sessions_left_out=split.left_out,
        compounded=SplitOut.model_validate(compounded),
        exposures=_exposures(portfolio, panel, split),
        sessions=[
            SplitSessionOut(session=session, local=local, fx=fx, cross=cross, total=total)
            for session, local, fx, cross, total in rows
        ],
    )


def _exposures(portfolio: Portfolio, panel: PricePanel, split: Split) -> list[ExposureOut]:
    ids = [position.instrument_id for position in portfolio.positions]
    own = np.array(_currencies(panel, ids, portfolio.base_currency))
    found = []
    for currency in np.unique(own):
        held = np.flatnonzero(own == currency)
        value = split.values[:, held[0]]
        found.append(
            ExposureOut(
                currency=str(currency),
                weight=float(split.weights[held].sum()),
                symbols=[portfolio.positions[place].symbol for place in held],
                fx_return=float(value[-1] / value[0] - 1.0),
            )
        )
    return found
