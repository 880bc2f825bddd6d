"""Stress of a portfolio: stored replays of past crises, and any scenario computed on request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter
from psycopg import Connection
from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import DEFAULT_COVARIANCE, estimate_covariance
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.measures.stress import Positions, StressResult
from pipeline.risk.measures.stress_historical import (
    HISTORICAL_WINDOWS,
    Proxy,
    replay_window,
    window_named,
)
from pipeline.risk.measures.stress_historical import PricePanel as StressPrices
from pipeline.risk.measures.stress_hypothetical import ShockSet, Universe, hypothetical_stress
from pipeline.risk.measures.stress_replays import BETA_SESSIONS, trailing_betas
from pipeline.risk.measures.stress_shifts import correlation_shift, volatility_shift
from pipeline.risk.report import HeldSeries, held_series
from pipeline.store.factor_exposures import read_factor_exposures
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import PricePanel, read_last_session, read_price_panel
from pipeline.store.reading import LATEST, Window
from pipeline.store.stress_results import STRESS_RESULT, StressRow, read_stress_results
from serving.answers import Collection, Resource, Row, described_by
from serving.deps import Database
from serving.inputs import Label, PortfolioPath, Symbol, require_number

WINDOW_SESSIONS = 252
CONFIDENCE = 0.99
MOST_FACTORS = 64
MOST_ROWS = 10_000
"""More than 500 positions under each window."""

Number = Annotated[float, Strict(), AllowInfNan(False), BeforeValidator(require_number), Field(ge=-1e6, le=1e6)]
Shocks = dict[Label, Number]

router = APIRouter(prefix="/portfolios", tags=["stress"])


@described_by(STRESS_RESULT)
class StoredPositionOut(Row):
    """A position under a scenario."""

    symbol: str = Field(description="Symbol of the instrument; with a day if it is another's now.")
    weight: float | None
    shock: float | None
    pnl: float | None
    worst_shock: float | None
    worst_pnl: float | None
    shocked_by: str
    reason: str | None


class StoredScenarioOut(Row):
    """A portfolio under a scenario."""

    session: date = Field(description="At whose close the portfolio stood as it does here.")
    scenario: str
    total: float | None = Field(description="Sum of the positions' profit and loss; null if one is unknown.")
    worst_total: float | None = Field(description="The same at the deepest point on the way.")
    positions: list[StoredPositionOut]


class ShockSetIn(BaseModel):
    """Stated shocks. A position takes its symbol's, else its sector's, else the market's, else 0."""

    model_config = ConfigDict(extra="forbid")

    name: Label = Field("hypothetical", description="Of the scenario.")
    market: Number | None = Field(None, description="What every position moves, as a fraction: -0.2 for -20 %.")
    sectors: Shocks = Field(default_factory=dict, description="GICS sector → fraction.")
    symbols: Shocks = Field(default_factory=dict, description="Symbol → fraction.")
    factors: Shocks = Field(default_factory=dict, description="Symbol of a factor fund → its return, as a fraction.")
    volatility_scale: Number | None = Field(None, description="Multiple of today's volatility.")
    correlation_shift: Number | None = Field(None, description="Fraction of the way from each correlation to 1.")

    @property
    def shock_set(self) -> ShockSet:
        """The scenario as the core takes it.

        Raises
        ------
        MeasureInputError
            For a shock below -1, a scale or shift out of range, or no shock at all.
        """
        return ShockSet(**self.model_dump())


class ReverseIn(BaseModel):
    """A loss whose most likely cause is looked for."""

    model_config = ConfigDict(extra="forbid")

    loss: Number = Field(description="Fraction of the value to lose in one session: 0.05 for 5 %.")
    degrees_of_freedom: Number | None = Field(None, description="Of a Student-t law beside the normal one; above 2.")


