"""What the vendors' servers answer, in their documented formats, with made-up figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pytest
from pydantic import SecretStr

from pipeline.market_data.providers import FetchRequest, FetchResult, Provider, ProviderOptions
from pipeline.market_data.providers.ecb import ECB, EcbProvider
from pipeline.market_data.providers.fred import FRED_API, FRED_GRAPH, FredProvider
from pipeline.market_data.providers.tiingo import TIINGO, TiingoProvider
from pipeline.market_data.providers.vendors import RetryPolicy
from tests.integration.market_data.vendor_server import Reply, Request, VendorServer, serving

KEY = "0123456789abcdef0123456789abcdef"
FIRST, LAST = date(2024, 6, 3), date(2024, 6, 14)
QUICK = RetryPolicy(
    attempts=3,
    connect_seconds=2,
    read_seconds=2,
    attempt_seconds=0.5,
    total_seconds=4,
    first_wait_seconds=0.01,
    longest_wait_seconds=2,
    jitter_seconds=0.01,
    max_bytes=200_000,
)
LIMIT_SENTENCE = (
    "You have run over your 500 symbol look up for this month. Please upgrade to have your limits increased."
)


def weekdays(first: str, last: str) -> list[date]:
    """Days of a vendor that publishes from Monday to Friday, at most from `FIRST` to `LAST`."""
    start, end = max(date.fromisoformat(first), FIRST), min(date.fromisoformat(last), LAST)
    days = [start + timedelta(days=number) for number in range((end - start).days + 1)]
    return [day for day in days if day.weekday() < 5]


def tiingo_day(day: date, number: int) -> dict[str, object]:
    close = 100.0 + number
    adjusted = {f"adj{name}": close / 10 for name in ("Open", "High", "Low", "Close")}
    return {
        "date": f"{day}T00:00:00.000Z",
        "close": close,
        "high": close + 2,
        "low": close - 2,
        "open": close - 1,
        "volume": 1_000_000 + number,
        **adjusted,
        "adjVolume": 10_000_000,
        "divCash": 0.25 if day == date(2024, 6, 7) else 0.0,
        "splitFactor": 10.0 if day == date(2024, 6, 10) else 1.0,
    }


def tiingo(request: Request) -> Reply:
    if request.headers.get("authorization") != f"Token {KEY}":
        return Reply(401, b'{"detail":"Invalid token."}')
    parts = request.path.strip("/").split("/")
    symbol = parts[2]
    if symbol == "GONE":
        return Reply(404, b'{"detail":"Not found."}')
    if len(parts) == 3:
        meta = {"ticker": symbol, "name": f"{symbol} Inc", "exchangeCode": "NASDAQ", "startDate": "1990-01-01"}
        return Reply(body=json.dumps({**meta, "endDate": "2024-06-14", "description": "…"}).encode())
    days = weekdays(request.params["startDate"], request.params["endDate"])
    return Reply(body=json.dumps([tiingo_day(day, number) for number, day in enumerate(days)]).encode())


def fred_graph(request: Request) -> Reply:
    series = request.params["id"]
    if series == "GONE":
        return Reply(404, b"<html>Not found</html>", "text/html")
    days = weekdays(request.params["cosd"], request.params["coed"])
    lines = [f"{day},{'.' if day == date(2024, 6, 5) else 5.25}" for day in days]
    return Reply(body="\n".join([f"observation_date,{series}", *lines, ""]).encode(), media_type="application/csv")


def fred_api(request: Request) -> Reply:
    if request.params.get("api_key") != KEY:
        message = "Bad Request.  The value for variable api_key is not registered."
        return Reply(400, json.dumps({"error_code": 400, "error_message": message}).encode())
    if request.params["series_id"] == "GONE":
        return Reply(400, b'{"error_code":400,"error_message":"Bad Request.  The series does not exist."}')
    known = request.params.get("realtime_start", "2024-07-01")
    days = weekdays(request.params["observation_start"], request.params["observation_end"])
    observations = [
        {
            "realtime_start": known,
            "realtime_end": known,
            "date": f"{day}",
            "value": "." if day == date(2024, 6, 5) else ("5.20" if known < "2024-07-01" else "5.25"),
        }
        for day in days
    ]
    whole = {"realtime_start": known, "realtime_end": known, "count": len(observations), "observations": observations}
    return Reply(body=json.dumps(whole).encode())


def ecb(request: Request) -> Reply:
    currencies = request.path.split("/D.")[1].split(".")[0]
    wanted = currencies.split("+") if currencies else ["USD", "GBP"]
    days = weekdays(request.params["startPeriod"], request.params["endPeriod"])
    lines = [
        f"EXR.D.{currency}.EUR.SP00.A,D,{currency},EUR,SP00,A,{day},{'' if day == date(2024, 6, 5) else 1.0812}"
        for currency in wanted
        if currency != "GONE"
        for day in days
    ]
    if not lines:
        empty = b'{"title":"Not Found","status":404,"detail":"No results found."}'
        return Reply(404, empty) if "GONE" in wanted else Reply(media_type="application/vnd.sdmx.data+csv")
    header = "KEY,FREQ,CURRENCY,CURRENCY_DENOM,EXR_TYPE,EXR_SUFFIX,TIME_PERIOD,OBS_VALUE"
    return Reply(body="\r\n".join([header, *lines, ""]).encode(), media_type="application/vnd.sdmx.data+csv")


@dataclass(frozen=True)
class Case:
    """One vendor, what is asked of it, and how many rows it answers."""

    name: str
    respond: Callable[[Request], Reply]
    provider: Callable[[str, RetryPolicy], Provider]
    request: FetchRequest
    rows: int
    payload: str


def _tiingo_provider(url: str, policy: RetryPolicy) -> Provider:
    options = ProviderOptions(symbols=("AAPL",), tiingo_api_key=SecretStr(KEY))
    return TiingoProvider(options, replace(TIINGO, base_url=url, spacing_seconds=0.0), policy)


def _fred_graph_provider(url: str, policy: RetryPolicy) -> Provider:
    return FredProvider(ProviderOptions(), graph=replace(FRED_GRAPH, base_url=url, spacing_seconds=0.0), policy=policy)


def _fred_api_provider(url: str, policy: RetryPolicy) -> Provider:
    options = ProviderOptions(fred_api_key=SecretStr(KEY))
    return FredProvider(options, api=replace(FRED_API, base_url=url, spacing_seconds=0.0), policy=policy)


def _ecb_provider(url: str, policy: RetryPolicy) -> Provider:
    return EcbProvider(vendor=replace(ECB, base_url=url, spacing_seconds=0.0), policy=policy)


CASES = (
    Case("tiingo", tiingo, _tiingo_provider, FetchRequest("bars", ("AAPL",), FIRST, LAST), 10, "AAPL"),
    Case(
        "fred csv", fred_graph, _fred_graph_provider, FetchRequest("interest_rates", ("DTB3",), FIRST, LAST), 9, "DTB3"
    ),
    Case("fred json", fred_api, _fred_api_provider, FetchRequest("interest_rates", ("DTB3",), FIRST, LAST), 9, "DTB3"),
    Case("ecb", ecb, _ecb_provider, FetchRequest("fx_rates", ("USD",), FIRST, LAST), 9, "EXR USD"),
)
EVERY_VENDOR = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@contextmanager
def vendor_of(case: Case, policy: RetryPolicy = QUICK) -> Iterator[tuple[VendorServer, Provider]]:
    """The vendor's server, and the provider that reads it."""
    with serving(case.respond) as server:
        yield server, case.provider(server.url, policy)


def rows_of(result: FetchResult) -> int:
    """Rows of the only part that is filled."""
    [part] = [part for part in (result.bars, result.fx_rates, result.interest_rates) if part is not None]
    return len(part.sessions)
