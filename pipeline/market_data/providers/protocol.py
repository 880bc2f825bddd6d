"""What every provider offers: one question, one answer, and the payload that it was read from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import DateArray, FloatArray
from pipeline.market_data.rules.bars import Actions, Bars

Offer: TypeAlias = Literal["bars", "fx_rates", "interest_rates"]


@dataclass(frozen=True, slots=True)
class Security:
    """An instrument as its provider describes it.

    Parameters
    ----------
    price_scale
        Currency units in one price unit: 0.01 where prices are quoted in pence.
    """

    symbol: str
    name: str
    kind: str
    sector: str = ""
    currency: str = "USD"
    exchange: str = "XNYS"
    price_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What is asked of a provider.

    Parameters
    ----------
    what
        Kind of data.
    symbols
        Instruments, currencies or series by the provider's own names; empty for all that it covers.
    first, last
        First and last day, both included.
    as_of
        Day whose knowledge is asked for; None for today's. A provider that keeps no vintages refuses another day.
    """

    what: Offer
    symbols: tuple[str, ...]
    first: date
    last: date
    as_of: date | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """One answer of a vendor, byte by byte.

    Parameters
    ----------
    name
        What was asked, such as a symbol; never an address, which may hold a key.
    media_type
        As the vendor declares it.
    """

    name: str
    media_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Digest by which an equal answer is kept once."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class FxRates:
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

    currencies: NDArray[np.bytes_]
    sessions: DateArray
    units_per_euro: FloatArray


@dataclass(frozen=True, slots=True)
class InterestRates:
    """Risk-free rates, a row a series and day.

    Parameters
    ----------
    series
        (m,) names of the series as byte strings, such as ``DTB3``.
    sessions
        (m,) days that the rates are of.
    annual_rate
        (m,) fraction per year, as the series quotes it.
    known_on
        Day on which the rates stood like this, their vintage; None if the provider does not say.
    """

    series: NDArray[np.bytes_]
    sessions: DateArray
    annual_rate: FloatArray
    known_on: date | None = None


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What a provider answered; only the part that was asked for is filled.

    Parameters
    ----------
    payloads
        What the rows were read from; empty for data that ships in an installed package.
    bars, actions
        For ``bars``; None or empty where the provider has none.
    fx_rates, interest_rates
        For the offer of that name.
    missing
        What was asked for and the provider has not, with the reason; whatever it has is in the answer all the same.
        Rows that are stored of these are not contradicted by it.
    """

    payloads: tuple[Payload, ...] = ()
    bars: Bars | None = None
    actions: Actions | None = None
    fx_rates: FxRates | None = None
    interest_rates: InterestRates | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """A source of instruments, bars or rates."""

    @property
    def name(self) -> str:
        """Name by which settings select it."""

    @property
    def notice(self) -> str | None:
        """What every reader of its data must be told, such as that it is old; None if nothing."""

    @property
    def offers(self) -> frozenset[Offer]:
        """What it can be asked for."""

    def securities(self) -> tuple[Security, ...]:
        """The instruments it covers; none for a provider of rates alone."""

    def fetch(self, request: FetchRequest) -> FetchResult:
        """Answer a request.

        Raises
        ------
        ProviderError
            If there is no usable answer, with cause and remedy; a payload that a rule refuses raises
            `PayloadRefusedError`, which names the rule.
        """
