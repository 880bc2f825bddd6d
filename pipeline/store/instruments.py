"""Instruments: what can be priced. Results refer to them by their small integer id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import Double, Identity, Integer, String, Table, Text

from pipeline.base.errors import NotFoundError
from pipeline.store import materializations
from pipeline.store.materializations import UNPARTITIONED
from pipeline.store.schema import METADATA, Unit, column, writer
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
    column("symbol", Text(), "Symbol at the exchange.", nullable=False, unique=True),
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
    """A registered instrument."""

    id: int


BENCHMARK_KIND = "index"


def benchmark_of(instruments: Sequence[Instrument]) -> Instrument | None:
    """The instrument that others are measured against: the first index, if there is one."""
    return next((instrument for instrument in instruments if instrument.kind == BENCHMARK_KIND), None)


def read_instruments(connection: Connection) -> list[Instrument]:
    """Every instrument, ordered by symbol."""
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        return cursor.execute(f"SELECT id, {_COLUMNS} FROM instrument ORDER BY symbol").fetchall()


def read_instrument(connection: Connection, symbol: str) -> Instrument:
    """The instrument of a symbol.

    Raises
    ------
    NotFoundError
        If no instrument has that symbol.
    """
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        found = cursor.execute(f"SELECT id, {_COLUMNS} FROM instrument WHERE symbol = %s", [symbol]).fetchone()
    if found is None:
        raise NotFoundError(f"No instrument has the symbol {symbol!r}", "GET /api/v1/instruments lists those known.")
    return found


def read_price_scales(connection: Connection, instrument_ids: Sequence[int]) -> dict[int, float]:
    """Currency units in one price unit, of the instruments whose prices are not in their currency."""
    rows = connection.execute(
        "SELECT id, price_scale FROM instrument WHERE price_scale <> 1 AND id = ANY(%s)", [list(instrument_ids)]
    )
    return dict(rows.fetchall())


def find_instruments(connection: Connection, symbols: Sequence[str]) -> dict[str, Instrument]:
    """Those of the symbols that are known, by symbol."""
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        found = cursor.execute(f"SELECT id, {_COLUMNS} FROM instrument WHERE symbol = ANY(%s)", [list(symbols)])
        return {instrument.symbol: instrument for instrument in found}


def replace_instruments(write: Write, listings: Iterable[Listing]) -> WriteOutcome:
    """Register listings by symbol; ids stay, unchanged rows are not written, none is deleted.

    An instrument that its provider no longer lists keeps its row, because results refer to it.
    """
    inserted = revised = unchanged = 0
    for listing in listings:
        row = write.connection.execute(
            f"""
            INSERT INTO instrument AS known ({_COLUMNS}, materialization_id)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (symbol) DO UPDATE SET
                name = excluded.name, kind = excluded.kind, sector = excluded.sector, currency = excluded.currency,
                exchange = excluded.exchange, provider = excluded.provider, price_scale = excluded.price_scale,
                materialization_id = excluded.materialization_id
            WHERE (known.name, known.kind, known.sector, known.currency, known.exchange, known.provider,
                   known.price_scale)
                IS DISTINCT FROM (excluded.name, excluded.kind, excluded.sector, excluded.currency,
                                  excluded.exchange, excluded.provider, excluded.price_scale)
            RETURNING old.id IS NULL
            """,
            [*astuple(listing), write.materialization_id],
        ).fetchone()
        inserted += row is not None and row[0]
        revised += row is not None and not row[0]
        unchanged += row is None
    changed = frozenset([UNPARTITIONED] if inserted or revised else [])
    materializations.record_partitions(
        write.connection,
        write.materialization_id,
        write.asset,
        {UNPARTITIONED: inserted + revised + unchanged},
        changed,
    )
    return WriteOutcome(inserted, revised, unchanged, 0, changed)