class StressRequest(BaseModel):
    """Exactly one kind of stress."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"historical": "all"}, {"hypothetical": {"market": -0.2}}]},
    )

    historical: Literal["all"] | Annotated[list[Symbol], Field(min_length=1, max_length=64)] | None = Field(
        None, description=f"all, or names of {', '.join(HISTORICAL_WINDOWS)}."
    )
    hypothetical: ShockSetIn | None = None
    reverse: ReverseIn | None = None
    volatility_scale: Number | None = Field(None, description="Multiple of today's volatility.")
    correlation_shift: Number | None = Field(None, description="Fraction of the way from each correlation to 1.")

    @model_validator(mode="after")
    def _require_one(self) -> StressRequest:
        kinds = list(type(self).model_fields)
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise PydanticCustomError("one_stress", f"Give exactly one of {', '.join(kinds)}")
        return self


class ShockedPositionOut(Row):
    """A position under a scenario."""

    symbol: str
    weight: float = Field(description="Share of the portfolio's value.")
    shock: float = Field(description="Move of the position [fraction of its value]")
    pnl: float = Field(description="Profit or loss [fraction of the portfolio's value]")
    amount: float | None = Field(description="Profit or loss in `currency`; null where the value is unknown.")
    shocked_by: str = Field(description="prices, benchmark_beta or scenario.")


class ScenarioOut(Row):
    """A portfolio under one scenario; the positions sum to the total."""

    scenario: str
    kind: Literal["historical", "hypothetical", "reverse"]
    method: str
    total: float = Field(description="[fraction of the portfolio's value]")
    total_amount: float | None = Field(description="In `currency`; null where the value is unknown.")
    worst_total: float | None = Field(None, description="At the deepest point on the way; historical only.")
    worst_session: date | None = Field(None, description="Session of that point.")
    positions: list[ShockedPositionOut]


class ReverseOut(Row):
    """How likely the loss is."""

    loss: float
    mahalanobis_distance: float = Field(description="Of the move from none [standard deviations]")
    gaussian_probability: float = Field(description="Of a loss at least as large in one session, normal law.")
    degrees_of_freedom: float | None
    student_t_probability: float | None


class VolatilityOut(Row):
    """Historical tail risk before and after; positive losses as fractions of value."""

    scale: float
    confidence: float
    horizon_sessions: int
    var_before: float
    var_after: float
    es_before: float
    es_after: float


class CorrelationOut(Row):
    """Gaussian risk before and after; over one session, as fractions of value."""

    shift: float
    confidence: float
    horizon_sessions: int
    volatility_before: float
    volatility_after: float
    gaussian_var_before: float
    gaussian_var_after: float


class StressOut(Resource):
    """Stress of the holdings at their newest close, computed for this request."""

    portfolio_id: int
    as_of: date = Field(description="Newest session on which all positions have a price.")
    currency: str
    value: float | None = Field(description="Of the portfolio; null for target weights, which have none.")
    window_sessions: int | None = Field(None, description="Returns behind covariance, volatility or proxies.")
    method: str = Field(description="How the answer was computed.")
    scenarios: list[ScenarioOut] = Field(default_factory=list)
    unavailable: dict[str, str] = Field(
        default_factory=dict, description="Windows of `all` that cannot be replayed, and why."
    )
    reverse: ReverseOut | None = None
    volatility: VolatilityOut | None = None
    correlation: CorrelationOut | None = None


@router.get("/{reference}/stress")
def list_stress(reference: PortfolioPath, database: Database) -> Collection[StoredScenarioOut]:
    """The stored replays of the newest session that has them, by scenario."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        newest = [row.session for row in read_stress_results(connection, portfolio.id, LATEST)]
        rows: list[StressRow] = []
        for session in newest:
            rows = read_stress_results(connection, portfolio.id, Window(session, session, MOST_ROWS))
        names = references(read_instruments(connection))
        return Collection[StoredScenarioOut](data=_stored_scenarios(rows, names), notice=database.notice(connection))


@router.post("/{reference}/stress")
def compute_stress(reference: PortfolioPath, request: StressRequest, database: Database) -> StressOut:
    """Put the newest holdings under a scenario now; nothing is stored, and the shocks are in the answer."""
    with database.reading() as connection:
        held = _read_held(connection, read_portfolio(connection, reference))
        answer = _computed(connection, held, request)
        return answer.model_copy(update={"notice": database.notice(connection)})


