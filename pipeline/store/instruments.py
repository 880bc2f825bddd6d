"""Instruments: what can be priced. Results refer to them by their small integer id.

A symbol names one instrument at a time (`pipeline.store.symbols`); an instrument that is renamed keeps its id, and a
symbol that is used again names a new instrument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import date

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import Double, Identity, Integer, String, Table, Text

from pipeline.base.errors import NotFoundError
from pipeline.store import materializations
from pipeline.store.materializations import UNPARTITIONED
from pipeline.store.outdating import outdate
from pipeline.store.schema import METADATA, Unit, column, writer
from pipeline.store.symbols import begin_spell, read_holders, read_spells_of
from pipeline.store.writing import Write, WriteOutcome

INSTRUMENT = Table(
    "instrument",
    METADATA,
    column(
        "id",
        Integer(),
        "Number by which results refer to the instrument.",
        primary_key=True,
        server_default=Identity(always=True),
    ),
    column("symbol", Text(), "Symbol at the exchange; the last one where it has had several.", nullable=False),
    column("name", Text(), "Full name.", nullable=False),
    column("kind", Text(), "stock, etf or index.", nullable=False),
    column("sector", Text(), "GICS sector; empty for funds and indices.", nullable=False),
    column("currency", String(3), "ISO 4217 currency of its prices.", nullable=False),
    column("exchange", String(4), "ISO 10383 market whose sessions it follows.", nullable=False),
    column("provider", Text(), "Provider of its prices.", nullable=False),
    column(
        "price_scale",
        Double(),
        "Currency units in one price unit: 0.01 where prices are in pence.",
        Unit("currency per price unit", minimum=0),
        nullable=False,
        server_default="1",
    ),
    writer(),
    comment="Stocks, funds and indices that the platform prices.",
)

_COLUMNS = "symbol, name, kind, sector, currency, exchange, provider, price_scale"
_READ = f"""
    SELECT id, {_COLUMNS}, listed_from, delisted_on FROM instrument, LATERAL (
        SELECT nullif(min(coalesce(first_session, '-infinity')), '-infinity') AS listed_from,
            nullif(max(coalesce(last_session, 'infinity')), 'infinity') AS delisted_on
        FROM instrument_symbol WHERE instrument_id = instrument.id
    ) AS listed
"""

_AT_A_DAY = re.compile(r"(?P<symbol>.+)@(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})")


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument as a provider describes it."""

    symbol: str
    name: str
    kind: str
    sector: str
    currency: str
    exchange: str
    provider: str
    price_scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument(Listing):
    """A registered instrument.

    Parameters
    ----------
    listed_from
        First day of its first symbol; None if it has had that one from the start.
    delisted_on
        Last day of its last symbol; None while it has one.
    """

    id: int
    listed_from: date | None = None
    delisted_on: date | None = None


BENCHMARK_KIND = "index"


def benchmark_of(instruments: Sequence[Instrument], chosen: int | None = None) -> Instrument | None:
    """The instrument that others are measured against: that of a number, else the first index, if there is one."""
    if chosen is not None:
        return next((instrument for instrument in instruments if instrument.id == chosen), None)
    return next((instrument for instrument in instruments if instrument.kind == BENCHMARK_KIND), None)


FACTOR_KIND = "etf"


def factor_funds_of(instruments: Sequence[Instrument]) -> list[Instrument]:
    """The funds whose returns stand for factors, in the order given: every fund of kind etf.

    Nothing that providers tell sets a factor fund apart from another fund, so whoever registers a fund makes it a
    factor; the bundled data has five of them (momentum, quality, size, low volatility, value).
    """
    return [instrument for instrument in instruments if instrument.kind == FACTOR_KIND]


def read_instruments(connection: Connection) -> list[Instrument]:
    """Every instrument, ordered by symbol; of those that had the same one, the one that has it now comes last."""
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        return cursor.execute(f"{_READ} ORDER BY symbol, delisted_on NULLS LAST").fetchall()


def read_instrument(connection: Connection, reference: str) -> Instrument:
    """The instrument that has a symbol.

    Parameters
    ----------
    reference
        A symbol, such as ``META``; or a symbol and a day, such as ``FB@2013-05-01``, for the instrument that had it
        then.

    Raises
    ------
    NotFoundError
        If no instrument has that symbol, or had it on that day.
    """
    symbol, day = parsed_reference(reference)
    had = "last_session IS NULL" if day is None else "daterange(first_session, last_session, '[]') @> %(day)s::date"
    query = f"{_READ} WHERE id = (SELECT instrument_id FROM instrument_symbol WHERE symbol = %(symbol)s AND {had})"
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        found = cursor.execute(query, {"symbol": symbol, "day": day}).fetchone()
    if found is None:
        raise _not_found(connection, reference, symbol)
    return found


