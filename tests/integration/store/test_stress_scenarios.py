"""Stored stress: what the tables kept before there were kinds, and reading by kind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
from alembic import command

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.reading import LATEST, Window
from pipeline.store.stress_results import read_stress_results
from pipeline.store.stress_scenarios import STRESS_SCENARIO, read_stress_scenarios, replace_scenarios
from pipeline.store.writing import open_write
from tests.integration.serving.seeding import filled
from tests.integration.store.test_migrating import to_revision

MONTHS = MonthRange(date(2022, 11, 1), date(2022, 12, 1))
REPLAY = (
    "INSERT INTO stress_result (portfolio_id, session, scenario, instrument_id, weight, shock, pnl, shocked_by,"
    " materialization_id) VALUES (1, '2022-12-28', 'lehman_2008', 1, 1, -0.5, -0.5, 'prices', 1)"
)


def test_what_was_stored_before_is_historical(new_empty_database: Callable[[], str]) -> None:
    address = new_empty_database()
    to_revision(address, command.upgrade, "0007")
    with Database(address).connect() as connection:
        connection.execute(REPLAY)
    to_revision(address, command.upgrade, "0008")
    with Database(address).connect() as connection:
        assert [row.kind for row in read_stress_results(connection, 1, LATEST)] == ["historical"]
        connection.execute(
            "INSERT INTO stress_result SELECT portfolio_id, session, 'equity_down_10', instrument_id, weight, shock,"
            " pnl, worst_shock, worst_pnl, shocked_by, reason, materialization_id, 'hypothetical' FROM stress_result"
        )
    to_revision(address, command.downgrade, "0007")
    with Database(address).connect() as connection:  # the older version would take the others for crises
        assert connection.execute("SELECT scenario FROM stress_result").fetchall() == [("lehman_2008",)]
    to_revision(address, command.upgrade, "0008")


def test_scenarios_are_read_by_kind_and_written_once(database: Database) -> None:
    given = {
        "portfolio_id": np.full(3, 1, "i4"),
        "session": np.array(["2022-11-30", "2022-12-28", "2022-12-28"], dtype="datetime64[D]"),
        "scenario": np.array([b"equity_down_10", b"equity_down_10", b"reverse_loss_10"]),
        "kind": np.array([b"hypothetical", b"hypothetical", b"reverse"]),
        "total": np.array([-0.1, -0.2, np.nan]),
    }
    rows = filled(STRESS_SCENARIO, 3, **given)
    with open_write(database, "stress_results", "test", "1") as write:
        assert replace_scenarios(write, rows, MONTHS).inserted == 3
    with open_write(database, "stress_results", "test", "1") as write:
        again = replace_scenarios(write, rows, MONTHS)
    assert (again.written, again.changed_months) == (0, frozenset())
    with database.connect() as connection:
        everything = read_stress_scenarios(connection, 1, Window())
        assert [(row.scenario, row.total) for row in everything] == [
            ("equity_down_10", -0.1),
            ("equity_down_10", -0.2),
            ("reverse_loss_10", None),
        ]
        assert [row.session for row in read_stress_scenarios(connection, 1, LATEST, "hypothetical")] == [
            date(2022, 12, 28)
        ]
        assert read_stress_scenarios(connection, 1, LATEST, "historical") == []
