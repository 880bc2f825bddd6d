"""Why a strategy is worth what it is, and holds what it holds: the weights that it set, and the closes since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query
from psycopg import Connection
from pydantic import StringConstraints

from pipeline.base.errors import NotFoundError, NotInstalledError
from pipeline.base.types import BoolArray, DateArray, FloatArray, add_months
from pipeline.risk.measures.common_window import CommonWindow, common_window, market_sessions
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR, simple_returns
from pipeline.simulation.strategies.catalogue import STRATEGIES, Strategy
from pipeline.simulation.strategies.spec import StrategySpec
from pipeline.simulation.strategies.walking import Walk, walk_forward
from pipeline.simulation.strategies.weighing import weigh
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.point_in_time import Knowledge
from pipeline.store.prices import read_price_panel
from pipeline.store.provenance import Materialization, read_materialization
from pipeline.store.reading import Window
from pipeline.store.strategies import (
    STRATEGY_NAV,
    STRATEGY_WEIGHT,
    NavRow,
    SetWeights,
    read_strategy_nav,
    read_strategy_weights,
)
from serving.deps import Database
from serving.errors import problem_responses
from serving.inputs import MAXIMUM_ROWS, Symbol
from serving.references import references
from serving.routes.explaining.documented import (
    definition_of_column,
    path_of,
    sources_of,
    words_of,
    words_of_field,
)
from serving.routes.explaining.envelope import AskedSession, DefinitionOut, ExplanationOut, InputsOut
from serving.routes.explaining.figures import Figure, explanation, known_figure, not_stored
from serving.routes.explaining.input_forms import SetWeightsOut, StrategyInputsOut
from serving.routes.explaining.prices import by_symbol, days_of
from serving.routing import ComputingRoute

WEIGHT = "weight"
WALKED = ("nav", "daily_return", "turnover", "cost")
OVER_ALL = ("growth_annual", "turnover_annual", "cost_annual")
STRATEGY_FIGURES = (*WALKED, *OVER_ALL, WEIGHT)
SPEC = StrategySpec()
CURRENCY, STOCK_KIND, MOST_STOCKS, LOOK_BACK_MONTHS = "USD", "stock", 100, 33
"""As the assets of the strategies have them, which this process does not load."""

router = APIRouter(route_class=ComputingRoute, prefix="/strategies", tags=["simulations"])

StrategyPath = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z_]{1,31}$"),
    Path(description="Name of a strategy.", examples=["min_variance"]),
]


@dataclass(frozen=True, slots=True)
class _Found:
    """What an explanation is made of."""

    figure: Figure
    inputs: InputsOut
    again: float | None


@router.get("/{name}/explain", responses=problem_responses(501))
def explain_strategy(
    name: StrategyPath,
    database: Database,
    measure: Annotated[str, Query(description=f"One of {', '.join(STRATEGY_FIGURES)}.", examples=["nav"])] = "nav",
    symbol: Annotated[Symbol | None, Query(description="Stock whose weight is asked.", examples=["AAPL"])] = None,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain what a strategy is worth, what it earned, traded or paid, or the weight of a stock in it."""
    known_figure(measure, STRATEGY_FIGURES)
    strategy = STRATEGIES[known_figure(name, STRATEGIES, "strategy")]
    with database.reading() as connection:
        if measure == WEIGHT:
            found = _weight(connection, strategy, symbol, session)
        elif measure in OVER_ALL:
            found = _over_all(connection, strategy, measure)
        else:
            found = _walked(connection, strategy, measure, session)
        notice = database.notice(connection)
        return explanation(connection, found.figure, found.inputs, found.again, notice)


def walked_again(inputs: InputsOut) -> Walk:
    """A strategy followed through the closes of an answer, from the first of its weights on."""
    assert inputs.strategy is not None  # of a strategy
    symbols = list(inputs.close)
    weights = np.array([[one.weights.get(s, 0.0) for s in symbols] for one in inputs.strategy.set_weights])
    set_on = np.array([one.session for one in inputs.strategy.set_weights], dtype="datetime64[D]")
    sessions = np.array(inputs.sessions, dtype="datetime64[D]")
    close = np.column_stack([inputs.close[symbol] for symbol in symbols])
    return walk_forward(close, sessions, set_on, weights, inputs.strategy.cost_fraction or 0.0)


