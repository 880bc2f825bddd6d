"""What a vendor sent and a rule refused is kept, byte for byte, although the load ends; over HTTP into Postgres."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.refusals import keeping_refused
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import Payload, PayloadRefusedError, Provider, ProviderOptions
from pipeline.market_data.providers.tiingo import TIINGO, TiingoProvider
from pipeline.store.engine import Database
from pipeline.store.raw_payloads import find_payload, read_refused
from tests.integration.market_data.vendor_server import (
    Fault,
    VendorServer,
    half_until_close,
    noting,
    plain_text,
    serving,
    web_page,
    with_body,
)
from tests.integration.market_data.vendors import CASES, KEY, QUICK, tiingo
from tests.integration.orchestration.conftest import Platform

JUNE = MonthRange(date(2024, 6, 1), date(2024, 6, 1))

REFUSED: dict[str, tuple[str, Fault]] = {
    "html_payload": ("html_payload", web_page),
    "truncated_payload": ("truncated_payload", half_until_close),
    "unparsable_payload": ("unparsable_payload", plain_text("The service is unavailable")),
    "not text": ("unparsable_payload", with_body(lambda body: body.replace(b"2024", b"\xff\x00"))),
    "schema_drift": ("schema_drift", with_body(lambda body: body.replace(b"adjClose", b"other"))),
}
EVERY_REFUSAL = pytest.mark.parametrize(("rule", "fault"), REFUSED.values(), ids=REFUSED)


class TiingoResource(ProviderResource):
    """Tiingo at another address."""

    url: str

    @property
    def provider(self) -> Provider:
        options = ProviderOptions(symbols=("AAPL",), tiingo_api_key=SecretStr(KEY))
        return TiingoProvider(options, replace(TIINGO, base_url=self.url, spacing_seconds=0.0), QUICK)


class EcbResource(ProviderResource):
    """The ECB at another address."""

    url: str

    @property
    def provider(self) -> Provider:
        return CASES[3].provider(self.url, QUICK)


@contextmanager
def answering(platform: Platform) -> Iterator[tuple[VendorServer, Callable[[], None]]]:
    """A vendor, and the load of its bars into a platform that has its instrument."""
    with serving(tiingo) as server:
        resource = TiingoResource(name="tiingo", url=server.url)
        platform.materialize("market_data", ["instruments"], provider=resource)
        yield server, lambda: platform.materialize("market_data", ["prices"], JUNE, provider=resource)


def refusal_of(load: Callable[[], None]) -> PayloadRefusedError:
    with pytest.raises(PayloadRefusedError) as caught:
        load()
    return caught.value


@EVERY_REFUSAL
def test_a_refused_answer_is_kept_and_the_prices_stay(platform: Platform, rule: str, fault: Fault) -> None:
    sent: list[bytes] = []
    with answering(platform) as (server, load):
        load()
        before = platform.rows("SELECT *, xmin::text FROM price ORDER BY 1, 2")
        answers = platform.rows("SELECT sha256 FROM raw_payload")
        server.faults = [noting(fault, sent)]
        error = refusal_of(load)
    digest = hashlib.sha256(sent[0]).hexdigest()
    assert "\n" not in str(error)
    assert f"`fintech quarantine payload {digest} > answer`" in str(error)
    assert len(before) == 10
    assert platform.rows("SELECT *, xmin::text FROM price ORDER BY 1, 2") == before
    with platform.database.connect() as connection:
        assert find_payload(connection, digest) == sent[0]
        [row] = read_refused(connection)
    assert (row.provider, row.asset, row.name, row.rule, row.times) == ("tiingo", "prices", "AAPL", rule, 1)
    assert row.reason == error.cause
    assert len(platform.rows("SELECT sha256 FROM raw_payload")) == len(answers) + 1


def test_an_answer_that_is_refused_again_is_kept_once(platform: Platform) -> None:
    with answering(platform) as (server, load):
        for _ in range(3):
            server.faults = [web_page]
            refusal_of(load)
        assert platform.rows("SELECT count(*) FROM raw_payload") == [(1,)]
        assert platform.rows("SELECT name, times FROM payload_refusal") == [("AAPL", 3)]
        load()
    assert platform.rows("SELECT count(*) FROM price") == [(10,)]
    assert platform.rows("SELECT count(*) FROM raw_payload") == [(2,)]


def test_what_the_second_provider_sent_is_kept_under_its_name(platform: Platform) -> None:
    with answering(platform) as (server, _), serving(tiingo) as other:
        other.faults = [web_page]
        resources = {
            "provider": TiingoResource(name="tiingo", url=server.url),
            "second_provider": TiingoResource(name="second", url=other.url),
        }
        refusal_of(lambda: platform.materialize("market_data", ["prices"], JUNE, **resources))
    assert platform.rows("SELECT provider, asset FROM payload_refusal") == [("second", "prices")]
    assert platform.rows("SELECT count(*) FROM price") == [(0,)]


def test_a_refused_description_of_an_instrument_is_kept(platform: Platform) -> None:
    with serving(tiingo) as server:
        server.faults = [web_page]
        resource = TiingoResource(name="tiingo", url=server.url)
        refusal_of(lambda: platform.materialize("market_data", ["instruments"], provider=resource))
    assert platform.rows("SELECT provider, asset, name FROM payload_refusal") == [("tiingo", "instruments", "AAPL")]


def test_refused_rates_are_kept(platform: Platform) -> None:
    with serving(CASES[3].respond) as server:
        server.faults = [web_page]
        resource = EcbResource(name="ecb", url=server.url)
        refusal_of(lambda: platform.materialize("market_data", ["fx_rates"], JUNE, fx_provider=resource))
    assert platform.rows("SELECT provider, asset FROM payload_refusal") == [("ecb", "fx_rates")]
    assert platform.rows("SELECT count(*) FROM fx_rate") == [(0,)]


def told_of(database: Database, error: PayloadRefusedError) -> str:
    """What the operator reads of an error."""
    with pytest.raises(PayloadRefusedError) as caught, keeping_refused(database, "vendor", "prices"):
        raise error
    assert (caught.value.rule, caught.value.payloads) == (error.rule, error.payloads)
    return str(caught.value)


def test_several_refused_answers_are_named_by_their_number(database: Database) -> None:
    sent = [Payload(name, "application/json", name.encode()) for name in ("AAPL", "MSFT")]
    error = PayloadRefusedError("mostly_unchanged", "The same again", "Load again.", sent)
    assert "The 2 answers are kept: `fintech quarantine payloads`" in told_of(database, error)
    with database.connect() as connection:
        assert {row.name for row in read_refused(connection)} == {"AAPL", "MSFT"}


def test_a_refusal_is_told_even_if_its_answer_cannot_be_kept(tmp_path: Path) -> None:
    nowhere = Database(f"postgresql:///nothing?host={tmp_path}")
    error = PayloadRefusedError("html_payload", "It is a page", "Later.", [Payload("A", "text/html", b"<html>")])
    told = told_of(nowhere, error)
    assert told.startswith("It is a page. Later. What was sent could not be kept (No Postgres answers at ")
    assert "\n" not in told


def test_a_refusal_without_an_answer_stays_as_it_is(database: Database) -> None:
    assert told_of(database, PayloadRefusedError("html_payload", "It is a page", "Later.")) == "It is a page. Later."
