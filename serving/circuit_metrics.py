"""Metrics of what this service waits for: the services behind it, and Postgres."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.forwarding.circuit import STATES
from serving.pulse import Pulse
from serving.upstream import Upstreams


class CircuitCollector(Collector):
    """Reads the states of the circuits when they are asked for."""

    def __init__(self, upstreams: Upstreams, pulse: Pulse) -> None:
        self._upstreams = upstreams
        self._pulse = pulse

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
        yield GaugeMetricFamily("fintech_postgres_up", "Whether Postgres is asked.", not self._pulse.is_out)
        yield CounterMetricFamily("fintech_postgres_outages", "How often it stopped answering.", self._pulse.outages)
