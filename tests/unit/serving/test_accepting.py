"""Connections that several take from one socket: each its share, and none is left."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from serving.accepting import AHEAD, AT_ONCE, SharedListener, Shares, file_of_shares
from serving.server import BACKLOG

CALLERS = 60
SECONDS = 20.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as made:
        yield made


class Held(asyncio.Protocol):
    """A connection that stays, as callers keep theirs."""

    def __init__(self, held: list[asyncio.BaseTransport]) -> None:
        self._held = held

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._held.append(transport)


class Taking:
    """One that takes connections, as a process does, by a descriptor of its own."""

    def __init__(self, listener: socket.socket, shares: Shares) -> None:
        self.held: list[asyncio.BaseTransport] = []
        self._socket = listener.dup()
        self.listener = SharedListener(self._socket, lambda: Held(self.held), shares, self.connections)

    def close(self) -> None:
        self.listener.close()
        self._socket.close()
        self.listener.close()
        for transport in self.held:
            transport.close()

    def connections(self) -> int:
        return len(self.held) + self.listener.connecting


@contextmanager
def callers_of(listener: socket.socket, number: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        address = listener.getsockname()
        yield [stack.enter_context(socket.create_connection(address, timeout=SECONDS)) for _ in range(number)]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.002)


def test_callers_who_come_together_are_shared(listener: socket.socket) -> None:
    async def share() -> list[int]:
        with file_of_shares(2) as file, callers_of(listener, CALLERS):
            shares = [Shares(file, 1), Shares(file, 2)]
            for one in shares:
                one.tell(0)
            taking = [Taking(listener, one) for one in shares]
            await until(lambda: sum(len(one.held) for one in taking) == CALLERS)
            found = [len(one.held) for one in taking]
            for each in taking:
                each.close()
        return found

    first, second = asyncio.run(share())
    assert abs(first - second) <= AHEAD + AT_ONCE


def test_what_another_process_does_not_take_is_taken(listener: socket.socket) -> None:
    async def take() -> int:
        with file_of_shares(2) as file, callers_of(listener, CALLERS):
            Shares(file, 2).tell(0)  # it hangs
            taking = Taking(listener, Shares(file, 1))
            await until(lambda: len(taking.held) == CALLERS)
            taking.close()
        return len(taking.held)

    assert asyncio.run(take()) == CALLERS


def test_who_ends_leaves_to_the_others_what_waits(listener: socket.socket) -> None:
    async def end() -> tuple[int, int]:
        with file_of_shares(2) as file:
            ending, staying = (Taking(listener, Shares(file, number)) for number in (1, 2))
            ending.close()
            with callers_of(listener, CALLERS):
                await until(lambda: len(staying.held) == CALLERS)
                await ending.listener.wait_closed()
                staying.close()
        return len(ending.held), len(staying.held)

    assert asyncio.run(end()) == (0, CALLERS)


def test_a_caller_who_has_gone_is_no_trouble(listener: socket.socket) -> None:
    async def take() -> int:
        with file_of_shares(1) as file:
            for _ in range(3):
                with callers_of(listener, 1) as (caller,):
                    # Resets the connection while it waits.
                    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            taking = Taking(listener, Shares(file, 1))
            with callers_of(listener, 1) as (caller,):
                await until(lambda: any(one.get_extra_info("peername") == caller.getsockname() for one in taking.held))
                taking.close()
        return len(taking.held)

    assert asyncio.run(take()) >= 1


_EXHAUSTED = """
import asyncio, resource, socket, sys
from tests.unit.serving.test_accepting import until, Taking
from serving.accepting import Shares, file_of_shares
async def main(port):
    with file_of_shares(1) as file, socket.create_server(("127.0.0.1", port)) as listener:
        print(listener.getsockname()[1], flush=True)
        taking = Taking(listener, Shares(file, 1))
        used = len([*__import__("pathlib").Path("/proc/self/fd").iterdir()])
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, used + 2))
        await until(lambda: len(taking.held) >= 2 and taking.listener._rest is not None)
        print(len(taking.held), flush=True)
        for transport in taking.held[:]:
            transport.close()
        await until(lambda: len(taking.held) >= 4)
        print(len(taking.held), flush=True)
asyncio.run(main(0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_a_process_without_descriptors_left_takes_the_rest_once_it_has_some() -> None:
    command = [sys.executable, "-c", _EXHAUSTED]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as s,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(process.stdout.readline())
        for _ in range(6):
            s.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
        out, told = process.communicate(timeout=SECONDS * 2)
        assert process.returncode == 0, told
        held_at_first, held_in_all = map(int, out.split())
    assert 2 <= held_at_first < 6
    assert held_in_all >= 4


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (0, [0], False),
        (AHEAD, [0], False),
        (AHEAD + 1, [0], True),
        (9, [50], False),
        (9, [50, 6], True),
        (9, [], False),
    ],
)
def test_whose_turn_it_is(own: int, others: list[int], expected: bool) -> None:
    with file_of_shares(len(others) + 1) as file:
        for number, count in enumerate(others, 2):
            Shares(file, number).tell(count)
        assert Shares(file, 1).are_unfair(own) is expected


def test_who_has_ended_tells_no_more() -> None:
    with file_of_shares(2) as file:
        own, ending = Shares(file, 1), Shares(file, 2)
        ending.end()
        ending.tell(0)  # of a connection that it has taken just before
        assert not own.are_unfair(50)


def test_who_has_ended_is_waited_for_no_more() -> None:
    with file_of_shares(2) as file:
        own, other = Shares(file, 1), Shares(file, 2)
        other.tell(0)
        assert own.are_unfair(50)
        other.end()
        assert not own.are_unfair(50)
