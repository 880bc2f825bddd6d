"""Ports for platforms of tests."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

PORTS = (3000, 3030, 8000, 8001, 8002, 8003)


def free_port() -> int:
    """A port that is free now, from the system's own range: two workers seldom get the same."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def free_port_offset() -> int:
    """An offset at which every port of the platform is free now; each worker looks in a range of its own."""
    for offset in range(10_000 + os.getpid() % 1000 * 20, 50_000, 37):
        with suppress(OSError):
            for port in PORTS:
                socket.create_server(("127.0.0.1", port + offset)).close()
            return offset
    raise RuntimeError("no free ports")