def nav_again(inputs: InputsOut, measure: str) -> float | None:
    """A figure of the last of the sessions."""
    assert inputs.strategy is not None  # of a strategy
    walk = walked_again(inputs)
    if measure == "daily_return":
        return float(walk.returns[-1])
    if measure != "nav":
        return float(getattr(walk, measure)[-1])
    traded = inputs.strategy.set_weights[-1].session
    days = np.array(inputs.sessions[walk.rows], dtype="datetime64[D]")
    base = np.searchsorted(days, (np.datetime64(traded, "M") + 1).astype("datetime64[D]"))
    return (inputs.strategy.nav_before or 1.0) * float(np.prod(1.0 + walk.returns[base:]))


def _walked(connection: Connection, strategy: Strategy, measure: str, session: date | None) -> _Found:
    """A figure of one session, from the two months' ends before it."""
    row = _nav_row(connection, strategy, session)
    write = read_materialization(connection, row.materialization_id)
    month = row.session.replace(day=1)
    sets = read_strategy_weights(connection, strategy.name, Window(None, month - timedelta(days=1), 2))
    if not sets:
        raise not_stored(strategy.name, "weight before", row.session, f"strategies/{strategy.name}/weights")
    instruments = read_instruments(connection)
    stocks = sorted({stock for one in sets for stock in one.instrument_ids})
    symbols = _symbols(instruments, stocks)
    known = Knowledge(write.finished_at)
    sessions, close = _market(connection, stocks, instruments, sets[0].session.replace(day=1), row.session, known)
    if not all(_is_priced(close[sessions <= np.datetime64(one.session, "D")], stocks, one) for one in sets):
        raise _not_kept(write, row.session)
    before = read_strategy_nav(connection, strategy.name, Window(None, month - timedelta(days=1), 1))
    inputs = InputsOut(
        sessions=days_of(sessions),
        close=by_symbol(symbols, _without_gaps(close)),
        exchange_rates={},
        strategy=StrategyInputsOut(
            set_weights=[_set_out(one, dict(zip(stocks, symbols, strict=True))) for one in sets],
            nav_before=before[-1].nav if before else 1.0,
            cost_fraction=SPEC.cost_fraction,
        ),
    )
    figure = Figure(
        strategy.name,
        stocks,
        row.session,
        getattr(row, measure),
        None,
        write,
        _nav_definition(measure),
        {"strategy": strategy.name, "cost_basis_points": SPEC.cost_basis_points},
        inputs={"strategy_weights": (sets[0].session, sets[-1].session)},
        input_writes=[one.materialization_id for one in sets],
    )
    return _Found(figure, inputs, nav_again(inputs, measure))


def _is_priced(close: FloatArray, stocks: Sequence[int], row: SetWeights) -> bool:
    """Whether each stock that has a weight has had a price by then.

    Parameters
    ----------
    close
        (t, n) up to the session of the weights.
    stocks
        Of the n.
    """
    priced: BoolArray = np.asarray(np.isfinite(close).any(axis=0))
    return all(priced[stocks.index(stock)] for stock in row.instrument_ids)


def _nav_row(connection: Connection, strategy: Strategy, session: date | None) -> NavRow:
    rows = read_strategy_nav(connection, strategy.name, Window(session, session, 1))
    if not rows:
        raise not_stored(strategy.name, "value", session, f"strategies/{strategy.name}/nav")
    return rows[-1]


