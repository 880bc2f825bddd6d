"""Limits of portfolios through the API."""

from __future__ import annotations

from datetime import date
from typing import Any

import httpx
import pytest

from pipeline.store.limits import NewEvent, mark_delivered, mark_undelivered, record_events
from tests.integration.serving.seeding import NOTICE, Seeded

LIMITS = "/api/v1/portfolios/held/limits"
VAR = {"measure": "var_99_1d", "direction": "above", "warn": 0.03, "breach": 0.04}
DRAWDOWN = {"measure": "max_drawdown", "direction": "below", "warn": -0.2, "breach": -0.3}


def put(api: httpx.Client, *limits: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.put(LIMITS, json={"limits": list(limits)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["notice"] == NOTICE
    return answer.json()["data"]


def test_limits_are_set_read_and_taken_away(own_api: httpx.Client) -> None:
    assert own_api.get(LIMITS).json()["data"] == []
    first = put(own_api, VAR, DRAWDOWN)
    assert [{name: row[name] for name in VAR} for row in first] == [DRAWDOWN, VAR]
    assert own_api.get(LIMITS).json()["data"] == first
    assert put(own_api, DRAWDOWN, VAR) == first  # the same again changes no date
    second = put(own_api, VAR | {"warn": 0.02})
    assert len(second) == 1
    assert second[0]["created_at"] == first[1]["created_at"]
    assert second[0]["changed_at"] > first[1]["changed_at"]
    assert own_api.get("/api/v1/portfolios/quarterly/limits").json()["data"] == []
    assert own_api.delete(LIMITS).status_code == 204
    assert own_api.delete(LIMITS).status_code == 204
    assert own_api.get(LIMITS).json()["data"] == []
    for call in (own_api.get, own_api.delete):
        assert call("/api/v1/portfolios/nobody/limits").status_code == 404
    assert own_api.put("/api/v1/portfolios/nobody/limits", json={"limits": []}).status_code == 404


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ([VAR | {"measure": "luck"}], "measure: 'luck' is not known"),
        ([VAR | {"measure": "\x00"}], "measure: "),
        ([VAR | {"measure": "x" * 65}], "body.limits.0.measure"),
        ([VAR | {"direction": "sideways"}], "body.limits.0.direction"),
        ([VAR | {"warn": 0.05}], "warn=0.05: beyond breach=0.04 of var_99_1d"),
        ([DRAWDOWN | {"warn": -0.4}], "warn=-0.4: beyond breach=-0.3"),
        ([VAR, VAR | {"warn": 0.01}], "limits: two on var_99_1d (above); keep one"),
        ([VAR | {"warn": "0.03"}], "body.limits.0.warn"),
        ([VAR | {"breach": None}], "body.limits.0.breach"),
        ([VAR | {"breach": 10**400}], "body.limits.0.breach"),
        ([VAR | {"who": 1}], "body.limits.0.who"),
        ([VAR] * 65, "body.limits"),
        (None, "body.limits"),
    ],
)
def test_a_bad_limit_is_refused_by_name(api: httpx.Client, limits: Any, named: str) -> None:
    answer = api.put(LIMITS, json={"limits": limits})
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["detail"]
    assert api.get(LIMITS).json()["data"] == []


def test_an_unknown_measure_is_told_which_there_are(api: httpx.Client) -> None:
    remedy = api.put(LIMITS, json={"limits": [VAR | {"measure": "luck"}]}).json()["remedy"]
    assert "var_99_1d" in remedy
    assert "largest_weight" in remedy


def test_events_say_whether_they_were_delivered(own_api: httpx.Client, own_seeded: Seeded) -> None:
    portfolio = own_seeded.portfolios["held"]

    def event(day: int, kind: str) -> NewEvent:
        session = date(2022, 12, day)
        return NewEvent(f"{day}", portfolio, kind, "var_99_1d", "above", session, date(2022, 12, 1), 0.05, 0.03, 0.04)

    with own_seeded.database.connect() as connection:
        record_events(connection, [event(1, "WARN"), event(2, "BREACH"), event(5, "CLEAR")])
        mark_delivered(connection, "1", 1)
        mark_undelivered(connection, "2", 3, "the receiver answered 500")
    path = "/api/v1/portfolios/held/limit-events"
    told = own_api.get(path).json()["data"]
    assert [(row["kind"], row["session"], row["attempts"]) for row in told] == [
        ("WARN", "2022-12-01", 1),
        ("BREACH", "2022-12-02", 3),
        ("CLEAR", "2022-12-05", 0),
    ]
    assert [row["delivered_at"] is None for row in told] == [False, True, True]
    assert told[1]["last_error"] == "the receiver answered 500"
    newest = own_api.get(path, params={"start": "2022-12-02", "end": "2022-12-04"}).json()["data"]
    assert [row["kind"] for row in newest] == ["BREACH"]
    assert [row["kind"] for row in own_api.get(path, params={"limit": 1}).json()["data"]] == ["CLEAR"]
    assert own_api.get("/api/v1/portfolios/quarterly/limit-events").json()["data"] == []
