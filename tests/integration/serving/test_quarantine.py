"""Refused rows and decisions on them, over real HTTP and a real Postgres."""

from __future__ import annotations

from datetime import date

import httpx
import pytest

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.quarantine import QuarantinedRow, replace_quarantine
from pipeline.store.writing import open_write
from tests.integration.serving.running import Serve

NOVEMBER = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
ROWS = [
    QuarantinedRow("vendor", "AAPL", date(2022, 11, 7), "spike", {"close": 300.0}),
    QuarantinedRow("vendor", "MSFT", date(2022, 11, 8), "conflicting_duplicate", {"close": [10.0, 11.0]}),
]
WHY = {"decided_by": "an analyst", "note": "checked"}


@pytest.fixture
def client(database: Database, serve: Serve) -> httpx.Client:
    with open_write(database, "prices", "run", "v1") as write:
        replace_quarantine(write, ROWS, NOVEMBER)
    return serve(database.url, "market-data-ingestion").client


def test_refused_rows_are_listed_newest_first(client: httpx.Client) -> None:
    listed = client.get("/api/v1/quarantine").json()["data"]
    assert [(row["symbol"], row["session"], row["rule"], row["state"]) for row in listed] == [
        ("MSFT", "2022-11-08", "conflicting_duplicate", "held"),
        ("AAPL", "2022-11-07", "spike", "held"),
    ]
    assert listed[0]["payload"] == {"close": [10.0, 11.0]}
    assert client.get("/api/v1/quarantine", params={"state": "released"}).json()["data"] == []


def test_a_release_is_answered_and_kept(client: httpx.Client) -> None:
    answer = client.post("/api/v1/quarantine/AAPL/2022-11-07/release", json=WHY)
    assert answer.status_code == 200, answer.text
    [decision] = answer.json()["data"]
    assert (decision["symbol"], decision["rule"], decision["decision"]) == ("AAPL", "spike", "released")
    assert decision["decided_by"] == "an analyst"
    listed = client.get("/api/v1/quarantine", params={"state": "released"}).json()["data"]
    assert [row["symbol"] for row in listed] == ["AAPL"]


@pytest.mark.parametrize(
    ("path", "body", "status", "named"),
    [
        ("AAPL/2022-11-09/release", WHY, 404, "Nothing of AAPL on 2022-11-09"),
        ("NONE/2022-11-07/reject", WHY, 404, "Nothing of NONE"),
        ("MSFT/2022-11-08/release", WHY, 409, "contradict each other"),
        ("AAPL/yesterday/release", WHY, 422, "path.session"),
        ("AAPL/2022-11-07/release", {}, 422, "body.decided_by"),
        ("AAPL/2022-11-07/release", {**WHY, "note": "a\x00"}, 422, "body.note"),
        ("AAPL/2022-11-07/release", {**WHY, "state": "held"}, 422, "body.state"),
    ],
)
def test_a_bad_decision_is_refused(client: httpx.Client, path: str, body: dict, status: int, named: str) -> None:
    answer = client.post(f"/api/v1/quarantine/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]
    assert {row["state"] for row in client.get("/api/v1/quarantine").json()["data"]} == {"held"}
