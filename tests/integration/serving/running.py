"""Services that run as in production, on free ports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from pydantic import SecretStr

from pipeline.base.settings import Settings
from serving.app import create_app
from serving.server import Address, listening_socket, server_config
from serving.services import service_named


def local_settings(url: str, **changes: object) -> Settings:
    """Settings that nothing outside the test changes."""
    fixed = {
        "environment": "local",
        "database_url": SecretStr(url),
        "host": "127.0.0.1",
        "port": None,
        "port_offset": 0,
        "log_level": "warning",
    }
    return Settings.model_construct(**{**Settings.model_construct().model_dump(), **fixed, **changes})


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs, and a client for it."""

    client: httpx.Client
    port: int


Serve = Callable[..., Running]


@contextmanager
def running_service(service: str, settings: Settings, port: int = 0) -> Iterator[Running]:
    """A service on a free port or a given one, with the configuration that production uses."""
    with listening_socket(Address(service_named(service), settings.host, port)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(server_config(create_app(service, settings), settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15, trust_env=False) as client:
                yield Running(client, port)
        finally:
            server.should_exit = True
            thread.join(10)


def wait_until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that happens soon."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)
