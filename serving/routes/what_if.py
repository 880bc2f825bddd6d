"""What trades would change: a portfolio before and after, by the functions of ``/calculate``; nothing is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import cast

import numpy as np
from fastapi import APIRouter
from psycopg import Connection

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import FloatArray, Policy
from pipeline.risk.measures.concentration import concentration
from pipeline.risk.measures.full_report import FullReport, ReportSpec, full_report
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.limits import Direction, Limit, LimitState, check_limits
from pipeline.risk.measures.position_parts import position_parts
from pipeline.risk.measures.risk_free import NONE_STORED
from pipeline.store.corporate_actions import read_growth
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.limits import StoredLimit, read_limits
from pipeline.store.portfolios import Portfolio, growth_on, read_portfolio
from serving.deps import Database
from serving.inputs import PortfolioPath
from serving.positions import known_instruments, policy_after, units_of
from serving.risk_free import read_currency_rates
from serving.routes.calculate_forms import ConcentrationOut
from serving.routes.subjects import Held, Subject, subject_of_instruments
from serving.routes.what_if_forms import (
    DifferenceOut,
    LimitStateOut,
    PositionPartOut,
    SideOut,
    TailChangeOut,
    TailPairOut,
    WhatIfIn,
    WhatIfOut,
)
from serving.routing import ComputingRoute

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])


@dataclass(frozen=True, slots=True)
class Side:
    """A portfolio before or after, measured.

    Parameters
    ----------
    held
        Over all that is held before or after; what this side has not, has the weight 0.
    """

    policy: Policy
    held: Held
    report: FullReport
    limits: tuple[LimitState, ...]


@router.post("/{reference}/what-if")
def compute_what_if(reference: PortfolioPath, asked: WhatIfIn, database: Database) -> WhatIfOut:
    """Measure a portfolio before and after trades on the same sessions; nothing is stored."""
    spec = asked.spec
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        subjects = read_subjects(connection, portfolio, asked)
        limits = read_limits(connection, portfolio.id)
        notice = database.notice(connection)
    before, after = (
        measured_side(subject, policy, spec, limits)
        for subject, policy in zip(subjects, (portfolio.policy, _policy(portfolio, asked)), strict=True)
    )
    subject = subjects[0]
    assert subject.sessions is not None  # stored prices have dates
    return WhatIfOut(
        portfolio_id=portfolio.id,
        as_of=subject.sessions[-1].astype(date),
        window_start=subject.sessions[0].astype(date),
        window_sessions=asked.window_sessions,
        base_currency=portfolio.base_currency,
        benchmark=subject.benchmark,
        risk_free=subject.risk_free or NONE_STORED,
        before=side_out(before),
        after=side_out(after),
        difference=_difference(before, after),
        notice=notice,
    )


def read_subjects(connection: Connection, portfolio: Portfolio, asked: WhatIfIn) -> tuple[Subject, Subject]:
    """The portfolio before and after, over all instruments of both.

    Raises
    ------
    InvalidInputError
        If a symbol is unknown, or trades do not go with what is held.
    MeasureInputError
        If weights do not sum to 1, prices are too few, or a value is not above 0.
    """
    instruments = read_instruments(connection)
    given = asked.trades or asked.positions or []
    if asked.trades is not None and (given[0].quantity is None) != (portfolio.rebalancing != "buy_and_hold"):
        held = "quantities" if portfolio.rebalancing == "buy_and_hold" else "target weights"
        raise InvalidInputError(f"trades: the portfolio has {held}", "Give trades of these, or all positions.")
    named = known_instruments(connection, [position.symbol for position in given])
    ids = dict.fromkeys([p.instrument_id for p in portfolio.positions] + [named[p.symbol].id for p in given])
    known = {instrument.id: instrument for instrument in instruments}
    everything = [known[number] for number in ids]
    own = {position.instrument_id: position.amount for position in portfolio.positions}

    def before(_: np.datetime64) -> Holdings:
        return Holdings(_in_order(own, everything), *portfolio.policy)

    def after(day: np.datetime64) -> Holdings:
        traded = units_of(connection, given, [named[p.symbol].id for p in given], day)
        amounts = dict(own) if asked.trades is not None else {}
        for position, units in zip(given, traded.tolist(), strict=True):
            number = named[position.symbol].id
            amounts[number] = amounts.get(number, 0.0) + units
        return Holdings(_in_order(amounts, everything), *_policy(portfolio, asked))

    benchmark = benchmark_of(instruments, portfolio.benchmark_id)
    made: list[Subject] = []
    sides: tuple[tuple[Callable[[np.datetime64], Holdings], Policy], ...] = (
        (before, portfolio.policy),
        (after, _policy(portfolio, asked)),
    )
    for holdings_on, policy in sides:
        subject = subject_of_instruments(
            connection,
            everything,
            holdings_on,
            policy,
            benchmark,
            asked.window_sessions,
            portfolio.base_currency,
        )
        made.append(with_rates(connection, subject, portfolio.base_currency))
    return made[0], made[1]


def quantities_of(connection: Connection, portfolio: Portfolio, day: np.datetime64) -> FloatArray:
    """(k,) units held, counted as they are on a day; target weights as they are."""
    if portfolio.rebalancing != "buy_and_hold":
        return portfolio.amounts
    ids = [position.instrument_id for position in portfolio.positions]
    growth = read_growth(connection, ids)
    grown: FloatArray = portfolio.amounts * [growth_on(growth, number, day) for number in ids]
    return grown


def measured_side(subject: Subject, policy: Policy, spec: ReportSpec, limits: Sequence[StoredLimit]) -> Side:
    """Every figure of a side."""
    assert subject.held is not None  # it is made of positions
    report = full_report(subject.windows, spec)
    return Side(policy, subject.held, report, limit_states(report, subject.held.weights, limits))


def limit_states(report: FullReport, weights: FloatArray, limits: Sequence[StoredLimit]) -> tuple[LimitState, ...]:
    """Where measures stand against limits, by the rule of the pipeline."""
    values: dict[str, float | None] = {measure.name: measure.value for measure in report.measures}
    values |= {name: float(value) for name, value in concentration(weights).items()}
    reasons = {measure.name: measure.undefined for measure in report.measures if measure.undefined is not None}
    asked = (Limit(one.measure, one.warn, one.breach, cast("Direction", one.direction)) for one in limits)
    return check_limits(values, tuple(asked), reasons)


def side_out(side: Side) -> SideOut:
    """A side as it is served."""
    weights = side.held.weights
    parts = position_parts(weights, np.ascontiguousarray(side.held.asset_returns))
    return SideOut(
        value=side.held.value,
        rebalancing=side.policy.rebalancing,
        drift_band=side.policy.drift_band,
        measures={measure.name: measure.value for measure in side.report.measures},
        tails=[TailPairOut.model_validate(tail) for tail in side.report.tails],
        concentration=ConcentrationOut.model_validate(_concentration(weights)),
        contributions=[
            PositionPartOut(
                symbol=symbol,
                weight=float(weights[k]),
                **{f"{name}_component": float(made.component[k]) for name, made in parts.items()},
            )
            for k, symbol in enumerate(side.held.symbols)
        ],
        limits=limits_out(side.limits),
    )


def limits_out(states: Sequence[LimitState]) -> list[LimitStateOut]:
    """States as they are served."""
    return [
        LimitStateOut(
            measure=state.limit.measure,
            direction=state.limit.direction,
            warn=state.limit.warn,
            breach=state.limit.breach,
            status=state.status,
            value=state.value,
            headroom=state.headroom,
            reason=state.reason,
        )
        for state in states
    ]


def _difference(before: Side, after: Side) -> DifferenceOut:
    measures = {one.name: one.value for one in before.report.measures}
    one, other = (_concentration(side.held.weights) for side in (before, after))
    was, would_be = (_breached(side) for side in (before, after))
    moved = (after.held.weights - before.held.weights).tolist()
    return DifferenceOut(
        value=_less(after.held.value, before.held.value),
        measures={m.name: _less(m.value, measures[m.name]) for m in after.report.measures},
        tails=[
            TailChangeOut(
                method=late.method,
                confidence=late.confidence,
                var=_less(late.var, early.var),
                es=_less(late.es, early.es),
            )
            for early, late in zip(before.report.tails, after.report.tails, strict=True)
        ],
        concentration=ConcentrationOut.model_validate({name: other[name] - one[name] for name in one}),
        weights=dict(zip(before.held.symbols, moved, strict=True)),
        newly_breached=[name for name in would_be if name not in was],
        no_longer_breached=[name for name in was if name not in would_be],
    )


def _breached(side: Side) -> list[str]:
    return [state.limit.measure for state in side.limits if state.status == "BREACH"]


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _concentration(weights: FloatArray) -> dict[str, float]:
    return {name: float(value) for name, value in concentration(weights).items()}


def _in_order(amounts: dict[int, float], instruments: Sequence[Instrument]) -> FloatArray:
    """(k,) amounts in the order of the instruments; 0 of what is not held."""
    return np.array([amounts.get(instrument.id, 0.0) for instrument in instruments], dtype=np.float64)


def _policy(portfolio: Portfolio, asked: WhatIfIn) -> Policy:
    """The policy after the change.

    Raises
    ------
    InvalidInputError
        If target weights need one that the portfolio has not.
    """
    if asked.positions is None:
        return portfolio.policy
    return policy_after(asked.positions, asked.rebalancing, asked.drift_band, portfolio.policy)


def with_rates(connection: Connection, subject: Subject, currency: str) -> Subject:
    """The subject with the stored risk-free rates of the currency, if there are any."""
    assert subject.sessions is not None  # stored prices have dates
    found = read_currency_rates(connection, currency, subject.sessions)
    if found is None:
        return subject
    return replace(subject, windows=replace(subject.windows, risk_free=found.daily), risk_free=found.series)
