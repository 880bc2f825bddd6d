"""Users of a test, and services that ask who they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import httpx
import psycopg
from pydantic import SecretStr

from pipeline.store.access import Role
from pipeline.store.engine import Database
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from pipeline.store.users import NewUser, create_user
from serving.auth.passwords import hashed

PORTFOLIOS = "/api/v1/portfolios"
ME = "/api/v1/users/me"
PASSWORD = "correct horse battery staple"
JWT_SECRET = "j" * 32
SERVICE_KEY = "k" * 32
SECURED: dict[str, object] = {
    "environment": "staging",
    "jwt_secret": SecretStr(JWT_SECRET),
    "service_api_key": SecretStr(SERVICE_KEY),
    "rate_limit": "none",
}
"""Settings of services outside of a developer's machine."""

USERS: dict[str, Role] = {
    "alice": "analyst",
    "bob": "analyst",
    "vera": "viewer",
    "otto": "operator",
    "ada": "admin",
}


@dataclass(frozen=True, slots=True)
class House:
    """A database with users, a portfolio of Alice's, one of Bob's and one of everybody's."""

    database: Database
    users: dict[str, int]
    portfolios: dict[str, int]


def address(name: str) -> str:
    return f"{name}@example.com"


@lru_cache
def password_hash() -> str:
    return hashed(PASSWORD, "nobody")


def furnish(database: Database) -> House:
    """Make users, an instrument and portfolios with a row of each kind of result."""
    with database.connect() as connection:
        users = {
            name: create_user(connection, NewUser(address(name), name, password_hash(), role)).id
            for name, role in USERS.items()
        }
        instrument_id = _instrument(connection)
        position = (Position(instrument_id, "ACME", target_weight=1.0),)
        owners = {"alices": users["alice"], "bobs": users["bob"], "everybodys": None}
        portfolios = {
            slug: create_portfolio(
                connection, NewPortfolio(slug.title(), "monthly", position, slug=slug, owner_id=owner_id)
            )
            for slug, owner_id in owners.items()
        }
        for number in portfolios.values():
            _results(connection, number)
    return House(database, users, portfolios)


def _instrument(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "INSERT INTO instrument (symbol, name, kind, sector, currency, exchange, provider, materialization_id)"
        " VALUES ('ACME', 'Acme', 'stock', '', 'USD', 'XNYS', 'vendor', 1) RETURNING id"
    ).fetchone()
    assert row is not None
    connection.execute(
        "INSERT INTO instrument_symbol (symbol, instrument_id, materialization_id) VALUES ('ACME', %s, 1)", [row[0]]
    )
    return int(row[0])


def _results(connection: psycopg.Connection, portfolio_id: int) -> None:
    connection.execute(
        "INSERT INTO portfolio_tail (portfolio_id, session, method, window_sessions, materialization_id)"
        " VALUES (%s, '2022-12-28', 'historical', 252, 1)",
        [portfolio_id],
    )
    connection.execute(
        "INSERT INTO portfolio_unit (portfolio_id, session, instrument_id, units, set_on, traded, materialization_id)"
        " VALUES (%s, '2022-12-28', 1, 0.01, '2022-12-28', 0, 1)",
        [portfolio_id],
    )
    connection.execute(
        "INSERT INTO portfolio_limit (portfolio_id, measure, direction, warn, breach)"
        " VALUES (%s, 'var_99_1d', 'above', 0.1, 0.2)",
        [portfolio_id],
    )
    connection.execute(
        "INSERT INTO limit_event (key, portfolio_id, kind, measure, direction, session, opened)"
        " VALUES (%s, %s, 'WARN', 'var_99_1d', 'above', '2022-12-28', '2022-12-28')",
        [f"key {portfolio_id}", portfolio_id],
    )
    connection.execute(
        "INSERT INTO var_backtest (subject_kind, subject_id, session, method, measure, observations, exceptions,"
        " materialization_id) VALUES ('portfolio', %s, '2022-12-28', 'historical', 'var_99_1d', 250, 2, 1)",
        [portfolio_id],
    )


def log_in(client: httpx.Client, name: str, password: str = PASSWORD) -> dict[str, str]:
    """The tokens of a login."""
    answer = client.post("/api/v1/auth/login", json={"email": address(name), "password": password})
    assert answer.status_code == 200, answer.text
    tokens: dict[str, str] = answer.json()
    return tokens


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, (answer.request.url, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    found: dict[str, object] = answer.json()
    return found
