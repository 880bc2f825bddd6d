"""Heads of answers, each of whose headers is checked once and not with every answer.

h11 matches each name and value with its grammar each time, 2 µs a header: of an answer from memory, whose headers
hardly ever change, a sixth of the time (measured). It is asked here for those only that it has not seen before, and
always for those from which it takes where the answer ends and whether the connection goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import h11
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol, RequestResponseCycle

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

        async def send_checked(message: Message) -> None:
            if message["type"] == "http.response.start" and not cycle.response_started:
                await _start(cycle, message)
            else:
                await send(message)

        await self._application(scope, receive, send_checked)


async def _start(cycle: RequestResponseCycle, message: Message) -> None:
    """Do what ``cycle.send`` does with the beginning of an answer."""
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    headers = [*cycle.default_headers, *message.get("headers", ())]
    if CLOSE_HEADER in cycle.scope["headers"] and CLOSE_HEADER not in headers:
        headers.append(CLOSE_HEADER)
    status = message["status"]
    cycle.transport.write(sent_head(cycle.conn, status, STATUS_PHRASES[status], headers))


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
        line = _remembered(header) if is_remembered else _line(header)
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
