"""The five services: one code, five names and ports."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """A service that can be served by itself.

    Parameters
    ----------
    name
        Name of the service and of its container image.
    slice
        Slice whose routes it serves; None for the gateway, which serves all.
    port
        Port before the offset of the settings is added.
    """

    name: str
    slice: str | None
    port: int

    def serves(self, slice_name: str) -> bool:
        """Whether the routes of a slice belong to this service."""
        return self.slice is None or self.slice == slice_name

    def port_on(self, settings: Settings) -> int:
        """The port that the service listens on."""
        return self.port + settings.port_offset


SERVICES: tuple[Service, ...] = (
    Service("backend-api", None, 3000),
    Service("python-risk-engine", "risk", 8000),
    Service("portfolio-simulation", "simulation", 8001),
    Service("market-data-ingestion", "market_data", 8002),
    Service("ai-microservice-engine", "forecast", 8003),
)


def service_named(name: str) -> Service:
    """The service of a name.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    for service in SERVICES:
        if service.name == name:
            return service
    raise ConfigurationError(
        f"There is no service {name!r}", f"Choose one of {', '.join(s.name for s in SERVICES)}.", exit_code=2
    )
