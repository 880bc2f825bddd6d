"""A database with rows of every collection of the API."""

from __future__ import annotations

from datetime import date
from typing import Any

import httpx
import numpy as np

from pipeline.store.api_keys import create_key
from pipeline.store.engine import Database
from pipeline.store.interest_rates import INTEREST_RATE
from pipeline.store.quarantine import QuarantinedRow, replace_quarantine
from pipeline.store.strategies import STRATEGY_NAV, STRATEGY_WEIGHT
from pipeline.store.users import NewUser, create_user
from pipeline.store.writing import open_write
from tests.integration.serving.explained_results import seed_explained
from tests.integration.serving.running import local_settings, running_service, wait_until
from tests.integration.serving.seeding import MONTHS, SESSIONS, Seeded, filled
from tests.integration.serving.test_models import register
from tests.integration.serving.test_probabilities import write_chances

STRATEGY = "min_variance"


def seed_listed(database: Database) -> Database:
    """The database that `seed_explained` makes, with rows of every other collection."""
    seeded = seed_explained(database)
    register(seeded.database)
    _seed_rates(seeded.database)
    _seed_refused(seeded.database)
    _seed_strategy(seeded)
    write_chances(seeded)
    _seed_people(seeded.database)
    _seed_events(seeded)
    with running_service("backend-api", local_settings(seeded.database.url)) as service:
        _seed_book(service.client)
        _seed_jobs(service.client)
    return seeded.database


def _seed_rates(database: Database) -> None:
    series = np.repeat([b"DTB3", b"ESTR"], 9)
    rows = {"series": series, "session": np.tile(SESSIONS[-9:], 2), "annual_rate": np.linspace(0.01, 0.05, 18)}
    with open_write(database, "interest_rates", "run", "v1") as write:
        write.replace(INTEREST_RATE, rows, MONTHS)


def _seed_refused(database: Database) -> None:
    refused = [
        QuarantinedRow("bundled", symbol, day, "spike", {"close": 1.5, "note": 'a "b", c'})
        for symbol in ("AAPL", "MSFT")
        for day in (date(2022, 12, 1), date(2022, 12, 2), date(2022, 12, 5))
    ]
    with open_write(database, "prices", "run", "v1") as write:
        replace_quarantine(write, refused, MONTHS)


def _seed_strategy(seeded: Seeded) -> None:
    days = SESSIONS[-3:]
    own = {"strategy": np.full(3, STRATEGY.encode()), "session": days}
    held = {"instrument_id": np.full(3, seeded.instruments["AAPL"].id, "i4"), "weight": np.ones(3)}
    with open_write(seeded.database, "strategies", "run", "v1") as write:
        write.replace(STRATEGY_NAV, filled(STRATEGY_NAV, 3, **own), MONTHS)
        write.replace(STRATEGY_WEIGHT, filled(STRATEGY_WEIGHT, 3, **own, **held), MONTHS)


def _seed_people(database: Database) -> None:
    """Three users with a key each; nobody logs in, so their passwords have no hash."""
    with database.connect() as connection:
        for name in ("ann", "ben", "cleo"):
            user = create_user(connection, NewUser(f"{name}@example.com", name, "!", "analyst"))
            create_key(connection, user.id, "nightly report", ["read"], None)
        connection.commit()


def _seed_events(seeded: Seeded) -> None:
    with seeded.database.connect() as connection:
        for number, day in enumerate(SESSIONS[-3:]):
            connection.execute(
                "INSERT INTO limit_event (key, portfolio_id, kind, measure, direction, session, opened)"
                " VALUES (%s, %s, 'WARN', 'var_99_1d', 'above', %s, %s)",
                [f"key {number}", seeded.portfolios["held"], str(day), str(day)],
            )
        connection.commit()


def _seed_book(client: httpx.Client) -> None:
    _made(client.post("/api/v1/portfolios", json={"name": "Book", "slug": "book"}), 201)
    trades = [
        {"kind": "buy", "trade_date": str(SESSIONS[row]), "symbol": symbol, "quantity": 2.0}
        for row, symbol in ((-300, "AAPL"), (-200, "MSFT"), (-100, "AAPL"))
    ]
    _made(client.post("/api/v1/portfolios/book/transactions", json={"transactions": trades}), 201)


def _seed_jobs(client: httpx.Client) -> None:
    """Three simulations that are done, so that no answer changes while it is asked for again."""
    how = {"portfolio": "held", "paths": 200, "horizon_sessions": 5, "fit_window_sessions": 252}
    for _ in range(3):
        job = _made(client.post("/api/v1/simulate", json=how, headers={"Prefer": "respond-async"}), 202)
        address = f"/api/v1/simulations/{job['id']}"
        wait_until(lambda at=address: client.get(at).json()["state"] == "done", 60)  # type: ignore[misc]


def _made(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json())
