"""Heads of answers on real connections: with their bodies where these come at once, before them where they come later.

The server and its settings are those of production; the applications behind them answer as none of ours does.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from serving.server import Address, listening_socket, server_config
from serving.services import SERVICES
from tests.integration.serving.running import local_settings, wait_until

NOBODY = "postgresql://user:secret@127.0.0.1:1/none"
LENGTH = (b"content-length", b"6")
ASKED = b" HTTP/1.1\r\nHost: x\r\n\r\n"


class Answering:
    """An application that answers each path in a way of its own."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        headers = [] if scope["path"] == "/chunks" else [LENGTH]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await getattr(self, scope["path"][1:])(send)

    async def once(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": b"abcdef"})

    async def parts(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"def"})

    async def chunks(self, send: Send) -> None:
        await self.parts(send)

    async def late(self, send: Send) -> None:
        await asyncio.to_thread(self.goes_on.wait, 20)
        await self.once(send)

    async def dies(self, _: Send) -> None:
        raise RuntimeError("on purpose")

    async def nothing(self, _: Send) -> None:
        pass


class Serving:
    """The application on a port."""

    def __init__(self, application: Answering, port: int) -> None:
        self.application = application
        self._port = port

    @contextmanager
    def asked(self, *requests: bytes) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
            connection.sendall(b"".join(requests))
            yield connection


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    settings = local_settings(NOBODY)
    application = Answering()
    with listening_socket(Address(SERVICES[0], "127.0.0.1", 0)) as listener:
        server = uvicorn.Server(server_config(application, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        yield Serving(application, listener.getsockname()[1])
        server.should_exit = True
        thread.join(10)


def until_closed(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65_536):
        found += piece
    return found


def through(connection: socket.socket, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        piece = connection.recv(65_536)
        assert piece, found
        found += piece
    return found


def test_a_head_and_its_body_come_together(serving: Serving) -> None:
    for _ in range(20):
        with serving.asked(b"GET /once" + ASKED) as connection:
            received = connection.recv(65_536)  # what one call of the system has sent
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert received.endswith(b"\r\n\r\nabcdef")


def test_a_head_does_not_wait_for_a_body_that_comes_later(serving: Serving) -> None:
    serving.application.goes_on.clear()
    with serving.asked(b"GET /late" + ASKED) as connection:
        assert through(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        serving.application.goes_on.set()
        assert through(connection, b"abcdef") == b"abcdef"


@pytest.mark.parametrize(
    ("path", "body"),
    [(b"/once", b"abcdef"), (b"/parts", b"abcdef"), (b"/chunks", b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")],
)
def test_bodies_in_parts_are_whole_and_the_connection_goes_on(serving: Serving, path: bytes, body: bytes) -> None:
    with serving.asked(b"GET " + path + ASKED) as connection:
        assert through(connection, body).count(b"HTTP/1.1 200 OK") == 1
        connection.sendall(b"GET " + path + ASKED)
        assert through(connection, body).startswith(b"HTTP/1.1 200 OK")


def test_requests_sent_together_are_answered_in_turn(serving: Serving) -> None:
    last = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with serving.asked(b"GET /once" + ASKED, b"GET /parts" + ASKED, b"GET /once" + last) as connection:
        received = until_closed(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.count(b"\r\n\r\nabcdef") == 3


def test_a_head_alone_is_what_head_asks_for(serving: Serving) -> None:
    with serving.asked(b"HEAD /once HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as connection:
        received = until_closed(connection)
    assert received.endswith(b"\r\n\r\n")
    assert b"content-length: 6" in received


@pytest.mark.parametrize("path", [b"/dies", b"/nothing"])
def test_an_answer_that_ends_after_its_head_is_seen_to_be_cut_off(
    serving: Serving, path: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL), serving.asked(b"GET " + path + ASKED) as connection:
        received = until_closed(connection)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"\r\n\r\n")
    assert b"content-length: 6" in received


def test_a_caller_that_has_gone_harms_no_other(serving: Serving) -> None:
    serving.application.goes_on.clear()
    with serving.asked(b"GET /late" + ASKED):
        pass
    serving.application.goes_on.set()
    with serving.asked(b"GET /once" + ASKED) as connection:
        assert through(connection, b"abcdef").startswith(b"HTTP/1.1 200 OK")
