"""A signature opens the chart that it was made for, and no other address."""

from __future__ import annotations

import pytest

from pipeline.base.chart_links import chart_path, is_signed, signature_of, signed

KEY = "k" * 32
PATH = chart_path("trend", "portfolio_tail.var_99_1d", {"method": "historical"})


def parts(address: str) -> tuple[str, str]:
    path, _, query = address.partition("?")
    return path, query


@pytest.mark.parametrize("path", [PATH, chart_path("wealth", "core"), chart_path("price", "A/B ^X")])
def test_a_signed_address_is_open(path: str) -> None:
    assert is_signed(*parts(signed(path, KEY)), KEY)


def test_names_are_escaped() -> None:
    assert chart_path("price", "A/B ^X") == "/charts/price/A%2FB%20%5EX.svg"
    assert PATH == "/charts/trend/portfolio_tail.var_99_1d.svg?method=historical"


def test_a_signature_is_that_of_hmac() -> None:
    # printf 'fintech chart\0/charts/wealth/core.svg' | openssl dgst -sha256 -hmac "$KEY" -binary
    #   | head -c 16 | basenc --base64url   (GNU coreutils 9.1, OpenSSL 3.0)
    assert signature_of("/charts/wealth/core.svg", KEY) == "Dc3XvFDfSCkpjrMQsclb3A"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/charts/wealth/other.svg", "signature={}"),
        ("/charts/wealth/core.svg", ""),
        ("/charts/wealth/core.svg", "signature="),
        ("/charts/wealth/core.svg", "years=all&signature={}"),
        ("/charts/wealth/core.svg", "xsignature={}"),
        ("/charts/wealth/core.svg", "signature={}&years=all"),
        ("/portfolios/core", "signature={}"),
    ],
)
def test_what_was_not_signed_stays_closed(path: str, query: str) -> None:
    given = signature_of("/charts/wealth/core.svg", KEY)
    assert is_signed("/charts/wealth/core.svg", f"signature={given}", KEY)
    assert not is_signed(path, query.format(given), KEY)


def test_another_key_opens_nothing() -> None:
    assert not is_signed(*parts(signed(PATH, KEY)), "other")


def test_a_path_outside_of_charts_is_not_opened_by_its_own_signature() -> None:
    assert not is_signed(*parts(signed("/portfolios/core", KEY)), KEY)
