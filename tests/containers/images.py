"""What each image is meant to be."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "fintech-tests/"
POSTGRES = f"{PREFIX}postgres"


@dataclass(frozen=True, slots=True)
class Image:
    """One target of the Dockerfile.

    Parameters
    ----------
    name
        Of the target, of the service and of the host that workspace.yaml asks for.
    megabytes
        The most that it may take, with about a tenth of air; 141 MB of it are the base image's.
    absent
        Packages that belong to other slices, and must not be found.
    locks
        The locks in requirements/ whose packages it may hold.
    location
        Name of its code location.
    port
        Where its HTTP service listens.
    """

    name: str
    megabytes: int
    absent: tuple[str, ...]
    locks: tuple[str, ...]
    location: str | None = None
    port: int = 0

    @property
    def tag(self) -> str:
        """The tag that the tests build, apart from those that others build."""
        return f"{PREFIX}{self.name}"


_HOST = ("dagster_webserver", "dagster_docker")
_LEARNING = ("sklearn", "numba", "llvmlite")

_BUNDLED = ("skfolio", "currency_converter")

DOMAIN_IMAGES = (
    Image(
        "market-data-ingestion",
        620,
        (*_HOST, *_LEARNING, "cvxpy", "plotly"),
        ("market-data", "serving"),
        "market_data",
        8002,
    ),
    Image("python-risk-engine", 850, (*_HOST, "sklearn", *_BUNDLED), ("risk", "serving"), "risk", 8000),
    Image(
        "portfolio-simulation",
        850,
        (*_HOST, "sklearn", *_BUNDLED),
        ("simulation", "serving"),
        "simulation",
        8001,
    ),
    Image(
        "ai-microservice-engine",
        680,
        (*_HOST, "numba", "llvmlite", *_BUNDLED),
        ("forecast", "serving"),
        "forecast",
        8003,
    ),
)
BACKEND_API = Image("backend-api", 580, (*_HOST, *_LEARNING, *_BUNDLED, "dagster", "grpc"), ("gateway",), port=3000)
DAGSTER_HOST = Image(
    "dagster-host",
    390,
    (*_LEARNING, *_BUNDLED, "numpy", "pandas", "scipy", "fastapi", "pipeline"),
    ("dagster-host",),
    port=3030,
)

SERVICE_IMAGES = (BACKEND_API, *DOMAIN_IMAGES)
IMAGES = (*SERVICE_IMAGES, DAGSTER_HOST)
