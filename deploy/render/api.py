"""The part of Render's API that a rollout needs.

As Render documents it (https://api-docs.render.com/reference, read in 2026):

* ``GET /services?name=…``, ``GET /services/{id}/deploys``: lists of ``{"service": …, "cursor": …}`` and
  ``{"deploy": …, "cursor": …}``, the newest first.
* ``POST /services/{id}/deploys`` (*Trigger deploy*) takes ``imageUrl``; host, repository and name must be those that
  the service is configured with, so only tag or digest may differ. It answers 201 with the deploy, or 202, "queued".
* A deploy's ``status`` is ``created``, ``queued``, ``build_in_progress``, ``pre_deploy_in_progress``,
  ``update_in_progress``, ``live``, ``deactivated`` (another one took its place), ``build_failed``,
  ``pre_deploy_failed``, ``update_failed`` or ``canceled``; its ``image`` has ``ref`` and ``sha``, the digest.
* ``PUT /services/{id}/env-vars/{key}`` sets one variable, for deployments from then on. (Without a key, the call would
  replace all of them.)
* Limits (*Rate limiting*): 400 GETs a minute, 30 writes, 10 deploys a minute and service; beyond, 429 with
  ``Ratelimit-Reset``. Exponential pauses with jitter are asked for.

``POST /services/{id}/rollback`` is not used: it takes the id of an earlier deploy, where a journal keeps digests, and a
digest deploys the same image by the one path that every rollout tests.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import Any

import httpx

from deploy.rollout.errors import DeployError, RefusedError

ATTEMPTS = 6
LONGEST_PAUSE = 60.0
FIRST_PAUSE = 0.5
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
EPOCH = 1e6
"""``Ratelimit-Reset`` is documented as a moment in Unix seconds, but shown as seconds to go, which are fewer."""

_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Service:
    """A service on Render.

    Parameters
    ----------
    id
        Such as ``srv-…``.
    name
        Its name.
    url
        Its public address; None for private services and workers.
    suspended
        Whether nothing of it runs.
    """

    id: str
    name: str
    url: str | None
    suspended: bool


@dataclass(frozen=True, slots=True)
class Deploy:
    """A deployment on Render; `image` is its reference by digest, None if Render has not resolved it yet."""

    id: str
    status: str
    image: str | None


class RenderApi:
    """A client of Render's API.

    Requests are repeated after 429, 5xx and lost connections; a deployment that was begun twice so is the same image
    twice.

    Parameters
    ----------
    url
        Of the API, ``https://api.render.com/v1``.
    key
        API key.

    Raises
    ------
    RefusedError
        By every method, if Render does not accept the key.
    DeployError
        By every method, if Render answers with another error, or not at all.
    """

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}", "Accept": "application/json"}, timeout=TIMEOUT
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def service_named(self, name: str) -> Service | None:
        """The service of a name; None if there is none."""
        found = self._ask("GET", "/services", params={"name": name, "limit": "20"})
        services = [_service(entry["service"]) for entry in found]
        return next((service for service in services if service.name == name), None)

    def deploys(self, service_id: str, limit: int = 20) -> list[Deploy]:
        """The last deployments of a service, the newest first."""
        found = self._ask("GET", f"/services/{service_id}/deploys", params={"limit": str(limit)})
        return [_deploy(entry["deploy"]) for entry in found]

    def read_deploy(self, service_id: str, deploy_id: str) -> Deploy:
        """One deployment."""
        return _deploy(self._ask("GET", f"/services/{service_id}/deploys/{deploy_id}"))

    def begin_deploy(self, service_id: str, image: str) -> str | None:
        """Begin to deploy an image; the deployment's id, or None if Render has only queued it."""
        begun = self._ask("POST", f"/services/{service_id}/deploys", json={"imageUrl": image})
        return begun.get("id") if isinstance(begun, dict) else None

    def cancel_deploy(self, service_id: str, deploy_id: str) -> None:
        """Stop a deployment that is under way."""
        self._ask("POST", f"/services/{service_id}/deploys/{deploy_id}/cancel")

    def set_variable(self, service_id: str, key: str, value: str) -> None:
        """Set one environment variable, for deployments from now on."""
        self._ask("PUT", f"/services/{service_id}/env-vars/{key}", json={"value": value})

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        answer = send(self._client, method, path, **arguments)
        if answer.status_code in (401, 403):
            raise RefusedError(
                f"RENDER_API_KEY: Render answers {answer.status_code} ({_message(answer)}); give a key of the workspace"
                " that owns the services"
            )
        if answer.is_error:
            raise DeployError(f"Render answers {answer.status_code} to {method} {path}: {_message(answer)}")
        return _body(answer)


def send(client: httpx.Client, method: str, url: str, **arguments: Any) -> httpx.Response:
    """Send a request, again after 429, 5xx and lost connections; the last answer.

    Raises
    ------
    DeployError
        If none comes. It does not name the address, which may be a secret.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = client.request(method, url, **arguments)
        except httpx.TransportError as error:
            if attempt == ATTEMPTS:
                raise DeployError(
                    f"Render does not answer ({type(error).__name__}, {ATTEMPTS} times); see https://status.render.com"
                ) from error
            time.sleep(pause_after(attempt, {}))
            continue
        if attempt == ATTEMPTS or not (answer.status_code == 429 or answer.is_server_error):
            return answer
        time.sleep(pause_after(attempt, answer.headers))
    raise AssertionError("the last attempt returns or raises")


def pause_after(attempt: int, headers: Mapping[str, str]) -> float:
    """Seconds to wait after a failed attempt: what the answer asks for, else ever longer."""
    for name in ("retry-after", "ratelimit-reset"):
        asked = _seconds(headers.get(name))
        if asked is not None:
            return min(asked + _random.uniform(0.0, 0.1), LONGEST_PAUSE)
    longest = FIRST_PAUSE * 2.0**attempt
    return min(_random.uniform(longest / 2.0, longest), LONGEST_PAUSE)


def _seconds(header: str | None) -> float | None:
    """Seconds to go, of a header that gives seconds, a moment in Unix seconds, or a date."""
    if header is None:
        return None
    try:
        given = float(header)
    except ValueError:
        try:
            return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):
            return None
    return max(0.0, given - time.time() if given > EPOCH else given)


def _body(answer: httpx.Response) -> Any:
    if not answer.content.strip():
        return None
    try:
        return answer.json()
    except ValueError as error:
        raise DeployError(f"what answers {answer.request.url.host} is not Render: no JSON") from error


def _message(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        body = None
    return str(body.get("message", "no message")) if isinstance(body, dict) else "no message"


def _service(read: Mapping[str, Any]) -> Service:
    details = read.get("serviceDetails") or {}
    return Service(read["id"], read["name"], details.get("url"), read.get("suspended") == "suspended")


def _deploy(read: Mapping[str, Any]) -> Deploy:
    image = read.get("image") or {}
    reference, digest = str(image.get("ref") or ""), image.get("sha")
    repository, _, by_digest = reference.partition("@")
    digest = digest or by_digest or None
    # A tag beside the digest says nothing: what follows the last colon, unless that belongs to a port.
    head, colon, tag = repository.rpartition(":")
    repository = head if colon and "/" not in tag else repository
    return Deploy(read["id"], read["status"], f"{repository}@{digest}" if repository and digest else None)
