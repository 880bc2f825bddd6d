"""Asset ``strategy_weights``: what each strategy is to hold from a month's end on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np

from pipeline.base.settings import load_settings
from pipeline.base.types import BoolArray, DateArray, FloatArray, MonthRange
from pipeline.orchestration.checks import CheckOutcome, Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.measures.common_window import market_sessions
from pipeline.simulation.assets.month_ends import last_rows
from pipeline.simulation.strategies.catalogue import MAX_SHARPE, STRATEGIES, Strategy
from pipeline.simulation.strategies.eligible import Eligible, eligible_stocks
from pipeline.simulation.strategies.spec import StrategySpec
from pipeline.simulation.strategies.weighing import Weighing, weigh
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.strategies import STRATEGY_WEIGHT
from pipeline.store.writing import Write, concatenated

SPEC = StrategySpec()
LOOK_BACK_MONTHS = 33
"""The 632 sessions among which a window of 504 is looked for are thirty months and a few days."""

CURRENCY = "USD"
STOCK_KIND = "stock"
MOST_STOCKS = 100
"""With so many a month takes 1 s: those registered first are held."""

SOLVED = "strategies_solved"
SOLVED_SPEC = (SOLVED, "Every strategy has weights of its own; where not, those of a simpler one are taken and marked.")
COVERED = "stocks_covered"
COVERED_SPEC = (COVERED, f"Every stock is looked at: there are no more than {MOST_STOCKS}.")


def weight_figures(rows: Columns) -> dict[str, float]:
    """How concentrated the strategies of a month are, and how many took another's weights."""
    strategies = np.unique(rows["strategy"])
    fallen_back = np.unique(rows["strategy"][rows["method"] != rows["strategy"]])
    return {
        "strategies_count": float(len(strategies)),
        "mean_stocks_held_count": len(rows["strategy"]) / len(strategies),
        "largest_weight_fraction": float(rows["weight"].max()),
        "fallbacks_count": float(len(fallen_back)),
    }


@TableAsset(
    table=STRATEGY_WEIGHT,
    location="simulation",
    inputs={"instruments": None, "prices": LOOK_BACK_MONTHS, FX_RATES: LOOK_BACK_MONTHS + 1},
    figures=weight_figures,
    headline="weight",
    headline_subject={"strategy": MAX_SHARPE},
    kinds=frozenset({"postgres", "skfolio"}),
    check_specs=(SOLVED_SPEC, COVERED_SPEC),
)
def strategy_weights(write: Write, months: MonthRange) -> Produced:
    """Weights of seven strategies at the last session of each month, from the 504 returns up to it.

    Strategies that solve a problem for their weights begin at ``FINTECH_COSTLY_STRATEGIES_SINCE``.
    """
    instruments = read_instruments(write.connection)
    stocks, benchmark = stocks_of(instruments), benchmark_of(instruments)
    ids = [*stocks[:MOST_STOCKS], *([benchmark.id] if benchmark else [])]
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end, currency=CURRENCY)
    since = load_settings().costly_strategies_since
    rows = concatenated(STRATEGY_WEIGHT, weight_rows(panel, stocks[:MOST_STOCKS], benchmark, months, since))
    return Produced(
        rows,
        checks=[_solved_outcome(rows), _covered_outcome(len(stocks) - MOST_STOCKS)],
        empty_because=f"no stock has {SPEC.window_sessions} returns up to this month's end",
    )


def stocks_of(instruments: Sequence[Instrument]) -> list[int]:
    """Ids of the stocks, ascending, listed or not: what was delisted since was held before."""
    return sorted(instrument.id for instrument in instruments if instrument.kind == STOCK_KIND)


def weight_rows(
    panel: PricePanel, stocks: Sequence[int], benchmark: Instrument | None, months: MonthRange, since: date
) -> Iterator[Columns]:
    """The rows of each strategy at the last session of each month that has a stock to hold.

    Parameters
    ----------
    since
        Day from which costly strategies are computed.
    """
    kept, close = market_close(panel, stocks, benchmark)
    sessions = panel.sessions[kept]
    for row in last_rows(sessions, months):
        found = eligible_stocks(close[: row + 1], SPEC.window_sessions)
        if found is None:
            continue
        ids = np.asarray(stocks)[found.columns]
        for strategy in _strategies_at(sessions[row], since):
            yield _columns(strategy, sessions[row : row + 1], ids, found, weigh(strategy.name, found.returns, SPEC))


def market_close(
    panel: PricePanel, stocks: Sequence[int], benchmark: Instrument | None
) -> tuple[BoolArray, FloatArray]:
    """Which of the panel's sessions are the market's, and (t, n) closes of the stocks on those, in one currency."""
    close = panel.columns(stocks, CURRENCY)
    kept = market_sessions(close, None if benchmark is None else panel.column(benchmark.id))
    return kept, close[kept]


def _strategies_at(session: np.datetime64, since: date) -> list[Strategy]:
    is_late = session >= np.datetime64(since, "D")
    return [strategy for strategy in STRATEGIES.values() if is_late or not strategy.is_costly]


def _columns(strategy: Strategy, session: DateArray, ids: FloatArray, found: Eligible, weighing: Weighing) -> Columns:
    held = np.flatnonzero(weighing.weights > 0.0)
    return {
        "strategy": np.full(len(held), strategy.name.encode()),
        "session": np.repeat(session, len(held)),
        "instrument_id": ids[held].astype(np.int32),
        "weight": weighing.weights[held],
        "method": np.full(len(held), weighing.method.encode()),
        "window_sessions": np.full(len(held), len(found.returns), dtype=np.int16),
        "eligible": np.full(len(held), len(found.columns), dtype=np.int16),
        "reason": np.full(len(held), weighing.reason.encode()),
    }


def _solved_outcome(rows: Columns) -> CheckOutcome:
    fallen_back = rows["method"] != rows["strategy"]
    columns = (rows["strategy"][fallen_back], rows["session"][fallen_back], rows["reason"][fallen_back])
    marked = {(name.decode(), str(session), reason.decode()) for name, session, reason in zip(*columns, strict=True)}
    by_reason = Counter(f"{name}: {reason}" for name, _, reason in marked)
    return CheckOutcome(SOLVED, not marked, blocking=False, metadata={"fallbacks": len(marked), **by_reason})


def _covered_outcome(left_out: int) -> CheckOutcome:
    metadata = {"stocks_left_out": max(left_out, 0)}
    return CheckOutcome(COVERED, left_out <= 0, blocking=False, metadata=metadata)
