"""Currency: what a position earned in its own currency, and what the exchange rate added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import simple_returns

EURO = "EUR"


class ExchangeRateError(MeasureInputError):
    """A rate that is missing on a session; the message names the currency and the date."""


@dataclass(frozen=True, slots=True)
class ExchangeRates:
    """Published rates of several currencies.

    Parameters
    ----------
    currencies
        (c,) ISO 4217 codes; the euro need not be among them.
    days
        (d,) days of publication, ascending.
    units_per_euro
        (d, c) units of the currency for one euro; NaN where none was published.
    """

    currencies: tuple[str, ...]
    days: DateArray
    units_per_euro: FloatArray

    def __post_init__(self) -> None:
        expected = (len(self.days), len(self.currencies))
        if self.units_per_euro.shape != expected:
            raise MeasureInputError(f"units_per_euro: shape {self.units_per_euro.shape}, expected {expected}")
        if len(self.days) > 1 and not (self.days[1:] > self.days[:-1]).all():
            raise MeasureInputError("exchange rates: days not ascending; sort them and keep one row a day")
        known = ~np.isnan(self.units_per_euro)
        if not (np.isfinite(self.units_per_euro[known]) & (self.units_per_euro[known] > 0.0)).all():
            raise MeasureInputError("units_per_euro: rates must be finite and above 0; remove or repair the others")


@dataclass(frozen=True, slots=True)
class CurrencyReturns:
    """Returns in the base currency, (1 + local) (1 + fx) - 1, and their three parts.

    Parameters
    ----------
    local
        (t, k) simple returns in the positions' own currencies.
    fx
        (t, k) simple returns of those currencies in the base currency; 0 for the base currency itself.
    cross
        (t, k) local × fx: what the rate adds to the gain.
    total
        (t, k) local + fx + cross.
    """

    local: FloatArray
    fx: FloatArray
    cross: FloatArray
    total: FloatArray


@dataclass(frozen=True, slots=True)
class CurrencyContributions:
    """What the parts earned of a portfolio's value; `total` is their sum.

    Parameters
    ----------
    local, fx, cross, total
        (t,) fractions of the value at the close before each return.
    """

    local: FloatArray
    fx: FloatArray
    cross: FloatArray
    total: FloatArray


@dataclass(frozen=True, slots=True)
class CompoundedContributions:
    """The parts over several sessions; `total` is their sum.

    Parameters
    ----------
    local, fx
        What each would have earned alone, compounded.
    cross
        The rest of the total: what the two earned of each other.
    total
        Compounded return in the base currency.
    """

    local: float
    fx: float
    cross: float
    total: float


def base_values(
    rates: ExchangeRates, sessions: DateArray, currencies: Sequence[str], base: str, max_age_days: int = 0
) -> FloatArray:
    """Value of one unit of each currency in the base currency, at each session.

    Parameters
    ----------
    rates
        Against the euro; other pairs are crossed through it.
    sessions
        (t,) days wanted.
    currencies
        (k,) codes, may repeat.
    base
        Code of the currency that values are wanted in.
    max_age_days
        Calendar days that a rate may be older than its session. 0 asks for the session's own; exchanges that
        trade on days without publication need more.

    Returns
    -------
    FloatArray
        (t, k).

    Raises
    ------
    ExchangeRateError
        If a rate is missing, naming the currency and the first date.
    MeasureInputError
        For a negative age.
    """
    if max_age_days < 0:
        raise MeasureInputError(f"max_age_days={max_age_days}: give 0 or more calendar days")
    per_euro = {code: _units_per_euro(rates, sessions, code, max_age_days) for code in {*currencies, base}}
    values = np.ones((len(sessions), len(currencies)))
    for column, code in enumerate(currencies):
        if code != base:
            values[:, column] = per_euro[base] / per_euro[code]
    return values


def split_returns(local: FloatArray, fx: FloatArray) -> CurrencyReturns:
    """Returns in the base currency from those in local currency and those of the currencies (Bacon 2008, chapter 6).

    Parameters
    ----------
    local, fx
        (t, k) simple returns on the same sessions.

    Raises
    ------
    MeasureInputError
        For shapes that differ, NaN or infinity.
    """
    if local.shape != fx.shape:
        raise MeasureInputError(f"fx returns: shape {fx.shape} against {local.shape} of the local ones; align them")
    if not (np.isfinite(local).all() and np.isfinite(fx).all()):
        raise MeasureInputError("returns: NaN or infinite; drop those sessions or repair their prices and rates")
    cross = local * fx
    return CurrencyReturns(local, fx, cross, local + fx + cross)


def currency_returns(
    close: FloatArray,
    sessions: DateArray,
    currencies: Sequence[str],
    rates: ExchangeRates,
    base: str,
    max_age_days: int = 0,
) -> CurrencyReturns:
    """Split the returns of a whole panel of prices (Bacon 2008, chapter 6).

    Parameters
    ----------
    close
        (t, k) prices in each column's own currency.
    sessions
        (t,) days of the rows.
    currencies
        (k,) code of each column's currency.
    rates, base, max_age_days
        As for `base_values`.

    Returns
    -------
    CurrencyReturns
        Of t - 1 returns.

    Raises
    ------
    ExchangeRateError
        If a rate is missing, naming the currency and the first date.
    MeasureInputError
        For prices that cannot be used, or shapes that do not fit.
    """
    expected = (len(sessions), len(currencies))
    if close.shape != expected:
        raise MeasureInputError(f"close: shape {close.shape}, expected {expected}; give a row a session, a column each")
    values = base_values(rates, sessions, currencies, base, max_age_days)
    return split_returns(simple_returns(close), simple_returns(values))


def currency_contributions(weights: FloatArray, returns: CurrencyReturns) -> CurrencyContributions:
    """What local returns, currencies and their product earned of a portfolio's value (Bacon 2008, chapter 6).

    Parameters
    ----------
    weights
        (t, k) weights at the close *before* each return, or (k,) of a portfolio that is rebalanced to them daily.

    Raises
    ------
    MeasureInputError
        For weights that are not one a position, NaN or infinite.
    """
    if weights.shape not in (returns.local.shape, returns.local.shape[1:]):
        raise MeasureInputError(
            f"weights: shape {weights.shape}, expected {returns.local.shape} or {returns.local.shape[1:]}"
        )
    if not np.isfinite(weights).all():
        raise MeasureInputError("weights: NaN or infinite; give finite numbers")
    local, fx, cross = (np.sum(weights * part, axis=1) for part in (returns.local, returns.fx, returns.cross))
    return CurrencyContributions(local, fx, cross, local + fx + cross)


def compounded_contributions(contributions: CurrencyContributions) -> CompoundedContributions:
    """Contributions over the whole of their sessions.

    Of one position held they are the return of its price, that of its currency, and the product of both, as in one
    session.

    Parameters
    ----------
    contributions
        Of t sessions; of none, nothing was earned.
    """
    local, fx, total = (
        float(np.prod(1.0 + part) - 1.0) for part in (contributions.local, contributions.fx, contributions.total)
    )
    return CompoundedContributions(local, fx, total - local - fx, total)


def _units_per_euro(rates: ExchangeRates, sessions: DateArray, currency: str, max_age_days: int) -> FloatArray:
    """(t,) rate of each session: the last published on or before it."""
    if currency == EURO:
        return np.ones(len(sessions))
    if currency not in rates.currencies:
        raise ExchangeRateError(f"exchange rates: none of {currency}; load its series or value in another currency")
    series = rates.units_per_euro[:, rates.currencies.index(currency)]
    published = ~np.isnan(series)
    days, known = rates.days[published], series[published]
    found = np.searchsorted(days, sessions, side="right") - 1
    oldest = sessions - np.timedelta64(max_age_days, "D")
    missing = (found < 0) | (days[np.maximum(found, 0)] < oldest) if len(days) else np.ones(len(sessions), np.bool_)
    if missing.any():
        raise ExchangeRateError(
            f"exchange rates: none of {currency} for {sessions[missing][0]} within {max_age_days} days;"
            " load it, leave the session out, or allow an older one"
        )
    return known[found]
