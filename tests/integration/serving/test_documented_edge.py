"""Whatever the edge answers is documented for the operation that was asked, and pages of other origins may use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from typing import Any

import pytest

from serving.auth.headers import SERVICE_TOKEN
from serving.edge.heads import MAXIMUM_HEADERS, MAXIMUM_TARGET_BYTES
from serving.edge.rate_limit import EXEMPT
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded
from tests.openapi_documents import document_of, operations, parameter_example

ORIGIN = "https://app.example.com"
JSON = {"Content-Type": "application/json"}
TOO_DEEP = b"[" * 100
REFUSED: Mapping[int, tuple[str, Mapping[str, str], bytes]] = {
    413: ("", {"Content-Length": "50000000", **JSON}, b""),
    414: ("?x=" + "x" * MAXIMUM_TARGET_BYTES, {}, b""),
    415: ("", {"Content-Encoding": "gzip", "Content-Length": "2", **JSON}, b"\x1f\x8b"),
    422: ("", {"Content-Length": str(len(TOO_DEEP)), **JSON}, TOO_DEEP),
    431: ("", {f"X-{number}": "x" for number in range(MAXIMUM_HEADERS + 1)}, b""),
}
"""Status → query, headers and body that any address refuses with it."""


def addresses() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, an address and the operation."""
    for method, path, operation in operations(document_of()):
        given = {p["name"]: parameter_example(p) for p in operation.get("parameters", ()) if p["in"] == "path"}
        yield method.upper(), path.format(**given), operation


def status_of(port: int, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> int:
    """Of the answer to a head that is sent as it is; what it says of the body may be untrue."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, target)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body or None)
    with connection.getresponse() as answer:
        status = answer.status
    connection.close()
    return status


@pytest.mark.parametrize("status", REFUSED)
def test_what_any_address_refuses_is_documented(seeded: Seeded, serve: Serve, status: int) -> None:
    port = serve(seeded.database.url, rate_limit="none").port
    query, headers, body = REFUSED[status]
    for method, address, operation in addresses():
        assert status_of(port, method, address + query, headers, body) == status, (method, address)
        assert str(status) in operation["responses"], (method, address)


def test_who_asks_too_often_is_answered_as_documented(seeded: Seeded, serve: Serve) -> None:
    port = serve(seeded.database.url, rate_limit="1/hour").port
    status_of(port, "GET", "/api/v1/measures", {})
    for method, address, operation in addresses():
        if address in EXEMPT:
            assert "429" not in operation["responses"], address
        else:
            assert status_of(port, method, address, {}) == 429, (method, address)
            assert "429" in operation["responses"], (method, address)


def test_a_body_that_does_not_come_is_documented() -> None:
    """That it is refused with 408, at whatever address, is tested with the other limits of bodies."""
    assert [name for _, name, operation in addresses() if "408" not in operation["responses"]] == []


def test_pages_of_named_origins_may_send_every_header_that_is_documented(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, cors_origins=(ORIGIN,)).client
    of_operations = {
        parameter["name"].lower()
        for _, _, operation in addresses()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "header"
    }
    schemes = document_of()["components"]["securitySchemes"].values()
    keys = {scheme["name"].lower() for scheme in schemes if scheme.get("in") == "header"} - {SERVICE_TOKEN.lower()}
    assert of_operations >= {"idempotency-key", "if-match", "prefer"}
    for name in sorted({*of_operations, *keys, "authorization", "if-none-match", "accept"}):
        asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": name}
        assert client.options("/api/v1/simulate", headers=asked).status_code == 200, name
    asked["Access-Control-Request-Headers"] = SERVICE_TOKEN
    assert client.options("/api/v1/simulate", headers=asked).status_code == 403


def test_pages_of_named_origins_may_read_what_a_table_is_told_beside_its_rows(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, cors_origins=(ORIGIN,)).client
    answer = client.get("/api/v1/instruments", params={"format": "csv", "limit": 1}, headers={"Origin": ORIGIN})
    readable = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    simple = {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified"}
    of_browsers = {"date", "server", "vary", "connection", "access-control-allow-origin"}
    told = {name for name in answer.headers if not name.startswith(("access-control-", "x-content-type-"))}
    policies = {name for name in told if name.endswith("-policy")} - {"ratelimit-policy"}
    assert "x-answer-metadata" in answer.headers
    assert told - simple - of_browsers - policies - readable == set()
