"""The gates: what was deployed answers, and answers as what was deployed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from deploy.rollout.dagster_api import UNREACHABLE, DagsterApi, Location
from deploy.rollout.errors import GateError
from deploy.rollout.images import digest_of
from deploy.rollout.services import LOCATIONS, Part, Role
from deploy.rollout.targets import Addresses

STEADY = 3
"""Good answers on end that an HTTP service must give: behind a balancer the old one may still give some of them."""
PERSISTENT = 5
"""Failed loads on end after which a code location is given up: its code does not import, waiting mends nothing."""
REQUEST_SECONDS = 30.0
"""Dagster loads a location within the request that asks for it."""
FAILED_RUNS = frozenset({"FAILURE", "CANCELED", "RunNotFoundError", "PythonError"})


@dataclass(frozen=True, slots=True)
class Smoke:
    """A small run that must succeed: ``LOCATION:ASSET[,ASSET…][@PARTITION]``."""

    location: str
    assets: tuple[str, ...]
    partition: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds.

    Parameters
    ----------
    deploy
        A deployment, until the platform calls it live.
    gate
        A gate, from then on.
    smoke
        The smoke run.
    poll
        Between two questions.
    """

    deploy: float = 900.0
    gate: float = 120.0
    smoke: float = 600.0
    poll: float = 1.0


class _FinalError(GateError):
    """Waiting cannot mend it."""


class Gates:
    """Asks parts until they are what they should be.

    Parameters
    ----------
    addresses
        Where they are.
    limits
        How long to ask.
    version
        What ``/health`` must give as its version; None for any.
    token
        Bearer token to send; None for none.
    """

    def __init__(
        self, addresses: Addresses, limits: Limits, *, version: str | None = None, token: str | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No proxy of the environment: what it answers for a service is not the service.
        self._client = httpx.Client(headers=headers, timeout=REQUEST_SECONDS, trust_env=False)
        self._dagster = DagsterApi(self._client, addresses.dagster)
        self._addresses = addresses
        self._limits = limits
        self._version = version

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def pass_part(self, part: Part, image: str, *, restored: bool = False) -> None:
        """Return once the part is the image and answers well.

        Parameters
        ----------
        part
            The part, which the platform calls live.
        image
            Reference by digest.
        restored
            Whether it is a former image that was put back. It may be too old to say which image it is, or which
            version; and an error is waited for, since it may come from the one that it replaces.

        Raises
        ------
        GateError
            With the last answer, if that does not happen in time.
        """
        match part.role:
            case Role.HTTP:
                self._until(part, lambda: self._ask_http(part, image, restored), STEADY)
            case Role.LOCATION:
                self._until(part, self._loading(part, image, restored))
            case Role.WEBSERVER:
                self._until(part, lambda: self._ask_webserver(restored))
            case Role.DAEMON:
                self._until(part, self._beating())

    def pass_smoke(self, smoke: Smoke) -> None:
        """Launch a run and return once it has succeeded.

        Raises
        ------
        GateError
            If it cannot be launched, fails, or does not end in time.
        """
        what = f"the smoke run {smoke.location}:{','.join(smoke.assets)}"
        run = self._dagster.launch(smoke.location, smoke.assets, smoke.partition)
        deadline = time.monotonic() + self._limits.smoke
        while (status := self._status(run)) != "SUCCESS":
            if status in FAILED_RUNS:
                raise GateError(f"{what} ended as {status}; read run {run} in Dagster")
            if time.monotonic() > deadline:
                raise GateError(f"{what} is {status} after {self._limits.smoke:g} s; read run {run} in Dagster")
            time.sleep(self._limits.poll)

    def _status(self, run: str) -> str:
        try:
            return self._dagster.run_status(run)
        except GateError as error:  # the run goes on while the webserver is away
            return str(error)

    def _until(self, part: Part, ask: Callable[[], None], steady: int = 1) -> None:
        """Ask until `steady` answers on end were good."""
        deadline = time.monotonic() + self._limits.gate
        good = 0
        while good < steady:
            try:
                ask()
                good += 1
            except _FinalError as error:
                raise GateError(f"{part.name}: {error}") from error
            except GateError as error:
                good = 0
                if time.monotonic() > deadline:
                    raise GateError(f"{part.name}: {error}, {self._limits.gate:g} s after it went live") from error
            if good < steady:
                time.sleep(self._limits.poll)

    def _ask_http(self, part: Part, image: str, restored: bool) -> None:
        version = self._get(part, "/health").get("version")
        if self._version and not restored and version != self._version:
            raise GateError(f"/health says version {version}, not {self._version}")
        found, wanted = self._get(part, "/health/ready").get("image_digest"), digest_of(image)
        if found != wanted and not (restored and found is None):
            raise GateError(f"/health/ready says image {found}, not {wanted}")

    def _get(self, part: Part, path: str) -> dict[str, object]:
        try:
            answer = self._client.get(f"{self._addresses.http[part.service].rstrip('/')}{path}")
        except httpx.HTTPError as error:
            raise GateError(f"{path} does not answer ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise GateError(f"{path} answers {answer.status_code}: {answer.text[:300]}")
        try:
            body = answer.json()
        except ValueError as error:
            raise GateError(f"{path} answers no JSON") from error
        return body if isinstance(body, dict) else {}

    def _loading(self, part: Part, image: str, restored: bool) -> Callable[[], None]:
        errors = 0

        def ask() -> None:
            nonlocal errors
            location = self._dagster.reload(LOCATIONS[part.service])
            broken = location.error is not None and UNREACHABLE not in location.error
            errors = errors + 1 if broken else 0
            if errors >= PERSISTENT and not restored:
                raise _FinalError(_not_loaded(location))
            _check_location(location, image, restored)

        return ask

    def _ask_webserver(self, restored: bool) -> None:
        locations = self._dagster.locations()
        if restored:  # what is broken in the locations is restored after it
            return
        if absent := sorted(set(LOCATIONS.values()) - set(locations)):
            raise GateError(f"the workspace lacks {', '.join(absent)}")
        for location in locations.values():
            if location.error is not None:
                raise GateError(_not_loaded(location))

    def _beating(self) -> Callable[[], None]:
        """Every loop beats after the gate began: a daemon that is gone counts as healthy for minutes."""
        before: dict[str, float] | None = None

        def ask() -> None:
            nonlocal before
            daemons = self._dagster.daemons()
            if before is None:
                before = {daemon.kind: daemon.beat for daemon in daemons}
            silent = [one.kind for one in daemons if not one.healthy or one.beat <= before.get(one.kind, 0.0)]
            if silent or not daemons:
                raise GateError(f"no new heartbeat of {', '.join(silent) or 'any daemon'}")

        return ask


def _not_loaded(location: Location) -> str:
    return f"Dagster does not load {location.name}: {location.error}"


def _check_location(location: Location, image: str, restored: bool) -> None:
    if location.error is not None:
        raise GateError(_not_loaded(location))
    found, wanted = location.image, digest_of(image)
    if not (restored and found is None) and (found is None or digest_of(found) != wanted):
        raise GateError(f"Dagster shows {location.name} from image {found}, not {wanted}")
