"""What callers may send: checked types that several routes share.

Control characters (NUL above all), lone surrogates and integers beyond Postgres's own are refused here, where
the message can name the field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Self, TypeVar

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from pipeline.store.batches import Span
from pipeline.store.point_in_time import Knowledge
from pipeline.store.reading import Window
from serving.answers.cursors import LONGEST_CURSOR, Order
from serving.answers.formats import Format

T = TypeVar("T")

EARLIEST, LATEST = date(1900, 1, 1), date(2199, 12, 31)
MAXIMUM_ROWS = 10_000
"""More than the 8,316 sessions of 33 years."""

EASTERNMOST = timedelta(hours=14)
"""Where a day begins first."""

MOST_SYMBOLS = 500
A_YEAR = timedelta(days=366)

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _require_iso(value: Any) -> Any:
    """Refuse the numbers and times that pydantic would turn into some date."""
    if isinstance(value, date) or (isinstance(value, str) and _ISO_DATE.fullmatch(value)):
        return value
    raise PydanticCustomError("iso_date", "Input should be a date such as 2022-12-28")


def _require_past_day(value: date) -> date:
    """Refuse a day that has not begun anywhere."""
    if value > (datetime.now(UTC) + EASTERNMOST).date():
        raise PydanticCustomError("future", "lies in the future; give a day up to today")
    return value


def _require_past_moment(value: datetime) -> datetime:
    """Refuse a moment that is none without a time zone, or that has not come."""
    if value.tzinfo is None:
        raise PydanticCustomError("zone", "needs a time zone, such as 2022-12-28T18:00:00Z")
    if value > datetime.now(UTC):
        raise PydanticCustomError("future", "lies in the future; give a moment that has passed")
    return value


def _separated(value: Any) -> Any:
    """The texts of a parameter that may be given once with commas, or several times."""
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return [part for text in value for part in text.split(",")]
    return value


def require_number(value: Any) -> Any:
    """Refuse the texts that pydantic would read as a number."""
    if isinstance(value, str):
        raise PydanticCustomError("number", "Input should be a number, not a text")
    return value


IsoDate = Annotated[date, BeforeValidator(_require_iso), Field(ge=EARLIEST, le=LATEST)]
PastDay = Annotated[IsoDate, AfterValidator(_require_past_day)]
"""Of `as_of`, wherever it is asked."""
PastMoment = Annotated[datetime, AfterValidator(_require_past_moment)]
"""Of `known_at`, wherever it is asked."""
Reference = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,43}$")]
"""A symbol, or a symbol and a day."""
Symbol = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,32}$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,62}$")]
Label = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$")]

SymbolPath = Annotated[Symbol, Path(description="Symbol of an instrument.", examples=["AAPL"])]
InstrumentPath = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]{1,43}$"),
    Path(
        description="Symbol of an instrument, which names the one that has it now; with a day, as in FB@2013-05-01, the"
        " one that had it then. Instruments that were renamed or retired are found by a day before that.",
        examples=["AAPL"],
    ),
]
CurrencyPath = Annotated[Currency, Path(description="ISO 4217 currency.", examples=["USD"])]
PortfolioPath = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9]{1,10}|[a-z][a-z0-9-]{1,62})$"),
    Path(description="Id or slug of a portfolio.", examples=["tech"]),
]


class TableQuery(BaseModel):
    """In which format to answer: what every collection takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format | None = Field(
        None, description="Format of the answer, before what Accept says; nested values are JSON texts in tables."
    )


class PageQuery(TableQuery):
    """Which page of a collection to answer with."""

    limit: int = Field(1_000, ge=1, le=MAXIMUM_ROWS, description="Most rows of a page.")
    cursor: Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9_-]{{1,{LONGEST_CURSOR}}}$")] | None = Field(
        None, description="next_cursor of the page before; the other parameters stay as they were."
    )

    def sliced(self, rows: Sequence[T], order: Order) -> tuple[Sequence[T], str | None]:
        """The page of a whole collection that is sorted by its key, and the cursor of the next one."""
        return order.sliced(rows, self.limit, self.cursor)


