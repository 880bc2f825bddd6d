"""Whole columns read at once: every subject's numbers, in the order of its sessions, bit by bit."""

from __future__ import annotations

from datetime import date

import numpy as np

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.instrument_risk import read_instrument_tails
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL, read_tail_history
from pipeline.store.writing import open_write
from tests.integration.serving.seeding import filled

SESSIONS = np.array(["1999-12-31", "2000-01-03", "2000-01-31"], dtype="datetime64[D]")
MONTHS = MonthRange(date(1999, 12, 1), date(2000, 1, 1))


def test_series_of_every_subject(database: Database) -> None:
    var = np.array([0.1, np.nan, -0.0, 1.0 / 3.0, 5e-324, 2.0])
    rows = {
        "portfolio_id": np.array([2, 2, 2, 1, 1, 1], "i4"),
        "session": SESSIONS[[2, 0, 1, 1, 0, 1]],
        "method": np.array([b"ewma", b"ewma", b"ewma", b"ewma", b"gaussian", b"gaussian"]),
        "var_99_1d": var,
    }
    with open_write(database, "portfolio_tail", "run", "v1") as write:
        write.replace(PORTFOLIO_TAIL, filled(PORTFOLIO_TAIL, 6, **rows), MONTHS)
    with database.connect() as connection:
        found = read_tail_history(connection, date(1999, 12, 31), date(2000, 1, 31))
        assert read_tail_history(connection, date(2001, 1, 1), date(2002, 1, 1)) == {}
        assert read_instrument_tails(connection, date(1999, 1, 1), date(2001, 1, 1)) == {}
    assert sorted(found) == [(1, "ewma"), (1, "gaussian"), (2, "ewma")]
    series = found[2, "ewma"]
    assert series.sessions.tolist() == SESSIONS[:2].tolist()
    assert series.values["var_99_1d"].tobytes() == np.array([np.nan, -0.0]).tobytes()
    assert found[1, "gaussian"].values["var_99_1d"].tolist() == [5e-324, 2.0]
    assert sorted(series.values) == ["es_95_1d", "es_975_1d", "es_99_1d", "var_95_1d", "var_975_1d", "var_99_1d"]
