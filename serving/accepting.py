"""Connections that several processes take from one socket, each its share.

Whoever looks first would take all that wait. Of a hundred callers who come together and stay, one of two processes then
got 65 to 80, and was at its end while the other one had time (measured). So each tells the others how many it has, in
memory that they share, and who has more leaves what comes to them for a moment.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import os
import socket
import tempfile
from array import array
from collections.abc import Callable
from typing import IO

logger = logging.getLogger("serving")

AT_ONCE = 4
"""Connections taken before what else is ready gets its turn."""
AHEAD = 2
"""Connections that a process may have more than another one."""
REST_SECONDS = 0.005
"""For the others to take what comes; one that does not is busy or hangs, and the connection is taken after all."""
PAUSE_SECONDS = 0.2
"""After the process has run out of descriptors, for which the connection still waits."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TAKES_NONE = 0
"""In the place of a process that is not there or ends; others hold one more than their connections."""


def file_of_shares(processes: int) -> IO[bytes]:
    """A file with room for what so many processes tell each other, and a new one beside them; it has no name."""
    in_memory = hasattr(os, "memfd_create")  # no disk needs to be writable then
    made = os.fdopen(os.memfd_create("shares"), "r+b") if in_memory else tempfile.TemporaryFile()  # noqa: SIM115 - given
    made.truncate((processes + 1) * array("I").itemsize)
    return made


class Shares:
    """How many connections each of the processes has.

    Parameters
    ----------
    file
        Made by `file_of_shares`.
    number
        Of the process that is told of, from 1 on, which none has that runs beside it.
    """

    def __init__(self, file: IO[bytes], number: int) -> None:
        self._memory = mmap.mmap(file.fileno(), 0)
        self._counts = memoryview(self._memory).cast("I")
        self._place = number - 1
        self._has_ended = False

    def tell(self, connections: int) -> None:
        """Tell the others how many the process has; nothing more once it has ended."""
        if self._has_ended:
            return
        self._counts[self._place] = connections + 1

    def end(self) -> None:
        """Tell the others that the process takes no more."""
        self._has_ended = True
        self._counts[self._place] = _TAKES_NONE

    def are_unfair(self, connections: int) -> bool:
        """Whether another process has so much less that it should take the next connection."""
        own = connections + 1
        return any(count != _TAKES_NONE and own > count + AHEAD for count in self._counts)


class SharedListener:
    """Takes connections from a socket that other processes listen on, too; as much of `asyncio.Server` as is needed.

    Parameters
    ----------
    listener
        It listens, and is closed by whoever opened it.
    make
        What makes the protocol of a connection.
    shares
        Of this process and the others.
    count
        Tells how many connections this process has, those included that have only just been taken.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], asyncio.Protocol],
        shares: Shares,
        count: Callable[[], int],
    ) -> None:
        self._listener = listener
        self._make = make
        self._shares = shares
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._has_rested = False
        self._is_closed = False
        listener.setblocking(False)
        self._listen()

    @property
    def connecting(self) -> int:
        """Connections that have no protocol yet."""
        return len(self._connecting)

    def close(self) -> None:
        """Take no more; what waits is left to the other processes. Again, it does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._listener.fileno())

    async def wait_closed(self) -> None:
        """Wait until each connection that was taken has its protocol."""
        if self._connecting:
            await asyncio.wait(self._connecting)

    def _listen(self) -> None:
        self._rest = None
        self._loop.add_reader(self._listener.fileno(), self._take)

    def _stop_for(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._rest = self._loop.call_later(seconds, self._listen)

    def _take(self) -> None:
        has_rested, self._has_rested = self._has_rested, False
        for _ in range(AT_ONCE):
            if self._shares.are_unfair(self._count()) and not has_rested:
                self._has_rested = True
                self._stop_for(REST_SECONDS)
                return
            if not self._take_one():
                return

    def _take_one(self) -> bool:
        """Whether there was one that is worth to look for the next."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError):  # another process has taken it
            return False
        except ConnectionAbortedError:  # the caller has gone
            return True
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            logger.error("No more connections can be taken for now (%s)", error.strerror)
            self._stop_for(PAUSE_SECONDS)
            return False
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        self._shares.tell(self._count())
        return True

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError as error:  # the caller has gone already
            logger.debug("A connection could not be served (%s)", error)
            connection.close()
