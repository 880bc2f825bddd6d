"""How simulations on request are computed: checked, measured in size, and run beside everything else.

The models need numba, which a gateway does without; so they are imported where something is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import FloatArray
from serving.cores import freely
from serving.held import Held
from serving.routes.simulating.forms import SimulatedProbabilityOut, SimulatedRow, SimulateIn

if TYPE_CHECKING:
    from pipeline.simulation.models.outcomes import Outcomes
    from pipeline.simulation.run import Begun, Contributions, SimulationSpec

T = TypeVar("T")

SYNC_PATH_SESSIONS = 25_200_000
"""Paths times sessions that are answered at once: 100,000 paths of a year, which take about half a second."""
PART_PATH_SESSIONS = 10_000_000
"""Of one part of a job, after which it can be cancelled or end with its process."""
LARGEST_PART_PATHS = 50_000

COMPUTING_THREADS = 2
WAITING_REQUESTS = 16
BUSY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class About:
    """What a result says besides its figures.

    Parameters
    ----------
    portfolio_id
        None for positions.
    fit_start, session
        First and last session of the fit window.
    symbols
        Of the positions that are simulated together.
    """

    portfolio_id: int | None
    fit_start: date
    session: date
    symbols: tuple[str, ...] = ()


def begun(asked: SimulateIn, subject: int, returns: FloatArray, held: Held | None = None) -> Begun:
    """The simulation with its model fitted.

    Parameters
    ----------
    returns
        (t,), or (t, n) of the positions in `held`.

    Raises
    ------
    InvalidInputError
        Naming the field that cannot be used.
    """
    from pipeline.simulation.models import SimulationInputError  # noqa: PLC0415 - numba
    from pipeline.simulation.run import begin  # noqa: PLC0415

    spec = checked_spec(asked, held)
    try:
        if held is None:
            return begin(returns, spec, subject)
        return begin(returns, spec, subject, held.weights, held.targets)
    except SimulationInputError as error:
        raise unusable(error) from error


def checked_spec(asked: SimulateIn, held: Held | None = None) -> SimulationSpec:
    """The request as the core takes it.

    Raises
    ------
    InvalidInputError
        Naming the field that cannot be used.
    """
    from pipeline.simulation.models import SimulationInputError  # noqa: PLC0415 - numba
    from pipeline.simulation.run import CashFlow, SimulationSpec, require_room  # noqa: PLC0415

    try:
        spec = SimulationSpec(
            model=asked.model,
            horizon_sessions=asked.horizon_sessions,
            paths=asked.paths,
            seed=asked.seed,
            fit_window_sessions=asked.fit_window_sessions,
            fan_steps=None if asked.fan_steps is None else tuple(asked.fan_steps),
            rebalancing="buy_and_hold" if held is None else held.rebalancing,
            drift_band=None if held is None else held.drift_band,
            cost_bps=asked.cost_bps,
            monthly_flow=asked.monthly_flow,
            flows=tuple(CashFlow(flow.session, flow.amount) for flow in asked.flows),
            contributions=asked.contributions,
            sampling=asked.sampling,
        )
        require_room(spec, 0 if held is None else len(held.positions))
    except SimulationInputError as error:
        raise unusable(error) from error
    return spec


def unusable(error: ValueError) -> InvalidInputError:
    """What the core refuses, as the API says it; its messages are a cause and a remedy."""
    text = str(error)
    separator = "; " if "; " in text else ": "
    cause, _, remedy = text.rpartition(separator)
    return InvalidInputError(cause or text, f"{remedy[:1].upper()}{remedy[1:]}.")


def is_large(asked: SimulateIn, held: Held | None = None) -> bool:
    """Whether it is a job by its size."""
    return asked.paths * asked.horizon_sessions * (1 if held is None else held.times_of_one_series) > SYNC_PATH_SESSIONS


def parts_of(asked: SimulateIn, held: Held | None = None) -> Iterator[slice]:
    """Paths of each part of a job; the same for the same request, so that finished ones are known again."""
    of_one_path = asked.horizon_sessions * (1 if held is None else held.times_of_one_series)
    size = max(1, min(PART_PATH_SESSIONS // of_one_path, LARGEST_PART_PATHS))
    for first in range(0, asked.paths, size):
        yield slice(first, min(first + size, asked.paths))


def simulated(asked: SimulateIn, about: About, simulation: Begun) -> SimulatedRow:
    """The whole simulation at once."""
    outcomes = simulation.empty_outcomes()
    simulation.walk(outcomes, 0)
    return described(asked, about, simulation, outcomes)


def described(asked: SimulateIn, about: About, simulation: Begun, outcomes: Outcomes) -> SimulatedRow:
    """The answer of a simulation whose paths are walked."""
    from pipeline.simulation.run import (  # noqa: PLC0415 - numba
        probability_of_goal,
        probability_of_ruin,
        probability_of_wealth,
    )

    result = simulation.describe(outcomes)
    goal, ruin, wealth = asked.goal_return, asked.ruin_drawdown, asked.goal_wealth
    sample = simulation.sample()
    figures: dict[str, Any] = {name: getattr(result, name, None) for name in SimulatedRow.model_fields}
    own = {
        "session": about.session,
        "portfolio_id": about.portfolio_id,
        "subject": simulation.subject,
        "fit_start": about.fit_start,
        "probability_of_goal": _probability(None if goal is None else probability_of_goal(outcomes, goal, sample)),
        "probability_of_wealth": _probability(
            None if wealth is None else probability_of_wealth(outcomes, wealth, sample)
        ),
        "contributions": _contributions(result.contributions, about.symbols),
        "probability_of_ruin": _probability(None if ruin is None else probability_of_ruin(outcomes, ruin, sample)),
    }
    return SimulatedRow.model_validate(figures | own)


def _contributions(found: Contributions | None, symbols: tuple[str, ...]) -> list[dict[str, Any]] | None:
    if found is None:
        return None
    parts = zip((*symbols, None), (*found.positions, found.costs), strict=True)
    return [{"symbol": symbol, **asdict(part)} for symbol, part in parts]


def _probability(found: object | None) -> SimulatedProbabilityOut | None:
    return None if found is None else SimulatedProbabilityOut.model_validate(found)


def packed(outcomes: Outcomes) -> bytes:
    """A part of the outcomes as bytes."""
    return b"".join(np.ascontiguousarray(values).tobytes() for values in outcomes)


def unpack(values: bytes, outcomes: Outcomes) -> None:
    """Fill a part of the outcomes from bytes."""
    flat: FloatArray = np.frombuffer(values, dtype=np.float64)
    position = 0
    for target in outcomes:
        target[...] = flat[position : position + target.size].reshape(target.shape)
        position += target.size


class Bulkhead:
    """Threads that only simulate, so that reads never wait behind long computations."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(COMPUTING_THREADS)
        self._admitted = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place among the requests that simulate or wait to, held from before the first thing is read for one.

        Raises
        ------
        HTTPException
            503 if too many wait already.
        """
        if self._admitted >= COMPUTING_THREADS + WAITING_REQUESTS:
            raise HTTPException(
                503,
                f"{WAITING_REQUESTS} simulations wait already; try again in {BUSY_SECONDS} s, or simulate fewer paths.",
                {"Retry-After": str(BUSY_SECONDS)},
            )
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def run(self, simulate: Callable[[], T]) -> T:
        """Simulate in one of the threads."""
        return await to_thread.run_sync(freely, simulate, limiter=self._limiter)
