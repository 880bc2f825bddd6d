"""Which returns a simulation continues: of a stored portfolio, or of positions at the stored prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from psycopg import Connection

from pipeline.base.errors import InvalidInputError, NotFoundError
from pipeline.base.types import DateArray, FloatArray, Policy
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.report import held_series
from pipeline.store.portfolios import Portfolio, read_portfolio
from serving.held import Held, HeldPosition
from serving.routes.portfolio_risk import end_of, read_reaching_panel
from serving.routes.simulating.forms import SimulateIn
from serving.routes.subjects import subject_of_positions

POSITIONS_SUBJECT = 0
"""Of positions that are not stored; portfolios are numbered from 1."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a simulation is computed from, besides its request.

    Parameters
    ----------
    portfolio_id
        None for positions.
    number
        Second half of the random numbers' key.
    returns
        (t,) what today's holdings would have earned in the fit window; (t, n) of the positions in ``held``.
    first, last
        Sessions of the first and the last return.
    held
        What is simulated together; None for one series.
    """

    portfolio_id: int | None
    number: int
    returns: FloatArray
    first: date
    last: date
    held: Held | None = None


def read_subject(connection: Connection, asked: SimulateIn) -> Subject:
    """The newest fit window of what is asked.

    Raises
    ------
    InvalidInputError
        If the portfolio or a symbol is unknown, or prices or exchange rates are missing.
    MeasureInputError
        If target weights do not sum to 1, or a value is not above 0.
    """
    window = asked.fit_window_sessions
    if asked.positions is None:
        assert asked.portfolio is not None  # one of them is given
        return _of_portfolio(connection, _known_portfolio(connection, asked.portfolio), asked)
    policy = Policy(asked.rebalancing or "buy_and_hold", asked.drift_band)
    try:
        found = subject_of_positions(connection, asked.positions, policy, None, window, asked.base_currency)
    except MeasureInputError as error:
        # Others call it window_sessions; what is refused is named as it was asked.
        raise MeasureInputError(str(error).replace("window_sessions", "fit_window_sessions")) from error
    assert found.sessions is not None  # stored prices have dates
    if asked.fit_on == "portfolio":
        return _subject(None, POSITIONS_SUBJECT, found.windows.scenarios, found.sessions)
    assert found.held is not None  # they are positions
    held = _held(found.held.symbols, found.held.weights, found.held.holdings)
    return _subject(None, POSITIONS_SUBJECT, found.held.asset_returns, found.sessions, held)


def _known_portfolio(connection: Connection, reference: str) -> Portfolio:
    try:
        return read_portfolio(connection, reference)
    except NotFoundError as error:
        # The address exists; it is the body that names nothing.
        raise InvalidInputError(f"portfolio: {error.cause}", error.remedy) from error


def _of_portfolio(connection: Connection, portfolio: Portfolio, asked: SimulateIn) -> Subject:
    window = asked.fit_window_sessions
    ids = [position.instrument_id for position in portfolio.positions]
    end, currency = end_of(connection, None), portfolio.base_currency
    panel = read_reaching_panel(connection, ids, None, portfolio.rebalancing, end, window, currency)
    close = panel.columns(ids, currency)
    count = np.count_nonzero(np.isfinite(close).all(axis=1))
    if count <= window:
        raise InvalidInputError(
            f"fit_window_sessions={window} needs {window + 1} sessions with a price of each position in {currency},"
            f" and there are {count}",
            "Give fewer, or leave out the position that was listed last.",
        )
    holdings = Holdings(portfolio.amounts, *portfolio.policy)
    series = held_series(close, panel.sessions, None, holdings)
    if asked.fit_on == "positions":
        held = _held([position.symbol for position in portfolio.positions], series.held.weights[-1], holdings)
        columns = series.held.asset_returns[-window:]
        return _subject(portfolio.id, portfolio.id, columns, series.sessions[-window - 1 :], held)
    returns = scenario_returns(series.held, len(series.held.returns), window)
    return _subject(portfolio.id, portfolio.id, returns, series.sessions[-window - 1 :])


def _held(symbols: Sequence[str], weights: FloatArray, holdings: Holdings) -> Held:
    """Quantities are held: the weights of the start are the only ones they have."""
    targets = weights if holdings.rebalancing == "buy_and_hold" else holdings.targets
    rows = zip(symbols, weights.tolist(), targets.tolist(), strict=True)
    positions = tuple(HeldPosition(symbol=symbol, weight=weight, target=target) for symbol, weight, target in rows)
    return Held(rebalancing=holdings.rebalancing, drift_band=holdings.drift_band, positions=positions)


def _subject(
    portfolio_id: int | None, number: int, returns: FloatArray, sessions: DateArray, held: Held | None = None
) -> Subject:
    first, last = sessions[1].astype(date), sessions[-1].astype(date)
    return Subject(portfolio_id, number, np.ascontiguousarray(returns, dtype=np.float64), first, last, held)
