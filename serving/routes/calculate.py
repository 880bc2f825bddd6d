"""Risk of anything on request: every measure of a series of returns or of positions; nothing is stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
from fastapi import APIRouter

from pipeline.base.errors import InvalidInputError, NotFoundError
from pipeline.base.types import DateArray, Policy
from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.concentration import concentration
from pipeline.risk.measures.drawdown import DrawdownSpell
from pipeline.risk.measures.full_report import FullReport, ReportSpec, full_report
from pipeline.risk.measures.liquidity import SpreadCost, liquidation_horizons, liquidity_adjusted_var, spread_cost
from pipeline.risk.measures.risk_free import NONE_STORED, RiskFree
from pipeline.store.instruments import read_instrument
from pipeline.store.schema import LOSS
from serving.deps import Database
from serving.measures import UNITS
from serving.risk_free import (
    GIVEN,
    NO_CURRENCY,
    read_currency_rates,
    read_series_rates,
)
from serving.routes.calculate_forms import (
    DEFAULT_POSITIONS_WINDOW,
    CalculateIn,
    CalculateOut,
    ConcentrationOut,
    DrawdownOut,
    EntropicOut,
    LiquidationOut,
    LiquidityFigureOut,
    LiquidityIn,
    LiquidityOut,
    MeasuredOut,
    MeasuredTailOut,
    SeriesIn,
)
from serving.routes.subjects import (
    Held,
    Series,
    Subject,
    against_instrument,
    against_returns,
    subject_of_positions,
    subject_of_returns,
)
from serving.routing import ComputingRoute

router = APIRouter(route_class=ComputingRoute, tags=["risk"])


@router.post("/calculate")
def calculate(asked: CalculateIn, database: Database) -> CalculateOut:
    """Measure returns, or positions at the stored prices, without storing anything."""
    spec = asked.spec
    subject, notice = read_subject(asked, database)
    subject = with_stored_rates(asked, subject, database)
    return _answer(asked, spec, subject, notice)


def read_subject(asked: CalculateIn, database: Database) -> tuple[Subject, str | None]:
    """What is measured, and the notice of the data that it was read from; a caller's own returns have none."""
    if asked.returns is not None:
        subject = subject_of_returns(asked.returns.series, asked.window_sessions)
        if isinstance(asked.benchmark, SeriesIn):
            return against_returns(subject, _newest(asked.benchmark.series, asked, subject)), None
        if asked.benchmark is None:
            return subject, None
    with database.reading() as connection:
        symbol = asked.benchmark if isinstance(asked.benchmark, str) else None
        try:
            benchmark = None if symbol is None else read_instrument(connection, symbol)
        except NotFoundError as error:
            # The address exists; it is the body that names nothing.
            raise InvalidInputError(f"benchmark: {error.cause}", error.remedy) from error
        notice = database.notice(connection)
        if asked.positions is None:
            assert benchmark is not None  # decided above
            return against_instrument(connection, subject, benchmark), notice
        window = asked.window_sessions or DEFAULT_POSITIONS_WINDOW
        policy = Policy(asked.rebalancing or "buy_and_hold", asked.drift_band)
        subject = subject_of_positions(connection, asked.positions, policy, benchmark, window, asked.base_currency)
    if isinstance(asked.benchmark, SeriesIn):
        subject = against_returns(subject, asked.benchmark.series)
    return subject, notice


def with_stored_rates(asked: CalculateIn, subject: Subject, database: Database) -> Subject:
    """The subject with the stored rates that it is measured by, if any.

    Raises
    ------
    InvalidInputError
        If the series has no rate in the window.
    MeasureInputError
        If the series is not known, or the returns have no dates.
    """
    series, held, sessions = asked.risk_free_series, subject.held, subject.sessions
    if asked.risk_free_rate_annual is not None or (series is None and held is None):
        return subject
    if sessions is None:
        raise MeasureInputError("risk_free_series: stored rates need the dates of the returns; give returns.dates")
    with database.reading() as connection:
        if series is not None:
            found: RiskFree | None = read_series_rates(connection, series, sessions, asked.periods_per_year)
        else:
            assert held is not None  # decided above
            found = read_currency_rates(connection, held.currency, sessions, asked.periods_per_year)
    if found is None:
        return subject
    return replace(subject, windows=replace(subject.windows, risk_free=found.daily), risk_free=found.series)


def _said(asked: CalculateIn, subject: Subject) -> str:
    """Where the risk-free rate is from."""
    if asked.risk_free_rate_annual is not None:
        return GIVEN
    return subject.risk_free or (NO_CURRENCY if subject.held is None else NONE_STORED)


def _newest(benchmark: Series, asked: CalculateIn, subject: Subject) -> Series:
    """The benchmark's part that belongs to the window, where its returns are as many as the subject's."""
    assert asked.returns is not None
    if benchmark.dates is not None and subject.sessions is not None:
        return benchmark
    count = len(subject.windows.returns) if len(benchmark.values) == len(asked.returns.values) else None
    return benchmark if count is None else Series(benchmark.values[-count:], None)


