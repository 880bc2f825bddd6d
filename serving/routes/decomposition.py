"""Whose risk it is: stored contributions of positions, and any decomposition computed on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter
from psycopg import Connection
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures.common_window import common_window, searched_sessions
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.splits import (
    Split,
    SplitMeasure,
    SplitSpec,
    TailMethod,
    decomposed,
    split_by_factor,
    split_by_group,
    split_by_position,
)
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import held_series
from pipeline.store.instruments import Instrument, factor_funds_of, read_instruments
from pipeline.store.portfolio_contributions import (
    PORTFOLIO_CONTRIBUTION,
    ContributionRow,
    read_portfolio_contributions,
)
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import PricePanel, read_price_panel
from serving.answers import Collection, Resource, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import PastDay, PortfolioPath, Windowed, require_number
from serving.references import references
from serving.routes.covariance import CALENDAR_DAYS_PER_SESSION, Estimator
from serving.routes.portfolio_risk import LONGEST_WINDOW_SESSIONS, QUARTER_DAYS, Confidence, end_of, reaches_back
from serving.routing import ThreadedRoute, computing

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["risk"])
ROWS = Order.of_series(PORTFOLIO_CONTRIBUTION, "portfolio_id")

_CHOICES_OF: dict[str, tuple[SplitMeasure, ...]] = {
    "confidence": ("var", "es"),
    "covariance": ("volatility",),
    "method": ("var", "es"),
}
"""Field → measures that it says anything about."""


@described_by(PORTFOLIO_CONTRIBUTION)
class ContributionOut(Row):
    """A position at a month's end."""

    session: date
    symbol: str = Field(description="Position.")
    window_sessions: int
    weight: float
    volatility_component: float | None
    volatility_marginal: float | None
    volatility_incremental: float | None
    var_99_1d_component: float | None
    var_99_1d_marginal: float | None
    var_99_1d_incremental: float | None
    es_975_1d_component: float | None
    es_975_1d_marginal: float | None
    es_975_1d_incremental: float | None
    reason: str | None
    materialization_id: int


