"""The series that are kept as finished JSON, and what completes their rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Protocol, Self

from psycopg import Connection
from sqlalchemy import Table

from pipeline.store.corporate_actions import UNADJUSTED, CloseFactors, read_close_factors
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import read_price_scales
from pipeline.store.outdating import NAV_SERIES, PRICE_SERIES, RISK_SERIES
from pipeline.store.prices import PRICE, Bar, adjusted
from pipeline.store.risk_columns import MEASURE_COLUMNS
from pipeline.store.schema import WRITER
from pipeline.store.strategies import STRATEGY_NAV

Row = tuple[Any, ...]
"""Values of a row of an answer, in the order of its names."""


class Completion(Protocol):
    """What makes the rows of an answer from those of the table, for one subject."""

    def basis_of(self, year: int) -> bytes:
        """A digest of all that rows of a year follow from besides their table."""

    def completed(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows of the answer."""


class Plain:
    """Rows that are answered as they are stored."""

    def basis_of(self, year: int) -> bytes:  # noqa: ARG002 - the same for every year
        """Nothing."""
        return b""

    def completed(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows themselves."""
        return rows


def _no_completions(connection: Connection, subjects: Sequence[Any]) -> dict[Any, Completion]:  # noqa: ARG001
    return {}


@dataclass(frozen=True, slots=True)
class SeriesKind:
    """A kind of series.

    Parameters
    ----------
    resource
        Its name.
    table
        Where its rows are, whose key is a subject and a session.
    names
        Fields of a row of the answer, in its order; columns of the table.
    completions
        Subject → what completes its rows; of a subject that is left out they are answered as they are.
    """

    resource: str
    table: Table
    names: tuple[str, ...]
    completions: Callable[[Connection, Sequence[Any]], Mapping[Any, Completion]] = _no_completions


_values_of_bar = attrgetter(*(field.name for field in fields(Bar)))


@dataclass(frozen=True, slots=True)
class Adjusting:
    """Bars become those of the platform: its own adjusted close, in the currency of the instrument.

    Parameters
    ----------
    digests
        (a + 1,) of the scale and of the actions from each on; the last one of the scale alone.
    """

    factors: CloseFactors
    scale: float | None
    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, factors: CloseFactors, scale: float | None) -> Self:
        """By the factors and the scale of an instrument."""
        digest = blake2b(repr(scale).encode(), digest_size=16)
        digests = [digest.digest()]
        for action in zip(factors.ex_sessions[::-1], factors.factors[-2::-1], strict=True):
            digest.update(repr(action).encode())
            digests.append(digest.digest())
        return cls(factors, scale, tuple(reversed(digests)))

    def basis_of(self, year: int) -> bytes:
        """A digest of the actions after the first day of a year, and of the scale."""
        return self.digests[bisect_right(self.factors.ex_sessions, date(year, 1, 1))]

    def completed(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The bars as `pipeline.store.prices.read_bars` gives them."""
        return [_values_of_bar(bar) for bar in adjusted([Bar(*row) for row in rows], self.factors, self.scale)]


def read_adjusting(connection: Connection, instrument_ids: Sequence[int]) -> dict[int, Completion]:
    """What completes the bars of each instrument, as things stand: without actions its adjusted close is its close."""
    factors = read_close_factors(connection, instrument_ids)
    scales = read_price_scales(connection, instrument_ids)
    return {number: Adjusting.of(factors.get(number, UNADJUSTED), scales.get(number)) for number in instrument_ids}


PRICES_KIND = SeriesKind(PRICE_SERIES, PRICE, tuple(field.name for field in fields(Bar)), read_adjusting)
RISK_KIND = SeriesKind(
    RISK_SERIES,
    INSTRUMENT_RISK,
    (*(name for name, _, _ in MEASURE_COLUMNS), "session", "sessions_in_window", "risk_free", "reason", WRITER),
)
NAV_KIND = SeriesKind(NAV_SERIES, STRATEGY_NAV, ("session", "nav", "daily_return", "turnover", "cost", WRITER))

KINDS = (PRICES_KIND, RISK_KIND, NAV_KIND)
