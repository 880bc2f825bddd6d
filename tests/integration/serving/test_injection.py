"""Text that would be SQL, another header or the end of a string, wherever a caller may write: it stays a text."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime
from itertools import cycle
from uuid import UUID

import pytest
from psycopg import sql

from pipeline.store.engine import Database
from serving.answers.cursors import Order
from serving.routes import backtests, decomposition, fx_rates, instruments, interest_rates, limits, quarantine, tails
from tests.integration.serving.accounts import PORTFOLIOS, SECURED, bearer, furnish, log_in
from tests.integration.serving.documented_requests import documented_operations
from tests.integration.serving.running import Running, local_settings, running_service
from tests.integration.serving.seeding import seed

DROP = "'; DROP TABLE portfolio; --"
TRUNCATE = '\';TRUNCATE"price";--'
"""No space, no slash and few letters: the patterns of most parameters take it."""
OTHERS = (
    "' OR '1'='1",
    "x') UNION SELECT 1, password_hash FROM app_user --",
    "1; DELETE FROM price",
    "$$; DROP TABLE portfolio; $$",
    "\\'; DROP TABLE portfolio; --",
    "%s %(id)s {0}",
)
CURSORS: dict[str, Order] = {
    "/api/v1/instruments": instruments.INSTRUMENTS,
    "/api/v1/quarantine": quarantine.ROWS,
    "/api/v1/fx-rates": fx_rates.CURRENCIES,
    "/api/v1/interest-rates": interest_rates.SERIES,
    f"{PORTFOLIOS}/held/limits": limits.LIMITS,
    f"{PORTFOLIOS}/held/tail": tails.TAILS,
    f"{PORTFOLIOS}/held/backtests": backtests.BACKTESTS,
    f"{PORTFOLIOS}/held/contributions": decomposition.ROWS,
}
"""Collections whose cursors hold a text."""
PARTS: dict[type, object] = {
    str: DROP,
    int: 1,
    date: date(2022, 12, 28),
    datetime: datetime.fromisoformat("2022-12-28T00:00:00Z"),
    UUID: UUID(int=0),
}


@pytest.fixture(scope="module")
def database(new_database: Callable[[], Database]) -> Database:
    """One of these tests, which change nothing in it."""
    return seed(new_database()).database


@pytest.fixture(scope="module")
def service(database: Database) -> Iterator[Running]:
    """One that lets everybody do everything, so that each text gets as far as it can."""
    with running_service("backend-api", local_settings(database.url)) as service:
        yield service


def contents(database: Database) -> dict[str, object]:
    """Rows of every table: how many, and a digest of them."""
    with database.connect() as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        found: dict[str, object] = {}
        for (name,) in names:
            query = sql.SQL("SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM {} AS t")
            found[name] = connection.execute(query.format(sql.Identifier(name))).fetchone()
    return found


# SQL -------------------------------------------------------------------------------------------------------


def test_no_parameter_is_read_as_sql(database: Database, service: Running) -> None:
    """Each of every operation's path and query, in turn."""
    before, others, asked = contents(database), cycle(OTHERS), 0
    document = service.client.get("/openapi.json").json()
    for operation in documented_operations(document, "/api/"):
        for name in operation.names:
            for text in (DROP, TRUNCATE, next(others)):
                answer = operation.asked(service.client, **{name: text})
                assert answer.status_code < 500, (operation, name, text, answer.text)
                asked += 1
    assert asked > 500
    assert contents(database) == before


@pytest.mark.parametrize("path", CURSORS)
def test_no_cursor_is_read_as_sql(database: Database, service: Running, path: str) -> None:
    """One that is signed: its digest takes no secret, so that anybody can make it."""
    order, before = CURSORS[path], contents(database)
    forged = Order(order.name, order.kinds, lambda row: row).cursor_of(tuple(PARTS[kind] for kind in order.kinds))
    answer = service.client.get(path, params={"cursor": forged})
    assert answer.status_code == 200, answer.text
    assert contents(database) == before


