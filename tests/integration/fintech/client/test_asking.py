"""How the client asks: refusals, repeats and keys."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp

import fintech
from fintech.client import requests
from pipeline.store.api_keys import create_key
from pipeline.store.engine import Database
from pipeline.store.users import NewUser, create_user
from tests.integration.serving.gateways import Puppet, break_off, hang, say
from tests.integration.serving.running import local_settings, running_service
from tests.integration.serving.seeding import Seeded


def test_a_problem_is_raised_as_it_is(api: fintech.Client) -> None:
    with pytest.raises(fintech.ProblemError, match="no-such") as caught:
        api.risk("no-such")
    error = caught.value
    assert (error.status, error.title) == (404, "Not Found")
    assert "no-such" in error.detail
    assert error.remedy == "GET /api/v1/portfolios lists yours."
    assert error.request_id
    with pytest.raises(fintech.ProblemError) as caught:
        api.prices("AAPL", limit=0)
    assert caught.value.errors[0]["field"] == "query.limit"
    with pytest.raises(fintech.ProblemError, match="positions"):
        api.create_portfolio("P", [{"symbol": "NONE", "quantity": 1}])


@pytest.mark.parametrize("reference", ["../instruments", "a/b", "held?limit=1", "held#x"])
def test_a_reference_leads_nowhere_else(api: fintech.Client, reference: str) -> None:
    with pytest.raises(fintech.ProblemError) as caught:
        api.risk(reference)
    assert caught.value.status in (404, 422)


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b""])
def test_an_answer_that_is_no_problem_document_is_named_by_its_status(puppet: Puppet, body: bytes) -> None:
    puppet.answer = say(body, 502)
    with pytest.raises(fintech.ProblemError, match="status 502") as caught:
        fintech.Client(puppet.url).instruments()
    assert caught.value.status == 502


def test_nobody_there() -> None:
    with pytest.raises(fintech.UnreachableError, match=r"no API answers at http://127.0.0.1:1 \(ConnectError\)"):
        fintech.Client("http://127.0.0.1:1").instruments()


def test_a_time_out_is_not_repeated(puppet: Puppet) -> None:
    puppet.answer = hang
    with pytest.raises(fintech.UnreachableError, match="ReadTimeout"):
        fintech.Client(puppet.url, timeout=0.3).instruments()
    assert len(puppet.asked) == 1


# Retries ---------------------------------------------------------------------------------------------------

EMPTY = say(b'{"data": [], "notice": null}')


def refusing(puppet: Puppet, times: int, status: int, retry_after: bytes | None) -> None:
    headers = () if retry_after is None else ((b"retry-after", retry_after),)

    async def answer(scope, receive, send) -> None:
        refuses = len(puppet.asked) <= times
        await (say(b'{"status": 1}', status, headers) if refuses else EMPTY)(scope, receive, send)

    puppet.answer = answer


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(puppet: Puppet, status: int) -> None:
    refusing(puppet, 1, status, b"1")
    started = time.monotonic()
    assert len(fintech.Client(puppet.url).instruments()) == 0
    assert 1.0 <= time.monotonic() - started < 3.0
    assert len(puppet.asked) == 2


def test_retry_after_may_be_a_date(puppet: Puppet) -> None:
    refusing(puppet, 1, 503, format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True).encode())
    started = time.monotonic()
    fintech.Client(puppet.url).instruments()
    assert time.monotonic() - started > 0.5


def test_without_it_pauses_grow_and_end(puppet: Puppet) -> None:
    refusing(puppet, 99, 503, None)
    started = time.monotonic()
    with pytest.raises(fintech.ProblemError) as caught:
        fintech.Client(puppet.url).instruments()
    assert caught.value.status == 503
    assert len(puppet.asked) == requests.TRIES
    assert 0.7 <= time.monotonic() - started < 4.0


def test_nobody_is_kept_waiting_for_long(puppet: Puppet) -> None:
    refusing(puppet, 99, 429, b"900")
    with pytest.raises(fintech.ProblemError):
        fintech.Client(puppet.url).instruments()
    assert len(puppet.asked) == 1


def keys_of(puppet: Puppet) -> set[bytes | None]:
    return {puppet.headers(number).get(b"idempotency-key") for number in range(len(puppet.asked))}


PORTFOLIO = say(
    b'{"id": 1, "slug": null, "name": "P", "base_currency": "USD", "rebalancing": "daily", "positions": [],'
    b' "created_at": "2022-12-29T03:00:00Z"}',
    201,
)


@pytest.mark.parametrize(
    "first",
    [
        say(b"{}", 503, ((b"retry-after", b"0"),)),
        say(b"{}", 429, ((b"retry-after", b"0"),)),
        say(b"{}", 409, ((b"retry-after", b"0"),)),  # the first one is still being carried out
        break_off,
        hang,
    ],
)
def test_what_stores_is_repeated_under_the_same_key(puppet: Puppet, first: ASGIApp) -> None:
    async def answer(scope, receive, send) -> None:
        await (first if len(puppet.asked) == 1 else PORTFOLIO)(scope, receive, send)

    puppet.answer = answer
    asking = fintech.Client(puppet.url, timeout=1.0)
    assert asking.create_portfolio("P", []).id == 1
    assert len(puppet.asked) == 2
    [key] = keys_of(puppet)
    assert UUID(key.decode()).version == 4
    asking.create_portfolio("P", [])
    assert len(keys_of(puppet)) == 2


def test_a_conflict_that_stays_is_raised(puppet: Puppet) -> None:
    puppet.answer = say(b"{}", 409)
    with pytest.raises(fintech.ProblemError):
        fintech.Client(puppet.url).create_portfolio("P", [])
    assert len(puppet.asked) == 1


def test_a_portfolio_whose_answer_is_lost_is_stored_once(own_api: fintech.Client) -> None:
    lost: list[httpx.Response] = []
    transport = own_api._http._transport

    class Losing(httpx.BaseTransport):
        """Loses the answer to the first request."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = transport.handle_request(request)
            if not lost:
                lost.append(answer)
                answer.read()
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            return answer

        def close(self) -> None:
            """Close what answers."""
            transport.close()

    own_api._http._transport = Losing()
    before = len(own_api.portfolios())
    lost.clear()
    made = own_api.create_portfolio("Once", [{"symbol": "AAPL", "quantity": 1}], slug="once")
    assert lost[0].status_code == 201
    assert own_api.portfolio("once").id == made.id
    assert len(own_api.portfolios()) == before + 1
    lost.clear()
    own_api.delete_portfolio("once")  # there is none any more for the second try
    assert lost[0].status_code == 204
    assert len(own_api.portfolios()) == before


