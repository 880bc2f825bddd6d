"""Prometheus metrics of a service: requests by route and status, the response cache, and the process."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException

from serving.observability.exchanges import Exchange

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.base.settings import Settings
    from serving.observability.worker_metrics import WorkerMetrics
    from serving.response_cache import ResponseCache

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the histogram; 0.2 is that of the service level, so whether it is kept is counted, not estimated."""
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one service; several in a process do not mix.

    Labels have few values whatever is asked: methods are those of HTTP, routes are templates.

    Parameters
    ----------
    cache
        Whose counts are told.
    """

    def __init__(self, cache: ResponseCache) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "fintech_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "fintech_http_request_seconds",
            "Seconds until an answer was sent.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._bytes = Counter("fintech_http_response_bytes", "Bytes of bodies.", ["route"], registry=self.registry)
        # Looking up labels costs more than counting: each combination is looked up once.
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram, Counter]] = {}
        self.registry.register(_CacheCollector(cache))
        ProcessCollector(registry=self.registry)
        self._together: WorkerMetrics | None = None

    def __call__(self, exchange: Exchange) -> None:
        """Count a request."""
        labels = (exchange.method, exchange.route, exchange.status)
        known = self._known.get(labels)
        if known is None:
            known = self._known[labels] = (
                self._requests.labels(*labels),
                self._seconds.labels(exchange.route),
                self._bytes.labels(exchange.route),
            )
        requests, seconds, sent = known
        requests.inc()
        seconds.observe(exchange.seconds)
        sent.inc(exchange.sent_bytes)

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format: of this process, or of all workers together."""
        return generate_latest(self.registry) if self._together is None else self._together.exposition()

    def share(self, folder: Path, service: str, worker: int) -> WorkerMetrics:
        """Tell from now on what all workers count that write into a folder."""
        from serving.observability.worker_metrics import WorkerMetrics  # noqa: PLC0415 - only of several workers

        self._together = WorkerMetrics(folder, service, worker, lambda: generate_latest(self.registry))
        return self._together


class _CacheCollector(Collector):
    """Reads the cache's own counts when they are asked for, so that counting costs it nothing."""

    def __init__(self, cache: ResponseCache) -> None:
        self._cache = cache

    def collect(self) -> Iterator[Metric]:
        cache = self._cache
        results = CounterMetricFamily("fintech_cache_results", "Reading requests by how.", labels=["result"])
        for result in ("hit", "shared", "joined", "computed", "bypassed"):
            results.add_metric([result], getattr(cache.counts, result))
        yield results
        yield CounterMetricFamily("fintech_cache_evictions", "Answers pushed out.", cache.memory.evicted)
        yield GaugeMetricFamily("fintech_cache_answers", "Answers kept.", len(cache.memory))
        yield GaugeMetricFamily("fintech_cache_bytes", "Bytes of the answers kept.", cache.memory.bytes)
        yield CounterMetricFamily("fintech_data_version_readings", "Versions read.", cache.version.readings)
        yield CounterMetricFamily("fintech_data_version_failures", "Versions not read.", cache.version.failures)
        if cache.shared is not None:
            yield CounterMetricFamily("fintech_cache_shared_failures", "Failures of Redis.", cache.shared.failures)
            yield GaugeMetricFamily("fintech_cache_shared_up", "Whether Redis is asked.", not cache.shared.is_out)


def metrics_router(metrics: Metrics, settings: Settings) -> APIRouter:
    """The page that Prometheus reads; strangers learn nothing from it."""
    router = APIRouter(include_in_schema=False)

    # Not a coroutine: writing hundreds of lines takes milliseconds.
    @router.get("/metrics")
    def read_metrics(_: Request, authorization: Annotated[str, Header()] = "") -> Response:
        """All metrics of the service."""
        if not _may_read(authorization, settings):
            detail = "Send SERVICE_API_KEY as a bearer token (in Prometheus: authorization.credentials)."
            raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
        return Response(metrics.exposition(), media_type=_MEDIA_TYPE)

    return router


def _may_read(authorization: str, settings: Settings) -> bool:
    if settings.is_local:
        return True
    assert settings.service_api_key is not None  # required before
    expected = f"Bearer {settings.service_api_key.get_secret_value()}"
    return hmac.compare_digest(authorization.encode("latin-1"), expected.encode())
