"""One server to measure: ``python -m tests.load.served NAME DATABASE_URL PORT [COLLECTOR_URL]``.

All of them run as in production, by the same server with the same settings; they differ in what answers.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from pydantic import SecretStr

from pipeline.base.settings import Settings
from serving.app import create_app
from serving.cores import settle_on_core
from serving.server import server_config, settle_memory

BODY = b'{"hello":"world"}'
JWT_SECRET = "only for measuring, in a database that is removed"
CORE = 1
"""Of each of them: they take turns."""
SERVICE_KEY = "as short-lived as the database behind it"

_ALONE: dict[str, object] = {"metrics": False, "access_log": False, "otlp_endpoint": None}
_OBSERVED = {"metrics": True, "access_log": True, "log_level": "info"}
_SECURED = {
    "environment": "staging",
    "jwt_secret": SecretStr(JWT_SECRET),
    "service_api_key": SecretStr(SERVICE_KEY),
    "rate_limit": "1000000000/15 minutes",
}
CHANGES: dict[str, dict[str, object]] = {
    "bare": {},
    "cached": _ALONE,
    "full": {**_OBSERVED, **_SECURED},
    "postgres": {**_ALONE, "cache_mib": 0},
    # A cache that is full soon, so that what still grows is no answer that is kept.
    "soaked": {**_OBSERVED, **_SECURED, "cache_mib": 2},
}


async def hello(scope, receive, send) -> None:
    """The least that an application can do."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def settings_of(name: str, url: str, collector: str | None) -> Settings:
    """Settings that no environment changes."""
    fixed = {"database_url": SecretStr(url), "log_level": "warning", "otlp_endpoint": collector, "trace_ratio": 0.01}
    return Settings.model_construct(**{**Settings.model_construct().model_dump(), **fixed, **CHANGES[name]})


def main(name: str, url: str, port: str, collector: str | None = None) -> None:
    """Serve until the process is ended."""
    settings = settings_of(name, url, collector)
    app = hello if name == "bare" else create_app("backend-api", settings)
    config = server_config(app, settings)
    config.log_level = "warning"
    settle_memory()
    settle_on_core(CORE)
    with (
        socket.create_server(("127.0.0.1", int(port)), backlog=2048) as listener,
        asyncio.Runner(loop_factory=config.get_loop_factory()) as runner,
    ):
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main(*sys.argv[1:])