def test_a_lost_connection_is_tried_again(puppet: Puppet) -> None:
    async def once_broken(scope, receive, send) -> None:
        await (break_off if len(puppet.asked) == 1 else EMPTY)(scope, receive, send)

    puppet.answer = once_broken
    assert len(fintech.Client(puppet.url).instruments()) == 0


# The key, and what is loaded -------------------------------------------------------------------------------


def key_of(database: Database) -> str:
    """A new API key that reads."""
    with database.connect() as connection:
        user = create_user(connection, NewUser("program@example.com", "Program", "no password", "viewer"))
        return create_key(connection, user.id, "test", ["read"], None)[1]


def test_the_key_comes_from_the_environment(seeded: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"environment": "production", "jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("key")}
    with running_service("backend-api", local_settings(seeded.database.url, **secrets)) as running:
        url = f"http://127.0.0.1:{running.port}"
        monkeypatch.delenv("FINTECH_API_KEY", raising=False)
        with pytest.raises(fintech.ProblemError) as caught:
            fintech.Client(url).instruments()
        assert caught.value.status == 401
        key = key_of(seeded.database)
        assert len(fintech.Client(url, key).instruments()) == 5
        with pytest.raises(fintech.ProblemError):  # what services send each other is no key of a program
            fintech.Client(url, "key").instruments()
        monkeypatch.setenv("FINTECH_API_KEY", key)
        assert len(fintech.Client(url).instruments()) == 5


def test_the_command_line_loads_no_client() -> None:
    program = (
        "import sys, fintech, fintech.entry; print([m for m in sys.modules if m in ('httpx', 'pandas', 'sqlalchemy')])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        fintech.Klient  # noqa: B018
