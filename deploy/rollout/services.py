"""The services in the order in which they are deployed, and what runs of each one's image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a part of a service does."""

    LOCATION = "location"
    """A code location: answers Dagster's gRPC."""
    HTTP = "http"
    """An HTTP service with ``/health`` and ``/health/ready``."""
    WEBSERVER = "webserver"
    """Dagster's webserver: answers GraphQL."""
    DAEMON = "daemon"
    """Dagster's daemon: listens nowhere; the webserver tells how it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """One container, or one service of a platform, that runs a service's image.

    Parameters
    ----------
    service
        Name of the service, which is that of its image.
    role
        What it does.
    """

    service: str
    role: Role

    @property
    def name(self) -> str:
        """Name in logs and journals, and, with the environment behind it, on Render.

        An HTTP service has the name of its image, a code location ``-location`` behind it; of ``dagster-host`` there
        are ``dagster-webserver`` and ``dagster-daemon``.
        """
        match self.role:
            case Role.HTTP:
                return self.service
            case Role.LOCATION:
                return f"{self.service}-location"
            case _:
                return f"dagster-{self.role}"


LOCATIONS = {
    "market-data-ingestion": "market_data",
    "python-risk-engine": "risk",
    "portfolio-simulation": "simulation",
    "ai-microservice-engine": "forecast",
}
"""The services that are code locations too, and the locations' names in ``deploy/workspace.yaml``."""

ORDER = (*LOCATIONS, "backend-api", "dagster-host")
"""Whoever is asked comes before whoever asks."""


def parts_of(service: str) -> tuple[Part, ...]:
    """The parts of a service, in the order in which they are deployed."""
    roles: tuple[Role, ...] = (Role.HTTP,)
    if service == "dagster-host":
        roles = (Role.WEBSERVER, Role.DAEMON)
    elif service in LOCATIONS:
        roles = (Role.LOCATION, Role.HTTP)
    return tuple(Part(service, role) for role in roles)


PARTS = tuple(part for service in ORDER for part in parts_of(service))
"""Every part, in the order in which they are deployed."""
