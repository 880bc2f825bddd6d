"""What every provider offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipeline.base.types import DateArray, FloatArray
from pipeline.market_data.rules.bars import Bars


@dataclass(frozen=True, slots=True)
class Security:
    """An instrument as its provider describes it."""

    symbol: str
    name: str
    kind: str
    sector: str = ""
    currency: str = "USD"
    exchange: str = "XNYS"


@dataclass(frozen=True, slots=True)
class Rates:
    """Exchange rates, a row a currency and day.

    Parameters
    ----------
    currencies
        (m,) ISO 4217 codes as byte strings.
    sessions
        (m,) days of publication.
    units_per_euro
        (m,) units of the currency for one euro.
    """

    currencies: FloatArray
    sessions: DateArray
    units_per_euro: FloatArray


class Provider(Protocol):
    """A source of instruments, bars and rates."""

    @property
    def name(self) -> str:
        """Name by which ``FINTECH_PROVIDER`` selects it."""

    @property
    def notice(self) -> str | None:
        """What every reader of its data must be told, such as that it is old; None if nothing."""

    def securities(self) -> tuple[Security, ...]:
        """The instruments it covers."""

    def bars(self) -> Bars:
        """Every daily bar it has."""

    def rates(self) -> Rates:
        """Every exchange rate it has."""
