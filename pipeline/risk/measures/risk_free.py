"""Risk-free rates of one session, from what is published of a currency's bills.

A return is compared with the newest rate published before its session began. The Federal Reserve's H.15 gives a day's
rates on the business day after it, so a rate never counts on its own day; nothing later than a session changes its
measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR

MOST_DAYS_OLD = 14
"""Ten sessions. On a session whose newest rate is older, the rate is not known."""

BILL_DAYS, BILL_YEAR_DAYS, YEAR_DAYS = 91, 360, 365
"""Days to maturity of a thirteen-week bill, of the year of bank discount, and of a year."""

NONE_STORED = "none stored: 0"
"""What is said where no rate of a window is known."""

UNKNOWN = "no_risk_free_rate"
"""Reason of a measure whose window holds sessions with a known rate and others without."""


@dataclass(frozen=True, slots=True)
class Quotation:
    """How a series quotes its rate.

    Parameters
    ----------
    annual_effective
        From quoted fractions (...) to annual effective rates (...).
    formula
        The same in one line, of the quoted fraction q.
    source
        Where that is from.
    """

    annual_effective: Callable[[FloatArray], FloatArray]
    formula: str
    source: str


def of_bank_discount(quoted: FloatArray) -> FloatArray:
    """Annual effective rate of a thirteen-week bill from its bank discount rate.

    The bill costs 1 - q 91/360 and pays 1 after 91 days.
    """
    price = 1.0 - quoted * (BILL_DAYS / BILL_YEAR_DAYS)
    effective: FloatArray = np.power(price, -YEAR_DAYS / BILL_DAYS) - 1.0
    return effective


def of_bond_equivalent(quoted: FloatArray) -> FloatArray:
    """Annual effective rate of a yield that is compounded every half-year."""
    effective: FloatArray = np.square(1.0 + quoted / 2.0) - 1.0
    return effective


QUOTATIONS: Mapping[str, Quotation] = MappingProxyType(
    {
        "DTB3": Quotation(
            of_bank_discount,
            "(1 − q 91/360)^(−365/91) − 1",
            "H.15: bank discount basis; price of a bill: 31 CFR part 356, appendix B",
        ),
        "DGS3MO": Quotation(
            of_bond_equivalent,
            "(1 + q/2)² − 1",
            "U.S. Treasury, Interest Rates – Frequently Asked Questions: from a constant maturity yield to the APY",
        ),
    }
)
"""Series that can be used, by name."""

SERIES_OF: Mapping[str, str] = MappingProxyType({"USD": "DTB3"})
"""Currency → series of its risk-free rate."""

Quotes: TypeAlias = tuple[DateArray, FloatArray]
"""(m,) days, ascending, and (m,) rates of a series as it quotes them, as fractions."""


@dataclass(frozen=True, slots=True)
class RiskFree:
    """The risk-free rate of each of a subject's returns.

    Parameters
    ----------
    series
        Name in `QUOTATIONS`.
    daily
        (n,) rate of one session; NaN where it is not known.
    """

    series: str
    daily: FloatArray


@dataclass(frozen=True, slots=True)
class RateSeries:
    """A series as rates of one session.

    Parameters
    ----------
    series
        Name in `QUOTATIONS`.
    days
        (m,) that the rates are of, ascending.
    daily
        (m,) geometric, (1+r)^(1/252) - 1 of the annual effective rate r.
    """

    series: str
    days: DateArray
    daily: FloatArray

    def between(self, sessions: DateArray) -> RiskFree:
        """The rate of each return between consecutive sessions: the newest of a day before that on which it ends.

        Parameters
        ----------
        sessions
            (t,) ascending.

        Returns
        -------
        RiskFree
            Of (t-1,) rates; NaN where the newest is more than `MOST_DAYS_OLD` old.
        """
        rates = np.append(self.daily, np.nan)[self.rows_used(sessions[1:])]
        return RiskFree(self.series, rates)

    def rows_used(self, sessions: DateArray) -> IntArray:
        """(n,) row of the rate that each session has; -1 where none is new enough."""
        rows = np.searchsorted(self.days, sessions, side="left") - 1
        if len(self.days) == 0:
            return np.full(len(sessions), -1, dtype=np.int64)
        age = (sessions - self.days[np.maximum(rows, 0)]).astype(np.int64)
        found: IntArray = np.where((rows >= 0) & (age <= MOST_DAYS_OLD), rows, -1)
        return found


def rate_series(series: str, quotes: Quotes, periods_per_year: int = TRADING_DAYS_PER_YEAR) -> RateSeries:
    """Rates of one session from what a series quotes.

    Raises
    ------
    MeasureInputError
        For a series whose quotation is not known.
    """
    if series not in QUOTATIONS:
        raise MeasureInputError(f"risk_free_series={series}: unknown; choose one of {', '.join(QUOTATIONS)}")
    days, quoted = quotes
    annual = QUOTATIONS[series].annual_effective(quoted)
    return RateSeries(series, days, np.power(1.0 + annual, 1.0 / periods_per_year) - 1.0)


def rates_by_currency(quotes: Mapping[str, Quotes]) -> dict[str, RateSeries]:
    """Currency → its rates, of the currencies of `SERIES_OF` whose series has any."""
    return {
        currency: rate_series(series, quotes[series])
        for currency, series in SERIES_OF.items()
        if series in quotes and len(quotes[series][0])
    }


def known_in_windows(risk_free: FloatArray, window_sessions: int, rows: slice) -> IntArray:
    """How many rates each window knows.

    Parameters
    ----------
    risk_free
        (t-1,) rates of the returns between t sessions, NaN where unknown.
    window_sessions
        Most returns in a window; the first windows have fewer.
    rows
        Sessions with which the windows end, as positions among the t.
    """
    before = np.concatenate([[0], np.cumsum(np.isfinite(risk_free))])
    ends = np.arange(rows.start, rows.stop)
    known: IntArray = before[ends] - before[np.maximum(ends - window_sessions, 0)]
    return known


def why_unknown(risk_free: FloatArray) -> str | None:
    """Why a window has no measure that takes the rate: the reason, or None if every rate is known."""
    known = np.count_nonzero(np.isfinite(risk_free))
    return None if known == len(risk_free) else f"{UNKNOWN}: known on {known} of {len(risk_free)} sessions"
