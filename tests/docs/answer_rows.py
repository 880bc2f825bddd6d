"""A database in which every operation of the API has something to answer with."""

from __future__ import annotations

from datetime import date

import numpy as np
from psycopg import Connection

from pipeline.forecast.models.frequency import Frequency
from pipeline.forecast.models.monthly_scores import Losses, monthly_columns
from pipeline.forecast.models.probability import Closes
from pipeline.simulation.strategies.catalogue import STRATEGIES
from pipeline.store.engine import Database
from pipeline.store.forecast_models import Decision, NewModel, promote, register_model
from pipeline.store.forecast_scores import FORECAST_SCORE
from pipeline.store.instruments import read_instruments
from pipeline.store.interest_rates import INTEREST_RATE
from pipeline.store.limits import NewEvent, NewLimit, record_events, replace_limits
from pipeline.store.portfolios import NewPortfolio, create_portfolio
from pipeline.store.prices import read_price_panel
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST
from pipeline.store.quarantine import QuarantinedRow, replace_quarantine
from pipeline.store.strategies import STRATEGY_NAV, STRATEGY_WEIGHT
from pipeline.store.transactions import NewTransaction, record_transactions
from pipeline.store.users import NewUser, create_user
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import Write, concatenated, open_write
from tests.integration.serving.accounts import address, password_hash
from tests.integration.serving.explained_results import seed_explained
from tests.integration.serving.seeding import MONTHS, SESSIONS, Seeded

ADMIN = "ada"
EXAMPLE, CHANGED, BOOK = "tech", "young", "book"
"""Portfolios: that of the examples; one that is changed instead of it; and one that keeps a book."""
_MONTH_ENDS = np.array(["2022-10-31", "2022-11-30"], dtype="datetime64[D]")


def fill_for_answers(database: Database) -> Seeded:
    """Results that can be explained, and some rows of whatever else there is."""
    seeded = seed_explained(database)
    with database.connect() as connection:
        _name_the_example(connection)
        for name, role in (("vera", "viewer"), (ADMIN, "admin")):
            create_user(connection, NewUser(address(name), name.title(), password_hash(), role))
        _keep_book(connection, seeded)
        _limit(connection, seeded)
        connection.commit()
    for asset, write_rows in _WRITERS.items():
        with open_write(database, asset, f"run-of-{asset}", "code-3") as write:
            write_rows(write, seeded)
    return seeded


def _name_the_example(connection: Connection) -> None:
    """Call one portfolio as the examples of the documentation do: a slug is for good, but not here."""
    connection.execute("UPDATE portfolio SET slug = %s, name = 'Technology' WHERE slug = 'quarterly'", [EXAMPLE])


def _keep_book(connection: Connection, seeded: Seeded) -> None:
    book = create_portfolio(connection, NewPortfolio("Book", "buy_and_hold", (), slug=BOOK, keeps_book=True))
    apple, first = seeded.instruments["AAPL"].id, date(2022, 1, 3)
    bought = NewTransaction("buy", first, apple, 20.0, fee=1.0)
    record_transactions(connection, book, [NewTransaction("deposit", first, amount=10_000.0), bought])


def _limit(connection: Connection, seeded: Seeded) -> None:
    number, day = seeded.portfolios["quarterly"], date(2022, 12, 28)
    replace_limits(connection, number, [NewLimit("var_99_1d", "above", 0.01, 0.05)])
    event = NewEvent(
        f"{number}:var_99_1d:above:{day}:WARN", number, "WARN", "var_99_1d", "above", day, day, 0.03, 0.01, 0.05
    )
    record_events(connection, [event])


def _write_rates(write: Write, _: Seeded) -> None:
    several = len(SESSIONS)
    rows = {"series": np.full(several, b"DTB3"), "session": SESSIONS, "annual_rate": np.full(several, 0.0424)}
    write.replace(INTEREST_RATE, rows, MONTHS)


def _write_refused(write: Write, _: Seeded) -> None:
    days = (date(2022, 11, 7), date(2022, 11, 8), date(2022, 11, 9), date(2022, 11, 10))
    rows = [QuarantinedRow("bundled", "AAPL", day, "spike", {"close_adjusted": 1386.9}) for day in days]
    replace_quarantine(write, rows, MONTHS)


