"""Charts in asset pages: there where the gateway's address is known, and short enough to be shown in place."""

from __future__ import annotations

import re

import numpy as np
from pydantic import SecretStr

from pipeline.base.chart_links import is_signed
from pipeline.base.settings import Settings
from pipeline.orchestration.asset_charts import OF_PORTFOLIOS, embedded_charts
from pipeline.orchestration.asset_page import INLINE_MARKDOWN_LIMIT
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.prices import PRICE
from pipeline.store.tables import all_tables

ROWS = {"portfolio_id": np.array([7, 3, 7], dtype="i4")}
KEPT = {"method": "historical"}
GATEWAY = "http://127.0.0.1:3000"


def settings(**changes: object) -> Settings:
    return Settings.model_construct(**{**Settings.model_construct().model_dump(), "environment": "local", **changes})


def addresses(**changes: object) -> dict[str, str]:
    found = embedded_charts(settings(**changes), PORTFOLIO_TAIL, "var_99_1d", KEPT, ROWS)
    texts = {name: value.value or "" for name, value in found.items()}
    assert all(len(text) < INLINE_MARKDOWN_LIMIT for text in texts.values())
    matches = {name: re.fullmatch(r"!\[[^\]]+\]\(([^)]+)\)", text) for name, text in texts.items()}
    return {name: match[1] for name, match in matches.items() if match}


def test_without_an_address_there_is_none() -> None:
    assert addresses() == {}


def test_a_trend_and_the_chart_of_the_first_portfolio_are_embedded() -> None:
    assert addresses(public_url=f"{GATEWAY}/") == {
        "chart": f"{GATEWAY}/charts/trend/portfolio_tail.var_99_1d.svg?method=historical",
        "portfolio_chart": f"{GATEWAY}/charts/exceptions/3.svg",
    }


def test_what_is_of_no_portfolio_has_a_trend_alone() -> None:
    found = embedded_charts(settings(public_url=GATEWAY), PRICE, "close_adjusted", {}, {"session": np.array([])})
    assert list(found) == ["chart"]


def test_where_a_login_is_asked_addresses_are_signed() -> None:
    key = "k" * 32
    secured = {"public_url": "https://api.example.com", "environment": "staging", "service_api_key": SecretStr(key)}
    for address in addresses(**secured).values():
        path, _, query = address.removeprefix("https://api.example.com").partition("?")
        assert is_signed(path, query, key)
        assert key not in address


def test_without_the_key_a_login_has_to_do() -> None:
    for address in addresses(public_url="https://api.example.com", environment="staging").values():
        assert "signature" not in address


def test_the_tables_with_a_chart_are_tables() -> None:
    assert set(OF_PORTFOLIOS) <= set(all_tables().tables)
