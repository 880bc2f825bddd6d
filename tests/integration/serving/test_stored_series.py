"""Series that are passed through as they are stored give the bytes that their rows would give."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest

from pipeline.store.corporate_actions import action_rows, replace_actions
from pipeline.store.engine import Database
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import replace_instruments
from pipeline.store.offering import Columns
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.series_kinds import KINDS
from pipeline.store.series_making import bring_up_to_date
from pipeline.store.strategies import STRATEGY_NAV
from pipeline.store.writing import open_write
from serving.stored_series import HEAVY_ROWS
from tests.integration.serving.running import Serve, local_settings, running_service
from tests.integration.serving.seeding import _LISTINGS, MONTHS, SESSIONS, Seeded, filled, seed

PRICES = "/api/v1/instruments/AAPL/prices"
SERIES = (PRICES, "/api/v1/instruments/MSFT/prices", "/api/v1/instruments/AAPL/risk", "/api/v1/strategies/hrp/nav")
WHOLE = {"limit": 10_000}
BY_ROWS = {"limit": 10_000, "start": "1900-01-01"}
TAMPERED = b"/* stored */"


@pytest.fixture(scope="module")
def stored(new_database: Callable[[], Database]) -> Seeded:
    """The small database with long series of every kind, with splits, prices in pence and missing numbers."""
    seeded = seed(new_database())
    apple, microsoft = (seeded.instruments[symbol].id for symbol in ("AAPL", "MSFT"))
    with open_write(seeded.database, "instruments", "run", "v1") as write:
        pence = [dataclasses.replace(listing, price_scale=0.01) for listing in _LISTINGS if listing.symbol == "MSFT"]
        replace_instruments(write, pence)
    with open_write(seeded.database, "prices", "run", "v1") as write:
        replace_prices(write, traded((apple, microsoft)), MONTHS)
        days = np.array(["2020-08-31", "2022-03-01"], dtype="datetime64[D]")
        split, dividend = (np.array([4, 1]), np.array([1, 1])), np.array([0.0, 0.3])
        actions = action_rows(np.full(2, apple, "i4"), days, 1, split, dividend, np.array([0.25, 0.997]))
        replace_actions(write, actions, MONTHS)
    with open_write(seeded.database, "results", "run", "v1") as write:
        count = len(SESSIONS)
        rows = filled(INSTRUMENT_RISK, count, instrument_id=np.full(count, apple, "i4"), session=SESSIONS)
        rows |= {"beta": np.full(count, np.nan), "reason": np.full(count, b'no "benchmark", {none},{0}')}
        write.replace(INSTRUMENT_RISK, rows, MONTHS)
        write.replace(STRATEGY_NAV, filled(STRATEGY_NAV, count, strategy=np.full(count, b"hrp")), MONTHS)
        for kind in KINDS:
            assert bring_up_to_date(write, kind) > 0
    return seeded


@pytest.fixture(scope="module")
def client(stored: Seeded) -> Iterator[httpx.Client]:
    """Of a gateway that keeps no answer."""
    with running_service("backend-api", local_settings(stored.database.url, cache_mib=0)) as running:
        yield running.client


@pytest.fixture(scope="module")
def keeping(stored: Seeded) -> Iterator[httpx.Client]:
    with running_service("backend-api", local_settings(stored.database.url)) as running:
        yield running.client


@pytest.fixture(params=["client", "keeping"])
def either(client: httpx.Client, keeping: httpx.Client, request: pytest.FixtureRequest) -> httpx.Client:
    return client if request.param == "client" else keeping


def traded(instruments: tuple[int, ...], close: float = 100.0) -> Columns:
    sessions = np.tile(SESSIONS, len(instruments))
    closes = close * np.cumprod(1 + np.random.default_rng(9).normal(0, 0.01, len(sessions)))
    closes[5:9] = np.nan
    volume = np.where(np.arange(len(sessions)) % 7 == 0, np.nan, 1e18 / 3)
    numbers = {"open": closes * 0.999, "close": closes, "close_adjusted": np.full(len(sessions), 1e-7)}
    ids = np.repeat(np.array(instruments, dtype="i4"), len(SESSIONS))
    return price_rows(ids, sessions, 1, numbers | {"volume": volume})


def asked(client: httpx.Client, path: str, **query: object) -> httpx.Response:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("path", SERIES)
def test_the_bytes_are_those_of_the_rows(either: httpx.Client, path: str) -> None:
    client = either
    passed, read = asked(client, path, **WHOLE), asked(client, path, **BY_ROWS)
    assert passed.content == read.content
    assert len(passed.json()["data"]) == len(SESSIONS)
    own = ("date", "etag", "x-request-id", "age")
    kept = [{name: value for name, value in answer.headers.items() if name not in own} for answer in (passed, read)]
    assert kept[0] == kept[1]


@pytest.fixture
def tampered(stored: Seeded, client: httpx.Client) -> Iterator[httpx.Client]:
    """The client, while the stored texts are no JSON."""
    with stored.database.connect() as connection:
        connection.execute("UPDATE served_year SET body = %b || body, digest = %b || digest", [TAMPERED] * 2)
    yield client
    with stored.database.connect() as connection:
        start = len(TAMPERED) + 1
        connection.execute("UPDATE served_year SET body = substr(body, %s), digest = substr(digest, %s)", [start] * 2)


@pytest.mark.parametrize("query", [WHOLE, {"limit": HEAVY_ROWS}, {**WHOLE, "format": "json"}])
@pytest.mark.parametrize("path", SERIES)
def test_all_of_a_series_is_passed_through(tampered: httpx.Client, path: str, query: dict[str, object]) -> None:
    assert asked(tampered, path, **query).content.count(TAMPERED) == 3  # a text a year


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"limit": HEAVY_ROWS - 1},
        {**WHOLE, "format": "csv"},
        BY_ROWS,
        {**WHOLE, "end": "2022-12-31"},
        {**WHOLE, "as_of": "2022-12-31"},
    ],
)
@pytest.mark.parametrize("path", SERIES)
def test_anything_else_is_read_as_rows(tampered: httpx.Client, path: str, query: dict[str, object]) -> None:
    assert TAMPERED not in asked(tampered, path, **query).content


def test_a_table_that_accept_asks_for_is_made_of_rows(tampered: httpx.Client) -> None:
    answer = tampered.get(PRICES, params=WHOLE, headers={"Accept": "text/csv"})
    assert TAMPERED not in answer.content
    assert answer.content.count(b"\n") == len(SESSIONS) + 1


def test_a_text_is_sent_by_postgres_once(client: httpx.Client, stored: Seeded) -> None:
    before = asked(client, PRICES, **WHOLE).content
    with stored.database.connect() as connection:
        connection.execute("CREATE TABLE kept AS TABLE served_year")
        connection.execute("UPDATE served_year SET body = ''")
    try:
        assert asked(client, PRICES, **WHOLE).content == before
    finally:
        with stored.database.connect() as connection:
            connection.execute("UPDATE served_year AS s SET body = k.body FROM kept AS k WHERE k.digest = s.digest")
            connection.execute("DROP TABLE kept")


def test_what_is_not_there_is_refused_as_before(client: httpx.Client) -> None:
    for path in ("/api/v1/instruments/NONE/prices", "/api/v1/strategies/none/nav"):
        assert client.get(path, params=WHOLE).status_code == 404
    assert client.get(PRICES, params={"limit": 10_001}).status_code == 422


def test_who_has_the_series_is_told_so(either: httpx.Client) -> None:
    client = either
    tag = asked(client, PRICES, **WHOLE).headers["etag"]
    again = client.get(PRICES, params=WHOLE, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = asked(client, "/api/v1/instruments/MSFT/prices", **WHOLE).headers["etag"]
    assert other != tag
    assert client.head(PRICES, params=WHOLE).headers["etag"] == tag


@pytest.mark.parametrize("makes_texts", [True, False])
def test_a_change_shows_at_once(new_database: Callable[[], Database], serve: Serve, makes_texts: bool) -> None:
    """Whether or not the write makes the text anew."""
    seeded = seed(new_database())
    number = seeded.instruments["AAPL"].id
    client = serve(seeded.database.url, cache_mib=0).client
    tags, closes = [], []
    for close, makes in ((100.0, True), (200.0, makes_texts)):
        with open_write(seeded.database, "prices", "run", "v1") as write:
            replace_prices(write, traded((number,), close), MONTHS)
            if makes:
                assert bring_up_to_date(write, KINDS[0]) > 0
        answer = asked(client, PRICES, **WHOLE)
        assert answer.content == asked(client, PRICES, **BY_ROWS).content
        tags.append(answer.headers["etag"])
        closes.append(answer.json()["data"][-1]["close"])
    assert closes[1] == pytest.approx(2 * closes[0])
    assert tags[0] != tags[1]
