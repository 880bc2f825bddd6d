"""Refused rows are kept exactly, and only what differs is written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.quarantine import (
    Decision,
    DecisionRow,
    QuarantinedRow,
    SeenDecisions,
    count_quarantined,
    decide,
    read_decisions,
    read_quarantine,
    read_released,
    read_unseen_decisions,
    replace_quarantine,
)
from pipeline.store.writing import open_write

MAY = MonthRange(date(2022, 5, 1), date(2022, 5, 1))
JUNE = MonthRange(date(2022, 6, 1), date(2022, 6, 1))
BOTH = MonthRange(MAY.first, JUNE.last)


def refused(day: date, close: object = -1.0, rule: str = "not_positive", symbol: str = "AAPL") -> QuarantinedRow:
    return QuarantinedRow("vendor", symbol, day, rule, {"close_adjusted": close})  # type: ignore[dict-item]


IN_MAY, IN_JUNE = refused(date(2022, 5, 2)), refused(date(2022, 6, 30))


def replace(database: Database, rows: list[QuarantinedRow], months: MonthRange = BOTH) -> int:
    with open_write(database, "prices", "run", "v1") as write:
        return replace_quarantine(write, rows, months)


def stored(database: Database) -> list[tuple]:
    with database.connect() as connection:
        query = "SELECT provider, symbol, session, rule, payload, materialization_id FROM quarantine ORDER BY 3, 2, 4"
        return connection.execute(query).fetchall()


def test_a_refused_row_is_stored_as_it_was_parsed(database: Database) -> None:
    assert replace(database, [IN_MAY]) == 1
    assert stored(database) == [("vendor", "AAPL", date(2022, 5, 2), "not_positive", {"close_adjusted": -1.0}, 1)]


@pytest.mark.parametrize("payload", ["nan", None, [10.0, 11.5, "nan"], 0.1, 1e15, -0.25, 5e-324], ids=str)
def test_any_parsed_value_comes_back_and_is_known_again(database: Database, payload: object) -> None:
    row = refused(date(2022, 5, 2), payload)
    replace(database, [row])
    assert stored(database)[0][4] == {"close_adjusted": payload}
    assert replace(database, [row]) == 0


def test_the_same_rows_again_are_not_written(database: Database) -> None:
    replace(database, [IN_MAY, IN_JUNE])
    assert replace(database, [IN_JUNE, IN_MAY]) == 0
    assert [row[5] for row in stored(database)] == [1, 1]


def test_another_payload_takes_the_place_of_the_first(database: Database) -> None:
    replace(database, [IN_MAY, IN_JUNE])
    assert replace(database, [refused(date(2022, 5, 2), -2.0), IN_JUNE]) == 2  # one deleted, one written
    assert [(row[4]["close_adjusted"], row[5]) for row in stored(database)] == [(-2.0, 2), (-1.0, 1)]


def test_a_row_that_is_good_again_leaves_the_quarantine_of_its_month(database: Database) -> None:
    replace(database, [IN_MAY, IN_JUNE])
    assert replace(database, [], MAY) == 1
    assert [row[2] for row in stored(database)] == [date(2022, 6, 30)]


@pytest.mark.parametrize("day", [date(2022, 4, 30), date(2022, 6, 1)])
def test_rows_beside_the_months_stay(database: Database, day: date) -> None:
    replace(database, [refused(day)], MonthRange(date(2022, 4, 1), date(2022, 6, 1)))
    assert replace(database, [IN_MAY], MAY) == 1
    assert sorted(row[2] for row in stored(database)) == sorted([day, date(2022, 5, 2)])


def test_rules_and_symbols_of_one_day_are_rows_of_their_own(database: Database) -> None:
    day = date(2022, 5, 2)
    rows = [refused(day), refused(day, rule="spike"), refused(day, symbol="MSFT")]
    assert replace(database, rows) == 3
    with database.connect() as connection:
        assert count_quarantined(connection) == 3


DAY = date(2022, 5, 2)


def of(symbol: str, close: object) -> QuarantinedRow:
    return refused(DAY, close, symbol=symbol)


def decided(database: Database, symbol: str, decision: Decision) -> list[DecisionRow]:
    with database.connect() as connection:
        return decide(connection, symbol, DAY, decision, "an analyst", "checked with the exchange")


def test_a_decision_is_kept_and_marks_the_row(database: Database) -> None:
    replace(database, [of("AAPL", -1.0), of("MSFT", -2.0)])
    [made] = decided(database, "AAPL", "released")
    assert (made.symbol, made.decision, made.decided_by) == ("AAPL", "released", "an analyst")
    with database.connect() as connection:
        assert {r.symbol: r.state for r in read_quarantine(connection)} == {"AAPL": "released", "MSFT": "held"}
        assert [r.symbol for r in read_quarantine(connection, "held")] == ["MSFT"]
        assert [r.symbol for r in read_released(connection, "vendor", MAY)] == ["AAPL"]
        assert count_quarantined(connection) == 1
        assert read_decisions(connection) == [made]
        assert read_decisions(connection, after=made.id) == []


def test_a_decision_outlives_an_equal_load_but_not_a_changed_row(database: Database) -> None:
    replace(database, [of("AAPL", -1.0)])
    decided(database, "AAPL", "released")
    replace(database, [of("AAPL", -1.0)])
    with database.connect() as connection:
        assert [r.state for r in read_quarantine(connection)] == ["released"]
    replace(database, [of("AAPL", -1.5)])
    with database.connect() as connection:
        assert [r.state for r in read_quarantine(connection)] == ["held"]
        assert len(read_decisions(connection)) == 1


def test_nothing_to_decide_is_said(database: Database) -> None:
    with pytest.raises(NotFoundError, match="Nothing of AAPL on 2022-05-02 is in quarantine"):
        decided(database, "AAPL", "rejected")


def test_contradicting_rows_cannot_be_released(database: Database) -> None:
    replace(database, [of("AAPL", [10.0, 11.0])])
    with pytest.raises(ConflictError, match="contradict each other"):
        decided(database, "AAPL", "released")
    decided(database, "AAPL", "rejected")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE quarantine_decision SET decided_by = 'another'",
        "DELETE FROM quarantine_decision",
        "TRUNCATE quarantine_decision",
        "MERGE INTO quarantine_decision USING (SELECT 1) AS one ON true WHEN MATCHED THEN UPDATE SET note = 'other'",
    ],
)
def test_a_decision_cannot_be_changed_in_the_database(database: Database, change: str) -> None:
    replace(database, [of("AAPL", -1.0)])
    [made] = decided(database, "AAPL", "rejected")
    with database.connect() as connection, pytest.raises(psycopg.errors.RestrictViolation, match="never changed"):
        connection.execute(change)
    with database.connect() as connection:
        assert read_decisions(connection) == [made]


# What a reader has seen ------------------------------------------------------------------------------------

NOTHING_SEEN = SeenDecisions()


def unseen(database: Database, seen: SeenDecisions) -> tuple[list[str], SeenDecisions]:
    with database.connect() as connection:
        decisions, now_seen = read_unseen_decisions(connection, seen)
    return [decision.symbol for decision in decisions], now_seen


def test_a_decision_that_is_committed_after_a_later_one_is_seen(database: Database) -> None:
    replace(database, [of("AAPL", -1.0), of("MSFT", -2.0), of("KO", -3.0)])
    with database.connect() as slow:
        [first] = decide(slow, "AAPL", DAY, "rejected", "an analyst", "takes long")
        [second] = decided(database, "MSFT", "rejected")
        assert first.id < second.id
        symbols, seen = unseen(database, NOTHING_SEEN)
        assert symbols == ["MSFT"]
        assert unseen(database, seen) == ([], seen)
    symbols, seen = unseen(database, seen)
    assert symbols == ["AAPL"]
    decided(database, "KO", "rejected")
    symbols, seen = unseen(database, seen)
    assert symbols == ["KO"]
    assert unseen(database, seen) == ([], seen)


def test_what_has_been_seen_does_not_grow_for_ever(database: Database) -> None:
    now = datetime.now(UTC)
    with database.connect() as connection:
        for number, age in enumerate([timedelta(days=30), timedelta(hours=25), timedelta(hours=23), timedelta(0)]):
            connection.execute(
                "INSERT INTO quarantine_decision (provider, symbol, session, rule, payload, decision, decided_by, note,"
                " decided_at) VALUES ('vendor', %s, %s, 'spike', '{}', 'rejected', 'an analyst', 'wrong', %s)",
                [f"S{number}", DAY, now - age],
            )
    symbols, seen = unseen(database, NOTHING_SEEN)
    assert symbols == ["S0", "S1", "S2", "S3"]  # also what is old: a reader may have been away
    assert seen == SeenDecisions(2, frozenset({3, 4}))
    assert unseen(database, seen) == ([], seen)