class DecompositionRequest(BaseModel):
    """What to decompose, and how; everything has a default."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"measure": "var", "by": "sector", "confidence": 0.99}]}
    )

    measure: SplitMeasure = Field("volatility", description="Of one session.")
    by: Literal["position", "sector", "factor"] = Field(
        "position", description="Factors are the funds of kind etf; the rest is `specific`."
    )
    confidence: Annotated[Confidence, BeforeValidator(require_number)] = Field(
        Confidence.P99, description="Of var and es."
    )
    window_sessions: Annotated[int, Strict()] = Field(
        252, ge=2, le=LONGEST_WINDOW_SESSIONS, description="Returns to use."
    )
    covariance: Estimator = Field("ledoit_wolf", description="Estimator for volatility.")
    method: TailMethod = Field(
        "historical", description="Of var: its one scenario, or a kernel over scenarios like it."
    )
    as_of: PastDay | None = Field(None, description="Last day whose price may be used; null for the newest.")

    @model_validator(mode="after")
    def _require_consistency(self) -> DecompositionRequest:
        for field in sorted(self.model_fields_set & set(_CHOICES_OF)):
            if self.measure not in _CHOICES_OF[field]:
                raise PydanticCustomError("no_such_choice", f"{field}: {self.measure} has none; leave it out")
        if self.measure == "es" and self.method != "historical":
            raise PydanticCustomError("no_kernel", "method: kernel smooths var alone; choose historical")
        return self

    @property
    def spec(self) -> SplitSpec:
        """The request as the core takes it."""
        return SplitSpec(self.measure, float(self.confidence.value), self.covariance, self.method)


class PartOut(Row):
    """A position, sector or factor."""

    name: str
    size: float | None = Field(
        description="Share of the portfolio's value; of a factor, the portfolio's exposure (OLS); null for `specific`."
    )
    component: float = Field(description="Part of the total; parts sum to it [fraction of value, per session]")
    share: float | None = Field(description="Component by total; null for a total of 0.")
    marginal: float | None = Field(
        description="Change of the total per unit of a position's weight; of a sector or factor, per multiple of it."
        " Null for a volatility of 0."
    )
    incremental: float = Field(description="The total, less that with the part in cash.")


class DecompositionOut(Resource):
    """A measure of one session of the holdings at `as_of`, decomposed for this request."""

    portfolio_id: int
    as_of: date = Field(description="Last session that was used.")
    window_start: date = Field(description="Session before the first return.")
    window_sessions: int
    measure: SplitMeasure
    by: str
    confidence: float | None = Field(description="Null for volatility.")
    covariance: str | None = Field(
        description="Null for var and es. Shrinkage looks at all instruments: by factor the total differs a little."
    )
    method: str | None = Field(description="Null for volatility.")
    total: float = Field(description="[fraction of value, per session; a positive loss for var and es]")
    parts: list[PartOut]


@dataclass(frozen=True, slots=True)
class Window:
    """What is decomposed.

    Parameters
    ----------
    sessions
        (n+1,) closes of the window.
    weights
        (k,) at the last of them.
    returns
        (n, k) of the positions.
    funds
        The f factor funds with a full window; none unless factors are asked for.
    factor_returns
        (n, f) on the same sessions.
    """

    sessions: DateArray
    weights: FloatArray
    returns: FloatArray
    funds: tuple[Instrument, ...]
    factor_returns: FloatArray


@router.get("/{reference}/contributions")
def list_contributions(reference: PortfolioPath, query: Windowed, database: Database) -> Collection[ContributionOut]:
    """The newest stored contributions inside a window, oldest first: a row a month's end and position."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        names = references(read_instruments(connection))
        rows = read_portfolio_contributions(connection, portfolio.id, query.page(ROWS))
        kept, following = ROWS.cut(rows, query.limit)
        named = [ContributionOut.model_validate(_named(row, names)) for row in kept]
        return Collection[ContributionOut].of(named, database.notice(connection), following)


@router.post("/{reference}/decomposition")
@computing
def compute_decomposition(
    reference: PortfolioPath, database: Database, request: DecompositionRequest | None = None
) -> DecompositionOut:
    """Decompose a measure of the newest holdings now, from the stored prices; nothing is stored."""
    asked = request or DecompositionRequest()
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        _, window, held = read_window(connection, portfolio, asked)
        notice = database.notice(connection)
    return decomposition_answer(portfolio, window, held, asked).model_copy(update={"notice": notice})


def read_window(
    connection: Connection, portfolio: Portfolio, asked: DecompositionRequest
) -> tuple[PricePanel, Window, list[Instrument]]:
    """The prices that were read, what is decomposed of them, and the instruments of the positions."""
    instruments = {instrument.id: instrument for instrument in read_instruments(connection)}
    funds = factor_funds_of(list(instruments.values())) if asked.by == "factor" else []
    panel = _read_panel(connection, portfolio, funds, asked)
    window = window_of(panel, portfolio, funds, asked.window_sessions)
    return panel, window, [instruments[position.instrument_id] for position in portfolio.positions]


def _named(row: ContributionRow, names: dict[int, str]) -> dict[str, object]:
    """The fields of a stored row, with the symbol in place of the instrument's number."""
    fields = {name: getattr(row, name) for name in ContributionOut.model_fields if name != "symbol"}
    return fields | {"symbol": names.get(row.instrument_id, str(row.instrument_id))}


def _read_panel(
    connection: Connection, portfolio: Portfolio, funds: Sequence[Instrument], asked: DecompositionRequest
) -> PricePanel:
    """Prices on enough sessions for the window and the rebalancing before it; all where a shorter reading is short."""
    end = end_of(connection, asked.as_of)
    held = [position.instrument_id for position in portfolio.positions]
    ids = list(dict.fromkeys([*held, *(fund.id for fund in funds)]))
    searched = searched_sessions(asked.window_sessions)
    start = end - timedelta(days=int(CALENDAR_DAYS_PER_SESSION * searched) + 2 * QUARTER_DAYS)
    panel = read_price_panel(connection, ids, start, end)
    close = panel.columns(held, portfolio.base_currency)
    if reaches_back(close, panel.sessions, portfolio.rebalancing, searched):
        return panel
    return read_price_panel(connection, ids, None, end)


