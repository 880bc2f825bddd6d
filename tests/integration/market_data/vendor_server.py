"""A vendor on loopback: a real server on raw sockets, so that it can also break the protocol as vendors do."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

Transfer = Literal["length", "chunks", "until close", "cut", "drip", "drip of headers", "reset"]
"""How an answer travels: ``cut`` announces its length and closes early; drips take 20 ms a byte."""

DRIP_SECONDS = 0.02


@dataclass(frozen=True)
class Request:
    """A request as it came in."""

    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    connection: int


@dataclass(frozen=True)
class Reply:
    """What is sent, and how."""

    status: int = 200
    body: bytes = b""
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    transfer: Transfer = "length"


Respond = Callable[[Request], Reply]
Fault = Callable[[Reply], Reply]
"""From the right reply to the one that is sent."""


class VendorServer(socketserver.ThreadingTCPServer):
    """Answers as `respond` says, with the next fault if one is queued."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, respond: Respond) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.respond = respond
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.times: list[float] = []
        self.connections = 0

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def reply_to(self, request: Request) -> Reply:
        """The right reply, or what the next fault makes of it."""
        self.requests.append(request)
        self.times.append(time.monotonic())
        reply = self.respond(request)
        return self.faults.pop(0)(reply) if self.faults else reply

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""


class _Connection(socketserver.StreamRequestHandler):
    server: VendorServer

    def handle(self) -> None:
        self.server.connections += 1
        number = self.server.connections
        while (request := self._read(number)) is not None:
            if not self._send(self.server.reply_to(request)):
                return

    def _read(self, number: int) -> Request | None:
        line = self.rfile.readline().decode()
        if not line:
            return None
        headers = {}
        while (header := self.rfile.readline().decode().rstrip("\r\n")) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        target = urlsplit(line.split()[1])
        params = {name: values[0] for name, values in parse_qs(target.query).items()}
        return Request(unquote(target.path), params, headers, number)

    def _send(self, reply: Reply) -> bool:
        """Send a reply; whether the connection stays open."""
        if reply.transfer == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            return False
        head, body = _head(reply), reply.body
        if reply.transfer.startswith("drip"):
            if reply.transfer == "drip":
                self.wfile.write(head)
                head = b""
            for byte in head + body:
                self.wfile.write(bytes([byte]))
                time.sleep(DRIP_SECONDS)
            return True
        if reply.transfer == "cut":
            body = body[: len(body) // 2]
        if reply.transfer == "chunks":
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part) + b"0\r\n\r\n"
        self.wfile.write(head + body)
        return reply.transfer in ("length", "chunks")


def _head(reply: Reply) -> bytes:
    framing = {
        "chunks": "Transfer-Encoding: chunked\r\n",
        "until close": "Connection: close\r\n",
    }.get(reply.transfer, f"Content-Length: {len(reply.body)}\r\n")
    more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    return f"HTTP/1.1 {reply.status} Reason\r\nContent-Type: {reply.media_type}\r\n{framing}{more}\r\n".encode()


@contextmanager
def serving(respond: Respond) -> Iterator[VendorServer]:
    """Run a vendor for the length of the block."""
    with VendorServer(respond) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


# Faults ----------------------------------------------------------------------------------------------------


def too_many_requests(**headers: str) -> Fault:
    """HTTP 429, with the headers given."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Reply(429, b'{"detail":"Too many requests"}', headers=given)


def status(code: int, body: bytes = b"", media_type: str = "application/json") -> Fault:
    """Another status."""
    return lambda _: Reply(code, body, media_type)


def plain_text(text: str) -> Fault:
    """HTTP 200 with a sentence in place of data, declared as data."""
    return lambda reply: replace(reply, body=text.encode())


def web_page(reply: Reply) -> Reply:
    """HTTP 200 with a maintenance page."""
    return replace(
        reply, body=b"<!DOCTYPE html>\n<html><body>Down for maintenance</body></html>", media_type="text/html"
    )


def travelling(transfer: Transfer) -> Fault:
    """The right reply on a wrong way."""
    return lambda reply: replace(reply, transfer=transfer)


def half_until_close(reply: Reply) -> Reply:
    """Half the body, on a connection whose end is the only sign that it ends."""
    return replace(reply, body=reply.body[: len(reply.body) * 5 // 7], transfer="until close")


def with_body(change: Callable[[bytes], bytes]) -> Fault:
    """The right reply with a changed body."""
    return lambda reply: replace(reply, body=change(reply.body))


def noting(fault: Fault, sent: list[bytes]) -> Fault:
    """The same fault; the bodies that it sends are appended to a list."""

    def note(reply: Reply) -> Reply:
        changed = fault(reply)
        sent.append(changed.body)
        return changed

    return note
