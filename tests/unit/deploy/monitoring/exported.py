"""The metrics that the services really export, with their labels, and those that the rules record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from pydantic import SecretStr

from pipeline.base.settings import PROJECT_ROOT
from pipeline.store.data_health import DataHealth
from serving.app import create_app
from serving.circuit_metrics import CircuitCollector
from serving.deps import Connections
from serving.observability.data_health import metrics_of
from serving.observability.exchanges import Exchange
from serving.observability.metrics import Metrics
from tests.integration.serving.running import local_settings

MONITORING = PROJECT_ROOT / "deploy" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yml"))
NOW = datetime(2026, 11, 25, tzinfo=UTC)
BY_PROMETHEUS: dict[str, set[str]] = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
TARGET_LABELS = {"job", "instance", "service", "upstream", "le"}
"""Given by Prometheus, or by deploy/monitoring/prometheus.yml."""

HEALTH = DataHealth(
    written_at={"prices": NOW},
    failed_partitions={"prices": 1},
    quarantined={("csv", "held"): 1},
    schedules={"every_night": NOW},
    sensors={"run_failures": NOW},
    open_incidents={"stale_asset": 1},
    undelivered=1,
)


class _Health(Collector):
    """The data's metrics, of a state that is known."""

    def collect(self) -> Iterator[Metric]:
        yield Metric("fintech_data_health_up", "Whether the data's state could be read.", "gauge")
        yield from metrics_of(HEALTH, frozenset({"prices"}), NOW)


@cache
def exported() -> dict[str, set[str]]:
    """Sample → its labels, of a gateway with every part switched on, which opens nothing."""
    address = "postgresql://127.0.0.1:9/none"
    elsewhere = {"redis_url": SecretStr("redis://127.0.0.1:9/0"), "risk_engine_url": "http://127.0.0.1:9"}
    state = create_app("backend-api", local_settings(address, **elsewhere)).state
    metrics: Metrics = state.instruments.metrics
    metrics(Exchange("GET", "/a", 200, 0.001, 10, "id", 1_700_000_000.0))
    metrics.registry.register(CircuitCollector(state.upstreams, Connections(address)))
    metrics.registry.register(_Health())
    families = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
    found: dict[str, set[str]] = {family.name: set() for family in families}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def rules(kind: str) -> Iterator[dict[str, Any]]:
    """The rules of a kind, ``record`` or ``alert``, of every file."""
    for file in RULES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from (rule for rule in group["rules"] if kind in rule)


def known_names() -> set[str]:
    """Everything that an expression may name."""
    return exported().keys() | BY_PROMETHEUS.keys() | {rule["record"] for rule in rules("record")}


_TEXT = re.compile(r'"[^"]*"')
_MATCHERS = re.compile(r"([a-zA-Z_:][\w:]*)?\{([^{}]*)\}")
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()")
_WORDS = {"by", "and", "or", "unless", "on", "offset", "bool", "ignoring", "without", "inf", "nan"}


def names_in(expression: str) -> set[str]:
    """The metrics that an expression names: what is neither a function, a word of the language nor a duration."""
    bare = _GROUPED.sub("", _MATCHERS.sub(r"\1", _TEXT.sub('""', expression)))
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    return {name for name in _NAME.findall(bare) if name not in _WORDS}


def labels_in(expression: str) -> set[tuple[str, str]]:
    """(metric, label) of every matcher in braces."""
    return {
        (name, label)
        for name, inside in _MATCHERS.findall(_TEXT.sub('""', expression))
        for label in re.findall(r"(\w+)\s*[=!]", inside)
    }


def path_of(file: Path) -> str:
    """A file's path for the names of tests."""
    return file.name
