"""TLS in front of a Postgres that was built without it: the protocol's own way to begin (manual, "SSL Session
Encryption"), a certificate of an authority that lives as long as the test, and then byte for byte."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_REQUEST_BYTES = 8


@dataclass(frozen=True)
class Authority:
    """Files of an authority, and of a server whose certificate it signed."""

    root: Path
    certificate: Path
    key: Path


def make_authority(folder: Path, host: str) -> Authority:
    """A new authority, and a certificate of a host by it."""
    folder.mkdir()
    root, root_key = folder / "root.pem", folder / "root.key"
    certificate, key, request = folder / "server.pem", folder / "server.key", folder / "server.csr"
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj")
    _openssl("req", "-x509", *new, "/CN=Authority of a test", "-days", "2", "-keyout", root_key, "-out", root)
    _openssl("req", *new, f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", request)
    by = ("-CA", root, "-CAkey", root_key, "-days", "2", "-copy_extensions", "copy")
    _openssl("x509", "-req", "-in", request, *by, "-out", certificate)
    return Authority(root, certificate, key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@contextmanager
def tls_front(socket_file: Path, authority: Authority) -> Iterator[int]:
    """A port on loopback at which a server on a Unix socket speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, socket_file), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread


def _accept(listener: socket.socket, context: ssl.SSLContext, socket_file: Path) -> None:
    with suppress(OSError):  # the listener was closed
        while True:
            caller, _ = listener.accept()
            threading.Thread(target=_serve, args=(caller, context, socket_file), daemon=True).start()


def _serve(caller: socket.socket, context: ssl.SSLContext, socket_file: Path) -> None:
    with suppress(OSError), caller, socket.socket(socket.AF_UNIX) as server:
        caller.recv(_REQUEST_BYTES)
        caller.sendall(b"S")
        with context.wrap_socket(caller, server_side=True) as secured:
            server.connect(str(socket_file))
            threading.Thread(target=_pass, args=(server, secured), daemon=True).start()
            _pass(secured, server)


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_RDWR)