class SpanQuery(BaseModel):
    """Between which sessions; both ends are included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: IsoDate | None = Field(None, description="First session.")
    end: IsoDate | None = Field(None, description="Last session.")
    as_of: PastDay | None = Field(
        None, description="Newest session whose data may be used: the last one of the answer, as with `end`."
    )

    @model_validator(mode="after")
    def _require_order(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise PydanticCustomError("window_order", "start lies after end")
        return self

    @property
    def last(self) -> date | None:
        """The last session that may be answered with; None leaves that side open."""
        return min((day for day in (self.end, self.as_of) if day is not None), default=None)


class LatestQuery(SpanQuery):
    """Which rows of several series to answer with, which have no pages."""

    limit: int = Field(252, ge=1, le=MAXIMUM_ROWS, description="Most rows of each; the newest are kept.")

    @property
    def window(self) -> Window:
        """The window as the store takes it."""
        return Window(self.start, self.last, self.limit)


class WindowQuery(SpanQuery, PageQuery):
    """Which rows of a series to answer with."""

    limit: int = Field(
        252,
        ge=1,
        le=MAXIMUM_ROWS,
        description="Most rows of a page. The first page has the newest, the next one those before; each is oldest"
        " first.",
    )

    @property
    def window(self) -> Window:
        """The window as the store takes it, without its pages."""
        return Window(self.start, self.last, self.limit)

    def page(self, order: Order) -> Window:
        """The page as the store takes it, with one row more, which says whether another page follows."""
        return Window(self.start, self.last, self.limit + 1, order.decoded(self.cursor))


class KnownQuery(BaseModel):
    """As of which knowledge, of data that keeps its revisions."""

    known_at: PastMoment | None = Field(
        None, description="Moment with a time zone: rows as they were known then. The same moment gives the same rows."
    )

    @property
    def known(self) -> Knowledge:
        """The moment as the store takes it."""
        return Knowledge(self.known_at)


class KnownWindowQuery(KnownQuery, WindowQuery):
    """Which rows of a series that keeps its revisions."""


class BatchQuery(SpanQuery, PageQuery):
    """Which rows of several instruments to answer with."""

    symbols: Annotated[list[Reference], BeforeValidator(_separated)] = Field(
        min_length=1,
        max_length=MOST_SYMBOLS,
        description=f"Up to {MOST_SYMBOLS} symbols, with commas between them; with a day where another has it now, as"
        " in FB@2013-05-01.",
        examples=[["AAPL,MSFT"]],
    )
    start: IsoDate | None = Field(None, description="First session; 252 sessions, about, before the last if left out.")

    def page(self, order: Order, newest: date | None) -> Span:
        """The page as the store takes it, with one row more, which says whether another page follows.

        Parameters
        ----------
        newest
            Session of the newest row, which the default of `start` is counted from.
        """
        last = min((day for day in (self.last, newest) if day is not None), default=None)
        start = last - A_YEAR if self.start is None and last is not None else self.start
        return Span(start, self.last, self.limit + 1, order.decoded(self.cursor))


class KnownBatchQuery(KnownQuery, BatchQuery):
    """Which rows of several instruments that keep their revisions."""


Tabular = Annotated[TableQuery, Query()]
"""Parameter of a route that answers with a collection of a fixed length."""

Paged = Annotated[PageQuery, Query()]
"""Parameter of a route that answers with a collection that can grow."""

Latest = Annotated[LatestQuery, Query()]
"""Parameter of a route that answers with the newest rows of several series."""

Batched = Annotated[BatchQuery, Query()]
"""Parameter of a route that answers with the rows of several instruments."""

KnownBatched = Annotated[KnownBatchQuery, Query()]
"""Parameter of a route that answers with the rows of several instruments as they were known at a moment."""

Windowed = Annotated[WindowQuery, Query()]
"""Parameter of a route that answers with a series."""

KnownWindowed = Annotated[KnownWindowQuery, Query()]
"""Parameter of a route that answers with a series as it was known at a moment."""
