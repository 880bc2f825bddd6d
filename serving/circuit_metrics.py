"""Metrics of what this service waits for: the services behind it, Postgres, and connections to it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.deps import Connections
from serving.forwarding.circuit import STATES
from serving.upstream import Upstreams


class CircuitCollector(Collector):
    """Reads the states of the circuits and the pools when they are asked for."""

    def __init__(self, upstreams: Upstreams, connections: Connections) -> None:
        self._upstreams = upstreams
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        states = GaugeMetricFamily(
            "fintech_upstream_circuit", "1 for the state that a service's circuit is in.", labels=["service", "state"]
        )
        openings = CounterMetricFamily(
            "fintech_upstream_openings", "How often a service was left alone.", labels=["service"]
        )
        for name, circuit in self._upstreams.circuits().items():
            for state in STATES:
                states.add_metric([name, state], circuit.state == state)
            openings.add_metric([name], circuit.openings)
        yield states
        yield openings
        pulse = self._connections.pulse
        yield GaugeMetricFamily("fintech_postgres_up", "Whether Postgres is asked.", not pulse.is_out)
        yield CounterMetricFamily("fintech_postgres_outages", "How often it stopped answering.", pulse.outages)
        yield from self._pools()

    def _pools(self) -> Iterator[Metric]:
        used = GaugeMetricFamily("fintech_pool_used_connections", "Connections that are in use.", labels=["pool"])
        most = GaugeMetricFamily("fintech_pool_max_connections", "Connections that a pool may open.", labels=["pool"])
        waiting = GaugeMetricFamily("fintech_pool_waiting_requests", "Requests that wait for one.", labels=["pool"])
        refused = CounterMetricFamily("fintech_pool_refusals", "Requests that waited in vain.", labels=["pool"])
        for name, stats in self._connections.pool_stats().items():
            used.add_metric([name], stats.get("pool_size", 0) - stats.get("pool_available", 0))
            most.add_metric([name], stats["pool_max"])
            waiting.add_metric([name], stats.get("requests_waiting", 0))
            refused.add_metric([name], stats.get("requests_errors", 0))
        yield from (used, most, waiting, refused)