def _over_all(connection: Connection, strategy: Strategy, measure: str) -> _Found:
    """A figure of the whole history, from its stored rows."""
    rows = read_strategy_nav(connection, strategy.name, Window(limit=MAXIMUM_ROWS))
    if not rows:
        raise not_stored(strategy.name, "value", None, f"strategies/{strategy.name}/nav")
    inputs = InputsOut(
        sessions=[row.session for row in rows],
        close={},
        exchange_rates={},
        strategy=StrategyInputsOut(
            set_weights=[],
            nav=[row.nav for row in rows],
            turnover=[row.turnover for row in rows],
            cost=[row.cost for row in rows],
        ),
    )
    served = {
        "growth_annual": rows[-1].nav ** (TRADING_DAYS_PER_YEAR / len(rows)) - 1.0,
        "turnover_annual": sum(row.turnover for row in rows) * TRADING_DAYS_PER_YEAR / len(rows),
        "cost_annual": sum(row.cost for row in rows) * TRADING_DAYS_PER_YEAR / len(rows),
    }
    figure = Figure(
        strategy.name,
        [],
        rows[-1].session,
        served[measure],
        None,
        None,  # computed for each request
        _over_all_definition(measure),
        {"strategy": strategy.name, "sessions": len(rows), "periods_per_year": TRADING_DAYS_PER_YEAR},
        inputs={"strategy_nav": (rows[0].session, rows[-1].session)},
        input_writes=[row.materialization_id for row in rows],
    )
    return _Found(figure, inputs, over_all_again(inputs, measure))


def over_all_again(inputs: InputsOut, measure: str) -> float:
    """A figure of the whole history of an answer."""
    assert inputs.strategy is not None  # of a strategy
    years = len(inputs.sessions) / TRADING_DAYS_PER_YEAR
    if measure == "growth_annual":
        return float(inputs.strategy.nav[-1] ** (1.0 / years) - 1.0)
    values = inputs.strategy.turnover if measure == "turnover_annual" else inputs.strategy.cost
    return float(np.sum(values)) / years


def _weight(connection: Connection, strategy: Strategy, symbol: str | None, session: date | None) -> _Found:
    """The weight of a stock, by weighing again."""
    rows = read_strategy_weights(connection, strategy.name, Window(session, session, 1))
    if not rows:
        raise not_stored(strategy.name, "weight", session, f"strategies/{strategy.name}/weights")
    row = rows[-1]
    write, instruments = read_materialization(connection, row.materialization_id), read_instruments(connection)
    stocks = sorted(one.id for one in instruments if one.kind == STOCK_KIND)[:MOST_STOCKS]
    since = add_months(row.session.replace(day=1), -LOOK_BACK_MONTHS)
    sessions, close = _market(connection, stocks, instruments, since, row.session, Knowledge(write.finished_at))
    window = common_window(close, SPEC.window_sessions)
    if window is None:
        raise _not_kept(write, row.session)
    columns = _moving(window)
    names = _symbols(instruments, [stocks[column] for column in columns])
    wanted = known_figure(symbol or "", names, "symbol")
    inputs = InputsOut(
        sessions=days_of(sessions[window.rows]),
        close=by_symbol(names, close[window.rows][:, columns]),
        exchange_rates={},
        strategy=StrategyInputsOut(set_weights=[_set_out(row, references(instruments))]),
    )
    figure = _weight_figure(strategy, row, write, [stocks[column] for column in columns], inputs, wanted)
    return _Found(figure, inputs, weight_again(inputs, strategy.name, wanted))


def weight_again(inputs: InputsOut, strategy: str, symbol: str) -> float:
    """The weight of a stock from the closes of an answer.

    Raises
    ------
    NotInstalledError
        If skfolio is not installed here.
    """
    try:
        import skfolio  # noqa: F401, PLC0415 - only weights need it, and a gateway need not have it
    except ImportError as error:
        raise NotInstalledError(
            "This process cannot weigh: skfolio is not installed",
            "Ask portfolio-simulation, or name its address in PORTFOLIO_SERVICE_URL.",
        ) from error
    close = np.column_stack(list(inputs.close.values()))
    weights = weigh(strategy, np.ascontiguousarray(simple_returns(close)), SPEC).weights
    return float(weights[list(inputs.close).index(symbol)])


