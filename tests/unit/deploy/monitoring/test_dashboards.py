"""Grafana's dashboards: their files are those of the code, and everything that they ask for exists."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.monitoring.dashboards import DASHBOARDS, FOLDER
from deploy.monitoring.panels import COLUMNS, Dashboard, Query, document, written
from tests.unit.deploy.monitoring.debian import program
from tests.unit.deploy.monitoring.exported import (
    BY_PROMETHEUS,
    MONITORING,
    TARGET_LABELS,
    exported,
    known_names,
    labels_in,
    names_in,
)

QUERIES = [query for board in DASHBOARDS for row in board.rows for panel in row.panels for query in panel.queries]
BY_DASHBOARD = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
BY_QUERY = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.legend)


def filled(expression: str) -> str:
    """An expression as Grafana sends it."""
    return expression.replace("$__rate_interval", "5m").replace("$service", ".*")


@BY_DASHBOARD
def test_files_are_current(dashboard: Dashboard) -> None:
    file = FOLDER / f"{dashboard.uid}.json"
    assert file.read_text(encoding="utf-8") == written(dashboard), "run python -m deploy.monitoring.dashboards"
    assert json.loads(file.read_text(encoding="utf-8"))["uid"] == dashboard.uid


def test_there_is_no_other_file() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == {dashboard.uid for dashboard in DASHBOARDS}


@BY_QUERY
def test_queries_name_metrics_and_labels_that_exist(query: Query) -> None:
    assert names_in(filled(query.expr)) <= known_names()
    for metric, label in labels_in(filled(query.expr)):
        assert label in exported().get(metric, BY_PROMETHEUS.get(metric, set())) | TARGET_LABELS


@BY_QUERY
def test_legends_name_labels_of_the_result(query: Query) -> None:
    grouped = {label.strip() for inside in re.findall(r"by \(([^)]*)\)", query.expr) for label in inside.split(",")}
    recorded = {name.partition(":")[0] for name in names_in(filled(query.expr)) if ":" in name}
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= grouped | recorded


def test_prometheus_understands_the_queries(tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    asked = [{"record": f"panel:{number}", "expr": filled(query.expr)} for number, query in enumerate(QUERIES)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": asked}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@BY_DASHBOARD
def test_panels_lie_side_by_side(dashboard: Dashboard) -> None:
    places = [panel["gridPos"] for panel in document(dashboard)["panels"]]
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        assert not (_overlap(one, other, "x", "w") and _overlap(one, other, "y", "h"))


@BY_DASHBOARD
def test_panels_have_numbers_of_their_own_and_a_provisioned_source(dashboard: Dashboard) -> None:
    panels = document(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    provisioned = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/fintech.yaml").read_text())
    sources = {(source["type"], source["uid"]) for source in provisioned["datasources"]}
    used = {(panel["datasource"]["type"], panel["datasource"]["uid"]) for panel in panels if "datasource" in panel}
    assert used <= sources


def _overlap(one: dict[str, Any], other: dict[str, Any], edge: str, length: str) -> bool:
    return one[edge] < other[edge] + other[length] and other[edge] < one[edge] + one[length]
