"""Daily prices as traded, one narrow row a bar, and the adjusted series that are derived from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql
from sqlalchemy import CheckConstraint, Double, Integer, SmallInteger, Table

from pipeline.base.types import DateArray, FloatArray, IntArray, MonthRange
from pipeline.store.binary_copy import copy_out
from pipeline.store.corporate_actions import UNADJUSTED, CloseFactors, read_close_factors, read_growth
from pipeline.store.exchange import Exchange, read_exchange
from pipeline.store.instruments import read_price_scales
from pipeline.store.offering import Columns, Span
from pipeline.store.point_in_time import NOW, Knowledge, read_newest_as_known, rows_as_known
from pipeline.store.price_blocks import Block, Closes, read_blocks, refresh_blocks
from pipeline.store.reading import Window
from pipeline.store.schema import METADATA, PRICE_UNIT, Unit, column, key, session_key, versioned, writer
from pipeline.store.writing import Write, WriteOutcome, replace_rows

PRICES = "prices"
"""Asset that writes the table."""

_VALUES: tuple[tuple[str, str, Unit], ...] = (
    ("open", "First price of the session, as traded.", PRICE_UNIT),
    ("high", "Highest price of the session, as traded.", PRICE_UNIT),
    ("low", "Lowest price of the session, as traded.", PRICE_UNIT),
    ("close", "Last price of the session, as traded; empty where the provider has adjusted closes only.", PRICE_UNIT),
    ("volume", "Units traded in the session.", Unit("units", minimum=0)),
    ("close_adjusted", "The provider's own close, adjusted for splits and dividends.", PRICE_UNIT),
)


def price_table(name: str, comment: str, **options: Any) -> Table:
    """A table of bars; the primary source and the second one have one each."""
    return versioned(
        Table(
            name,
            METADATA,
            key("instrument_id", Integer(), "Instrument."),
            session_key(),
            *(column(name, Double(), meaning, unit) for name, meaning, unit in _VALUES),
            column("source", SmallInteger(), "Number of the provider.", nullable=False),
            writer(),
            CheckConstraint("num_nonnulls(close, close_adjusted) > 0", name="has_close"),
            comment=comment,
            **options,
        )
    )


PRICE = price_table(
    "price",
    "Accepted daily bars of every instrument, as traded.",
    postgresql_partition_by="RANGE (instrument_id)",  # in ranges that are filled at once (`pipeline.store.ranges`)
)

SECOND_PRICE = price_table("second_price", "Bars of a second provider, against which the first is checked.")

MOST_INSTRUMENTS_BY_ROW = 8
"""A few instruments are found sooner by their rows than in the blocks of all."""

_PANEL_ROW = np.dtype([("session", "datetime64[D]"), ("instrument_id", "i4"), ("close", "f8")])


def price_rows(
    instrument_id: NDArray[np.int32],
    session: DateArray,
    source: int,
    numbers: dict[str, FloatArray],
) -> Columns:
    """Every column of the table; numbers that are not given are missing.

    Parameters
    ----------
    instrument_id, session
        (m,) keys.
    numbers
        Column → (m,); of open, high, low, close, volume and close_adjusted.
    """
    missing = np.full(len(session), np.nan)
    return {
        "instrument_id": instrument_id,
        "session": session,
        **{name: numbers.get(name, missing) for name, _, _ in _VALUES},
        "source": np.full(len(session), source, dtype=np.int16),
    }


def replace_prices(write: Write, rows: Columns, months: MonthRange) -> WriteOutcome:
    """Make the prices of `months` equal to `rows`, and with them the read model of panels."""
    with ThreadPoolExecutor(max_workers=1) as maker:
        closes = maker.submit(Closes.of, rows)  # while the server takes the rows
        outcome = write.replace(PRICE, rows, months)
    refresh_blocks(write, closes.result(), months, outcome.changed_months)
    return outcome


def replace_second_prices(write: Write, rows: Columns, months: MonthRange) -> WriteOutcome:
    """Make the second provider's prices of `months` equal to `rows`, in the write of the first's."""
    return replace_rows(write.connection, SECOND_PRICE, rows, Span(months.first, months.end), write.materialization_id)


@dataclass(frozen=True, slots=True)
class PricePanel:
    """Prices as one dense matrix.

    Parameters
    ----------
    sessions
        (t,) sorted sessions on which any of the instruments has a price.
    instrument_ids
        (n,) in the order asked for.
    close
        (t, n) value of what one unit has become that was held from the instrument's first action on, splits and
        dividends reinvested, in the instrument's currency; NaN where it has no price on a session. A later action
        changes no earlier one of these, and neither does where the reading begins.
    exchange
        What converts them; without currencies where there is nothing to convert.
    """

    sessions: DateArray
    instrument_ids: IntArray
    close: FloatArray
    exchange: Exchange = field(default_factory=lambda: Exchange(()))

    def column(self, instrument_id: int, currency: str | None = None) -> FloatArray:
        """(t,) closes of one instrument, NaN where missing."""
        return self.columns([instrument_id], currency)[:, 0]

    def columns(self, instrument_ids: Sequence[int], currency: str | None = None) -> FloatArray:
        """(t, k) closes of some of the instruments, in the order asked for.

        Parameters
        ----------
        currency
            What they are converted to, NaN on a session without a rate; None leaves each in its own.
        """
        positions = [int(np.flatnonzero(self.instrument_ids == wanted)[0]) for wanted in instrument_ids]
        close = self.close[:, positions]
        if currency is None or not self.exchange.currencies:
            return close
        own = [self.exchange.currencies[position] for position in positions]
        if all(one == currency for one in own):
            return close
        rates = [np.broadcast_to(self.exchange.rate(one, currency), len(close)) for one in own]
        return close * np.column_stack(rates)


def read_price_panel(
    connection: Connection,
    instrument_ids: Sequence[int],
    start: date | None,
    end: date,
    known: Knowledge = NOW,
    *,
    currency: str | None = None,
) -> PricePanel:
    """Adjusted closes of instruments in ``[start, end)``; `start` None reads from the first session.

    A close as traded is divided by the adjustments of all ex-dates up to it; a provider's adjusted close is
    taken as it is, where there is no other. Prices in pence are given in pounds.

    Parameters
    ----------
    currency
        What the closes are to be converted to, if it may be none of a stored portfolio: its rates are read too.
    """
    if known.at is None and len(instrument_ids) > MOST_INSTRUMENTS_BY_ROW:
        sessions, ids, close = read_blocks(connection, instrument_ids, start, end)
    else:
        sessions, ids, close = _read_rows(connection, instrument_ids, start, end, known)
    _adjust(connection, close, sessions, ids, known)
    for instrument_id, scale in read_price_scales(connection, ids.tolist()).items():
        close[:, ids == instrument_id] *= scale
    exchange = read_exchange(connection, ids.tolist(), sessions, known, currency)
    return PricePanel(sessions, ids, close, exchange)


def _read_rows(
    connection: Connection, instrument_ids: Sequence[int], start: date | None, end: date, known: Knowledge
) -> Block:
    ids = np.asarray(instrument_ids, dtype=np.int64)
    rows = copy_out(connection, _panel_query(connection, instrument_ids, start, end, known), _PANEL_ROW)
    sessions, row_of = np.unique(rows["session"], return_inverse=True)
    close = np.full((len(sessions), len(ids)), np.nan)
    if len(rows):
        by_id = np.argsort(ids)
        close[row_of, by_id[np.searchsorted(ids, rows["instrument_id"], sorter=by_id)]] = rows["close"]
    return sessions, ids, close


def _panel_query(
    connection: Connection, instrument_ids: Sequence[int], start: date | None, end: date, known: Knowledge
) -> sql.Composed:
    condition = sql.SQL("instrument_id = ANY({ids}) AND session >= {start} AND session < {end}").format(
        ids=sql.Literal(list(instrument_ids)), start=sql.Literal(start or date(1, 1, 1)), end=sql.Literal(end)
    )
    names = sql.SQL("session, instrument_id, coalesce(close, close_adjusted)")
    return rows_as_known(connection, PRICE, PRICES, names, condition, known)


def _adjust(connection: Connection, close: FloatArray, sessions: DateArray, ids: IntArray, known: Knowledge) -> None:
    """Multiply closes by what the actions up to each session have made of one unit, in place.

    Adjusting forward from an instrument's first action, not back from its last, leaves what is past as it was.
    """
    for instrument_id, growth in read_growth(connection, ids.tolist(), known).items():
        close[:, ids == instrument_id] *= growth.at(sessions)[:, None]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of one instrument; None where its provider has no such number."""

    session: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    close_adjusted: float | None


