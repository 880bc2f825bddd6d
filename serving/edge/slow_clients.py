"""Connections that would be held for ever: heads that do not end, bodies that nobody wants, answers that nobody reads.

uvicorn closes a connection that is idle between two requests, and no other: one byte a minute keeps it. So this adds
the three time limits that it has no settings for. What an application reads of a body is limited in
`serving.edge.bodies`.
"""

from __future__ import annotations

import asyncio
import json
from array import array
from contextlib import suppress
from fcntl import ioctl
from http import HTTPStatus
from termios import TIOCOUTQ
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

from serving.edge.checked_heads import CheckedHeads
from serving.edge.security_headers import HEADERS, NO_STORE

HEAD_SECONDS = 10.0
"""From the first byte of a request, or from the beginning of a connection, to the end of its head."""
DISCARD_SECONDS = 5.0
"""For the rest of a body after its answer: a caller reads that it was refused only once it has sent its own."""
WRITE_SECONDS = 30.0
"""In which a caller takes `LEAST_BYTES` of an answer, once 64 KiB wait for it."""
LEAST_BYTES = 64 * 1024
"""Less than 2 KiB a second would hold an answer for hours."""


class PatientProtocol(CheckedHeads):
    """HTTP/1.1 whose patience has an end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Wait for what is missing, but not longer because some of it came."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            under_way: RequestResponseCycle | None = self.cycle  # uvicorn's annotation forgets the beginning
            if under_way is None or not under_way.response_complete:
                self._stop_reading_limit()  # the application limits how long it reads
        elif self.timeout_keep_alive_task is None:
            self._await_head()

    def on_response_complete(self) -> None:
        """Give the rest of a body a while."""
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._stop_reading_limit()
            self._reading = self.loop.call_later(DISCARD_SECONDS, self.transport.close)
        else:
            self._stop_reading_limit()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Give the caller a while to take what waits."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._stop_writing_limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        self._stop_reading_limit()
        self._stop_writing_limit()

    def _await_reader(self) -> None:
        self._writing = self.loop.call_later(WRITE_SECONDS, self._end_without_reader, self._untaken_bytes())

    def _end_without_reader(self, untaken_before: int) -> None:
        if untaken_before - self._untaken_bytes() < LEAST_BYTES:
            self.transport.abort()
        else:
            self._await_reader()

    def _untaken_bytes(self) -> int:
        """Bytes that the caller's machine has not acknowledged: the system's buffer may hold megabytes of them."""
        held = array("i", [0])
        with suppress(OSError):  # where the system does not tell, what waits before its buffer has to do
            ioctl(self.transport.get_extra_info("socket").fileno(), TIOCOUTQ, held)
        return self.transport.get_write_buffer_size() + held[0]

    def _await_head(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(HEAD_SECONDS, self._end_without_head)

    def _end_without_head(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:  # who has sent nothing is told nothing
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"The head of the request did not end within {HEAD_SECONDS:g} s.")
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the words of a problem and not in the server's own."""
        self._refuse(HTTPStatus.BAD_REQUEST, f"The request is no HTTP/1.1 that can be read: {msg}")
        self.transport.close()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer before there is a request that could be logged, counted or given an id."""
        problem = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
        body = json.dumps(problem).encode()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            NO_STORE,
            *HEADERS,
        ]
        head = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def _stop_reading_limit(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_writing_limit(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
