"""Portfolios: stored with their positions, found by id or slug, and a reason to compute anew."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import psycopg
import pytest
from psycopg.errors import CheckViolation

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.base.types import REBALANCING_POLICIES, MonthRange
from pipeline.store.engine import Database
from pipeline.store.instruments import Listing, read_instruments, replace_instruments
from pipeline.store.materializations import UNPARTITIONED, read_partition_states
from pipeline.store.portfolio_units import PORTFOLIO_UNIT, read_set_units
from pipeline.store.portfolios import (
    PORTFOLIOS_INPUT,
    NewPortfolio,
    Portfolio,
    Position,
    create_portfolio,
    read_portfolio,
    read_portfolios,
)
from pipeline.store.writing import open_write


@pytest.fixture
def listed(database: Database) -> Database:
    """A database with three instruments."""
    with open_write(database, "instruments", "run", "v1") as write:
        replace_instruments(
            write, [Listing(s, s, "stock", "", "USD", "XNYS", "vendor") for s in ("MSFT", "KO", "AAPL")]
        )
    return database


def ids(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        return {instrument.symbol: instrument.id for instrument in read_instruments(connection)}


def quantities(database: Database, slug: str | None = "held", **units: float) -> NewPortfolio:
    known = ids(database)
    positions = tuple(Position(known[symbol], symbol, quantity=amount) for symbol, amount in units.items())
    return NewPortfolio("Held", "buy_and_hold", positions, slug=slug)


def create(database: Database, portfolio: NewPortfolio) -> int:
    with database.connect() as connection:
        return create_portfolio(connection, portfolio)


def read(database: Database, reference: str) -> Portfolio:
    with database.connect() as connection:
        return read_portfolio(connection, reference)


def test_a_portfolio_comes_back_as_it_was_stored(listed: Database) -> None:
    number = create(listed, quantities(listed, MSFT=-2.5, AAPL=1e12))
    found = read(listed, "held")
    assert (found.id, found.slug, found.name, found.base_currency) == (number, "held", "Held", "USD")
    assert found.rebalancing == "buy_and_hold"
    assert abs(datetime.now(UTC) - found.created_at) < timedelta(minutes=1)
    assert [(p.symbol, p.quantity, p.target_weight) for p in found.positions] == [
        ("AAPL", 1e12, None),
        ("MSFT", -2.5, None),
    ]
    np.testing.assert_array_equal(found.amounts, [1e12, -2.5])
    assert read(listed, str(number)) == found


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_every_policy_of_the_code_is_one_of_the_table(listed: Database, policy: str) -> None:
    weights = (Position(ids(listed)["KO"], "KO", target_weight=1.0),)
    band = 0.05 if policy == "drift_band" else None
    number = create(listed, NewPortfolio("Weights", policy, weights, drift_band=band))  # type: ignore[arg-type]
    assert read(listed, str(number)).policy == (policy, band)


@pytest.mark.parametrize(
    ("policy", "band"), [("drift_band", None), ("monthly", 0.05), ("drift_band", 0.0), ("drift_band", 1.0)]
)
def test_the_table_has_a_band_between_0_and_1_with_its_policy_alone(
    listed: Database, policy: str, band: float | None
) -> None:
    weights = (Position(ids(listed)["KO"], "KO", target_weight=1.0),)
    with pytest.raises(CheckViolation, match="portfolio_drift_band_check"):
        create(listed, NewPortfolio("Weights", policy, weights, drift_band=band))  # type: ignore[arg-type]


def test_units_are_read_in_the_order_of_the_positions(listed: Database) -> None:
    """Those are by symbol, and the numbers run the other way here."""
    known, first, last = ids(listed), date(2022, 3, 1), date(2022, 3, 9)
    weights = tuple(Position(known[symbol], symbol, target_weight=0.5) for symbol in ("AAPL", "KO"))
    create(listed, NewPortfolio("Band", "drift_band", weights, drift_band=0.1))
    create(listed, quantities(listed, KO=1.0))
    rows = {
        "portfolio_id": np.full(4, 1, dtype=np.int32),
        "session": np.repeat(np.array([first, last], dtype="datetime64[D]"), 2),
        "instrument_id": np.array([known["AAPL"], known["KO"]] * 2, dtype=np.int32),
        "units": np.array([0.1, 0.2, 0.3, 0.4]),
        "set_on": np.repeat(np.array([first, last], dtype="datetime64[D]"), 2),
        "traded": np.zeros(4),
    }
    month = MonthRange(date(2022, 3, 1), date(2022, 3, 1))
    with open_write(listed, "portfolio_units", "run", "v1") as write:
        write.replace(PORTFOLIO_UNIT, rows, month)
    with listed.connect() as connection:
        found = read_set_units(connection, read_portfolios(connection), month.first, month.end)
        later = read_set_units(connection, read_portfolios(connection), date(2022, 4, 1), date(2022, 5, 1))
        connection.execute("DELETE FROM position WHERE instrument_id = %s", [known["KO"]])
        without_one = read_set_units(connection, read_portfolios(connection), month.first, month.end)
    assert list(found) == [1]
    assert found[1].sessions.astype(date).tolist() == [first, last]
    assert found[1].units.tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert len(later[1].sessions) == len(without_one[1].sessions) == 0


def test_portfolios_are_listed_by_number_each_with_its_own_positions(listed: Database) -> None:
    first = create(listed, quantities(listed, "one", KO=1.0))
    second = create(listed, quantities(listed, "two", KO=2.0, AAPL=3.0))
    empty = create(listed, NewPortfolio("Empty", "daily", ()))
    with listed.connect() as connection:
        found = read_portfolios(connection)
    assert [(p.id, p.slug, [q.amount for q in p.positions]) for p in found] == [
        (first, "one", [1.0]),
        (second, "two", [3.0, 2.0]),
        (empty, None, []),
    ]


def test_no_portfolio_is_an_empty_list(database: Database) -> None:
    with database.connect() as connection:
        assert read_portfolios(connection) == []


@pytest.mark.parametrize("reference", ["0", "held ", "HELD", "", "1 OR true", "999999999999999999999"])
def test_an_unknown_reference_is_named(listed: Database, reference: str) -> None:
    create(listed, quantities(listed, KO=1.0))
    with pytest.raises(NotFoundError, match="No portfolio has the id or slug") as caught:
        read(listed, reference)
    assert repr(reference) in caught.value.cause


def test_a_slug_is_taken_once_and_none_as_often_as_one_likes(listed: Database) -> None:
    create(listed, quantities(listed, "held", KO=1.0))
    with pytest.raises(ConflictError, match="slug 'held' is taken"):
        create(listed, quantities(listed, "held", AAPL=1.0))
    create(listed, quantities(listed, None, KO=1.0))
    create(listed, quantities(listed, None, KO=1.0))
    with listed.connect() as connection:
        assert [len(portfolio.positions) for portfolio in read_portfolios(connection)] == [1, 1, 1]


@pytest.mark.parametrize(
    "position",
    [Position(1, "KO"), Position(1, "KO", 1.0, 1.0), Position(999, "GONE", 1.0)],
    ids=["none", "both", "gone"],
)
def test_a_position_that_cannot_be_leaves_no_portfolio_behind(listed: Database, position: Position) -> None:
    with pytest.raises(psycopg.errors.IntegrityError):
        create(listed, NewPortfolio("Wrong", "daily", (position,), slug="wrong"))
    with pytest.raises(NotFoundError):
        read(listed, "wrong")


def test_positions_go_with_their_portfolio_and_instruments_stay_while_held(listed: Database) -> None:
    number = create(listed, quantities(listed, KO=1.0))
    with pytest.raises(psycopg.errors.ForeignKeyViolation), listed.connect() as connection:
        connection.execute("DELETE FROM instrument WHERE symbol = 'KO'")
    with listed.connect() as connection:
        connection.execute("DELETE FROM portfolio WHERE id = %s", [number])
        assert connection.execute("SELECT count(*) FROM position").fetchone() == (0,)


def test_each_new_portfolio_makes_the_results_out_of_date(listed: Database) -> None:
    writes = []
    for slug in ("one", "two"):
        create(listed, quantities(listed, slug, KO=1.0))
        with listed.connect() as connection:
            writes.append(read_partition_states(connection, PORTFOLIOS_INPUT)[UNPARTITIONED].changed_by)
    assert writes[0] < writes[1]
