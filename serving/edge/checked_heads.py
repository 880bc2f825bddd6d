"""Heads of answers, each of whose headers is checked once and not with every answer, and which leave with the body.

h11 matches each name and value with its grammar each time, 2 µs a header: of an answer from memory, whose headers
hardly ever change, a sixth of the time (measured). It is asked here for those only that it has not seen before, and
always for those from which it takes where the answer ends and whether the connection goes on.

The server's loop sends at once whatever is written, so a head that is written by itself costs a call of the system
more, and wakes the caller twice. It waits for the body as long as nothing else happens in the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import h11
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

Header = tuple[bytes, bytes]

REMEMBERED = 1_024
LONGEST_BYTES = 128
"""Of a value that is remembered, so that all of them together stay small."""
_NEW_EACH_TIME = frozenset({b"set-cookie", b"x-request-id"})
"""Not remembered: the one is a credential, the other would push out the rest."""
_OF_THE_CONNECTION = frozenset({b"connection", b"content-length", b"transfer-encoding"})


class CheckedHeads(H11Protocol):
    """HTTP/1.1 that begins its answers by `sent_head`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._application = self.app
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        cycle = self.cycle  # the next one of the connection begins when this one has answered
        beginning = _Beginning(cycle, self.server_state)

        async def send_checked(message: Message) -> None:
            if message["type"] == "http.response.start" and not cycle.response_started:
                await beginning.start(message)
            elif beginning.waits and message["type"] == "http.response.body":
                beginning.go_on(message)
            else:
                await send(message)

        try:
            await self._application(scope, receive, send_checked)
        finally:
            beginning.flush()


class _Beginning:
    """Does what ``cycle.send`` does with the beginning of an answer, up to the first part of its body."""

    def __init__(self, cycle: RequestResponseCycle, server: ServerState) -> None:
        self._cycle = cycle
        self._server = server
        self._head = b""
        self._flushing: asyncio.Handle | None = None

    @property
    def waits(self) -> bool:
        """Whether there is a head that has not been written."""
        return self._flushing is not None

    async def start(self, message: Message) -> None:
        """Make the head."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        headers = [*self._server.default_headers, *message.get("headers", ())]  # as they are now: it may end meanwhile
        if CLOSE_HEADER in cycle.scope["headers"] and CLOSE_HEADER not in headers:
            headers.append(CLOSE_HEADER)
        status = message["status"]
        self._head = sent_head(cycle.conn, status, STATUS_PHRASES[status], headers)
        self._flushing = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write a head that still waits: its body comes later, or never."""
        head = self._taken_head()
        if head is not None and not self._cycle.disconnected:
            self._cycle.transport.write(head)

    def go_on(self, message: Message) -> None:
        """Write the head and the first part of the body together."""
        cycle = self._cycle
        head = self._taken_head()
        if head is None or cycle.disconnected:
            return
        data = b"" if cycle.scope["method"] == "HEAD" else message.get("body", b"")
        parts = [head, cycle.conn.send(h11.Data(data=data)) or b""]
        is_last = not message.get("more_body", False)
        if is_last:
            cycle.response_complete = True
            cycle.message_event.set()
            parts.append(cycle.conn.send(h11.EndOfMessage()) or b"")
        cycle.transport.writelines([part for part in parts if part])
        if is_last:
            self._end()

    def _end(self) -> None:
        cycle = self._cycle
        if cycle.conn.our_state is h11.MUST_CLOSE or not cycle.keep_alive:
            cycle.conn.send(h11.ConnectionClosed())
            cycle.transport.close()
        cycle.on_response()

    def _taken_head(self) -> bytes | None:
        """The head that waited until now; None if it has been written."""
        if self._flushing is None:
            return None
        self._flushing.cancel()
        self._flushing = None
        return self._head


def sent_head(connection: h11.Connection, status: int, reason: bytes, headers: Iterable[Header]) -> bytes:
    """Begin an answer: what ``connection.send`` gives for its head, those headers first that concern the connection.

    Raises
    ------
    h11.LocalProtocolError
        If one is no header of HTTP, or two of them name different lengths of the body.
    """
    lines = []
    others = []
    for header in headers:
        name, value = header
        is_remembered = len(value) <= LONGEST_BYTES and name.lower() not in _NEW_EACH_TIME
        line = _remembered(header) if is_remembered else None
        if line is None:
            others.append(header)
        else:
            lines.append(line)
    begun = connection.send(h11.Response(status_code=status, headers=others, reason=reason))
    return begun.removesuffix(b"\r\n") + b"".join(lines) + b"\r\n"


def _line(header: Header) -> bytes | None:
    """The header as it is sent; None for one that h11 has to see with each answer."""
    [(name, value)] = h11.Response(status_code=200, headers=[header]).headers.raw_items()
    return None if name.lower() in _OF_THE_CONNECTION else b"%s: %s\r\n" % (name, value)


_remembered = lru_cache(REMEMBERED)(_line)
