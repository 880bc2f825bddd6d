"""`fintech health`: whether everything that should answer does, and how old what it knows is."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from fintech.addresses import dagster_ui_port
from fintech.host import reached_server
from pipeline.base.errors import PlatformError
from pipeline.base.settings import Settings
from pipeline.store.engine import Database
from pipeline.store.migrating import head_revision
from pipeline.store.readiness import check_readiness
from serving.services import SERVICES, Service
from serving.upstream import ADDRESSES

TIMEOUT_SECONDS = 10.0
THREADS = 8
CONNECT_TIMEOUT_SECONDS = 3
ILL_EXIT_CODE = 1

_QUESTION = """{
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatTime } } }
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries { name loadStatus locationOrLoadError { __typename ... on PythonError { message } } }
    }
    ... on PythonError { message }
  }
}"""


@dataclass(frozen=True, slots=True)
class Answer:
    """How something is.

    Parameters
    ----------
    is_well
        Whether nobody has to look at it.
    told
        What it said, or why it is ill.
    """

    what: str
    is_well: bool
    told: str


class UnhealthyError(PlatformError):
    """Something does not answer as it should."""


def print_health(settings: Settings, console: Console) -> None:
    """Ask everything at once and print what it says.

    Raises
    ------
    UnhealthyError
        Naming what is ill, after the table.
    """
    answers = ask_all(settings)
    table = Table("", "what", "says", box=None, pad_edge=False)
    for answer in answers:
        table.add_row("[green]ok[/green]" if answer.is_well else "[red]ILL[/red]", answer.what, answer.told)
    console.print(table)
    ill = [answer.what for answer in answers if not answer.is_well]
    if ill:
        raise UnhealthyError(
            f"{len(ill)} of {len(answers)} are ill: {', '.join(ill)}",
            "docs/RUNBOOK.md says what to do; `fintech logs --errors` shows their errors.",
            exit_code=ILL_EXIT_CODE,
        )


def ask_all(settings: Settings) -> list[Answer]:
    """Services, Dagster, Postgres and Redis, in this order.

    On this machine all of them. Elsewhere those that the settings name: the gateway tells of the services behind it.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        return [answer for found in threads.map(lambda q: _asked(*q), _questions(settings)) for answer in found]


def _questions(settings: Settings) -> Iterator[tuple[str, Callable[[], Iterator[Answer]]]]:
    for service in SERVICES:
        address = service_address(settings, service)
        if address is not None:
            yield service.name, partial(_ask_service, service.name, address)
    dagster = dagster_address(settings)
    if dagster is not None:
        key = settings.api_key.get_secret_value() if settings.api_key is not None else None
        yield "dagster-webserver", partial(_ask_dagster, dagster, key)
    if settings.is_local or settings.database_url is not None:
        yield "postgres", partial(_ask_postgres, settings)
    if settings.redis_url is not None:
        yield "redis", partial(_ask_redis, settings.redis_url.get_secret_value())


def service_address(settings: Settings, service: Service) -> str | None:
    """Where a service is asked: the address that the settings name, else this machine's."""
    named = settings.public_url if service.slice is None else getattr(settings, ADDRESSES[service.slice])
    return _or_here(settings, named, service.port_on(settings))


def dagster_address(settings: Settings) -> str | None:
    """Where Dagster's webserver is asked."""
    return _or_here(settings, settings.dagster_url, dagster_ui_port(settings))


def _or_here(settings: Settings, named: str | None, port: int) -> str | None:
    if named is not None:
        return named.rstrip("/")
    return f"http://127.0.0.1:{port}" if settings.is_local else None


def _asked(what: str, ask: Callable[[], Iterator[Answer]]) -> list[Answer]:
    try:
        return list(ask())
    except (PlatformError, OSError, ValueError, KeyError, TypeError) as error:
        reason = error.cause if isinstance(error, PlatformError) else getattr(error, "reason", None) or error
        return [Answer(what, False, str(reason) or type(error).__name__)]


def _ask_service(name: str, address: str) -> Iterator[Answer]:
    began = time.monotonic()
    told = _get(f"{address}/health/ready")
    taken = (time.monotonic() - began) * 1000
    if told.get("service") != name:
        yield Answer(name, False, f"{address} is {told.get('service', 'something else')}")
        return
    silent = [
        f"{upstream} {'answers' if state['answers'] else 'is silent'}, circuit {state['circuit']}"
        for upstream, state in told["upstreams"].items()
        if not state["answers"] or state["circuit"] != "closed"
    ]
    at = f"version {told['version']}, revision {told['schema_revision']}, {taken:.0f} ms"
    yield Answer(name, not silent, "; ".join([at, *silent]))


def _ask_dagster(address: str, key: str | None) -> Iterator[Answer]:
    told = _get(f"{address}/graphql", json.dumps({"query": _QUESTION}).encode(), key)["data"]
    workspace = told["workspaceOrError"]
    if workspace["__typename"] == "PythonError":
        yield Answer("dagster-webserver", False, _first_line(workspace["message"]))
        return
    yield Answer("dagster-webserver", True, f"{len(workspace['locationEntries'])} code locations")
    for entry in workspace["locationEntries"]:
        found = entry["locationOrLoadError"]
        is_well = found is not None and found["__typename"] != "PythonError"
        said = "loaded" if is_well else _first_line(found["message"]) if found else f"{entry['loadStatus']}".lower()
        yield Answer(f"code location {entry['name']}", is_well, said)
    for daemon in told["instance"]["daemonHealth"]["allDaemonStatuses"]:
        if daemon["required"]:
            beat = daemon["lastHeartbeatTime"]
            age = f"heartbeat {max(time.time() - beat, 0):.0f} s ago" if beat else "no heartbeat"
            yield Answer(f"daemon {daemon['daemonType'].lower()}", bool(daemon["healthy"]), age)


def _ask_postgres(settings: Settings) -> Iterator[Answer]:
    with reached_server(settings) as addresses:
        revision = check_readiness(addresses.application, CONNECT_TIMEOUT_SECONDS)
        with Database(addresses.dagster).connect() as connection:
            version = connection.info.parameter_status("server_version")
    head = head_revision()
    told = f"Postgres {version}, revision {revision}"
    yield Answer("postgres", revision == head, told if revision == head else f"{told}, and this code wants {head}")


def _ask_redis(url: str) -> Iterator[Answer]:
    from redis import Redis, RedisError  # noqa: PLC0415 - where there is one

    try:
        with Redis.from_url(
            url, socket_timeout=CONNECT_TIMEOUT_SECONDS, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS
        ) as client:
            told = client.info("memory")
            yield Answer("redis", True, f"{told['used_memory_human']} used, {told['maxmemory_policy']}")
    except RedisError as error:
        yield Answer("redis", False, str(error))


def _get(url: str, body: bytes | None = None, key: str | None = None) -> Any:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - http addresses alone pass the settings
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise PlatformError(f"{error.code} {_problem(error)}", "") from error


def _problem(error: urllib.error.HTTPError) -> str:
    """What a problem document says."""
    try:
        told = json.load(error)
        return str(told.get("detail") or told.get("title") or error.reason)
    except (ValueError, AttributeError):
        return str(error.reason)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "an error without words"
