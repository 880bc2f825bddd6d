"""That planning leaves the runs of others alone."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from fintech import driving
from fintech.driving import reading_driver, running_driver
from fintech.host import DRIVER_CONFIG, Host
from pipeline.base.settings import Settings
from pipeline.store.engine import Database


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host whose Dagster keeps its records in files; its application database is never reached."""
    (tmp_path / DRIVER_CONFIG).write_text("telemetry: {enabled: false}\n")
    return Host(Settings(), Database("postgresql:///none"), {"DAGSTER_HOME": str(tmp_path)})


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> list[dg.DagsterInstance]:
    """Instances whose dead runs were looked for."""
    found: list[dg.DagsterInstance] = []
    monkeypatch.setattr(driving, "forget_dead_runs", found.append)
    monkeypatch.setattr(dg.DagsterInstance, "optimize_for_webserver", lambda *_, **__: None)
    return found


def test_only_a_driver_that_runs_forgets_dead_runs(host: Host, forgotten: list[dg.DagsterInstance]) -> None:
    with reading_driver(host):
        assert forgotten == []
    with running_driver(host, Console(quiet=True)):
        assert len(forgotten) == 1
