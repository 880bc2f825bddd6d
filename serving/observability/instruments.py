"""Everything that a service tells of itself, as its settings want it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.observability.access_log import AccessLog
from serving.observability.defects import DefectReports
from serving.observability.exchanges import Recorder
from serving.observability.tracing import Tracing
from serving.services import service_named

if TYPE_CHECKING:
    from pipeline.base.settings import Settings
    from serving.observability.metrics import Metrics
    from serving.response_cache import ResponseCache


@dataclass(frozen=True, slots=True)
class Instruments:
    """What is switched on; the rest is None and costs nothing."""

    access_log: AccessLog | None
    metrics: Metrics | None
    tracing: Tracing | None
    defects: DefectReports | None

    @classmethod
    def of(cls, service: str, settings: Settings, cache: ResponseCache) -> Instruments:
        """The instruments of a service; `open` starts them."""
        writes_lines = settings.access_log and settings.log_level in ("debug", "info")
        return cls(
            AccessLog(service) if writes_lines else None,
            _metrics(cache) if settings.metrics else None,
            _tracing(service, settings) if settings.otlp_endpoint else None,
            DefectReports(settings.sentry_dsn.get_secret_value(), settings.environment, settings.app_version)
            if settings.sentry_dsn
            else None,
        )

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        """Who is told of each request."""
        return tuple(recorder for recorder in (self.metrics, self.access_log) if recorder is not None)

    @property
    def watches(self) -> bool:
        """Whether anything wants to know of requests; else they have no ids either."""
        return bool(self.recorders) or self.tracing is not None

    def open(self) -> None:
        """Start."""
        for part in (self.access_log, self.tracing, self.defects):
            if part is not None:
                part.open()

    def close(self) -> None:
        """Write and send what waits; takes a few seconds if a receiver does not answer."""
        for part in (self.tracing, self.defects, self.access_log):
            if part is not None:
                part.close()


def _tracing(service: str, settings: Settings) -> Tracing:
    assert settings.otlp_endpoint is not None  # asked before
    # Strangers reach the gateway alone; the others are called by it, with the token of services.
    believes = settings.is_local or service_named(service).slice is not None
    return Tracing(service, settings.otlp_endpoint, settings.trace_ratio, believes_callers=believes)


def _metrics(cache: ResponseCache) -> Metrics:
    from serving.observability.metrics import Metrics  # noqa: PLC0415 - its library takes 0.1 s to import

    return Metrics(cache)
