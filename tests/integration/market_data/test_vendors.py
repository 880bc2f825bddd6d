"""What each vendor's provider asks for over HTTP, and what it answers."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from pydantic import SecretStr

from pipeline.market_data.providers import FetchRequest, ProviderError, ProviderOptions, Security
from pipeline.market_data.providers.ecb import ECB, EcbProvider
from pipeline.market_data.providers.fred import FRED_API, FredProvider
from pipeline.market_data.providers.tiingo import TIINGO, TiingoProvider
from tests.integration.market_data.vendor_server import VendorServer, serving, status, travelling
from tests.integration.market_data.vendors import CASES, FIRST, KEY, LAST, QUICK, ecb, fred_api, tiingo, vendor_of


def tiingo_for(server: VendorServer, *symbols: str, spacing: float = 0.0) -> TiingoProvider:
    options = ProviderOptions(symbols=symbols, tiingo_api_key=SecretStr(f" {KEY}\n"))
    return TiingoProvider(options, replace(TIINGO, base_url=server.url, spacing_seconds=spacing), QUICK)


# Tiingo ----------------------------------------------------------------------------------------------------


def test_tiingo_asks_for_each_symbol_over_one_connection_with_the_key_in_a_header() -> None:
    with serving(tiingo) as server:
        result = tiingo_for(server, "AAPL", "BRK-B").fetch(FetchRequest("bars", (), FIRST, LAST))
    assert [request.path for request in server.requests] == [
        "/tiingo/daily/AAPL/prices",
        "/tiingo/daily/BRK-B/prices",
    ]
    assert server.requests[0].params == {"startDate": "2024-06-03", "endDate": "2024-06-14", "format": "json"}
    assert {request.headers["authorization"] for request in server.requests} == {f"Token {KEY}"}
    assert server.connections == 1
    assert result.bars is not None
    assert result.bars.symbols == ("AAPL", "BRK-B")
    assert [payload.name for payload in result.payloads] == ["AAPL", "BRK-B"]


def test_tiingo_gives_bars_as_traded_with_splits_and_dividends() -> None:
    with serving(tiingo) as server:
        result = tiingo_for(server, "AAPL").fetch(FetchRequest("bars", (), FIRST, LAST))
    bars, actions = result.bars, result.actions
    assert bars is not None
    assert actions is not None
    assert bars.take(np.array([0])).values.tolist() == [[99.0, 102.0, 98.0, 100.0, 1_000_000.0, 10.0]]
    assert actions.ex_sessions.astype(str).tolist() == ["2024-06-07", "2024-06-10"]
    assert actions.split_numerator.tolist() == [1, 10]
    assert actions.split_denominator.tolist() == [1, 1]
    assert actions.dividend.tolist() == [0.25, 0.0]


def test_a_symbol_that_is_gone_is_named_and_the_others_are_read() -> None:
    with serving(tiingo) as server:
        provider = tiingo_for(server, "GONE", "AAPL")
        result = provider.fetch(FetchRequest("bars", (), FIRST, LAST))
        assert [security.symbol for security in provider.securities()] == ["AAPL"]
    assert result.bars is not None
    assert result.bars.symbols == ("AAPL",)
    assert len(result.bars) == 10
    assert list(result.missing) == ["GONE"]
    assert "404" in result.missing["GONE"]


def test_when_every_symbol_is_gone_the_vendor_is_doubted() -> None:
    with serving(tiingo) as server, pytest.raises(ProviderError, match="Tiingo knows none of GONE"):
        tiingo_for(server, "GONE").fetch(FetchRequest("bars", (), FIRST, LAST))


def test_a_failure_in_the_middle_gives_no_half_of_an_answer() -> None:
    with serving(tiingo) as server:
        server.faults = [lambda reply: reply, *[travelling("reset")] * 3]
        with pytest.raises(ProviderError, match="for MSFT"):
            tiingo_for(server, "AAPL", "MSFT").fetch(FetchRequest("bars", (), FIRST, LAST))


def test_a_period_without_trading_is_no_failure() -> None:
    with serving(tiingo) as server:
        result = tiingo_for(server, "AAPL").fetch(FetchRequest("bars", (), date(2024, 6, 8), date(2024, 6, 9)))
    assert result.bars is not None
    assert len(result.bars) == 0
    assert not result.missing


def test_tiingo_describes_instruments() -> None:
    with serving(tiingo) as server:
        assert tiingo_for(server, "AAPL").securities() == (
            Security("AAPL", "AAPL Inc", "stock", currency="USD", exchange="XNAS"),
        )


def test_a_symbol_cannot_leave_its_place_in_the_address() -> None:
    with serving(tiingo) as server:
        tiingo_for(server, "A/../B?token=x#").fetch(FetchRequest("bars", (), FIRST, LAST))
    assert server.requests[0].path == "/tiingo/daily/A/../B?token=x#/prices"


def test_requests_keep_their_distance() -> None:
    with serving(tiingo) as server:
        provider = tiingo_for(server, "A", "B", "C", spacing=0.15)
        provider.fetch(FetchRequest("bars", (), FIRST, LAST))
    assert (np.diff(server.times) > 0.12).all()


def test_the_distance_is_kept_between_sessions_too() -> None:
    with serving(tiingo) as server:
        for symbol in ("A", "B"):
            tiingo_for(server, symbol, spacing=0.21).fetch(FetchRequest("bars", (), FIRST, LAST))
    assert server.times[1] - server.times[0] > 0.18


# FRED ------------------------------------------------------------------------------------------------------


def test_fred_without_a_key_reads_the_graph_of_both_series() -> None:
    with vendor_of(CASES[1]) as (server, provider):
        result = provider.fetch(FetchRequest("interest_rates", (), FIRST, LAST))
    assert [request.path for request in server.requests] == ["/graph/fredgraph.csv"] * 2
    assert server.requests[0].params == {"id": "DTB3", "cosd": "2024-06-03", "coed": "2024-06-14"}
    rates = result.interest_rates
    assert rates is not None
    assert np.unique(rates.series).tolist() == [b"DGS3MO", b"DTB3"]
    assert set(rates.annual_rate.tolist()) == {0.0525}
    assert np.datetime64("2024-06-05") not in rates.sessions
    assert rates.known_on is None


def test_fred_with_a_key_says_when_the_rates_stood_like_this() -> None:
    with vendor_of(CASES[2]) as (server, provider):
        now = provider.fetch(CASES[2].request).interest_rates
        then = provider.fetch(replace(CASES[2].request, as_of=date(2024, 6, 20))).interest_rates
        assert provider.notice is not None
    assert now is not None
    assert then is not None
    assert (now.known_on, then.known_on) == (date(2024, 7, 1), date(2024, 6, 20))
    assert (now.annual_rate[0], then.annual_rate[0]) == pytest.approx((0.0525, 0.052), rel=1e-15)
    assert server.requests[1].params["realtime_start"] == server.requests[1].params["realtime_end"] == "2024-06-20"


@pytest.mark.parametrize("case", CASES[1:3], ids=lambda case: case.name)
def test_a_series_that_fred_does_not_know_is_named(case: object) -> None:
    with vendor_of(case) as (_, provider):  # type: ignore[arg-type]
        result = provider.fetch(FetchRequest("interest_rates", ("GONE", "DTB3"), FIRST, LAST))
    assert list(result.missing) == ["GONE"]
    assert result.interest_rates is not None
    assert len(result.interest_rates.sessions) == 9


@pytest.mark.parametrize("case", CASES[1:3], ids=lambda case: case.name)
def test_when_every_series_is_gone_fred_is_doubted(case: object) -> None:
    with vendor_of(case) as (_, provider), pytest.raises(ProviderError, match="FRED knows none of GONE") as caught:  # type: ignore[arg-type]
        provider.fetch(FetchRequest("interest_rates", ("GONE",), FIRST, LAST))
    assert caught.value.remedy


def test_the_key_of_fred_is_sent_as_a_parameter() -> None:
    with serving(fred_api) as server:
        api = replace(FRED_API, base_url=server.url, spacing_seconds=0)
        FredProvider(ProviderOptions(fred_api_key=SecretStr(KEY)), api=api, policy=QUICK).fetch(CASES[2].request)
    assert server.requests[0].params["api_key"] == KEY
    assert server.requests[0].params["file_type"] == "json"


# ECB -------------------------------------------------------------------------------------------------------


def ecb_for(server: VendorServer) -> EcbProvider:
    return EcbProvider(vendor=replace(ECB, base_url=server.url, spacing_seconds=0), policy=QUICK)


@pytest.mark.parametrize(
    ("symbols", "key"),
    [((), "D..EUR.SP00.A"), (("USD", "GBP"), "D.USD+GBP.EUR.SP00.A"), (("EUR", "USD"), "D.USD.EUR.SP00.A")],
)
def test_the_ecb_is_asked_for_currencies_by_key(symbols: tuple[str, ...], key: str) -> None:
    with serving(ecb) as server:
        result = ecb_for(server).fetch(FetchRequest("fx_rates", symbols, FIRST, LAST))
    assert server.requests[0].path == f"/service/data/EXR/{key}"
    assert server.requests[0].params["format"] == "csvdata"
    assert result.fx_rates is not None
    assert set(result.fx_rates.units_per_euro.tolist()) == {1.0812}
    assert np.datetime64("2024-06-05") not in result.fx_rates.sessions


def test_an_empty_answer_of_the_ecb_is_a_period_without_publication() -> None:
    with serving(ecb) as server:
        result = ecb_for(server).fetch(FetchRequest("fx_rates", (), date(2024, 6, 8), date(2024, 6, 9)))
    assert result.fx_rates is not None
    assert len(result.fx_rates.sessions) == 0
    assert result.payloads == ()


@pytest.mark.parametrize("symbols", [("GONE",), ("GONE", "USD")])
def test_a_currency_without_rates_is_named(symbols: tuple[str, ...]) -> None:
    with serving(ecb) as server:
        result = ecb_for(server).fetch(FetchRequest("fx_rates", symbols, FIRST, LAST))
    assert list(result.missing) == ["GONE"]


def test_a_404_for_all_currencies_is_an_outage() -> None:
    with serving(ecb) as server:
        server.faults = [status(404, b'{"detail":"No results found."}')]
        with pytest.raises(ProviderError, match="No results found"):
            ecb_for(server).fetch(FetchRequest("fx_rates", (), FIRST, LAST))


def test_the_euro_alone_needs_no_request() -> None:
    with serving(ecb) as server:
        result = ecb_for(server).fetch(FetchRequest("fx_rates", ("EUR",), FIRST, LAST))
    assert server.requests == []
    assert result.fx_rates is not None


# All -------------------------------------------------------------------------------------------------------


def test_a_session_closes_what_it_opened() -> None:
    before = threading.active_count()
    with vendor_of(CASES[0]) as (_, provider):
        provider.fetch(CASES[0].request)
    time.sleep(0.05)
    assert threading.active_count() <= before
