"""The child of `compiling_ahead`: calls what a run calls, on a few numbers, so that its compiled code is kept.

Whatever is not called here, the run compiles by itself, while nothing else goes on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.base.compiled_code import mark_complete
from pipeline.base.settings import load_settings
from pipeline.base.types import FloatArray
from pipeline.forecast.backtest import ForecastSpec, panel_volatility_forecasts, quantile_forecasts
from pipeline.forecast.models.panel import Member, Panel
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.kernels.drift_band import setting_rows
from pipeline.risk.measures.kernels.student_t import fit_many
from pipeline.risk.measures.windows import RiskSpec, rolling, simple_returns
from pipeline.risk.report import held_series, rolling_report
from pipeline.simulation.run import SimulationSpec, simulate

SESSIONS = 400
HELD = 3


def _risk() -> Iterator[str]:
    close, returns, spec = _closes(), simple_returns(_closes()[:, 0]), RiskSpec()
    sessions = np.datetime64("2020-01-01") + np.arange(SESSIONS)
    rows = slice(spec.window_sessions, SESSIONS)
    rolling_report(returns, simple_returns(close[:, 1]), rows, spec)
    yield "an instrument's measures"
    held = held_series(close, sessions, close[:, 1], Holdings(np.full(HELD, 1.0 / HELD), "daily"))
    rolling_report(held.held.returns, held.benchmark, rows, spec, held.held)
    setting_rows(close, np.full(HELD, 1.0 / HELD), 0.05, np.empty(HELD), np.empty(SESSIONS, dtype=np.int64))
    yield "a portfolio's measures"
    fit_many(rolling(returns, spec.window_sessions))
    yield "the tails of windows"


def _simulation() -> Iterator[str]:
    returns = simple_returns(_closes()[:, 0])
    for model in load_settings().stored_models:
        simulate(returns, SimulationSpec(model=model, paths=100, fit_window_sessions=len(returns)), 1)
        yield f"paths of {model}"


def _forecast() -> Iterator[str]:
    longer = np.tile(simple_returns(_closes()[:, 0]), 2)
    panel = Panel.of([Member(np.datetime64("2000-01-01") + np.arange(len(longer) + 1), longer)])
    panel_volatility_forecasts(panel, ForecastSpec(), [slice(None)])
    yield "volatility"
    quantile_forecasts(longer, ForecastSpec())
    yield "quantiles"


def _closes() -> FloatArray:
    return 100.0 * np.exp(np.cumsum(0.01 * np.random.default_rng(1).standard_normal((SESSIONS, HELD)), axis=0))


REHEARSALS: Mapping[str, Callable[[], Iterator[str]]] = {
    "risk": _risk,
    "simulation": _simulation,
    "forecast": _forecast,
}
"""Location, in the order of runs → calls of everything that it compiles; gives a name after each piece."""


def main(folder: Path, parent: int) -> None:
    """Rehearse, and mark the folder as complete, location by location; end early with the parent."""
    for location, rehearse in REHEARSALS.items():
        for piece in rehearse():
            print(f"{location}: {piece}", flush=True)
            if os.getppid() != parent:
                return
        mark_complete(folder, location)
    mark_complete(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), os.getppid())