@dataclass(frozen=True, slots=True)
class _Held:
    """What is stressed.

    Parameters
    ----------
    series
        The portfolio on the sessions on which everything it holds has a price.
    panel
        Prices of the positions, in their order, and of the benchmark, if there is one.
    positions
        Its holdings at the newest close.
    names
        Instrument → reference.
    """

    portfolio: Portfolio
    series: HeldSeries
    panel: PricePanel
    benchmark: Instrument | None
    positions: Positions
    instruments: Sequence[Instrument]
    names: dict[int, str]

    @property
    def close(self) -> FloatArray:
        """(t, n) of the positions, in the portfolio's currency."""
        ids = [position.instrument_id for position in self.portfolio.positions]
        return self.panel.columns(ids, self.portfolio.base_currency)

    @property
    def covariance(self) -> FloatArray:
        """Of the positions' daily returns.

        Raises
        ------
        MeasureInputError
            If there are fewer than `WINDOW_SESSIONS` returns.
        """
        returns = self.series.held.asset_returns
        if len(returns) < WINDOW_SESSIONS:
            raise MeasureInputError(
                f"positions: {len(returns)} sessions have a return of every position, and {WINDOW_SESSIONS} are needed;"
                " ask for historical or hypothetical stress, or choose positions with a longer history"
            )
        return estimate_covariance(returns[-WINDOW_SESSIONS:])

    def answer(self, method: str, **parts: object) -> StressOut:
        """The answer with what all of them share."""
        return StressOut.model_validate(
            {
                "portfolio_id": self.portfolio.id,
                "as_of": self.series.sessions[-1].astype(date),
                "currency": self.portfolio.base_currency,
                "value": self.positions.value,
                "method": method,
                **parts,
            }
        )


def references(instruments: Sequence[Instrument]) -> dict[int, str]:
    """Instrument → what names it in an address: its symbol, with a day if it has that no longer."""
    return {
        instrument.id: f"{instrument.symbol}@{instrument.delisted_on}" if instrument.delisted_on else instrument.symbol
        for instrument in instruments
    }


def _read_held(connection: Connection, portfolio: Portfolio) -> _Held:
    """Hold the portfolio up to its newest close; the whole history is read, for the crises in it."""
    last = read_last_session(connection)
    if last is None:
        raise NotFoundError("There are no prices yet", "Run 'fintech run', which loads them.")
    instruments = read_instruments(connection)
    names, benchmark = references(instruments), benchmark_of(instruments)
    ids = [position.instrument_id for position in portfolio.positions]
    wanted = list(dict.fromkeys([*ids, *([benchmark.id] if benchmark else [])]))
    panel = read_price_panel(connection, wanted, None, last + timedelta(days=1))
    close = panel.columns(ids, portfolio.base_currency)
    series = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, portfolio.rebalancing))
    if len(series.held.weights) == 0:
        raise MeasureInputError("positions: one session has a price for each; two are needed, so load more prices")
    newest = close[np.isfinite(close).all(axis=1)][-1]
    # Quantities are worth something; target weights are fractions of a value that nobody has stated.
    value = math.fsum((newest * portfolio.amounts).tolist()) if portfolio.rebalancing == "buy_and_hold" else None
    positions = Positions(tuple(names[number] for number in ids), series.held.weights[-1], value)
    return _Held(portfolio, series, panel, benchmark, positions, instruments, names)


def _computed(connection: Connection, held: _Held, request: StressRequest) -> StressOut:
    if request.historical is not None:
        return _historical(held, request.historical)
    if request.hypothetical is not None:
        return _hypothetical(connection, held, request.hypothetical.shock_set)
    if request.reverse is not None:
        return _reverse(held, request.reverse)
    if request.volatility_scale is not None:
        volatility = _volatility(held, request.volatility_scale)
        return held.answer(_VOLATILITY_METHOD, window_sessions=WINDOW_SESSIONS, volatility=volatility)
    assert request.correlation_shift is not None
    correlation = _correlation(held, request.correlation_shift)
    return held.answer(_CORRELATION_METHOD, window_sessions=WINDOW_SESSIONS, correlation=correlation)