def _answer(asked: CalculateIn, spec: ReportSpec, subject: Subject, notice: str | None) -> CalculateOut:
    report = full_report(subject.windows, spec)
    sessions, held = subject.sessions, subject.held
    positions, liquidity = (None, None) if held is None else liquidity_answer(asked.liquidity, spec, held)
    return CalculateOut(
        notice=notice,
        as_of=None if sessions is None else _day(sessions, -1),
        window_start=None if sessions is None else _day(sessions, 0),
        window_sessions=len(subject.windows.returns),
        risk_free_rate_annual=spec.risk.risk_free_rate_annual if subject.risk_free is None else None,
        risk_free=_said(asked, subject),
        convention=spec.convention,
        moments=spec.moments,
        periods_per_year=spec.risk.periods_per_year,
        rebalancing=None if held is None else asked.rebalancing or "buy_and_hold",
        drift_band=asked.drift_band,
        base_currency=None if held is None else held.currency,
        benchmark=subject.benchmark,
        positions=positions,
        concentration=None if held is None else ConcentrationOut.model_validate(_concentration(held)),
        liquidity=liquidity,
        **calculate_figures(report, sessions),
    )


def calculate_figures(report: FullReport, sessions: DateArray | None) -> dict[str, Any]:
    """The figures of a report as they are served, by the name of their field."""
    return {
        "measures": [
            MeasuredOut(
                name=m.name,
                value=m.value,
                unit=m.unit or UNITS[m.name],
                formula=m.formula,
                convention=m.convention,
                undefined=m.undefined,
            )
            for m in report.measures
        ],
        "tails": [
            MeasuredTailOut(
                method=t.method,
                confidence=t.confidence,
                horizon_sessions=t.horizon_sessions,
                scaling=t.scaling,
                var=t.var,
                es=t.es,
                var_standard_error=t.var_standard_error,
                es_standard_error=t.es_standard_error,
                unit=t.unit or LOSS.name,
                undefined=t.undefined,
            )
            for t in report.tails
        ],
        "entropic": [EntropicOut.model_validate(figure) for figure in report.entropic],
        "drawdowns": [_drawdown(spell, sessions) for spell in report.drawdowns],
    }


def _drawdown(spell: DrawdownSpell, sessions: DateArray | None) -> DrawdownOut:
    def day(position: int | None) -> date | None:
        return None if sessions is None or position is None else _day(sessions, position)

    return DrawdownOut(
        depth=spell.depth,
        start=day(spell.start),
        trough=day(spell.trough),
        recovery=day(spell.recovery),
        start_position=spell.start,
        trough_position=spell.trough,
        recovery_position=spell.recovery,
        duration_sessions=spell.duration_sessions,
    )


def _day(sessions: DateArray, position: int) -> date | None:
    """A session; None where it is not known (NaT)."""
    found: date | None = sessions[position].astype(date)
    return found


def _concentration(held: Held) -> dict[str, float]:
    return {name: float(value) for name, value in concentration(held.weights).items()}


def liquidity_answer(asked: LiquidityIn, spec: ReportSpec, held: Held) -> tuple[list[LiquidationOut], LiquidityOut]:
    """Positions with the sessions that selling them takes, and the risk over those.

    Money stands for units on both sides of the quotient, so that splits do not matter.
    """
    value = asked.portfolio_value if held.value is None else held.value
    amounts = held.weights * (0.0 if value is None else value)
    horizons = liquidation_horizons(amounts, held.turnover, held.symbols, asked.participation)
    without_volume = [s for s, turnover in zip(held.symbols, held.turnover, strict=True) if not turnover > 0.0]
    figures, undefined = [], None
    if value is None:
        undefined = "no_portfolio_value: give liquidity.portfolio_value with target weights"
    elif horizons.unknown and asked.days_if_unknown is None:
        undefined = "volume_unknown: leave those positions out, or give liquidity.days_if_unknown"
    for confidence in spec.confidences:
        found = liquidity_adjusted_var(held.weights, held.asset_returns, horizons, confidence, asked.days_if_unknown)
        adjusted = None if undefined else found.liquidity_adjusted_var
        figures.append(
            LiquidityFigureOut(confidence=confidence, var=found.value_at_risk, liquidity_adjusted_var=adjusted)
        )
    costs = spread_costs(asked, held)
    days = horizons.days if value is not None else np.full(len(held.symbols), np.nan)
    positions = [
        LiquidationOut(
            symbol=symbol, weight=float(weight), liquidation_sessions=_known(sessions), spread_cost=_known(cost)
        )
        for symbol, weight, sessions, cost in zip(held.symbols, held.weights, days, costs.cost, strict=True)
    ]
    return positions, LiquidityOut(
        participation=asked.participation,
        figures=figures,
        without_volume=without_volume,
        spread_cost=_known(costs.total),
        without_spread=list(costs.unknown),
        undefined=undefined,
    )


def spread_costs(asked: LiquidityIn, held: Held) -> SpreadCost:
    """What leaving each position through half of its worst spread costs.

    Raises
    ------
    MeasureInputError
        For a spread of what is not held, or two of one position.
    """
    given = {spread.symbol: (spread.mean, spread.deviation) for spread in asked.spreads or []}
    if len(given) < len(asked.spreads or []):
        raise MeasureInputError("liquidity.spreads: a symbol comes twice; give each position's spread once")
    if unheld := sorted(set(given) - set(held.symbols)):
        raise MeasureInputError(f"liquidity.spreads: {unheld[0]} is not among the positions; leave it out")
    known = np.array([given.get(symbol, (np.nan, np.nan)) for symbol in held.symbols])
    return spread_cost(held.weights, known[:, 0], known[:, 1], held.symbols, asked.spread_deviations)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
