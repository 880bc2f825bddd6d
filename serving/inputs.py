"""What callers may send: checked types that several routes share.

Control characters (NUL above all), lone surrogates and integers beyond Postgres's own are refused here, where
the message can name the field.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from pipeline.store.point_in_time import Knowledge
from pipeline.store.reading import Window

EARLIEST, LATEST = date(1900, 1, 1), date(2199, 12, 31)
MAXIMUM_ROWS = 10_000
"""More than the 8,316 sessions of 33 years."""

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _require_iso(value: Any) -> Any:
    """Refuse the numbers and times that pydantic would turn into some date."""
    if isinstance(value, date) or (isinstance(value, str) and _ISO_DATE.fullmatch(value)):
        return value
    raise PydanticCustomError("iso_date", "Input should be a date such as 2022-12-28")


def require_number(value: Any) -> Any:
    """Refuse the texts that pydantic would read as a number."""
    if isinstance(value, str):
        raise PydanticCustomError("number", "Input should be a number, not a text")
    return value


IsoDate = Annotated[date, BeforeValidator(_require_iso), Field(ge=EARLIEST, le=LATEST)]
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


class WindowQuery(BaseModel):
    """Which rows of a series to answer with; both ends are included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: IsoDate | None = Field(None, description="First session.")
    end: IsoDate | None = Field(None, description="Last session.")
    limit: int = Field(252, ge=1, le=MAXIMUM_ROWS, description="Most rows; the newest are kept.")

    @model_validator(mode="after")
    def _require_order(self) -> WindowQuery:
        if self.start and self.end and self.start > self.end:
            raise PydanticCustomError("window_order", "start lies after end")
        return self

    @property
    def window(self) -> Window:
        """The window as the store takes it."""
        return Window(self.start, self.end, self.limit)


class KnownWindowQuery(WindowQuery):
    """Which rows of a series that keeps its revisions."""

    known_at: datetime | None = Field(
        None, description="Moment with a time zone: rows as they were known then. The same moment gives the same rows."
    )

    @model_validator(mode="after")
    def _require_zone(self) -> KnownWindowQuery:
        if self.known_at is not None and self.known_at.tzinfo is None:
            raise PydanticCustomError("known_at_zone", "known_at needs a time zone, such as 2022-12-28T18:00:00Z")
        return self

    @property
    def known(self) -> Knowledge:
        """The moment as the store takes it."""
        return Knowledge(self.known_at)


Windowed = Annotated[WindowQuery, Query()]
"""Parameter of a route that answers with a series."""

KnownWindowed = Annotated[KnownWindowQuery, Query()]
"""Parameter of a route that answers with a series as it was known at a moment."""
