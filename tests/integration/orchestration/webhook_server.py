"""A receiver of webhooks on loopback, which keeps what it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiving:
    """What a receiver was sent, and what it answers."""

    url: str = ""
    status: int = 204
    keys: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None


@contextmanager
def receiver(port: int = 0) -> Iterator[Receiving]:
    """A receiver that runs until the end of the block."""
    receiving = Receiving()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiving.keys.append(self.headers["Idempotency-Key"])
            receiving.bodies.append(body)
            receiving.before_answer()
            self.send_response(receiving.status)
            self.send_header("Content-Length", "0")
            if receiving.status == 302:
                self.send_header("Location", receiving.url)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        receiving.url = f"http://127.0.0.1:{server.server_port}/hook?token=secret"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield receiving
        finally:
            server.shutdown()
            thread.join(5)