def _historical(held: _Held, asked: str | Sequence[str]) -> StressOut:
    """Windows that were named must be replayed; of all, those that cannot be are named."""
    wants_all = asked == "all"
    names = list(HISTORICAL_WINDOWS) if wants_all else list(dict.fromkeys(asked))
    windows = [window_named(name) for name in names]
    prices, proxy = _replay_prices(held)
    scenarios, unavailable = [], {}
    for window in windows:
        try:
            result = replay_window(window, held.positions, prices, "proxy", proxy)
        except MeasureInputError as error:
            if not wants_all:
                raise
            unavailable[window.name] = str(error)
        else:
            scenarios.append(_scenario(result, _HISTORICAL_METHOD))
    return held.answer(_HISTORICAL_METHOD, window_sessions=BETA_SESSIONS, scenarios=scenarios, unavailable=unavailable)


def _replay_prices(held: _Held) -> tuple[StressPrices, Proxy | None]:
    """Prices on the benchmark's sessions, and what stands in for those that are missing."""
    close = held.close
    if held.benchmark is None:
        return StressPrices(held.panel.sessions, close), None
    index = held.panel.column(held.benchmark.id, held.portfolio.base_currency)
    newest = np.searchsorted(held.panel.sessions, held.series.sessions[-1:])
    betas = {
        symbol: float(trailing_betas(column, index, newest)[0])
        for symbol, column in zip(held.positions.symbols, close.T, strict=True)
    }
    kept = np.isfinite(index)
    known = {symbol: beta for symbol, beta in betas.items() if math.isfinite(beta)}
    return StressPrices(held.panel.sessions[kept], close[kept]), Proxy(index[kept], known)


def _hypothetical(connection: Connection, held: _Held, shocks: ShockSet) -> StressOut:
    universe = _universe(connection, held, with_factors=bool(shocks.factors))
    result = hypothetical_stress(shocks, held.positions, universe)
    parts: dict[str, object] = {"scenarios": [_scenario(result, _HYPOTHETICAL_METHOD)]}
    if shocks.volatility_scale is not None:
        parts |= {"volatility": _volatility(held, shocks.volatility_scale), "window_sessions": WINDOW_SESSIONS}
    if shocks.correlation_shift is not None:
        parts |= {"correlation": _correlation(held, shocks.correlation_shift), "window_sessions": WINDOW_SESSIONS}
    return held.answer(_HYPOTHETICAL_METHOD, **parts)


def _universe(connection: Connection, held: _Held, *, with_factors: bool) -> Universe:
    """What shocks may name; exposures are read of what is held, and only if a factor is shocked."""
    symbols = tuple(held.names[instrument.id] for instrument in held.instruments)
    sectors = tuple(instrument.sector or None for instrument in held.instruments)
    if not with_factors:
        return Universe(symbols, sectors)
    held_exposures = _exposures(connection, held)
    factors = tuple(sorted({factor for known in held_exposures.values() for factor in known}))
    exposures = np.full((len(symbols), len(factors)), np.nan)
    for row, instrument in enumerate(held.instruments):
        for column, factor in enumerate(factors):
            exposures[row, column] = held_exposures.get(instrument.id, {}).get(factor, np.nan)
    return Universe(symbols, sectors, factors, exposures if factors else None)


def _exposures(connection: Connection, held: _Held) -> dict[int, dict[str, float]]:
    """Newest stored exposures of each position that are not younger than its price."""
    as_of: date = held.series.sessions[-1].astype(date)
    found: dict[int, dict[str, float]] = {}
    for position in held.portfolio.positions:
        rows = read_factor_exposures(connection, position.instrument_id, Window(end=as_of, limit=MOST_FACTORS))
        newest = [row for row in rows if row.session == rows[-1].session]
        found[position.instrument_id] = {row.factor: row.exposure_ols for row in newest if row.exposure_ols is not None}
    return found


