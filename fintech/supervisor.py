"""`fintech up`: Dagster's UI and daemon, and the API, over the data of this machine."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import suppress

from rich.console import Console

from fintech.addresses import dagster_ui_port, local_addresses
from fintech.children import Children
from fintech.host import Host, prepared_host, sole_process
from fintech.interrupts import ignore_signals
from pipeline.base.errors import PlatformError
from pipeline.base.settings import Settings, inherited_environment
from pipeline.market_data.providers import require_providers
from pipeline.store.prices import read_last_session
from serving.services import SERVICES

LOOPBACK = "127.0.0.1"
START_SECONDS = 90.0


def serve_platform(settings: Settings, console: Console) -> None:
    """Serve until Ctrl-C, then end every process.

    Raises
    ------
    PlatformError
        If a port is taken or a process ends by itself.
    """
    require_providers(settings)
    ports = [service.port + settings.port_offset for service in SERVICES] + [dagster_ui_port(settings)]
    with sole_process(settings, "up"):
        require_free_ports(ports)
        with prepared_host(settings) as host:
            children = Children(settings.data_dir / "logs", child_environment(host.environment))
            try:
                _start(children, settings)
                console.print("Starting ...")
                children.wait_until(lambda: all(_answers(url) for url in _probes(settings)), START_SECONDS)
                _announce(host, console)
                children.watch()
            except KeyboardInterrupt:
                console.print("\nStopping ...")
            finally:
                ignore_signals()
                children.stop()
    console.print("Everything has stopped.")


def child_environment(needed: Mapping[str, str]) -> dict[str, str]:
    """What the children see: a HOST or PORT of the shell is meant for containers, and would open the API to others.

    Parameters
    ----------
    needed
        Variables of the prepared host.
    """
    return {**inherited_environment(), **needed, "HOST": LOOPBACK, "PORT": ""}


def require_free_ports(ports: Iterable[int]) -> None:
    """Refuse to start while another process listens on a port.

    Raises
    ------
    PlatformError
        Naming the port and, where the system tells, the process.
    """
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                raise PlatformError(
                    f"Port {port} is taken{_owner(port)}",
                    "Stop that process, or set FINTECH_PORT_OFFSET=100 to move every port.",
                ) from error


def _owner(port: int) -> str:
    import psutil  # noqa: PLC0415

    with suppress(psutil.Error):  # not every system tells every user
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
            if listens and connection.pid is not None:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def _start(children: Children, settings: Settings) -> None:
    children.start("api", [sys.executable, "-m", "fintech", "serve"])
    port = str(dagster_ui_port(settings))
    dagster_dev = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", LOOPBACK, "-p", port]
    children.start("dagster", dagster_dev)


def _probes(settings: Settings) -> list[str]:
    health = [f"http://{LOOPBACK}:{service.port + settings.port_offset}/health/ready" for service in SERVICES]
    return [*health, f"http://{LOOPBACK}:{dagster_ui_port(settings)}/server_info"]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - loopback addresses of our own
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _announce(host: Host, console: Console) -> None:
    for what, address in local_addresses(host.settings):
        console.print(f"  {what:<12} {address}", highlight=False)
    with host.database.connect() as connection:
        if read_last_session(connection) is None:
            console.print("[yellow]Nothing is computed yet: `make run` does it, also while this runs.[/yellow]")
    console.print("Ctrl-C stops everything.")
