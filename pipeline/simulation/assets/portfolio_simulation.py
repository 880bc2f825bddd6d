"""Asset ``portfolio_simulation``: where each portfolio may stand in a year."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from pipeline.base.settings import load_settings
from pipeline.base.types import DateArray, MonthRange, SetUnits
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.each_portfolio import COMPUTED_SPEC, each_portfolio
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.report import HeldSeries, held_series
from pipeline.simulation.assets.fan_picture import fan_picture
from pipeline.simulation.assets.month_ends import last_rows
from pipeline.simulation.models import SimulationInputError
from pipeline.simulation.run import Begun, SimulationResult, SimulationSpec, begin
from pipeline.simulation.run.cluster import Cluster, connected
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION
from pipeline.store.portfolio_units import PORTFOLIO_UNITS, read_set_units
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.writing import Write, concatenated

T = TypeVar("T")

LOOK_BACK_MONTHS = 64
"""1,260 sessions are sixty months and a few days; quarterly weights were set up to three months before."""

THREADS = 2


def simulation_figures(rows: Columns) -> dict[str, float]:
    """Means over the portfolios and models of a month."""
    return {
        "mean_return_1y_fraction": float(rows["return_mean"].mean()),
        "mean_var_99_1y_fraction": float(rows["var_99"].mean()),
        "mean_es_975_1y_fraction": float(rows["es_975"].mean()),
        "mean_loss_probability": float(rows["probability_of_loss"].mean()),
    }


@TableAsset(
    table=PORTFOLIO_SIMULATION,
    location="simulation",
    inputs={
        PORTFOLIOS_INPUT: None,
        PORTFOLIO_UNITS: LOOK_BACK_MONTHS,
        "prices": LOOK_BACK_MONTHS,
        FX_RATES: LOOK_BACK_MONTHS + 1,
    },
    figures=simulation_figures,
    headline="var_99",
    kinds=frozenset({"postgres", "numba"}),
    check_specs=(COMPUTED_SPEC,),
)
def portfolio_simulation(write: Write, months: MonthRange) -> Produced:
    """Simulated one-year outcome of every portfolio's holdings at the last session of each month.

    A row is stored for each model of ``FINTECH_STORED_MODELS``.
    """
    settings = load_settings()
    portfolios = read_portfolios(write.connection)
    ids = sorted({position.instrument_id for portfolio in portfolios for position in portfolio.positions})
    panel = read_price_panel(write.connection, ids, months.back(LOOK_BACK_MONTHS), months.end)
    units = read_set_units(write.connection, portfolios, months.back(LOOK_BACK_MONTHS), months.end)
    specs = [SimulationSpec(model=model, fan_steps=()) for model in settings.stored_models]  # the table keeps no fan
    with ExitStack() as stack:
        scheduler = settings.simulation_scheduler
        cluster = None if scheduler is None else stack.enter_context(connected(scheduler))
        rows = stack.enter_context(
            computing(portfolios, lambda one: simulated_rows(panel, one, months, specs, units, cluster), cluster)
        )
        blocks, computed = each_portfolio(portfolios, rows, (MeasureInputError, SimulationInputError))
    return Produced(
        concatenated(PORTFOLIO_SIMULATION, blocks),
        checks=[computed],
        metadata=newest_fan(panel, portfolios, blocks, specs[0], units),
        empty_because=f"no portfolio has {specs[0].fit_window_sessions} returns up to this month",
    )


@contextmanager
def computing(
    portfolios: Sequence[Portfolio], rows: Callable[[Portfolio], Iterable[Columns]], cluster: Cluster | None
) -> Iterator[Callable[[Portfolio], Iterable[Columns]]]:
    """The rows of one portfolio after the other; those of a cluster are begun for many at a time."""
    if cluster is None:
        yield rows
        return
    pool = ThreadPoolExecutor(cluster.at_once())
    try:
        begun = {one.id: pool.submit(partial(_listed, rows, one)) for one in portfolios if one.positions}
        yield lambda one: begun[one.id].result()
    finally:
        pool.shutdown(cancel_futures=True)


def _listed(rows: Callable[[Portfolio], Iterable[Columns]], portfolio: Portfolio) -> list[Columns]:
    return list(rows(portfolio))


def simulated_rows(
    panel: PricePanel,
    portfolio: Portfolio,
    months: MonthRange,
    specs: list[SimulationSpec],
    units: Mapping[int, SetUnits] = MappingProxyType({}),
    cluster: Cluster | None = None,
) -> Iterator[Columns]:
    """A row of a portfolio for each month with a full fit window, and model.

    Parameters
    ----------
    units
        Portfolio with a drift band → what it holds; none for a panel from its first session on.
    cluster
        Where paths are walked; None for here.

    Raises
    ------
    MeasureInputError
        If the portfolio is worth nothing or less on a session.
    SimulationInputError
        If its holdings would have lost everything in a session, or a model cannot be fitted to them.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    series = series_of(panel, portfolio, units)
    if series is None:
        return
    jobs = [
        (row, spec) for row in last_rows(series.sessions, months) for spec in specs if row >= spec.fit_window_sessions
    ]

    def begun(job: tuple[int, SimulationSpec]) -> Begun:
        row, spec = job
        return begin(scenario_returns(series.held, row, spec.fit_window_sessions), spec, portfolio.id)

    results = results_here(jobs, begun) if cluster is None else cluster.results(map(begun, jobs))
    with closing(results):
        for (row, _), result in zip(jobs, results, strict=True):
            yield simulation_columns(portfolio.id, series.sessions[row : row + 1], result)