def _not_kept(write: Materialization, session: date) -> NotFoundError:
    """What the write knew of the prices is not known any more."""
    return NotFoundError(
        f"The prices that {write.asset} read for {session} are not kept", "Compute the month again: fintech backfill."
    )


def _weight_figure(
    strategy: Strategy, row: SetWeights, write: Materialization, ids: list[int], inputs: InputsOut, symbol: str
) -> Figure:
    assert inputs.strategy is not None  # made with one
    reason = {} if not row.reason else {"fallback_because": row.reason}
    return Figure(
        f"{strategy.name}, {symbol}",
        ids,
        row.session,
        inputs.strategy.set_weights[-1].weights.get(symbol, 0.0),
        None,
        write,
        definition_of_column(STRATEGY_WEIGHT, WEIGHT, path_of(weigh), strategy.summary, sources_of(weigh)),
        {
            "strategy": strategy.name,
            "method": row.method,
            "window_sessions": row.window_sessions,
            "cvar_confidence": SPEC.cvar_confidence,
            **reason,
        },
    )


def _moving(window: CommonWindow) -> list[int]:
    """Columns of the stocks whose price moves: the others cannot be held."""
    columns: list[int] = window.columns[np.ptp(window.returns, axis=0) > 0.0].tolist()
    return columns


def _market(
    connection: Connection,
    stocks: Sequence[int],
    instruments: Sequence[Instrument],
    first: date,
    last: date,
    known: Knowledge,
) -> tuple[DateArray, FloatArray]:
    """(t,) sessions of the market from a day to a session, and (t, n) closes of stocks on them, in one currency."""
    benchmark = benchmark_of(list(instruments))
    ids = list(dict.fromkeys([*stocks, *([benchmark.id] if benchmark else [])]))
    panel = read_price_panel(connection, ids, first, last + timedelta(days=1), known, currency=CURRENCY)
    close = panel.columns(stocks, CURRENCY)
    kept = market_sessions(close, None if benchmark is None else panel.column(benchmark.id))
    return panel.sessions[kept], close[kept]


def _without_gaps(close: FloatArray) -> FloatArray:
    """(t, n) the last known close where one is missing; before the first, when nothing was held, the first itself."""
    filled = close.copy()
    for column in filled.T:
        known = np.flatnonzero(np.isfinite(column))
        if len(known):
            column[:] = column[known[np.maximum(np.searchsorted(known, np.arange(len(column)), "right") - 1, 0)]]
    return filled


def _symbols(instruments: Sequence[Instrument], ids: Sequence[int]) -> tuple[str, ...]:
    known = references(instruments)
    return tuple(known[number] for number in ids)


def _set_out(row: SetWeights, symbols: dict[int, str]) -> SetWeightsOut:
    held = zip(row.instrument_ids, row.weights, strict=True)
    return SetWeightsOut(session=row.session, weights={symbols[stock]: weight for stock, weight in held})


def _nav_definition(measure: str) -> DefinitionOut:
    field = {"daily_return": "returns"}.get(measure, measure)
    formula = f"{words_of_field(Walk, field)} {words_of(walk_forward)}"
    if measure == "nav":
        formula = f"nav_before × Π (1 + daily_return since its close). {formula}"
    return definition_of_column(STRATEGY_NAV, measure, path_of(walk_forward), formula, path_of(walk_forward))


def _over_all_definition(measure: str) -> DefinitionOut:
    formula = {
        "growth_annual": "nav ** (periods_per_year / sessions) - 1",
        "turnover_annual": "Σ turnover × periods_per_year / sessions",
        "cost_annual": "Σ cost × periods_per_year / sessions",
    }[measure]
    return DefinitionOut(
        name=measure,
        function=path_of(walk_forward),
        meaning=_MEANINGS[measure],
        unit="fraction per year",
        formula=f"{formula}, over all stored sessions. {words_of(walk_forward)}",
        source=path_of(walk_forward),
        parameters={},
    )


_MEANINGS = {
    "growth_annual": "Compound growth a year since the start, after costs.",
    "turnover_annual": "Mean of what is bought and sold in a year.",
    "cost_annual": "Mean cost of a year's trades.",
}
