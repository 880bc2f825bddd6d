"""Whose address a request has, when some of it is forged."""

from __future__ import annotations

import pytest

from pipeline.base.errors import ConfigurationError
from serving.edge.clients import TrustedProxies, client_network, client_of

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.7", "203.0.113.7"),  # the left one came with the request
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", "1.1.1.1,203.0.113.7 , 10.0.0.2,10.9.9.9", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # all are proxies: the first of them asks
        ("10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8:2::5]:80", "2001:db8:2::5"),
        ("10.0.0.1", "2001:db8:2::5, 2001:db8:1::9", "2001:db8:2::5"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", ",", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, 999.1.1.1", "10.0.0.1"),
        ("203.0.113.9", "1.1.1.1", "203.0.113.9"),  # who is no proxy is not believed
        ("nonsense", "1.1.1.1", "nonsense"),
    ],
)
def test_the_right_most_address_that_is_no_proxy_is_the_client(peer: str, header: str, client: str) -> None:
    assert PROXIES.client_of(peer, [header.encode()], []) == client


def test_several_headers_are_one_list() -> None:
    assert PROXIES.client_of("10.0.0.1", [b"1.1.1.1", b"203.0.113.7", b"10.0.0.2"], []) == "203.0.113.7"


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=203.0.113.7;proto=https;by=10.0.0.2", "203.0.113.7"),
        ("proto=https; for=203.0.113.7", "203.0.113.7"),
        ('for=1.1.1.1, for="[2001:db8:2::5]:4711"', "2001:db8:2::5"),
        ('for=203.0.113.7, for="10.0.0.2:80"', "203.0.113.7"),
        ("for=203.0.113.7, for=_hidden", "10.0.0.1"),
        ("for=203.0.113.7, proto=https", "10.0.0.1"),
        ('for="203.0.113.7, for=1.1.1.1', "10.0.0.1"),
        ('x="a,for=1.1.1.1", for=203.0.113.7', "203.0.113.7"),
    ],
)
def test_the_standard_header_is_read_in_the_same_way(header: str, client: str) -> None:
    assert PROXIES.client_of("10.0.0.1", [], [header.encode()]) == client


def test_of_two_headers_that_differ_neither_is_believed() -> None:
    """A proxy writes one of them and passes the other on as it came."""
    assert PROXIES.client_of("10.0.0.1", [b"203.0.113.7"], [b"for=1.1.1.1"]) == "10.0.0.1"
    assert PROXIES.client_of("10.0.0.1", [b"203.0.113.7"], [b"for=203.0.113.7"]) == "203.0.113.7"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:2:3:4:5:6:7", "2001:db8:2:3::/64"),
        ("2001:db8:2:3::1", "2001:db8:2:3::/64"),
        ("2001:db8:2:4::1", "2001:db8:2:4::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
    ],
)
def test_a_client_of_ipv6_is_its_network(address: str, network: str) -> None:
    assert client_network(address) == network


def test_a_connection_without_an_address_has_a_client() -> None:
    assert client_of({"client": None}) == "unknown"


@pytest.mark.parametrize("text", ["proxy.example.com", "10.0.0.1/8", "*", "0.0.0.0/0", "::/0", "10.0.0.0/33"])
def test_what_is_no_network_of_proxies_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="FINTECH_TRUSTED_PROXIES") as error:
        TrustedProxies(["10.0.0.0/8", text])
    assert error.value.exit_code == 2