def test_no_text_of_a_body_is_read_as_sql(new_database: Callable[[], Database]) -> None:
    """What is stored is the text itself; and no address or password opens an account that is not its own."""
    house = furnish(new_database())
    with running_service("backend-api", local_settings(house.database.url, **SECURED)) as service:
        client = service.client
        alice = bearer(log_in(client, "alice")["access_token"])
        before = contents(house.database)
        for text in (DROP, TRUNCATE, *OTHERS):
            body = {"name": text, "rebalancing": "daily", "positions": [{"symbol": "ACME", "target_weight": 1.0}]}
            made = client.post(PORTFOLIOS, json=body, headers=alice)
            assert (made.status_code, made.json()["name"]) == (201, text)
            assert client.delete(made.headers["location"], headers=alice).status_code == 204
            login = {"email": text.replace(" ", "/**/") + "@example.com", "password": text}
            assert client.post("/api/v1/auth/login", json=login).status_code in (401, 422)
        after = contents(house.database)
    for table in ("portfolio", "position", "app_user", "refresh_token"):
        assert after[table] == before[table]
    assert after.keys() == before.keys()


# Heads -----------------------------------------------------------------------------------------------------

LINES = "%0d%0aX-Injected:%20yes%0d%0a%0d%0a<script>"
TARGETS: tuple[bytes, ...] = (
    *(
        f"{path}{LINES}".encode()
        for path in (
            "/",
            "/api/v1/instruments/",
            "/api/v1/instruments?cursor=",
            f"{PORTFOLIOS}/",
            f"{PORTFOLIOS}/held/risk/explain?measure=",
            "/portfolios/",
            "/portfolios/held/tear-sheet?x=",
            "/static/",
            "/login?next=/",
        )
    ),
    b"/api/v1/instruments/%00",
    b"/api/v1/instruments?limit=%00",
    b"/portfolios/%00",
    b"/static/%00",
    b"/api/v1/instruments\x00",
    b"/api/v1/instruments\rX-Injected: yes",
    b"/api/v1/instruments\nX-Injected: yes",
)
ECHOED = ("X-Request-ID", "Idempotency-Key", "Origin", "Traceparent", "If-None-Match", "Accept", "Cookie", "X-API-Key")
"""Headers of which something is told, stored or logged."""
VALUES = (
    b"a\rX-Injected: yes",
    b"a\nX-Injected: yes",
    b"a\x00b",
    b"a%0d%0aX-Injected: yes",
    b"a\x0bb",
    b"\xe5\x98\x8a",
)


def answer_to(service: Running, target: bytes, *headers: bytes) -> bytes:
    """All that comes back, byte for byte; a client would not send such a request."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=15) as connection:
        lines = [b"GET " + target + b" HTTP/1.1", b"Host: x", b"Accept: text/html", b"Connection: close", *headers]
        connection.sendall(b"\r\n".join([*lines, b"", b""]))
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    return received


def require_one_answer(received: bytes) -> None:
    """An answer without a line that the caller wrote."""
    head, _, _ = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    assert status.startswith(b"HTTP/1.1 "), received
    assert int(status.split()[1]) < 500, received
    assert not any(line.lower().startswith(b"x-injected") for line in lines), head
    assert not any(mark in b"".join(lines) for mark in (b"\r", b"\n", b"\0")), head


@pytest.fixture(scope="module")
def secured(new_database: Callable[[], Database]) -> Iterator[Running]:
    """One that sends browsers to the form, by an address that holds the one they asked for."""
    with ExitStack() as stack:
        settings = local_settings(furnish(new_database()).database.url, **SECURED)
        yield stack.enter_context(running_service("backend-api", settings))


@pytest.mark.parametrize("target", TARGETS)
def test_no_address_writes_a_header(service: Running, secured: Running, target: bytes) -> None:
    for each in (service, secured):
        require_one_answer(answer_to(each, target))


@pytest.mark.parametrize("name", ECHOED)
def test_no_header_writes_another(service: Running, secured: Running, name: str) -> None:
    for value in VALUES:
        for each in (service, secured):
            for target in (b"/api/v1/instruments", b"/"):
                require_one_answer(answer_to(each, target, name.encode() + b": " + value))


def test_the_id_of_a_request_is_told_only_if_it_is_one(service: Running) -> None:
    sane = answer_to(service, b"/api/v1/instruments", b"X-Request-ID: as-sent").lower()
    assert b"\r\nx-request-id: as-sent\r\n" in sane
    other = answer_to(service, b"/api/v1/instruments", b"X-Request-ID: a%0d%0aX-Injected: yes").lower()
    assert b"\r\nx-request-id: " in other
    assert b"x-injected" not in other


def test_what_a_browser_is_sent_back_to_is_escaped(secured: Running) -> None:
    received = answer_to(secured, b"/portfolios/%0d%0aX-Injected:%20yes")
    assert received.startswith(b"HTTP/1.1 303")
    assert b"/login?next=/portfolios/%0D%0AX-Injected" in received
