"""The collections of the API, as its documentation has them, and how they are asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from serving.app import create_app
from tests.integration.serving.listed_results import STRATEGY
from tests.integration.serving.running import local_settings

SPECIFICATION = create_app("backend-api", local_settings("postgresql://nobody@127.0.0.1/none")).openapi()
SCHEMAS = SPECIFICATION["components"]["schemas"]
NAMES = {
    "symbol": "AAPL",
    "reference": "held",
    "currency": "USD",
    "series": "DTB3",
    "name": STRATEGY,
}
OF_A_BOOK = ("/api/v1/portfolios/{reference}/transactions", "/api/v1/portfolios/{reference}/value/history")
BATCHES = (
    "/api/v1/prices",
    "/api/v1/instrument-risk",
    "/api/v1/volatility-forecasts",
    "/api/v1/quantile-forecasts",
    "/api/v1/probability-forecasts",
)


def _schema(operation: dict[str, Any]) -> dict[str, Any]:
    content = operation["responses"]["200"].get("content", {})
    found = content.get("application/json", {}).get("schema", {})
    return SCHEMAS[found["$ref"].rpartition("/")[2]] if "$ref" in found else {}


def _collections() -> Iterator[str]:
    for path, operations in SPECIFICATION["paths"].items():
        if "get" in operations and {"data", "next_cursor"} <= set(_schema(operations["get"]).get("properties", ())):
            yield path


def parameters_of(path: str) -> set[str]:
    return {each["name"] for each in SPECIFICATION["paths"][path]["get"]["parameters"]}


COLLECTIONS = sorted(_collections())
PAGED = [path for path in COLLECTIONS if "cursor" in parameters_of(path)]


def url_of(path: str) -> str:
    names = NAMES | ({"reference": "book"} if path in OF_A_BOOK else {})
    return re.sub(r"\{(\w+)\}", lambda found: names[found[1]], path)


def query_of(path: str, **more: object) -> dict[str, Any]:
    return ({"symbols": "AAPL,MSFT"} if path in BATCHES else {}) | more
