"""A portfolio on many month ends with all that standard scenarios ask of it, and what a scenario answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.risk.measures.covariance import estimate_covariance
from pipeline.risk.measures.holdings import HeldPortfolio, scenario_returns
from pipeline.risk.measures.stress import LARGEST_LOSS, StressKind
from pipeline.risk.measures.stress_replays import BY_NOTHING, OTHER_UNKNOWN

WINDOW_SESSIONS = 252
"""Returns behind covariances and scenarios."""

LOSES_TOO_MUCH = b"beyond_all: the scenario takes more than 100 % of it"
UNKNOWN_POSITIONS = b"positions_unknown: one has no shock"

FIGURES = (
    "mahalanobis_distance",
    "gaussian_probability",
    "var_99_1d_before",
    "var_99_1d_after",
    "es_99_1d_before",
    "es_99_1d_after",
)
"""What scenarios say of the whole portfolio beside its profit or loss; each kind has its own of them."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What is registered of the k positions of a portfolio; it has no date, and is known as it is today.

    Parameters
    ----------
    instrument_ids
        (k,) each once.
    sectors, currencies
        (k,) empty where there is none.
    base_currency
        Of the portfolio.
    factors
        (f,) symbols of the factor funds, held or not.
    """

    instrument_ids: IntArray
    sectors: tuple[str, ...]
    currencies: tuple[str, ...]
    base_currency: str
    factors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """A portfolio as it stood at the close of each of m sessions.

    Parameters
    ----------
    registered
        Of its positions.
    weights
        (m, k) fractions of the portfolio's value.
    betas
        (m, k) slopes on the benchmark's returns up to each session; NaN where unknown.
    exposures
        (m, k, f) to those funds up to each session; NaN where unknown.
    returns_before
        (m,) returns up to each session, at most `WINDOW_SESSIONS`.
    covariances
        (m, k, k) of the positions' daily returns over that window; NaN while it is short.
    scenarios
        (m, n) what the holdings of each session would have earned on the sessions of that window; NaN likewise.
    """

    registered: Registered
    weights: FloatArray
    betas: FloatArray
    exposures: FloatArray
    returns_before: IntArray
    covariances: FloatArray
    scenarios: FloatArray

    @property
    def is_full(self) -> BoolArray:
        """(m,) whether the window of each session is full."""
        return np.asarray(self.returns_before >= WINDOW_SESSIONS)

    @property
    def short_reasons(self) -> NDArray[np.bytes_]:
        """(m,) why a window's figures are missing; empty where it is full."""
        texts = [b"" if n >= WINDOW_SESSIONS else _short(n) for n in self.returns_before.tolist()]
        return np.array(texts, dtype=f"S{len(_short(WINDOW_SESSIONS))}")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a scenario says, as it is stored with its results.

    Parameters
    ----------
    name, kind
        Of the scenario.
    parameters
        Its sizes; JSON types.
    source
        Where they come from.
    shocked_by
        What makes the move of a position of them.
    """

    name: str
    kind: StressKind
    parameters: Mapping[str, object]
    source: str
    shocked_by: bytes = b""

    @property
    def json(self) -> str:
        """The parameters as JSON text, the same for equal ones."""
        return json.dumps(self.parameters, sort_keys=True, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """A portfolio under one scenario, as it stood on some of the month ends.

    Parameters
    ----------
    statement
        The scenario.
    rows
        (r,) those month ends, as positions among the m.
    weights
        (r, k) of the positions.
    moved
        (r, k) which of the positions it moves; the others have no row.
    shocks, worst_shocks
        (r, k) moves of the positions, at the end and where the portfolio stood lowest; NaN where unknown.
    shocked_by, reasons
        (r, k) byte strings: where the shock comes from, and why figures are NaN (empty if none is).
    figures
        Name in `FIGURES` → (r,); NaN where the scenario says nothing of it.
    unmeasured
        (r,) byte strings: why figures are NaN that the scenario has, empty where none is; None if it has them all.
    """

    statement: Statement
    rows: IntArray
    weights: FloatArray
    moved: BoolArray
    shocks: FloatArray
    worst_shocks: FloatArray
    shocked_by: NDArray[np.bytes_]
    reasons: NDArray[np.bytes_]
    figures: Mapping[str, FloatArray] = field(default_factory=dict)
    unmeasured: NDArray[np.bytes_] | None = None

    @property
    def pnl(self) -> FloatArray:
        """(r, k) profit or loss of each position: what `stress.replay` makes of the shocks, to the last bit."""
        return self.shocks * self.weights

    @property
    def worst_pnl(self) -> FloatArray:
        """(r, k) the same where the portfolio stood lowest."""
        return self.worst_shocks * self.weights

    @property
    def whole_reasons(self) -> NDArray[np.bytes_]:
        """(r,) why a figure of the whole portfolio is missing, empty where none is."""
        unknown = (self.moved & np.isnan(self.shocks)).any(axis=1)
        measured = b"" if self.unmeasured is None else self.unmeasured
        return np.where(unknown, UNKNOWN_POSITIONS, measured)

    @property
    def totals(self) -> FloatArray:
        """(r,) sums of the positions that move, each rounded once; NaN if one is unknown."""
        return moved_sums(self.pnl, self.moved)

    @property
    def worst_totals(self) -> FloatArray:
        """(r,) the same where the portfolio stood lowest."""
        return moved_sums(self.worst_pnl, self.moved)


def standing_of(
    held: HeldPortfolio, rows: IntArray, registered: Registered, betas: FloatArray, exposures: FloatArray
) -> Standing:
    """How a portfolio stood on some sessions.

    Parameters
    ----------
    held
        The portfolio on t sessions.
    rows
        (m,) positions of the sessions among the t, each above 0: it follows return ``row - 1``.
    registered, betas, exposures
        As in the standing.

    Returns
    -------
    Standing
        A session's figures depend on its own window alone, whatever other sessions are asked for.
    """
    count = held.weights.shape[1]
    covariances = np.full((len(rows), count, count), np.nan)
    scenarios = np.full((len(rows), WINDOW_SESSIONS), np.nan)
    for place, row in enumerate(rows.tolist()):
        if row >= WINDOW_SESSIONS:
            # Copied, so that the layout of the whole history leaves no trace in the bits.
            returns = np.ascontiguousarray(held.asset_returns[row - WINDOW_SESSIONS : row])
            covariances[place] = estimate_covariance(returns)
            scenarios[place] = scenario_returns(held, row, WINDOW_SESSIONS)
    return Standing(
        registered,
        held.weights[rows - 1],
        betas,
        exposures,
        np.minimum(rows, WINDOW_SESSIONS),
        covariances,
        scenarios,
    )


def jump(
    standing: Standing,
    statement: Statement,
    shocks: FloatArray,
    moved: BoolArray,
    reasons: NDArray[np.bytes_] | None = None,
    rows: IntArray | None = None,
    figures: Mapping[str, FloatArray] | None = None,
) -> Outcomes:
    """The outcomes of a scenario whose prices jump, without a way on which the portfolio could stand lower.

    Parameters
    ----------
    shocks
        (m, k) moves, NaN where unknown; one below -1 becomes unknown, since no price can fall so far.
    moved
        (m, k) which positions the scenario is about.
    reasons
        (m, k) why shocks are NaN, empty elsewhere; None if none is.
    rows
        Sessions on which the scenario can be stated; None for all.
    figures
        Name → (m,).
    """
    chosen = np.arange(len(shocks)) if rows is None else rows
    moves, which, weights = shocks[chosen], moved[chosen], standing.weights[chosen]
    why = np.full(moves.shape, b"", dtype="S1") if reasons is None else reasons[chosen]
    too_low = which & (moves < LARGEST_LOSS)
    moves, why = np.where(too_low, np.nan, moves), np.where(too_low, LOSES_TOO_MUCH, why)
    unknown = which & np.isnan(moves)
    incomplete: BoolArray = np.asarray(unknown.any(axis=1))
    why = np.where((why == b"") & incomplete[:, None], OTHER_UNKNOWN, why)
    # The start is the first point of the way: who gains stood lowest there.
    lost: BoolArray = np.asarray(moved_sums(moves * weights, which) < 0.0)
    worst = np.where(incomplete[:, None], np.nan, np.where(lost[:, None], moves, 0.0))
    by = np.where(unknown, BY_NOTHING, statement.shocked_by)
    of_whole = {name: values[chosen] for name, values in (figures or {}).items()}
    return Outcomes(statement, chosen, weights, which, moves, worst, by, why, of_whole)


def remeasured(standing: Standing, statement: Statement, of_full: Mapping[str, FloatArray]) -> Outcomes:
    """The outcomes of a scenario that moves no price, so that its profit or loss is 0, and measures the risk again.

    Parameters
    ----------
    of_full
        Name in `FIGURES` → values of the sessions with a full window.
    """
    shape, full = standing.weights.shape, standing.is_full
    figures = {name: np.full(shape[0], np.nan) for name in of_full}
    for name, values in of_full.items():
        figures[name][full] = values
    still, nothing = np.zeros(shape), np.full(shape, b"", dtype="S1")
    nowhere = np.zeros(shape, dtype=bool)
    rows = np.arange(shape[0])
    return Outcomes(
        statement, rows, standing.weights, nowhere, still, still, nothing, nothing, figures, standing.short_reasons
    )


def moved_sums(parts: FloatArray, moved: BoolArray) -> FloatArray:
    """(r,) exact sums of the moved parts of each row, rounded once, so that their order does not matter."""
    counted = np.where(moved, parts, 0.0)
    return np.array([math.fsum(row) for row in counted.tolist()], dtype=np.float64)


def _short(returns: int) -> bytes:
    return f"short_window: {returns} of {WINDOW_SESSIONS} sessions".encode()
