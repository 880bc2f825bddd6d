"""Which states a service tells with its metrics: what it waits for and, if it is the gateway, how the data stands."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from starlette.datastructures import State

from pipeline.store.data_health import regular_assets
from serving.callers import Caller
from serving.circuit_metrics import CircuitCollector
from serving.deps import Connections
from serving.observability.data_health import DataHealthCollector

METRICS = Caller("metrics", "operator", None, frozenset())
"""Sees every portfolio's rows, which it only counts."""


def register_states(registry: CollectorRegistry, state: State, connections: Connections) -> None:
    """Have states read whenever the metrics of a running service are asked for."""
    registry.register(CircuitCollector(state.upstreams, connections))
    if state.service.slice is None:
        regular = regular_assets(has_interest_rates=state.settings.interest_provider is not None)
        registry.register(DataHealthCollector(connections.of(METRICS).reading, regular))
