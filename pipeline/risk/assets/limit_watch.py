"""Holding portfolios against their limits: what is to be told is stored, and shown as checks.

Judged at the newest session that has a row in ``portfolio_risk``. Which episodes were open is read from the stored
events, so judging the same session again, or after a restart, adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Literal, TypeVar, cast, get_args

import numpy as np
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.orchestration.checks import CheckOutcome
from pipeline.orchestration.each_portfolio import MOST_SAMPLES
from pipeline.risk.measures import MEASURES
from pipeline.risk.measures.concentration import concentration
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.limited import CONCENTRATION_MEASURES
from pipeline.risk.measures.limits import (
    Direction,
    Episode,
    Limit,
    LimitEvent,
    LimitState,
    check_limits,
    watch_limits,
)
from pipeline.risk.report import held_series
from pipeline.store import limits as store
from pipeline.store.limits import NewEvent, StoredEvent, StoredLimit
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolios import Portfolio, read_portfolios
from pipeline.store.prices import read_price_panel
from pipeline.store.reading import LATEST
from pipeline.store.risk_columns import RiskRow

BELOW_WARNING, NOT_BREACHED = "limits_below_warning", "limits_not_breached"
LIMIT_SPECS = (
    (BELOW_WARNING, "No limit of a portfolio has reached its warning, and each could be judged."),
    (NOT_BREACHED, "No limit of a portfolio is breached."),
)

WEIGHTS_LOOK_BACK = timedelta(days=220)
"""Two quarters and more: quarterly weights drift from the last close of the quarter before. Those of a drift band are
walked from the portfolio's first session."""

