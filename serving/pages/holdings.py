"""Where portfolios stand at their newest close: worth, weights and limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray
from pipeline.risk.measures import MEASURES, MeasureInputError
from pipeline.risk.measures.books import value_book
from pipeline.risk.measures.concentration import concentration
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.limits import Limit, LimitState, check_limits
from pipeline.risk.report import held_series
from pipeline.store.limits import StoredLimit
from pipeline.store.portfolios import Portfolio
from pipeline.store.prices import PricePanel, read_last_session, read_price_panel
from pipeline.store.risk_columns import RiskRow
from pipeline.store.transactions import read_transactions
from serving.routes.books import read_book

LOOK_BACK = timedelta(days=220)
"""Two quarters and more: quarterly weights drift from the last close of the quarter before."""

WORST_FIRST = ("BREACH", "WARN", "UNKNOWN", "OK")


@dataclass(frozen=True, slots=True)
class Standing:
    """A portfolio at its newest close.

    Parameters
    ----------
    session
        Of that close.
    weights
        (n,) of the positions.
    value
        In its currency; None for target weights, which have none.
    """

    session: date
    weights: FloatArray
    value: float | None


def read_newest_panel(connection: Connection, portfolios: Sequence[Portfolio]) -> PricePanel | None:
    """The newest prices of everything that some portfolios hold; None while there are none."""
    last = read_last_session(connection)
    ids = list(dict.fromkeys(p.instrument_id for portfolio in portfolios for p in portfolio.positions))
    if last is None or not ids:
        return None
    is_walked = any(portfolio.rebalancing == "drift_band" for portfolio in portfolios)
    return read_price_panel(connection, ids, None if is_walked else last - LOOK_BACK, last + timedelta(days=1))


def standing_of(portfolio: Portfolio, panel: PricePanel | None) -> Standing | None:
    """The portfolio at its newest close; None if it has none in the panel."""
    if panel is None:
        return None
    ids = [position.instrument_id for position in portfolio.positions]
    try:
        close = panel.columns(ids, portfolio.base_currency)
        series = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, *portfolio.policy))
    except (MeasureInputError, NotFoundError):
        return None
    if len(series.held.weights) == 0:
        return None
    newest = close[np.isfinite(close).all(axis=1)][-1]
    value = math.fsum((newest * portfolio.amounts).tolist()) if portfolio.rebalancing == "buy_and_hold" else None
    return Standing(series.sessions[-1].astype(date), series.held.weights[-1], value)


def read_worth(connection: Connection, portfolio: Portfolio, standing: Standing | None) -> float | None:
    """What a portfolio is worth at its newest close, a book with its cash; None where that cannot be said."""
    if not portfolio.keeps_book:
        return None if standing is None else standing.value
    try:
        book = read_book(connection, read_transactions(connection, [portfolio.id]), portfolio.base_currency)
        return None if book is None else float(value_book(book.close, book.trades, book.flows).value[-1])
    except (MeasureInputError, NotFoundError):
        return None


def limit_states(limits: Sequence[StoredLimit], row: RiskRow | None, standing: Standing | None) -> list[LimitState]:
    """Where a portfolio stands against its limits, the worst first."""
    values: Mapping[str, float | None] = (
        {} if row is None else {measure.name: getattr(row, measure.name) for measure in MEASURES}
    )
    # Weights of another session than the measures' are not held against limits: the pipeline does not either.
    if standing is not None and row is not None and standing.session == row.session:
        values = {**values, **{name: float(value) for name, value in concentration(standing.weights).items()}}
    judged = check_limits(values, tuple(_limit(limit) for limit in limits))
    return sorted(judged, key=lambda state: WORST_FIRST.index(state.status))


def _limit(stored: StoredLimit) -> Limit:
    return Limit(stored.measure, stored.warn, stored.breach, "above" if stored.direction == "above" else "below")
