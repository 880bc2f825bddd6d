"""What each method says of the next session of a portfolio's holdings, session after session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import HeldPortfolio, scenario_windows
from pipeline.risk.measures.tail_sample import RollingSample, TailSample
from pipeline.risk.measures.tail_spec import TailEstimate, TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS, VarMethod

PUBLISHED_WINDOW_SESSIONS = 500
"""Two years: a 99 % tail of five returns."""

PUBLISHED_CONFIDENCES = (0.95, 0.975, 0.99)

_ROWS_AT_A_TIME = 512
"""Windows estimated together: 2 MiB, which stay in the cache."""


@dataclass(frozen=True, slots=True)
class TailForecasts:
    """What one method said on some sessions.

    Parameters
    ----------
    method
        Name in `VAR_METHODS`.
    rows
        (m,) positions of the sessions.
    var, es
        (c, m) positive losses at each of `PUBLISHED_CONFIDENCES`; NaN where the method is undefined.
    var_standard_error, es_standard_error
        (c, m) of the simulation; NaN where the method does not simulate or is undefined.
    """

    method: str
    rows: IntArray
    var: FloatArray
    es: FloatArray
    var_standard_error: FloatArray
    es_standard_error: FloatArray


def tail_forecasts(held: HeldPortfolio, rows: slice) -> Iterator[TailForecasts]:
    """Every method's figures of the session after each of `rows`.

    They come from what the weights at the close of that session would have earned over the
    `PUBLISHED_WINDOW_SESSIONS` up to it: the bits of a row depend on neither earlier nor later history. Those of
    ``monte_carlo`` are of the `TailSpec.paths` and the seed that a spec has by default, the same for every row.

    Parameters
    ----------
    held
        With t-1 returns; row i of the t sessions follows return i-1.
    rows
        Positions among the t, from `PUBLISHED_WINDOW_SESSIONS` on.

    Yields
    ------
    TailForecasts
        One a method for some of the rows; those of a method in the order of the rows.
    """
    for first in range(rows.start, rows.stop, _ROWS_AT_A_TIME):
        block = np.arange(first, min(first + _ROWS_AT_A_TIME, rows.stop))
        span = slice(first - PUBLISHED_WINDOW_SESSIONS, int(block[-1]))
        scenarios = scenario_windows(held.part(span), PUBLISHED_WINDOW_SESSIONS)
        sample = RollingSample(scenarios)
        for method in VAR_METHODS:
            yield _forecasts(method, block, sample)


def held_forecasts(
    held: HeldPortfolio, rows: slice, window_sessions: int, method: VarMethod, spec: TailSpec
) -> TailEstimate:
    """What one method said at each of `rows` of the session after it, as `tail_forecasts` but for any window.

    Parameters
    ----------
    rows
        Positions among the t sessions, from `window_sessions` on; at least one.

    Returns
    -------
    TailEstimate
        (m,) each.

    Raises
    ------
    MeasureInputError
        If the window is shorter than the method needs.
    """
    if window_sessions < method.minimum_sessions:
        raise MeasureInputError(
            f"window_sessions={window_sessions}: {method.name} needs at least {method.minimum_sessions}"
        )
    at_a_time = max(1, _ROWS_AT_A_TIME * PUBLISHED_WINDOW_SESSIONS // window_sessions)
    parts: list[TailEstimate] = []
    for first in range(rows.start, rows.stop, at_a_time):
        last = min(first + at_a_time, rows.stop) - 1
        scenarios = scenario_windows(held.part(slice(first - window_sessions, last)), window_sessions)
        parts += method.estimate_each(scenarios, spec, [spec.confidence])
    return TailEstimate(np.concatenate([part.var for part in parts]), np.concatenate([part.es for part in parts]))


def _forecasts(method: str, rows: IntArray, sample: TailSample) -> TailForecasts:
    spec = TailSpec(PUBLISHED_CONFIDENCES[0])
    made: tuple[TailEstimate, ...] = VAR_METHODS[method].estimate_sample(sample, spec, PUBLISHED_CONFIDENCES)
    missing = np.full(len(rows), np.nan)
    return TailForecasts(
        method,
        rows,
        np.stack([e.var for e in made]),
        np.stack([e.es for e in made]),
        np.stack([missing if e.var_standard_error is None else e.var_standard_error for e in made]),
        np.stack([missing if e.es_standard_error is None else e.es_standard_error for e in made]),
    )