def _reverse(held: _Held, asked: ReverseIn) -> StressOut:
    # Here and not above: only this needs scipy, and the API starts a fifth of a second sooner without it.
    from pipeline.risk.measures.stress_reverse import reverse_stress  # noqa: PLC0415

    found = reverse_stress(held.positions, held.covariance, asked.loss, asked.degrees_of_freedom)
    return held.answer(
        _REVERSE_METHOD,
        window_sessions=WINDOW_SESSIONS,
        scenarios=[_scenario(found.result, _REVERSE_METHOD)],
        reverse=ReverseOut.model_validate(found),
    )


def _volatility(held: _Held, scale: float) -> VolatilityOut:
    scenarios = scenario_returns(held.series.held, len(held.series.held.returns), WINDOW_SESSIONS)
    return VolatilityOut.model_validate(volatility_shift(scenarios, scale, CONFIDENCE))


def _correlation(held: _Held, shift: float) -> CorrelationOut:
    return CorrelationOut.model_validate(correlation_shift(held.positions, held.covariance, shift, CONFIDENCE))


def _scenario(result: StressResult, method: str) -> ScenarioOut:
    amounts = result.amounts
    by_prices = "prices" if result.kind == "historical" else "scenario"
    return ScenarioOut(
        scenario=result.name,
        kind=result.kind,
        method=method,
        total=result.total,
        total_amount=None if amounts is None else amounts.total,
        worst_total=None if result.worst is None else result.worst.total,
        worst_session=None if result.worst is None else result.worst.session,
        positions=[
            ShockedPositionOut(
                symbol=symbol,
                weight=float(result.positions.weights[row]),
                shock=float(result.shocks[row]),
                pnl=float(result.position_pnl[row]),
                amount=None if amounts is None else float(amounts.position[row]),
                shocked_by="benchmark_beta" if symbol in result.proxied else by_prices,
            )
            for row, symbol in enumerate(result.positions.symbols)
        ],
    )


def _stored_scenarios(rows: Sequence[StressRow], names: dict[int, str]) -> list[StoredScenarioOut]:
    """In the order of the registry; one that it no longer has comes last."""
    order = {name: place for place, name in enumerate(HISTORICAL_WINDOWS)}
    ordered = sorted(rows, key=lambda row: (order.get(row.scenario, len(order)), row.scenario))
    return [_stored_scenario(list(group), names) for _, group in groupby(ordered, key=lambda row: row.scenario)]


def _stored_scenario(rows: Sequence[StressRow], names: dict[int, str]) -> StoredScenarioOut:
    return StoredScenarioOut(
        session=rows[0].session,
        scenario=rows[0].scenario,
        total=_total([row.pnl for row in rows]),
        worst_total=_total([row.worst_pnl for row in rows]),
        positions=[
            StoredPositionOut(
                symbol=names.get(row.instrument_id, str(row.instrument_id)),
                weight=row.weight,
                shock=row.shock,
                pnl=row.pnl,
                worst_shock=row.worst_shock,
                worst_pnl=row.worst_pnl,
                shocked_by=row.shocked_by,
                reason=row.reason or None,
            )
            for row in rows
        ],
    )


def _total(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None and math.isfinite(part)]
    return math.fsum(known) if len(known) == len(parts) else None


_HISTORICAL_METHOD = (
    "Each position's compounded return over the window, untouched in between; where it lacks a price, beta of the last"
    f" {BETA_SESSIONS} returns × the index's daily returns, compounded."
)
_HYPOTHETICAL_METHOD = (
    "The most specific stated shock (symbol, sector, market), plus OLS exposure × shock of each factor."
)
_REVERSE_METHOD = (
    "Most likely joint move of that loss in one session: least Mahalanobis distance"
    f" (Breuer, Jandačka, Rheinberger & Summer 2009), {DEFAULT_COVARIANCE} covariance."
)
_VOLATILITY_METHOD = (
    "Historical VaR and ES at 99 %, one session, after scaling each scenario's deviation from the mean."
)
_CORRELATION_METHOD = (
    f"Gaussian VaR at 99 %, one session, {DEFAULT_COVARIANCE} covariance, correlations moved towards 1."
)
