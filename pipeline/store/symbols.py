"""Which instrument has which symbol, and when: an exchange gives a symbol that is free again to another company."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import CheckConstraint, Date, ForeignKeyConstraint, Identity, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from pipeline.store.schema import METADATA, column, writer

_DAYS = "daterange(first_session, last_session, '[]')"

INSTRUMENT_SYMBOL = Table(
    "instrument_symbol",
    METADATA,
    column("id", Integer(), "Number of the row.", primary_key=True, server_default=Identity(always=True)),
    column("symbol", Text(), "Symbol at the exchange.", nullable=False),
    column("instrument_id", Integer(), "Instrument that has it on these days.", nullable=False),
    column("first_session", Date(), "First day; empty where the instrument has had it from the start."),
    column("last_session", Date(), "Last day; empty while the instrument has it."),
    writer(),
    ForeignKeyConstraint(["instrument_id"], ["instrument.id"]),
    CheckConstraint("first_session <= last_session", name="order"),
    # Equality of a text or a number is no operator of GiST without an extension; that of a range of one value is.
    ExcludeConstraint(
        (text("symbol_range(symbol, symbol, '[]')"), "="), (text(_DAYS), "&&"), name="instrument_symbol_one_holder_excl"
    ),
    ExcludeConstraint(
        (text("int4range(instrument_id, instrument_id, '[]')"), "="),
        (text(_DAYS), "&&"),
        name="instrument_symbol_one_symbol_excl",
    ),
    # How the holder of a symbol is found now; the constraint above is none that finds it.
    Index("instrument_symbol_listed_idx", "symbol", unique=True, postgresql_where=text("last_session IS NULL")),
    Index(None, "instrument_id"),
    comment="Symbols of every instrument over time; on one day a symbol names at most one instrument.",
)


@dataclass(frozen=True, slots=True)
class Spell:
    """The days, both included, on which an instrument has a symbol; None where there is no bound."""

    symbol: str
    instrument_id: int
    first_session: date | None
    last_session: date | None


_COLUMNS = "symbol, instrument_id, first_session, last_session"
_OLDEST_FIRST = "ORDER BY symbol, first_session NULLS FIRST"


def read_spells(connection: Connection) -> list[Spell]:
    """Every spell, ordered by symbol, the oldest first."""
    with connection.cursor(row_factory=class_row(Spell)) as cursor:
        return cursor.execute(f"SELECT {_COLUMNS} FROM instrument_symbol {_OLDEST_FIRST}").fetchall()


def read_spells_of(connection: Connection, symbol: str) -> list[Spell]:
    """The spells of one symbol, the oldest first."""
    with connection.cursor(row_factory=class_row(Spell)) as cursor:
        query = f"SELECT {_COLUMNS} FROM instrument_symbol WHERE symbol = %s {_OLDEST_FIRST}"
        return cursor.execute(query, [symbol]).fetchall()


def read_holders(connection: Connection) -> dict[str, int]:
    """Symbol → the instrument that has it now."""
    rows = connection.execute("SELECT symbol, instrument_id FROM instrument_symbol WHERE last_session IS NULL")
    return dict(rows.fetchall())


def read_ended(connection: Connection) -> dict[str, date]:
    """Symbol that no instrument has any more → the last day on which one had it."""
    rows = connection.execute(
        "SELECT symbol, max(last_session) FROM instrument_symbol"
        " GROUP BY symbol HAVING bool_and(last_session IS NOT NULL)"
    )
    return dict(rows.fetchall())


def begin_spell(connection: Connection, symbol: str, instrument_id: int, materialization_id: int) -> None:
    """Give a symbol to a new instrument, from the day after the last one that had it; from the start if none had."""
    ended = [spell.last_session for spell in read_spells_of(connection, symbol) if spell.last_session is not None]
    first = max(ended) + timedelta(days=1) if ended else None
    insert_spell(connection, Spell(symbol, instrument_id, first, None), materialization_id)


def insert_spell(connection: Connection, spell: Spell, materialization_id: int) -> None:
    """Store a spell.

    Raises
    ------
    psycopg.errors.ExclusionViolation
        If another instrument has the symbol on one of the days, or the instrument another symbol.
    """
    connection.execute(
        f"INSERT INTO instrument_symbol ({_COLUMNS}, materialization_id) VALUES (%s, %s, %s, %s, %s)",
        [spell.symbol, spell.instrument_id, spell.first_session, spell.last_session, materialization_id],
    )


def end_spell(connection: Connection, symbol: str, last_session: date, materialization_id: int) -> None:
    """Take a symbol from the instrument that has it, after a day."""
    connection.execute(
        "UPDATE instrument_symbol SET last_session = %s, materialization_id = %s"
        " WHERE symbol = %s AND last_session IS NULL",
        [last_session, materialization_id, symbol],
    )
