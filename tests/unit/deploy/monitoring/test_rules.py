"""Rules of Prometheus: each parses, names metrics that exist, and is tested both firing and silent."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base.settings import PROJECT_ROOT
from tests.unit.deploy.monitoring.debian import program
from tests.unit.deploy.monitoring.exported import (
    BY_PROMETHEUS,
    MONITORING,
    RULES,
    TARGET_LABELS,
    exported,
    known_names,
    labels_in,
    names_in,
    path_of,
    rules,
)

TESTS = sorted((MONITORING / "rules" / "tests").glob("*.yml"))
ALERTS = {rule["alert"]: rule for rule in rules("alert")}
BY_ALERT = pytest.mark.parametrize("alert", sorted(ALERTS))
KPIS = {
    "SlowResponses",
    "ErrorsAboveTarget",
    "ErrorBudgetBurnsFast",
    "UptimeBelowTarget",
    "StaleAssets",
    "FailedPartitions",
    "QuarantineGrows",
    "CircuitOpen",
    "PoolExhausted",
    "RedisDown",
    "TargetDown",
}


@pytest.fixture(scope="module")
def promtool() -> str:
    return program("promtool", "prometheus")


def cases(alert: str) -> list[dict[str, Any]]:
    """Moments of the promtool tests at which an alert is judged."""
    return [
        case
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    ]


def test_there_is_an_alert_for_each_kpi() -> None:
    assert ALERTS.keys() >= KPIS


def test_every_file_of_rules_has_its_tests() -> None:
    assert [file.name for file in TESTS] == [file.name for file in RULES]


@pytest.mark.parametrize("file", RULES, ids=path_of)
def test_rules_can_be_read(file: Path, promtool: str) -> None:
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", TESTS, ids=path_of)
def test_alerts_fire_when_they_should(file: Path, promtool: str) -> None:
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@BY_ALERT
def test_alerts_are_tested_both_ways(alert: str) -> None:
    fires = [bool(case.get("exp_alerts")) for case in cases(alert)]
    assert True in fires
    assert False in fires


@BY_ALERT
def test_alerts_say_how_bad_it_is_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["runbook_url"] == f"docs/RUNBOOK.md#{alert.lower()}"
    assert 10 <= len(rule["annotations"]["summary"]) <= 120


@BY_ALERT
def test_alerts_have_a_chapter_in_the_runbook(alert: str) -> None:
    runbook = (PROJECT_ROOT / "docs" / "RUNBOOK.md").read_text()
    assert re.search(rf"^#+ {alert}$", runbook, re.MULTILINE)


@pytest.mark.parametrize(
    "rule", [*rules("record"), *rules("alert")], ids=lambda rule: rule.get("record", rule.get("alert"))
)
def test_rules_name_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    assert names_in(rule["expr"]) <= known_names()
    for metric, label in labels_in(rule["expr"]):
        assert label in exported().get(metric, BY_PROMETHEUS.get(metric, set())) | TARGET_LABELS


def test_the_reader_of_expressions_finds_names() -> None:
    expression = (
        'sum by (a, b) (rate(x_total{c="d_e", f=~"g"}[5m])) / on (h) k:l:m offset 1d > 14.4 * 0.001 or time() - n_s'
    )
    assert names_in(expression) == {"x_total", "k:l:m", "n_s"}
    assert labels_in(expression) == {("x_total", "c"), ("x_total", "f")}