def series_of(panel: PricePanel, portfolio: Portfolio, units: Mapping[int, SetUnits]) -> HeldSeries | None:
    """What the portfolio earns; None if its positions never have a price together."""
    close = panel.columns([position.instrument_id for position in portfolio.positions], portfolio.base_currency)
    if not np.isfinite(close).all(axis=1).any():
        return None
    holdings = Holdings(portfolio.amounts, *portfolio.policy, units.get(portfolio.id))
    return held_series(close, panel.sessions, None, holdings)


def newest_fan(
    panel: PricePanel,
    portfolios: Sequence[Portfolio],
    blocks: Sequence[Columns],
    spec: SimulationSpec,
    units: Mapping[int, SetUnits],
) -> dict[str, dg.MarkdownMetadataValue]:
    """The picture of the first portfolio's newest row by the model of `spec`: its paths, walked once more."""
    first = [block for block in blocks if block["portfolio_id"][0] == blocks[0]["portfolio_id"][0]]
    if not first:
        return {}
    [portfolio] = [one for one in portfolios if one.id == first[0]["portfolio_id"][0]]
    session = max(block["session"][0] for block in first)
    series = series_of(panel, portfolio, units)
    assert series is not None  # it has rows
    returns = scenario_returns(series.held, int(np.searchsorted(series.sessions, session)), spec.fit_window_sessions)
    fan = begin(returns, replace(spec, fan_steps=None), portfolio.id).result().fan
    name = portfolio.slug or str(portfolio.id)
    return {
        "fan": fan_picture(fan, f"Wealth of {name} from {session} by {spec.model}; quantiles of {spec.paths} paths")
    }


def results_here(jobs: Sequence[T], begun: Callable[[T], Begun]) -> Generator[SimulationResult, None, None]:
    """Whole simulations side by side, not the paths of one: fitting and describing then overlap with walking."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        yield from pool.map(lambda job: begun(job).result(), jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def simulation_columns(portfolio_id: int, session: DateArray, result: SimulationResult) -> dict[str, NDArray[Any]]:
    """One result as columns of the table."""
    columns: dict[str, NDArray[Any]] = {
        "portfolio_id": np.array([portfolio_id], dtype=np.int32),
        "session": session,
        "model": np.array([result.model.encode()]),
        "horizon_sessions": np.array([result.horizon_sessions], dtype=np.int16),
        "paths": np.array([result.paths], dtype=np.int32),
        "seed": np.array([result.seed], dtype=np.int64),
        "fit_window_sessions": np.array([result.fit_window_sessions], dtype=np.int16),
    }
    parameters = json.dumps({parameter.name: parameter.value for parameter in result.parameters})
    columns["parameters"] = np.array([parameters.encode()])
    measured = {c.name for c in PORTFOLIO_SIMULATION.columns if hasattr(result, c.name)} - set(columns)
    return columns | {name: np.array([getattr(result, name)]) for name in sorted(measured)}
