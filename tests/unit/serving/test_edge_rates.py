"""Rates as they are written, and counting without Redis."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings
from serving.caching.keys import CALLER
from serving.callers import IDENTITY, Caller
from serving.edge import counting
from serving.edge.counting import RequestCounts
from serving.edge.origins import checked_origins
from serving.edge.rate_limit import counted_as, request_counts
from serving.edge.rates import Rate, parse_rate, rate_of


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/15 minutes", Rate(100, 900)),
        ("5/second", Rate(5, 1)),
        ("5 per 2 hours", Rate(5, 7200)),
        ("1/day", Rate(1, 86_400)),
    ],
)
def test_a_rate_is_read(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["100", "x/minute", "0/minute", "-1/minute", "5/minute;9/hour", "5/0 minutes x", "5/eon"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="FINTECH_RATE_LIMIT") as error:
        parse_rate(text)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("environment", "text", "rate"),
    [
        ("local", None, None),
        ("local", "5/minute", Rate(5, 60)),
        ("production", None, Rate(100, 900)),
        ("production", "none", None),
        ("production", "None", None),
    ],
)
def test_only_a_developers_machine_has_no_limit_by_itself(
    environment: str, text: str | None, rate: Rate | None
) -> None:
    assert rate_of(Settings.model_construct(environment=environment, rate_limit=text)) == rate


def test_each_client_has_its_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0] * 6 + [159.0, 160.0]).__next__
    monkeypatch.setattr(counting, "time", SimpleNamespace(monotonic=clock))
    counts = RequestCounts(Rate(3, 60), None, "")

    async def run() -> None:
        standings = [await counts.add("a") for _ in range(5)]
        assert [s.is_within for s in standings] == [True, True, True, False, False]
        assert [s.remaining for s in standings] == [2, 1, 0, 0, 0]
        assert (await counts.add("b")).remaining == 2
        late = await counts.add("a")
        assert (late.is_within, late.seconds) == (False, 1.0)
        assert await counts.add("a") == (True, 2, 60.0)

    asyncio.run(run())


def test_no_flood_of_addresses_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "CLIENTS", 10)
    counts = RequestCounts(Rate(3, 60), None, "")

    async def run() -> None:
        for number in range(100):
            await counts.add(str(number))

    asyncio.run(run())
    assert len(counts) == 10


def test_a_login_counts_wherever_it_comes_from() -> None:
    one = {"client": ("203.0.113.7", 1), "fintech.caller": "service:None:None"}
    assert counted_as(one) == counted_as({**one, "client": ("203.0.113.8", 1)})
    assert counted_as(one) != counted_as({**one, "fintech.caller": "other:None:None"})
    assert "service" not in counted_as(one)
    assert counted_as({"client": ("203.0.113.7", 1)}) == "203.0.113.7"


def test_the_keys_of_a_user_are_counted_together() -> None:
    caller = Caller("a@example.com", "analyst", 7, frozenset())
    found = {
        counted_as({"client": ("203.0.113.7", 1), IDENTITY: known, CALLER: known.identity})
        for known in (caller, replace(caller, key_id=1), replace(caller, key_id=2))
    }
    assert found == {"user:7"}


def test_counts_of_two_databases_do_not_meet() -> None:
    names = {
        request_counts(Rate(1, 1), Settings.model_construct(database_url=SecretStr(url)), None)._namespace
        for url in ("postgresql://u:p@h/a", "postgresql://u:p@h/b")
    }
    assert len(names) == 2
    assert not any("u:p" in name for name in names)


@pytest.mark.parametrize(
    "origin", ["*", "app.example.com", "https://app.example.com/", "https://*.example.com", "null", "https://A.example"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="FINTECH_CORS_ORIGINS"):
        checked_origins([origin])
