"""The health check of every image: ``probe.py grpc:PORT http:PORT/PATH ...``.

An image runs one of several servers (a code location or its HTTP service), so a port on which nothing listens
is passed over. Healthy means that something listens and that all of it answers well.

Not ``dagster api grpc-health-check``: that starts all of Dagster, about 2 s a probe.
"""

from __future__ import annotations

import socket
import sys
from contextlib import closing
from http.client import HTTPConnection

TIMEOUT_SECONDS = 3.0
DAGSTER_SERVICE = "DagsterApi"


def main(targets: list[str]) -> int:
    """Ask every target that listens; 0 if healthy, 1 with the reason on stderr."""
    answers = {target: _ask(*target.split(":", 1)) for target in targets if _listens(_port(target))}
    failures = [f"{target}: {answer}" for target, answer in answers.items() if answer is not None]
    if not answers:
        failures = [f"nothing listens on {', '.join(targets)}"]
    sys.stderr.writelines(f"{failure}\n" for failure in failures)
    return 1 if failures else 0


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