Stored = TypeVar("Stored", StoredLimit, StoredEvent)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Where a portfolio stands against its limits on its newest session."""

    portfolio: Portfolio
    session: date
    states: tuple[LimitState, ...]


def judge_limits(connection: Connection) -> list[Judgement]:
    """Hold every portfolio against its limits, and store the events that are new."""
    store.take_turn(connection)
    limits = _by_portfolio(store.read_limits(connection))
    episodes = _by_portfolio(store.read_open_episodes(connection))
    judgements = []
    for portfolio in read_portfolios(connection):
        open_before = open_episodes(episodes.get(portfolio.id, []))
        own = limits.get(portfolio.id, [])
        if not own and not open_before:
            continue
        for row in read_portfolio_risk(connection, portfolio.id, LATEST):
            judgement = _judged(connection, portfolio, row, own)
            ended = store.count_ended_episodes(connection, portfolio.id, row.session)
            store.record_events(connection, new_events(judgement, open_before, ended))
            judgements.append(judgement)
    return judgements


def limit_checks(judgements: Sequence[Judgement]) -> list[CheckOutcome]:
    """A warning and an error, which name each portfolio, measure, value and limit; neither holds rows back."""
    told = {status: list(_told(judgements, status)) for status in ("WARN", "BREACH", "UNKNOWN")}
    counted = sum(len(judgement.states) for judgement in judgements)
    warned = {"warned": told["WARN"][:MOST_SAMPLES], "unknown": told["UNKNOWN"][:MOST_SAMPLES]}
    is_calm = not (told["WARN"] or told["UNKNOWN"])
    return [
        CheckOutcome(BELOW_WARNING, is_calm, blocking=False, metadata={"limits_count": counted, **warned}),
        CheckOutcome(
            NOT_BREACHED,
            not told["BREACH"],
            blocking=False,
            metadata={"count": len(told["BREACH"]), "breached": told["BREACH"][:MOST_SAMPLES]},
            is_error=True,
        ),
    ]


def open_episodes(events: Sequence[StoredEvent]) -> tuple[Episode, ...]:
    """The open episodes that stored events tell of.

    Parameters
    ----------
    events
        Of the open episodes of one portfolio, those of each together.
    """
    episodes = []
    for (measure, direction, opened, ordinal), group in groupby(events, key=_episode_key):
        level: Literal["WARN", "BREACH"] = "BREACH" if any(event.kind == "BREACH" for event in group) else "WARN"
        episodes.append(Episode(measure, _direction(direction), opened, level, ordinal))
    return tuple(episodes)


def new_events(
    judgement: Judgement, open_before: tuple[Episode, ...], ended: Mapping[tuple[str, str], int]
) -> list[NewEvent]:
    """What a judgement adds to what was told; nothing where later sessions were judged before it.

    Rows can go, as when a price is withdrawn; what was told of them stays told.

    Parameters
    ----------
    ended
        (measure, direction) → episodes that began on the judgement's session and have ended.
    """
    if any(episode.opened > judgement.session for episode in open_before):
        return []
    subject = f"portfolio-{judgement.portfolio.id}"
    spent = {(measure, _direction(direction)): count for (measure, direction), count in ended.items()}
    watch = watch_limits(subject, judgement.session, open_before, judgement.states, spent)
    limit_of = {state.limit.key: state.limit for state in judgement.states}
    return [
        _as_stored(event, judgement.portfolio.id, limit_of.get((event.measure, event.direction)))
        for event in watch.events
    ]


def _judged(connection: Connection, portfolio: Portfolio, row: RiskRow, stored: Sequence[StoredLimit]) -> Judgement:
    limits = tuple(Limit(limit.measure, limit.warn, limit.breach, _direction(limit.direction)) for limit in stored)
    values: dict[str, float | None] = {measure.name: getattr(row, measure.name) for measure in MEASURES}
    reasons = {measure.name: row.reason or "no value" for measure in MEASURES}
    if any(limit.measure in CONCENTRATION_MEASURES for limit in limits):
        values |= _concentration(connection, portfolio, row.session)
        reasons |= dict.fromkeys(CONCENTRATION_MEASURES, f"weights unknown at the close of {row.session}")
    return Judgement(portfolio, row.session, check_limits(values, limits, reasons))


def _concentration(connection: Connection, portfolio: Portfolio, session: date) -> Mapping[str, float | None]:
    """Of the weights at a session's close; empty where they are unknown."""
    ids = [position.instrument_id for position in portfolio.positions]
    start = None if portfolio.rebalancing == "drift_band" else session - WEIGHTS_LOOK_BACK
    panel = read_price_panel(connection, ids, start, session + timedelta(days=1))
    try:
        close = panel.columns(ids, portfolio.base_currency)
        series = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, *portfolio.policy))
    except (MeasureInputError, NotFoundError):
        return {}
    if len(series.held.weights) == 0 or series.sessions[-1] != np.datetime64(session, "D"):
        return {}
    measured = {name: float(value) for name, value in concentration(series.held.weights[-1]).items()}
    return {name: value for name, value in measured.items() if math.isfinite(value)}


def _told(judgements: Sequence[Judgement], status: str) -> list[str]:
    return [
        described(judgement.portfolio, state, judgement.session)
        for judgement in judgements
        for state in judgement.states
        if state.status == status
    ]


def described(portfolio: Portfolio, state: LimitState, session: date) -> str:
    """One line for a person."""
    name, limit = portfolio.slug or str(portfolio.id), state.limit
    if state.value is None:
        return f"{name}: {state.reason} ({session})"
    reached = limit.breach if state.status == "BREACH" else limit.warn
    return f"{name}: {limit.measure} = {state.value:.6g}, limit {reached:.6g} ({limit.direction}), {session}"


def _as_stored(event: LimitEvent, portfolio_id: int, limit: Limit | None) -> NewEvent:
    return NewEvent(
        event.key,
        portfolio_id,
        event.kind,
        event.measure,
        event.direction,
        event.session,
        event.opened,
        event.value,
        limit.warn if limit else None,
        limit.breach if limit else None,
        ordinal=event.ordinal,
    )


def _episode_key(event: StoredEvent) -> tuple[str, str, date, int]:
    return event.measure, event.direction, event.opened, event.ordinal


def _direction(stored: str) -> Direction:
    """The direction as the core types it; the table has a constraint that admits no other."""
    assert stored in get_args(Direction)
    return cast("Direction", stored)


def _by_portfolio(rows: Sequence[Stored]) -> dict[int, list[Stored]]:
    return {key: list(group) for key, group in groupby(rows, key=lambda row: row.portfolio_id)}
