"""Which client a request comes from, whatever it says of itself.

A proxy appends who called it to ``X-Forwarded-For``, so only what the platform's own proxies wrote, at its right end,
can be believed: everything to the left came with the request. Specification: RFC 7239, sections 5.2, 6 and 8.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.base.errors import ConfigurationError

SITE_BITS = 64
"""Of an IPv6 address: a subscriber has at least that network, and as many addresses in it as they like (RFC 6177)."""
UNKNOWN = "unknown"
"""The client of a connection without an address, such as a Unix socket."""

_WITH_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?")
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<token>[^;\s"]*))\s*(?=;|$)', re.IGNORECASE)

Address = IPv4Address | IPv6Address


class TrustedProxies:
    """The platform's own proxies.

    Parameters
    ----------
    networks
        Their addresses and networks, such as ``10.0.0.0/8``.

    Raises
    ------
    ConfigurationError
        If one of them is no network, or is all of them.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(_network(text) for text in networks)
        self.trusts = lru_cache(4096)(self._trusts)

    def __len__(self) -> int:
        return len(self._networks)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def client_of(self, peer: str, forwarded_for: Iterable[bytes], forwarded: Iterable[bytes]) -> str:
        """The address that the outermost of the proxies was called from.

        Parameters
        ----------
        peer
            Who holds the connection.
        forwarded_for, forwarded
            Values of the headers ``X-Forwarded-For`` and ``Forwarded`` in the order sent.

        Returns
        -------
        str
            The right-most address that is no proxy's. The proxy that wrote it, if it is none. The peer, if it is no
            proxy, or if both headers are there and differ: one of them came with the request.
        """
        address = _address(peer)
        if address is None or not self.trusts(address):
            return peer
        found = {
            self._walk(address, hops)
            for hops in (_entries(forwarded_for), [_for_of(element) for element in _elements(forwarded)])
            if hops
        }
        return str(found.pop()) if len(found) == 1 else peer

    def _walk(self, last: Address, hops: Sequence[str]) -> Address:
        for hop in reversed(hops):
            address = _address(hop)
            if address is None:
                return last
            if not self.trusts(address):
                return address
            last = address
        return last

    @classmethod
    def none(cls) -> Self:
        """No proxy: every peer is a client."""
        return cls(())


class ClientMiddleware:
    """Give a request the client and the scheme that the platform's proxies saw, instead of their own.

    Parameters
    ----------
    app
        What sees them as ``scope["client"]`` and ``scope["scheme"]``.
    proxies
        Who is believed.
    """

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope.get("client") is not None:
            peer, port = scope["client"]
            address = _address(peer)
            if address is not None and self._proxies.trusts(address):
                headers = scope["headers"]
                client = self._proxies.client_of(
                    peer, _values(headers, b"x-forwarded-for"), _values(headers, b"forwarded")
                )
                scope["client"] = (client, port)
                schemes = _entries(_values(headers, b"x-forwarded-proto"))
                if schemes and schemes[-1] in ("http", "https"):
                    scope["scheme"] = schemes[-1]
        await self._app(scope, receive, send)


def client_of(scope: Scope) -> str:
    """The client as limits count it: an IPv4 address, or the /64 network of an IPv6 address."""
    client = scope.get("client")
    return client_network(client[0]) if client else UNKNOWN


@lru_cache(4096)
def client_network(address: str) -> str:
    """One text for all addresses of a client."""
    found = _address(address)
    if found is None:
        return UNKNOWN
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found) >> SITE_BITS << SITE_BITS, SITE_BITS)))
    return str(found)


@lru_cache(4096)
def _address(text: str) -> Address | None:
    """An address, with or without a port; that of an IPv4 client on an IPv6 socket is an IPv4 address."""
    matched = _WITH_PORT.fullmatch(text)
    if matched is not None:
        text = matched["v6"] or matched["v4"]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ConfigurationError(
            f"FINTECH_TRUSTED_PROXIES: {text!r} is no network ({error})",
            "Write addresses or networks separated by commas, such as 10.0.0.0/8,fd00::/8.",
            exit_code=2,
        ) from None
    if not network.prefixlen:
        raise ConfigurationError(
            f"FINTECH_TRUSTED_PROXIES: {text} would let every caller choose its address",
            "Name the networks of your own proxies, such as 10.0.0.0/8.",
            exit_code=2,
        )
    return network


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _entries(values: Iterable[bytes]) -> list[str]:
    """Entries of a list that may be spread over several headers."""
    return [entry.strip() for value in values for entry in value.decode("latin-1").split(",")]


def _elements(values: Iterable[bytes]) -> list[str]:
    return [found.strip() for value in values for found in _ELEMENT.findall(value.decode("latin-1"))]


def _for_of(element: str) -> str:
    """Who called, of one element of ``Forwarded``; empty if it does not say."""
    found = _FOR.search(element)
    return (found["quoted"] or found["token"] or "") if found else ""