def _write_weights(write: Write, seeded: Seeded) -> None:
    held = [seeded.instruments["AAPL"].id, seeded.instruments["MSFT"].id]
    rows = {
        "strategy": np.repeat([name.encode() for name in STRATEGIES], 4),
        "session": np.tile(np.repeat(_MONTH_ENDS, 2), len(STRATEGIES)),
        "instrument_id": np.tile(np.array(held, "i4"), 2 * len(STRATEGIES)),
        "weight": np.tile([0.4, 0.6, 0.45, 0.55], len(STRATEGIES)),
        "method": np.repeat([name.encode() for name in STRATEGIES], 4),
        "window_sessions": np.full(4 * len(STRATEGIES), 504, "i2"),
        "eligible": np.full(4 * len(STRATEGIES), 2, "i2"),
        "reason": np.full(4 * len(STRATEGIES), b""),
    }
    write.replace(STRATEGY_WEIGHT, rows, MONTHS)


def _write_values(write: Write, seeded: Seeded) -> None:
    sessions = SESSIONS[np.searchsorted(SESSIONS, _MONTH_ENDS[-1], side="right") :]
    close = 0.45 * seeded.close["AAPL"] + 0.55 * seeded.close["MSFT"]
    nav = close[-len(sessions) - 1 :] / close[-len(sessions) - 1]
    several = len(STRATEGIES)
    rows = {
        "strategy": np.repeat([name.encode() for name in STRATEGIES], len(sessions)),
        "session": np.tile(sessions, several),
        "nav": np.tile(nav[1:], several),
        "daily_return": np.tile(nav[1:] / nav[:-1] - 1.0, several),
        "turnover": np.zeros(several * len(sessions)),
        "cost": np.zeros(several * len(sessions)),
    }
    write.replace(STRATEGY_NAV, rows, MONTHS)


def _write_chances(write: Write, seeded: Seeded) -> None:
    """The constant forecast, whose chance can be explained, and one that is fitted, of three sessions."""
    as_of = np.repeat(SESSIONS[-3:], 2)
    panel = read_price_panel(write.connection, [one.id for one in read_instruments(write.connection)], None, MONTHS.end)
    number = int(np.flatnonzero(panel.instrument_ids == seeded.instruments["AAPL"].id)[0])
    last = range(len(panel.sessions) - 3, len(panel.sessions))
    constant = Frequency().forecast(Closes(panel.sessions, panel.close), last).positive[:, number]
    rows = {
        "instrument_id": np.full(6, seeded.instruments["AAPL"].id, "i4"),
        "as_of": as_of,
        "model": np.tile([b"frequency", b"logistic"], 3),
        "horizon_sessions": np.full(6, 21, "i2"),
        "probability_positive": np.column_stack([constant, constant + 0.02]).ravel(),
        **{f"rank_quintile_{n}": np.tile([0.2, chance], 3) for n, chance in enumerate((0.3, 0.2, 0.1, 0.15, 0.25), 1)},
        "reason": np.full(6, b""),
        "model_version": np.full(6, b"1"),
        "trained_through": np.where(np.tile([True, False], 3), as_of, np.datetime64("2022-01-03")),
    }
    write.replace(PROBABILITY_FORECAST, rows, MONTHS)


def _write_scores(write: Write, seeded: Seeded) -> None:
    naive = np.random.default_rng(5).random(len(SESSIONS)) + 1.0
    losses = Losses("variance", "har", "ewma", 21, SESSIONS, 0.9 * naive, naive, (naive, 2.0 * naive))
    rows = monthly_columns(losses)
    of_apple = {"instrument_id": np.full(len(rows["month"]), seeded.instruments["AAPL"].id, "i4"), **rows}
    write.replace(FORECAST_SCORE, concatenated(FORECAST_SCORE, [of_apple]), MONTHS)
    found = write.connection.execute("SELECT DISTINCT model, model_version FROM volatility_forecast")
    versions = dict(found.fetchall())
    for name, loss in (("ewma", 1.0), ("har", 0.9)):
        new = NewModel(
            "volatility", name, versions[name], VOLATILITY_FORECAST, {"decay": 0.94}, {}, loss, date(2022, 11, 1)
        )
        register_model(write.connection, new, write.materialization_id)
    promote(write.connection, "ewma", Decision("pipeline", "The first."), "score")


_WRITERS = {
    "interest_rates": _write_rates,
    "prices": _write_refused,
    "strategy_weights": _write_weights,
    "strategy_nav": _write_values,
    "forecast_scores": _write_scores,
    "probability_forecast": _write_chances,
}
"""Asset → what writes its rows."""
