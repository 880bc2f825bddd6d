"""Instruments, prices, rates, and the rows that the pipeline refused."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from fintech.answers.records import Answer, Record, each
from fintech.series import Columns

SYMBOL: Columns = each("text", "symbol")
PRICES: Columns = each("date", "session") | each("float", "open", "high", "low", "close", "volume", "close_adjusted")
FX_RATES: Columns = {"session": "date", "units_per_euro": "float"}
INTEREST_RATES: Columns = {"session": "date", "annual_rate": "float"}
INSTRUMENTS: Columns = {
    **each("text", "symbol", "name", "kind", "sector", "currency", "exchange", "provider"),
    **each("date", "listed_from", "delisted_on"),
}
FX_CURRENCIES: Columns = each("text", "currency") | each("date", "first_session", "last_session")
RATE_SERIES: Columns = each("text", "series") | each("date", "first_session", "last_session")
QUARANTINED: Columns = {"session": "date", **each("text", "provider", "symbol", "rule", "state")}
DECISIONS: Columns = {
    "id": "int",
    "session": "date",
    **each("text", "provider", "symbol", "rule", "decision", "decided_by", "note"),
    "decided_at": "time",
}


class Instrument(Record):
    """What can be priced."""

    symbol: str
    name: str
    kind: str
    sector: str
    currency: str
    exchange: str
    provider: str
    listed_from: date | None
    delisted_on: date | None


class InstrumentAnswer(Instrument, Answer):
    """One instrument."""


class FxCurrency(Record):
    """A currency that has reference rates against the euro."""

    currency: str
    first_session: date
    last_session: date


class RateSeries(Record):
    """A series of risk-free rates."""

    series: str
    first_session: date
    last_session: date


class Quarantined(Record):
    """A row that a rule refused; `payload` is what the provider sent."""

    provider: str
    symbol: str
    session: date
    rule: str
    payload: dict[str, Any]
    state: str


class Decision(Record):
    """What somebody decided of a refused row."""

    id: int
    provider: str
    symbol: str
    session: date
    rule: str
    decision: str
    decided_by: str
    note: str
    decided_at: datetime