def window_of(panel: PricePanel, portfolio: Portfolio, funds: Sequence[Instrument], window_sessions: int) -> Window:
    """The newest returns of every position, and of the funds that have as many.

    Raises
    ------
    InvalidInputError
        If the positions or, where any are given, the funds have too few returns.
    MeasureInputError
        If the portfolio cannot be held.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    currency = portfolio.base_currency
    close = panel.columns([position.instrument_id for position in portfolio.positions], currency)
    complete = np.isfinite(close).all(axis=1)
    series = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, *portfolio.policy))
    if len(series.sessions) <= window_sessions:
        raise InvalidInputError(
            f"window_sessions: {window_sessions} asked for, and {len(series.sessions) - 1} returns up to"
            f" {series.sessions[-1]} have a price of every position",
            "Give a shorter window or a later as_of.",
        )
    rows, chosen = np.arange(len(series.sessions) - window_sessions - 1, len(series.sessions)), []
    of_funds = panel.columns([fund.id for fund in funds], currency)[complete]
    if funds:
        common = common_window(of_funds, window_sessions)
        if common is None:
            raise InvalidInputError(
                f"by: no factor fund has {window_sessions} returns up to {series.sessions[-1]}",
                "Give a shorter window_sessions or a later as_of, or split by position or sector.",
            )
        rows, chosen = common.rows, common.columns.tolist()
    return Window(
        series.sessions[rows],
        series.held.weights[rows[-1] - 1],
        simple_returns(close[complete][rows]),
        tuple(funds[column] for column in chosen),
        simple_returns(of_funds[np.ix_(rows, chosen)]) if chosen else np.empty((window_sessions, 0)),
    )


def _split(window: Window, held: Sequence[Instrument], by: str) -> Split:
    symbols = list(references(held).values())
    if by == "position":
        return split_by_position(symbols, window.weights, window.returns)
    if by == "sector":
        return split_by_group([group_of(instrument) for instrument in held], window.weights, window.returns)
    if not window.funds:
        raise InvalidInputError(
            "by: there is no factor fund", "Load instruments of kind etf, or split by position or sector."
        )
    funds = list(references(window.funds).values())
    return split_by_factor(symbols, window.weights, window.returns, funds, window.factor_returns)


def group_of(instrument: Instrument) -> str:
    """The sector; a fund or an index has none, and its kind says what it is."""
    return instrument.sector or f"no sector ({instrument.kind})"


def decomposition_answer(
    portfolio: Portfolio, window: Window, held: Sequence[Instrument], asked: DecompositionRequest
) -> DecompositionOut:
    """A decomposition as it is served."""
    split = _split(window, held, asked.by)
    parts = decomposed(split, asked.spec)
    is_tail = asked.measure != "volatility"
    return DecompositionOut(
        portfolio_id=portfolio.id,
        as_of=window.sessions[-1].astype(date),
        window_start=window.sessions[0].astype(date),
        window_sessions=asked.window_sessions,
        measure=asked.measure,
        by=asked.by,
        confidence=float(asked.confidence.value) if is_tail else None,
        covariance=None if is_tail else asked.covariance,
        method=asked.method if is_tail else None,
        total=parts.total,
        parts=[
            PartOut(
                name=name,
                size=_known(split.sizes[part]),
                component=float(parts.component[part]),
                share=float(parts.component[part] / parts.total) if parts.total else None,
                marginal=_known(parts.marginal[part]),
                incremental=float(parts.incremental[part]),
            )
            for part, name in enumerate(split.names)
        ],
        notice=None,
    )


def _known(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
