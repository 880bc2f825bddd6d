"""A server that takes whatever services post, and services in processes of their own that post to it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.ports import free_port_offset


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that takes whatever is posted; its address and what came."""
    posted: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", posted
        finally:
            server.shutdown()
            thread.join()


def unpacked(body: bytes) -> bytes:
    """A posted body; whoever posts packs it with Brotli where that is installed, else with gzip."""
    import gzip  # noqa: PLC0415

    import brotli  # noqa: PLC0415

    if body.startswith(b"\x1f\x8b"):
        return gzip.decompress(body)
    try:
        return brotli.decompress(body)
    except brotli.error:
        return body


@contextmanager
def process(url: str, **variables: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """The gateway in a process of its own, as a container runs it."""
    port = 3000 + free_port_offset()
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": url, "FINTECH_ENV": "local", "PORT": str(port), **variables}
    command = [sys.executable, "-m", "serving", "backend-api"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            limits = httpx.Limits(max_connections=100)
            address = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=address, timeout=15, trust_env=False, limits=limits) as client:
                _wait_for(client, running)
                yield client, running
        finally:
            running.kill()


def _wait_for(client: httpx.Client, running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            client.get("/health")
            return
        except httpx.ConnectError:
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
