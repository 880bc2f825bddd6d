"""The command line, which runs the whole platform on one machine, and a client of its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fintech.client import Client
    from fintech.problems import ApiError, JobError, ProblemError, UnreachableError

__all__ = ["ApiError", "Client", "JobError", "ProblemError", "UnreachableError"]


def __getattr__(name: str) -> object:
    """Load the client when it is asked for: the command line starts without it."""
    if name == "Client":
        from fintech.client import Client  # noqa: PLC0415

        return Client
    if name in __all__:
        from fintech import problems  # noqa: PLC0415

        return getattr(problems, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