def parsed_reference(reference: str) -> tuple[str, date | None]:
    """Symbol and day of ``FB@2013-05-01``; the text itself and None if it does not end in a day."""
    parts = _AT_A_DAY.fullmatch(reference)
    if parts is None:
        return reference, None
    try:
        return parts["symbol"], date.fromisoformat(parts["day"])
    except ValueError:  # such as 2013-02-30
        return reference, None


def _not_found(connection: Connection, reference: str, symbol: str) -> NotFoundError:
    spells = read_spells_of(connection, symbol)
    if not spells:
        return NotFoundError(
            f"No instrument has the symbol {reference!r}", "GET /api/v1/instruments lists those known."
        )
    last = spells[-1].last_session or date.today()  # noqa: DTZ011 - any zone's will do
    verb = "has" if symbol == reference else "had"
    return NotFoundError(
        f"No instrument {verb} the symbol {reference!r}", f"{symbol}@{last} names the last that had it."
    )


def read_price_scales(connection: Connection, instrument_ids: Sequence[int]) -> dict[int, float]:
    """Currency units in one price unit, of the instruments whose prices are not in their currency."""
    rows = connection.execute(
        "SELECT id, price_scale FROM instrument WHERE price_scale <> 1 AND id = ANY(%s)", [list(instrument_ids)]
    )
    return dict(rows.fetchall())


def find_instruments(connection: Connection, symbols: Sequence[str]) -> dict[str, Instrument]:
    """Those of the symbols that name an instrument now, by symbol."""
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        found = cursor.execute(f"{_READ} WHERE symbol = ANY(%s) AND delisted_on IS NULL", [list(symbols)])
        return {instrument.symbol: instrument for instrument in found}


def replace_instruments(write: Write, listings: Iterable[Listing]) -> WriteOutcome:
    """Register listings by symbol; ids stay, unchanged rows are not written, none is deleted.

    A listing is of the instrument that has the symbol now, or of a new one if none has it. An instrument that its
    provider no longer lists keeps its row, because results refer to it.
    """
    inserted = revised = unchanged = 0
    holders = read_holders(write.connection)
    for listing in listings:
        if listing.symbol not in holders:
            holders[listing.symbol] = _register(write, listing)
            inserted += 1
        elif _revise(write, holders[listing.symbol], listing):
            revised += 1
        else:
            unchanged += 1
    changed = frozenset([UNPARTITIONED] if inserted or revised else [])
    outdate(write.connection, INSTRUMENT, [UNPARTITIONED] if revised else [], write.materialization_id)
    materializations.record_partitions(
        write.connection,
        write.materialization_id,
        write.asset,
        {UNPARTITIONED: inserted + revised + unchanged},
        changed,
    )
    return WriteOutcome(inserted, revised, unchanged, 0, changed)


def _register(write: Write, listing: Listing) -> int:
    row = write.connection.execute(
        f"""
        INSERT INTO instrument ({_COLUMNS}, materialization_id)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id
        """,
        [*astuple(listing), write.materialization_id],
    ).fetchone()
    assert row is not None
    begin_spell(write.connection, listing.symbol, row[0], write.materialization_id)
    return int(row[0])


def _revise(write: Write, instrument_id: int, listing: Listing) -> bool:
    """Whether what is stored differed from the listing; the symbol is the one that it was found by."""
    changed = write.connection.execute(
        """
        UPDATE instrument SET (name, kind, sector, currency, exchange, provider, price_scale, materialization_id)
            = (new.name, new.kind, new.sector, new.currency, new.exchange, new.provider, new.price_scale, %s)
        FROM (VALUES (%s, %s, %s, %s, %s, %s, %s::float8))
            AS new (name, kind, sector, currency, exchange, provider, price_scale)
        WHERE id = %s AND (instrument.name, instrument.kind, instrument.sector, instrument.currency,
                           instrument.exchange, instrument.provider, instrument.price_scale)
            IS DISTINCT FROM (new.name, new.kind, new.sector, new.currency, new.exchange, new.provider,
                              new.price_scale)
        """,
        [write.materialization_id, *astuple(listing)[1:], instrument_id],
    )
    return changed.rowcount > 0
