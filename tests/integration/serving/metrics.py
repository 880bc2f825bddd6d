"""Read a service's metrics as Prometheus does."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families


def samples(client: httpx.Client, name: str, headers: dict[str, str] | None = None) -> dict[tuple[str, ...], float]:
    """Values of the samples of a name, by the values of their labels in the order of the labels' names."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def cache_results(client: httpx.Client) -> dict[str, float]:
    """Reading requests by how they were answered."""
    return {labels[0]: value for labels, value in samples(client, "fintech_cache_results_total").items()}
