"""Asset ``strategy_nav``: what following each strategy was worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from pipeline.base.types import DateArray, FloatArray, MonthRange
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.simulation.assets.nav_picture import nav_picture
from pipeline.simulation.assets.strategy_weights import CURRENCY, SPEC, market_close
from pipeline.simulation.strategies.catalogue import MIN_VARIANCE
from pipeline.simulation.strategies.walking import Walk, walk_forward
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.series_kinds import NAV_KIND
from pipeline.store.strategies import STRATEGY_NAV, STRATEGY_WEIGHTS, AllWeights, read_all_weights
from pipeline.store.writing import Write, concatenated

WHOLE_HISTORY_MONTHS = 1_200
"""A value of today follows from every weight and price since the start, so a change of any of them changes it. The
walk begins there each time, which takes 0.2 s, and makes the same bits whichever months are asked for."""


def nav_figures(rows: Columns) -> dict[str, float]:
    """Returns of a month over the strategies, and what they traded."""
    returns = [
        np.prod(1.0 + rows["daily_return"][rows["strategy"] == name]) - 1.0 for name in np.unique(rows["strategy"])
    ]
    traded = rows["turnover"] > 0.0
    turnover = {"mean_turnover_fraction": float(rows["turnover"][traded].mean())} if traded.any() else {}
    return {
        "best_month_return_fraction": max(returns),
        "mean_month_return_fraction": float(np.mean(returns)),
        "worst_month_return_fraction": min(returns),
        **turnover,
    }


@TableAsset(
    table=STRATEGY_NAV,
    location="simulation",
    inputs={
        "instruments": None,
        "prices": WHOLE_HISTORY_MONTHS,
        FX_RATES: WHOLE_HISTORY_MONTHS,
        STRATEGY_WEIGHTS: WHOLE_HISTORY_MONTHS,
    },
    figures=nav_figures,
    headline="nav",
    headline_subject={"strategy": MIN_VARIANCE},
    series=NAV_KIND,
)
def strategy_nav(write: Write, months: MonthRange) -> Produced:
    """Net asset value of every strategy after costs, rebalanced at each month's end, a row a session."""
    chosen = read_all_weights(write.connection, months.end)
    followed = follow_all(write, chosen, months.end) if chosen else []
    return Produced(
        concatenated(STRATEGY_NAV, nav_rows(followed, months)),
        metadata={"nav_by_strategy": nav_picture({one.strategy: (one.sessions, one.walk.nav) for one in followed})},
        empty_because="no strategy had weights before this month",
    )


@dataclass(frozen=True, slots=True)
class Followed:
    """A strategy walked from its first weights on.

    Parameters
    ----------
    sessions
        (m,) of the walk.
    """

    strategy: str
    sessions: DateArray
    walk: Walk


def follow_all(write: Write, chosen: Mapping[str, AllWeights], end: date) -> list[Followed]:
    """Walk every strategy through all prices before `end`."""
    benchmark = benchmark_of(read_instruments(write.connection))
    stocks = sorted({int(stock) for weights in chosen.values() for stock in weights.instrument_ids})
    ids = [*stocks, *([benchmark.id] if benchmark else [])]
    since: date = min(weights.sessions[0] for weights in chosen.values()).item()
    panel = read_price_panel(write.connection, ids, since.replace(day=1), end, currency=CURRENCY)
    return list(_followed(panel, stocks, benchmark, chosen))


def _followed(
    panel: PricePanel, stocks: Sequence[int], benchmark: Instrument | None, chosen: Mapping[str, AllWeights]
) -> Iterator[Followed]:
    kept, close = market_close(panel, stocks, benchmark)
    sessions = panel.sessions[kept]
    for strategy, weights in chosen.items():
        set_on, matrix = dense(weights, stocks)
        walk = walk_forward(close, sessions, set_on, matrix, SPEC.cost_fraction)
        yield Followed(strategy, sessions[walk.rows], walk)


def dense(weights: AllWeights, stocks: Sequence[int]) -> tuple[DateArray, FloatArray]:
    """The m days on which weights were set, and (m, n) weights of `stocks`, which are sorted; 0 where none is held."""
    set_on, row_of = np.unique(weights.sessions, return_inverse=True)
    matrix = np.zeros((len(set_on), len(stocks)))
    matrix[row_of, np.searchsorted(np.asarray(stocks), weights.instrument_ids)] = weights.weights
    return set_on, matrix


def nav_rows(followed: Sequence[Followed], months: MonthRange) -> Iterator[Columns]:
    """The rows of each strategy in the months."""
    for one in followed:
        rows = months.rows_of(one.sessions)
        yield {
            "strategy": np.full(rows.stop - rows.start, one.strategy.encode()),
            "session": one.sessions[rows],
            "nav": one.walk.nav[rows],
            "daily_return": one.walk.returns[rows],
            "turnover": one.walk.turnover[rows],
            "cost": one.walk.cost[rows],
        }
