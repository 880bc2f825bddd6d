"""Paths on a real scheduler with real workers: the digits of one process, whoever dies."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dask.tokenize import tokenize

from pipeline.orchestration.each_portfolio import each_portfolio
from pipeline.simulation.assets.portfolio_simulation import computing, simulated_rows
from pipeline.simulation.models import MODELS
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.run import SimulationSpec, begin
from pipeline.simulation.run import cluster as cluster_module
from pipeline.simulation.run.cluster import Cluster, ClusterError, connected, grouped
from serving.routes.simulating.workers import walked
from tests.bundled import stock_returns
from tests.dask_cluster import START_SECONDS, DaskCluster
from tests.ports import free_port
from tests.unit.orchestration.test_each_portfolio import DECEMBER, GOOD, LEVERED, NOTHING, PANEL, REFUSALS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dask")]

RETURNS = stock_returns()[-1_260:, :4]
WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])
SPEC = SimulationSpec("gbm", paths=4_096, horizon_sessions=63, rebalancing="monthly", cost_bps=5.0, contributions=True)
STEERED = ("sobol", "importance")
PARTS = [slice(first, min(first + 1_000, 4_096)) for first in range(0, 4_096, 1_000)]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine takes its time to start a worker."""
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", START_SECONDS)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[DaskCluster]:
    found = DaskCluster(tmp_path)
    try:
        yield found
    finally:
        found.stop()


def two_workers(dask: DaskCluster, cluster: Cluster) -> None:
    dask.add_worker()
    cluster._client.wait_for_workers(2, timeout=START_SECONDS)


def assert_same_bits(found: Outcomes, expected: Outcomes) -> None:
    for values, others in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, others)


def test_two_workers_give_the_digits_of_one_process_and_a_death_changes_none(dask: DaskCluster) -> None:
    dask.add_worker()
    with connected(dask.address) as cluster:
        two_workers(dask, cluster)

        # Whole simulations, in their order.
        specs = [replace(SPEC, model=model) for model in MODELS]
        specs += [replace(SPEC, model=model, sampling=kind) for model in ("gbm", "student_t") for kind in STEERED]
        begun = [begin(RETURNS, spec, number, WEIGHTS) for number, spec in enumerate(specs)]
        assert list(cluster.results(begun)) == [one.result() for one in begun]

        # Path ranges, which come in any order.
        for one in (begun[0], begun[-1]):
            expected, found, through = one.empty_outcomes(), one.empty_outcomes(), one.empty_outcomes()
            one.walk(expected, 0)
            cluster.walk(one, found, reversed(PARTS))
            assert_same_bits(found, expected)
            assert sorted(rows.start for rows in walked(one, through, PARTS, dask.address)) == [
                0,
                1_000,
                2_000,
                3_000,
                4_000,
            ]
            assert_same_bits(through, expected)

        # Cancelled: nothing is left to do.
        long = begin(RETURNS, replace(SPEC, horizon_sessions=2_520, paths=40_000, fan_steps=()), 9, WEIGHTS)
        rows = [slice(first, first + 2_000) for first in range(0, 40_000, 2_000)]
        with closing(cluster.parts(long, rows)) as parts:
            next(parts)
        deadline = time.monotonic() + 60.0
        while cluster._client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
            assert time.monotonic() < deadline
            time.sleep(0.1)

        # One of the workers dies with shards under way, and is not replaced.
        expected, found = long.empty_outcomes(), long.empty_outcomes()
        long.walk(expected, 0)
        for number, (part, outcomes) in enumerate(cluster.parts(long, rows)):
            if number == 1:
                dask.kill_worker(0)
            for kept, values in zip(found.part(part), outcomes, strict=True):
                kept[...] = values
        assert number == len(rows) - 1
        assert len(cluster._client.nthreads()) == 1
        assert_same_bits(found, expected)


def test_rows_of_portfolios_are_those_of_one_process(dask: DaskCluster) -> None:
    specs = [SimulationSpec(model, paths=500, fit_window_sessions=252, fan_steps=()) for model in MODELS]
    portfolios = [NOTHING, GOOD, LEVERED]
    dask.add_worker()
    with (
        connected(dask.address) as cluster,
        computing(
            portfolios, lambda one: simulated_rows(PANEL, one, DECEMBER, specs, cluster=cluster), cluster
        ) as rows,
    ):
        found, computed = each_portfolio(portfolios, rows, REFUSALS)
    expected, left_out = each_portfolio(portfolios, lambda one: simulated_rows(PANEL, one, DECEMBER, specs), REFUSALS)
    assert len(found) == len(expected) == len(specs)
    assert computed == left_out
    for block, other in zip(found, expected, strict=True):
        for name, values in block.items():
            np.testing.assert_array_equal(values, other[name])


def test_other_code_is_refused_and_so_is_a_run_that_nobody_works_on(
    dask: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "WITHOUT_WORKERS_SECONDS", 1.0)
    begun = begin(RETURNS, SPEC, 1, WEIGHTS)
    dask.add_worker()
    with connected(dask.address) as cluster:
        with monkeypatch.context() as changed:
            changed.setattr(cluster_module, "code_identity", lambda: "code 000000000000, numpy 1.0")
            with pytest.raises(
                ClusterError, match=r"a worker runs code [0-9a-f]{12}, numpy .*this process code 0000.*image"
            ):
                list(cluster.results([begun]))
        dask.kill_worker(0)
        with pytest.raises(ClusterError, match=r"SIMULATION_SCHEDULER: the scheduler has no worker\. Start some"):
            list(cluster.parts(begun, PARTS))


def test_a_scheduler_without_workers_is_said_within_seconds(dask: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 5.0)
    with pytest.raises(ClusterError, match="the scheduler has no worker"), connected(dask.address):
        pass


def test_no_scheduler_is_said_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 2.0)
    started = time.monotonic()
    with (
        pytest.raises(ClusterError, match=r"SIMULATION_SCHEDULER: no scheduler answers within 2 s\. Start one"),
        connected(f"tcp://127.0.0.1:{free_port()}"),
    ):
        pass
    assert time.monotonic() - started < 30.0


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ClusterError, match=r"distributed is not installed\. Install the extra cluster"),
        connected("tcp://127.0.0.1:8786"),
    ):
        pass


def test_the_same_shard_has_the_same_key() -> None:
    one, same = (begin(RETURNS.copy(), SPEC, 1, WEIGHTS.copy()) for _ in range(2))
    assert tokenize(one) == tokenize(same)
    assert tokenize(one) != tokenize(begin(RETURNS, SPEC, 2, WEIGHTS))
    assert tokenize(one) != tokenize(one.by_seed(5))


def test_small_simulations_share_a_shard() -> None:
    small, large = (begin(RETURNS, replace(SPEC, paths=paths), 1, WEIGHTS) for paths in (1_000, 200_000))
    groups = [len(group) for group in grouped([small] * 200 + [large, small, large])]
    assert groups == [159, 42, 2]
