"""Connections that would be held for ever: heads that do not end, bodies that nobody wants, answers that nobody reads.

uvicorn closes a connection that is idle between two requests, and no other: one byte a minute keeps it. So this adds
the three time limits that it has no settings for. What an application reads of a body is limited in
`serving.edge.bodies`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

from serving.edge.checked_heads import CheckedHeads

HEAD_SECONDS = 10.0
"""From the first byte of a request, or from the beginning of a connection, to the end of its head."""
DISCARD_SECONDS = 5.0
"""For the rest of a body after its answer: a caller reads that it was refused only once it has sent its own."""
WRITE_SECONDS = 30.0
"""That a caller may take nothing of an answer, once 64 KiB wait for it."""

_TIMEOUT = json.dumps(
    {
        "type": "about:blank",
        "title": "Request Timeout",
        "status": 408,
        "detail": f"The head of the request did not end within {HEAD_SECONDS:g} s.",
    }
).encode()


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
        self._writing = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._stop_writing_limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        self._stop_reading_limit()
        self._stop_writing_limit()

    def _await_head(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(HEAD_SECONDS, self._end_without_head)

    def _end_without_head(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:  # who has sent nothing is told nothing
            headers = [
                ("content-type", "application/problem+json"),
                ("content-length", str(len(_TIMEOUT))),
                ("connection", "close"),
            ]
            for event in (
                h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
                h11.Data(data=_TIMEOUT),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _stop_reading_limit(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_writing_limit(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