def read_bars(connection: Connection, instrument_id: int, window: Window, known: Knowledge = NOW) -> list[Bar]:
    """The newest bars of an instrument inside a window, oldest first; their adjusted close is the platform's own."""
    bars = read_newest_as_known(connection, PRICE, PRICES, {"instrument_id": instrument_id}, window, Bar, known)
    return adjusted_bars(connection, {instrument_id: bars}, known)[instrument_id]


def adjusted_bars(
    connection: Connection, bars: Mapping[int, Sequence[Bar]], known: Knowledge = NOW
) -> dict[int, list[Bar]]:
    """Instrument → its bars with the platform's own adjusted close, in its currency."""
    factors = read_close_factors(connection, list(bars), known)
    scales = read_price_scales(connection, list(bars))
    return {
        instrument_id: adjusted(given, factors.get(instrument_id, UNADJUSTED), scales.get(instrument_id))
        for instrument_id, given in bars.items()
    }


def adjusted(bars: Sequence[Bar], factors: CloseFactors, scale: float | None) -> list[Bar]:
    """Bars of one instrument with the platform's own adjusted close, in its currency.

    Parameters
    ----------
    scale
        Currency units in one price unit; None for 1.
    """
    made = [_adjusted(bar, factors.at(bar.session)) for bar in bars]
    return made if scale is None else [_scaled(bar, scale) for bar in made]


def _adjusted(bar: Bar, factor: float) -> Bar:
    """The bar with the platform's own adjusted close; a provider's is taken where there is no close as traded."""
    if bar.close is None:
        return bar
    return replace(bar, close_adjusted=bar.close * factor)


def _scaled(bar: Bar, scale: float) -> Bar:
    """The bar in the instrument's currency, whatever unit its provider quotes."""
    prices = {name: getattr(bar, name) for name in ("open", "high", "low", "close", "close_adjusted")}
    return replace(bar, **{name: value * scale for name, value in prices.items() if value is not None})


def read_last_session(connection: Connection) -> date | None:
    """The newest session with a price, or None while there is none."""
    row = connection.execute("SELECT max(session) FROM price").fetchone()
    return row[0] if row else None
