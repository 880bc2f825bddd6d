"""Whether the service lives, and whether it can answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from pipeline.base.errors import DatabaseError
from pipeline.store.readiness import check_readiness
from serving.errors import problem_responses
from serving.forwarding.circuit import State
from serving.pulse import CONNECT_TIMEOUT_SECONDS

READY_SECONDS = 2.0
HELD_SECONDS = 1.0
"""That the result of a check is given to all who ask: anybody may, as often as they like, and each check takes a new
connection and a call of every service behind this one."""
PROBES = 2
"""Checks at once: a server that hangs holds at most so many threads."""

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    """The service runs; nothing is said about what it needs."""

    status: Literal["healthy"] = "healthy"
    service: str = Field(description="Name of the service.", examples=["backend-api"])
    timestamp: datetime = Field(description="Time of the answer (UTC).")
    version: str = Field(description="Version of the platform.")


class UpstreamOut(BaseModel):
    """A service that this one calls."""

    answers: bool = Field(description="Whether it says within 1 s that it lives.")
    circuit: State = Field(description="closed: it is called; open: it is left alone; half_open: one call tries.")


class Readiness(BaseModel):
    """The service can answer: Postgres does, and its schema was made."""

    status: Literal["ready"] = "ready"
    service: str
    timestamp: datetime
    version: str
    schema_revision: str = Field(description="Revision of the database's schema.")
    image_digest: str | None = Field(
        description="Digest of the container image that answers; null outside of a rolled-out container.",
        examples=["sha256:0a1b…"],
    )
    upstreams: dict[str, UpstreamOut] = Field(
        description="Services that answer a part of the routes. One that is down leaves the others' answers, so it does"
        " not make this service unready."
    )


@router.get("")
async def health(request: Request) -> Health:
    """Say that the service runs."""
    state = request.app.state
    return Health(service=state.service.name, timestamp=datetime.now(UTC), version=state.settings.app_version)


@router.get("/ready", responses=problem_responses(503))
async def ready(request: Request) -> Readiness:
    """Say whether Postgres answers within 2 s and has its schema, and how the services behind this one are."""
    state = request.app.state
    check: _Check | None = getattr(state, "readiness_check", None)
    if check is None or check.is_old:
        check = state.readiness_check = _Check(asyncio.ensure_future(_found(request)))
    found = await asyncio.shield(check.result)  # whoever leaves takes it away from nobody
    circuits = state.upstreams.circuits()
    return Readiness(
        service=state.service.name,
        timestamp=datetime.now(UTC),
        version=state.settings.app_version,
        schema_revision=found.schema_revision,
        image_digest=_digest(state.settings.current_image),
        upstreams={
            name: UpstreamOut(answers=answers, circuit=circuits[name].state)
            for name, answers in found.upstream_answers.items()
        },
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What a check that succeeded has found."""

    schema_revision: str
    upstream_answers: Mapping[str, bool]


class _Check:
    """A check under way, or what it found not long ago."""

    def __init__(self, result: asyncio.Future[_Found]) -> None:
        self.result = result
        self._ended_at = float("inf")
        result.add_done_callback(self._end)

    @property
    def is_old(self) -> bool:
        """Whether the next who asks needs a new one."""
        return time.monotonic() > self._ended_at + HELD_SECONDS

    def _end(self, result: asyncio.Future[_Found]) -> None:
        self._ended_at = time.monotonic()
        if not result.cancelled():
            result.exception()  # seen, also where everybody who asked has left


async def _found(request: Request) -> _Found:
    state = request.app.state
    revision = None
    with anyio.move_on_after(READY_SECONDS):
        revision = await to_thread.run_sync(
            check_readiness,
            state.connections.url,
            CONNECT_TIMEOUT_SECONDS,
            abandon_on_cancel=True,
            limiter=_limiter(request),
        )
    if revision is None:
        raise DatabaseError(f"Postgres did not answer within {READY_SECONDS:g} s", "See the server's log.")
    return _Found(revision, await state.upstreams.answers())


def _digest(image: str | None) -> str | None:
    """Digest of a reference; of a tag there is none. Where the image lies is nobody's business."""
    return image.rpartition("@")[2] if image and "@" in image else None


def _limiter(request: Request) -> CapacityLimiter:
    state = request.app.state
    if not hasattr(state, "probes"):  # a limiter belongs to the loop in which it is made
        state.probes = CapacityLimiter(PROBES)
    limiter: CapacityLimiter = state.probes
    return limiter
