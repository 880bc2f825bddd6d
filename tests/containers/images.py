"""What each image is meant to be."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "fintech-tests/"
POSTGRES = f"{PREFIX}postgres"

BAR_MEGABYTES = 450
"""What an image may take over its base. Numba's LLVM alone takes 160."""
GROWTH = 1.03
"""What an image may grow by, as its dependencies do, until it is measured again."""


@dataclass(frozen=True, slots=True)
class Image:
    """One target of the Dockerfile.

    Parameters
    ----------
    name
        Of the target, of the service and of the host that workspace.yaml asks for.
    megabytes
        What it took over its base image when it was last measured, unpacked (November 2026, amd64, Python 3.12).
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


WITH_KERNELS = ("python-risk-engine", "portfolio-simulation", "ai-microservice-engine")
"""Images that bring compiled kernels."""

_HOST = ("dagster_webserver", "dagster_docker")
_LEARNING = ("sklearn", "numba", "llvmlite")
_BUNDLED = ("skfolio", "currency_converter")
_PRINTING = ("typst",)
_TABLES = ("pandas", "exchange_calendars")

DOMAIN_IMAGES = (
    Image(
        "market-data-ingestion",
        245,
        (*_HOST, *_LEARNING, *_PRINTING, "cvxpy", "plotly"),
        ("market-data", "serving"),
        "market_data",
        8002,
    ),
    Image(
        "python-risk-engine",
        388,
        (*_HOST, *_BUNDLED, *_PRINTING, *_TABLES, "sklearn"),
        ("risk", "serving"),
        "risk",
        8000,
    ),
    Image(
        "portfolio-simulation",
        443,
        (*_HOST, *_PRINTING, "currency_converter", "exchange_calendars", "sparsediffpy"),
        ("simulation", "serving"),
        "simulation",
        8001,
    ),
    Image(
        "ai-microservice-engine",
        388,
        (*_HOST, *_BUNDLED, *_PRINTING, *_TABLES, "sklearn"),
        ("forecast", "serving"),
        "forecast",
        8003,
    ),
)
BACKEND_API = Image(
    "backend-api", 263, (*_HOST, *_LEARNING, *_BUNDLED, *_TABLES, "dagster", "grpc"), ("gateway",), port=3000
)
DAGSTER_HOST = Image(
    "dagster-host",
    102,
    (*_LEARNING, *_BUNDLED, *_PRINTING, "numpy", "pandas", "scipy", "fastapi", "pipeline"),
    ("dagster-host",),
    port=3030,
)

SERVICE_IMAGES = (BACKEND_API, *DOMAIN_IMAGES)
IMAGES = (*SERVICE_IMAGES, DAGSTER_HOST)
