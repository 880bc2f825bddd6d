"""The health check of every image: ``probe.py grpc:PORT http:PORT/PATH ...``, of Dagster's daemon ``daemon:SECONDS``.

An image runs one of several servers (a code location or its HTTP service), so a port on which nothing listens
is passed over. Healthy means that something listens and that all of it answers well. The daemon listens nowhere; it is
healthy if the database has had a sign of life within so many seconds.

Not ``dagster api grpc-health-check`` or ``dagster-daemon liveness-check``: those start all of Dagster, 2 s and more a
probe.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing
from http.client import HTTPConnection

TIMEOUT_SECONDS = 3.0
DAGSTER_SERVICE = "DagsterApi"
DAEMON = "daemon"
LAST_BEAT = "SELECT extract(epoch FROM (now() AT TIME ZONE 'utc') - max(timestamp)) FROM daemon_heartbeats"
"""Seconds since one of the daemon's loops has beaten; they do so every 30 s (Dagster keeps the time in UTC)."""


def main(targets: list[str]) -> int:
    """Ask every target that listens; 0 if healthy, 1 with the reason on stderr."""
    answers = {target: _ask(*target.split(":", 1)) for target in targets if _is_there(target)}
    failures = [f"{target}: {answer}" for target, answer in answers.items() if answer is not None]
    if not answers:
        failures = [f"nothing listens on {', '.join(targets)}"]
    sys.stderr.writelines(f"{failure}\n" for failure in failures)
    return 1 if failures else 0


def _is_there(target: str) -> bool:
    return target.startswith(f"{DAEMON}:") or _listens(_port(target))


def _port(target: str) -> int:
    return int(target.split(":", 1)[1].split("/", 1)[0])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS).close()
    except ConnectionRefusedError:
        return False
    except OSError:  # it listens, but does not accept in time: that is for the question itself to report
        return True
    return True


def _ask(protocol: str, address: str) -> str | None:
    port, _, path = address.partition("/")
    try:
        if protocol == DAEMON:
            return _ask_database(float(address))
        return _ask_grpc(int(port)) if protocol == "grpc" else _ask_http(int(port), f"/{path}")
    except Exception as error:  # whatever it is, the container is not healthy
        return repr(error)


def _ask_http(port: int, path: str) -> str | None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)) as connection:
        connection.request("GET", path)
        status = connection.getresponse().status
    return None if status == 200 else f"status {status}"


def _ask_grpc(port: int) -> str | None:
    import grpc  # noqa: PLC0415 - images of services alone have no gRPC
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service=DAGSTER_SERVICE)
        status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_SECONDS).status
    return None if status == health_pb2.HealthCheckResponse.SERVING else f"status {status}"


def _ask_database(most_seconds: float) -> str | None:
    import psycopg2  # noqa: PLC0415 - what dagster-postgres uses

    # Dagster's image has no settings, only what dagster.yaml names.
    url = os.environ["DAGSTER_DATABASE_URL"].replace("+psycopg2", "")  # noqa: TID251
    with closing(psycopg2.connect(url, connect_timeout=int(TIMEOUT_SECONDS))) as connection:
        cursor = connection.cursor()
        cursor.execute(LAST_BEAT)
        [seconds] = cursor.fetchone()
    if seconds is None:
        return "it has never beaten"
    return None if seconds <= most_seconds else f"no beat since {seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
