"""Outcomes of scenarios as columns of their two tables, and whether the tables agree."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.orchestration.checks import CheckOutcome, Columns, run_declared_checks
from pipeline.risk.measures.stress_standing import FIGURES, Outcomes
from pipeline.store.stress_scenarios import STRESS_SCENARIO

SUM_TOLERANCE = 1e-12
"""What positions may miss of their total; relative to the sum of their sizes where that is above 1."""

SUMS = "positions_sum_to_the_total"
WITHIN_BOUNDS = "scenarios_within_bounds"
EXPLAINED = "missing_totals_explained"

SCENARIO_SPECS = (
    (SUMS, f"Profit and loss of the positions sum to the scenario's total within {SUM_TOLERANCE:g}."),
    (WITHIN_BOUNDS, "Every number of a scenario is finite and within the bounds of its column."),
    (EXPLAINED, "Every scenario without a total says why."),
)


def position_rows(portfolio_id: int, sessions: DateArray, instrument_ids: IntArray, outcomes: Outcomes) -> Columns:
    """A row a session and position that the scenario moves.

    Parameters
    ----------
    sessions
        (m,) month ends.
    instrument_ids
        (k,) of the positions.
    """
    row, position = np.nonzero(outcomes.moved)
    count, statement = len(row), outcomes.statement
    return {
        "portfolio_id": np.full(count, portfolio_id, dtype=np.int32),
        "session": sessions[outcomes.rows][row],
        "scenario": np.full(count, statement.name.encode()),
        "instrument_id": instrument_ids[position].astype(np.int32),
        "kind": np.full(count, statement.kind.encode()),
        "weight": outcomes.weights[row, position],
        "shock": outcomes.shocks[row, position],
        "pnl": outcomes.pnl[row, position],
        "worst_shock": outcomes.worst_shocks[row, position],
        "worst_pnl": outcomes.worst_pnl[row, position],
        "shocked_by": outcomes.shocked_by[row, position],
        "reason": outcomes.reasons[row, position],
    }


def scenario_rows(portfolio_id: int, sessions: DateArray, outcomes: Outcomes) -> Columns:
    """A row a session."""
    count, statement = len(outcomes.rows), outcomes.statement
    missing = np.full(count, np.nan)
    return {
        "portfolio_id": np.full(count, portfolio_id, dtype=np.int32),
        "session": sessions[outcomes.rows],
        "scenario": np.full(count, statement.name.encode()),
        "kind": np.full(count, statement.kind.encode()),
        "parameters": np.full(count, statement.json.encode()),
        "source": np.full(count, statement.source.encode()),
        "total": outcomes.totals,
        "worst_total": outcomes.worst_totals,
        **{name: outcomes.figures.get(name, missing) for name in FIGURES},
        "reason": outcomes.whole_reasons,
    }


def scenario_checks(rows: Columns, scenarios: Columns) -> list[CheckOutcome]:
    """Whether positions sum to the totals, and the totals can be used; all three refuse the write."""
    bounds = run_declared_checks(STRESS_SCENARIO, scenarios)[0]
    unexplained = np.isnan(scenarios["total"]) & (scenarios["reason"] == b"")
    largest = _largest_miss(rows, scenarios)
    sums_told = {"scenarios": len(scenarios["total"]), "largest_difference": f"{largest:.2g}"}
    return [
        CheckOutcome(SUMS, largest <= SUM_TOLERANCE, blocking=True, metadata=sums_told),
        CheckOutcome(WITHIN_BOUNDS, bounds.passed, blocking=True, metadata=bounds.metadata),
        CheckOutcome(EXPLAINED, not unexplained.any(), blocking=True, metadata={"unexplained": int(unexplained.sum())}),
    ]


def _largest_miss(rows: Columns, scenarios: Columns) -> float:
    """Largest difference between a total and its positions' sum; infinite where only one of them is known."""
    if len(scenarios["total"]) == 0:
        return 0.0
    names, code = np.unique(np.concatenate([rows["scenario"], scenarios["scenario"]]), return_inverse=True)
    of_rows, of_scenarios = code[: len(rows["scenario"])], code[len(rows["scenario"]) :]
    keys = _keys(scenarios, of_scenarios, len(names))
    order = np.argsort(keys)
    place = order[np.searchsorted(keys, _keys(rows, of_rows, len(names)), sorter=order)]
    sums, sizes = (np.bincount(place, weights=parts, minlength=len(keys)) for parts in (rows["pnl"], abs(rows["pnl"])))
    misses: FloatArray = np.abs(sums - scenarios["total"]) / np.maximum(sizes, 1.0)
    agree = np.isnan(sums) == np.isnan(scenarios["total"])
    return float(np.where(agree, np.nan_to_num(misses, nan=0.0), np.inf).max())


def _keys(rows: Columns, code: IntArray, names: int) -> IntArray:
    """(m,) one integer a portfolio, session and scenario."""
    days = rows["session"].astype("datetime64[D]").astype(np.int64) + (1 << 20)
    keys: IntArray = ((rows["portfolio_id"].astype(np.int64) << 22) + days) * names + code
    return keys
