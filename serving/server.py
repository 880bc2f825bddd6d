"""Run one or several services in one process until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from pipeline.base.errors import PlatformError
from pipeline.base.settings import Settings
from serving.accepting import SharedListener, Shares
from serving.app import create_app
from serving.cores import settle_on_core
from serving.edge.slow_clients import PatientProtocol
from serving.services import SERVICES, Service

BACKLOG = 2048
LONGEST_HEAD_BYTES = 32 * 1024
"""Request line and headers."""
KEEP_ALIVE_SECONDS = 5
GRACE_SECONDS = 12
"""For requests that run when the end is asked for: longer than any statement of theirs may take."""
DRAIN_SECONDS = 2.0
"""For callers that hold a connection: a request may be on its way, so its answer says that it is the last one."""

YOUNG_OBJECTS = 10_000
"""After which the youngest are looked at; Python's 700 are those of a single request."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens."""

    service: Service
    host: str
    port: int

    @property
    def url(self) -> str:
        """The address for a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def addresses(services: Sequence[Service], settings: Settings) -> tuple[Address, ...]:
    """Where the services listen. ``PORT`` moves a single service, as containers do; several keep their own."""
    if settings.port is not None and len(services) == 1:
        return (Address(services[0], settings.host, settings.port),)
    return tuple(Address(service, settings.host, service.port_on(settings)) for service in services)


def serve(services: Sequence[Service], settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; returns when every service has ended.

    SIGTERM loses no request: nothing new is accepted, every open connection is answered once more, and what is computed
    is waited for.

    Raises
    ------
    PlatformError
        If a port is taken, the host is not one of this machine, or the settings lack something. Nothing is
        served then.
    """
    apps = [create_app(service.name, settings) for service in services]
    with ExitStack() as stack:
        sockets = [stack.enter_context(listening_socket(address)) for address in addresses(services, settings)]
        if settings.own_core:
            settle_on_core(SERVICES.index(services[0]))  # those of one machine keep apart
        run(apps, settings, sockets)


@dataclass(frozen=True, slots=True)
class Membership:
    """What binds a process to others that answer on the same sockets.

    Parameters
    ----------
    tell
        Called once all applications answer.
    life
        Descriptor of a pipe whose other end the supervisor holds open as long as this process is wanted.
    shares
        How many connections each of them has.
    """

    tell: Callable[[], None]
    life: int
    shares: Shares


def run(
    apps: Sequence[FastAPI],
    settings: Settings,
    sockets: Sequence[socket.socket],
    membership: Membership | None = None,
) -> None:
    """Run applications in this process on sockets that listen; other processes may listen on them, too."""
    config = [server_config(app, settings) for app in apps]
    settle_memory()
    with asyncio.Runner(loop_factory=config[0].get_loop_factory()) as runner:
        runner.run(_serve_all(config, sockets, membership))


def settle_memory() -> None:
    """Let the collector of cycles leave alone what lives as long as the process: modules, routes, models.

    It would look at all of it again every few hundred requests, a tenth of the time of a small read (measured).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def server_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How every service is run; also by the tests."""
    return uvicorn.Config(
        app,
        http=PatientProtocol,  # on h11; httptools, faster, takes headers without an end
        h11_max_incomplete_event_size=LONGEST_HEAD_BYTES,
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        # The caller's own X-Forwarded-For is believed otherwise.
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_level=settings.log_level,
    )


@contextmanager
def listening_socket(address: Address) -> Iterator[socket.socket]:
    """A socket that listens, so that nobody takes the port between the check and its use.

    Raises
    ------
    PlatformError
        If the port is taken or the host cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        # Sets SO_REUSEADDR: a port whose last connections are being closed is free.
        listener = socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PlatformError(
            f"{address.service.name} cannot listen on {address.host}:{address.port} ({reason})",
            "Stop what uses that port, or move every service with FINTECH_PORT_OFFSET (HOST names the interface).",
        ) from error
    with listener:
        yield listener


class _Server(uvicorn.Server):
    """A server that leaves signals to `_serve_all`, which ends all servers of the process together."""

    drains = True

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.shares: Shares | None = None
        self.all_connections: Callable[[], int] = self.connections
        """Of every server of the process."""
        self._listeners: list[SharedListener] = []

    def connections(self) -> int:
        """How many it has."""
        return len(self.server_state.connections) + sum(listener.connecting for listener in self._listeners)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer; where other processes do, too, each takes its share."""
        if self.shares is None:
            await super().startup(sockets)
            return
        await super().startup([])
        for listener in sockets or ():
            taking = SharedListener(listener, self._protocol, self.shares, self.all_connections)
            self._listeners.append(taking)
            self.servers.append(cast("asyncio.Server", taking))  # it is closed and waited for like one

    def _protocol(self) -> asyncio.Protocol:
        return PatientProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def on_tick(self, counter: int) -> bool:
        """Tell the other processes of connections that have come and gone."""
        if self.shares is not None and not self.should_exit:
            self.shares.tell(self.all_connections())
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is on its way before connections are closed: uvicorn closes an idle one at once."""
        if self.drains:
            for server in self.servers:
                server.close()
            for listener in sockets or ():
                listener.close()
            await self._drain()
        await super().shutdown(sockets)

    async def _drain(self) -> None:
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        end = time.monotonic() + DRAIN_SECONDS
        while self.connections() and not self.force_exit and time.monotonic() < end:
            await asyncio.sleep(0.02)


async def _serve_all(
    configs: Sequence[uvicorn.Config], sockets: Sequence[socket.socket], membership: Membership | None
) -> None:
    servers = [_Server(config) for config in configs]
    if membership is not None:
        for server in servers:
            server.shares = membership.shares
            server.all_connections = lambda: sum(server.connections() for server in servers)

    def end(number: int) -> None:
        for server in servers:
            server.force_exit = server.should_exit  # a second signal does not wait for requests
            server.should_exit = True
            server.drains = number == signal.SIGTERM  # whoever types Ctrl-C waits for nobody
        if membership is not None:
            membership.shares.end()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    if membership is not None:
        loop.add_reader(membership.life, _end_orphan, loop, membership.life, end)
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener])) for server, listener in zip(servers, sockets, strict=True)
    ]
    telling = asyncio.create_task(_tell_when_started(servers, membership.tell)) if membership is not None else None
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:  # one that ends by itself takes the others with it
        server.should_exit = True
    await asyncio.gather(*tasks)
    if telling is not None:
        telling.cancel()
    if not all(server.started for server in servers):
        raise PlatformError("A service could not start", "Its log above names the cause.")


async def _tell_when_started(servers: Sequence[uvicorn.Server], tell: Callable[[], None]) -> None:
    while not all(server.started for server in servers):
        await asyncio.sleep(0.02)
    tell()


def _end_orphan(loop: asyncio.AbstractEventLoop, life: int, end: Callable[[int], None]) -> None:
    """End a worker whose supervisor was killed: the pipe between them has no other end."""
    loop.remove_reader(life)
    end(signal.SIGTERM)
