"""What people change about symbols: an instrument is retired, or goes by another symbol.

Each change is a write of the asset ``instruments``, whose run id says what was done.
"""

from __future__ import annotations

from datetime import date, timedelta

from psycopg import Connection

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.store import audit, materializations
from pipeline.store.audit import Actor
from pipeline.store.engine import Database
from pipeline.store.instruments import Instrument, find_instruments
from pipeline.store.materializations import UNPARTITIONED
from pipeline.store.prices import PRICES
from pipeline.store.symbols import Spell, end_spell, insert_spell, read_spells_of
from pipeline.store.writing import open_write

INSTRUMENTS = "instruments"
"""Asset that writes the table."""
NOBODY_NAMED = Actor("the platform")


def retire_instrument(database: Database, symbol: str, last_session: date, actor: Actor = NOBODY_NAMED) -> Instrument:
    """End an instrument's symbol; its rows stay, and who lists the symbol next is a new instrument.

    Nothing that is computed reads the day, so no result is out of date.

    Raises
    ------
    NotFoundError
        If no instrument has had the symbol.
    ConflictError
        If none has it now, or the instrument has a price after the day or none of its symbol's days before it.
    """
    with open_write(database, INSTRUMENTS, f"retire {symbol} on {last_session}", code_version="") as write:
        connection = write.connection
        materializations.take_turn(connection, PRICES)  # a load under way may bring a later price
        instrument = _holder(connection, symbol)
        _require_no_later_price(connection, instrument, last_session)
        _require_begun(connection, symbol, last_session)
        end_spell(connection, symbol, last_session, write.materialization_id)
        detail = {"symbol": symbol, "last_session": str(last_session)}
        audit.record(connection, actor, "instrument.retire", f"instrument:{instrument.id}", detail)
    return instrument


def rename_instrument(
    database: Database, old: str, new: str, first_session: date, actor: Actor = NOBODY_NAMED
) -> Instrument:
    """Give an instrument another symbol from a day on; it keeps its id and its rows.

    Readers order instruments by symbol and take the first index as benchmark, so what reads them is out of date.

    Raises
    ------
    NotFoundError
        If no instrument has had the old symbol.
    ConflictError
        If none has the old symbol now or before the day, or one has the new symbol on that day or later.
    """
    with open_write(database, INSTRUMENTS, f"rename {old} to {new} on {first_session}", code_version="") as write:
        connection, number = write.connection, write.materialization_id
        materializations.take_turn(connection, PRICES)  # a load under way names the bars by the old symbol
        instrument = _holder(connection, old)
        _require_free(connection, new, first_session)
        day_before = first_session - timedelta(days=1)
        _require_begun(connection, old, day_before)
        end_spell(connection, old, day_before, number)
        insert_spell(connection, Spell(new, instrument.id, first_session, None), number)
        connection.execute(
            "UPDATE instrument SET symbol = %s, materialization_id = %s WHERE id = %s", [new, number, instrument.id]
        )
        materializations.mark_changed(connection, number, INSTRUMENTS, [UNPARTITIONED])
        detail = {"old": old, "new": new, "first_session": str(first_session)}
        audit.record(connection, actor, "instrument.rename", f"instrument:{instrument.id}", detail)
    return instrument


def _holder(connection: Connection, symbol: str) -> Instrument:
    """The instrument that has the symbol now."""
    found = find_instruments(connection, [symbol]).get(symbol)
    if found is not None:
        return found
    spells = read_spells_of(connection, symbol)
    if not spells:
        raise NotFoundError(f"No instrument has the symbol {symbol!r}", "GET /api/v1/instruments lists those known.")
    newest = connection.execute(
        "SELECT symbol, last_session FROM instrument_symbol WHERE instrument_id = %s"
        " ORDER BY last_session DESC NULLS FIRST LIMIT 1",
        [spells[-1].instrument_id],
    ).fetchone()
    assert newest is not None
    if newest[1] is None:
        raise ConflictError(
            f"The instrument {symbol} was renamed after {spells[-1].last_session}, to {newest[0]}",
            f"Name it {newest[0]}.",
        )
    raise ConflictError(f"The instrument {symbol} is already retired, on {newest[1]}", "There is nothing to do.")


def _require_no_later_price(connection: Connection, instrument: Instrument, last_session: date) -> None:
    row = connection.execute("SELECT max(session) FROM price WHERE instrument_id = %s", [instrument.id]).fetchone()
    newest = row[0] if row else None
    if newest is not None and newest > last_session:
        raise ConflictError(
            f"on: {instrument.symbol} has prices until {newest}, after {last_session}",
            f"Retire it on {newest} or later, the last day on which it was listed.",
        )


def _require_begun(connection: Connection, symbol: str, last_session: date) -> None:
    """Refuse to end a symbol before its instrument has had it."""
    first = read_spells_of(connection, symbol)[-1].first_session
    if first is not None and last_session < first:
        raise ConflictError(
            f"on: the instrument has the symbol {symbol} only since {first}", "Give a day after it had the symbol."
        )


def _require_free(connection: Connection, symbol: str, first_session: date) -> None:
    spells = read_spells_of(connection, symbol)
    if not spells or (spells[-1].last_session is not None and spells[-1].last_session < first_session):
        return
    until = f"until {spells[-1].last_session}" if spells[-1].last_session else "now"
    raise ConflictError(
        f"An instrument has the symbol {symbol} {until}",
        "Retire that one first, or rename from a later day; rename before a provider lists the new symbol.",
    )
