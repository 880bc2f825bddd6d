"""Exchange rates on the sessions of a panel of prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from psycopg import Connection, sql

from pipeline.base.errors import NotFoundError
from pipeline.base.types import DateArray, FloatArray
from pipeline.store.fx_rates import FX_RATE, FX_RATES, read_known_currencies
from pipeline.store.point_in_time import NOW, Knowledge, rows_as_known

EURO = "EUR"
UNKNOWN = "XXX"
"""ISO 4217 of no currency: an instrument that is not registered."""

MOST_DAYS_OLD = 7
"""The ECB publishes on its own working days: around Easter and Christmas there are five days without a rate."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What converts the prices of a panel.

    Parameters
    ----------
    currencies
        Of each instrument of the panel.
    units_per_euro
        Currency → (t,) the last rate published up to each session; NaN where it is older than a week. Currencies that
        never had a rate are not in it.
    """

    currencies: tuple[str, ...]
    units_per_euro: Mapping[str, FloatArray] = field(default_factory=dict)

    def rate(self, source: str, target: str) -> FloatArray:
        """(t,) units of `target` for one of `source`; (1,) of a currency in itself.

        Raises
        ------
        NotFoundError
            If there is no rate of one of them at all.
        """
        if source == target:
            return np.ones(1)
        return self._per_euro(target) / self._per_euro(source)

    def _per_euro(self, currency: str) -> FloatArray:
        if currency == EURO:
            return np.ones(1)
        if currency not in self.units_per_euro:
            raise NotFoundError(
                f"There is no exchange rate of {currency}",
                "Load fx_rates with a provider that has it, or use another base currency.",
            )
        return self.units_per_euro[currency]


def read_exchange(
    connection: Connection,
    instrument_ids: Sequence[int],
    sessions: DateArray,
    known: Knowledge = NOW,
    target: str | None = None,
) -> Exchange:
    """The rates that instruments and portfolios need; none are read where all have one currency.

    Parameters
    ----------
    target
        A currency to convert to that no stored portfolio need have.
    """
    own: dict[int, str] = dict(
        connection.execute("SELECT id, currency FROM instrument WHERE id = ANY(%s)", [list(instrument_ids)]).fetchall()
    )
    of_portfolios = {row[0] for row in connection.execute("SELECT DISTINCT base_currency FROM portfolio")}
    currencies = tuple(own.get(instrument_id, UNKNOWN) for instrument_id in instrument_ids)
    met = {*currencies, *of_portfolios, *([target] if target else [])}
    if len(met) < 2 or len(sessions) == 0:
        return Exchange(currencies)
    return Exchange(currencies, _read_rates(connection, sorted(met - {EURO}), sessions, known))


def _read_rates(
    connection: Connection, currencies: Sequence[str], sessions: DateArray, known: Knowledge
) -> dict[str, FloatArray]:
    first, last = sessions[0].astype(date), sessions[-1].astype(date)
    condition = sql.SQL("currency = ANY({currencies}) AND session BETWEEN {first} AND {last}").format(
        currencies=sql.Literal(list(currencies)),
        first=sql.Literal(first - timedelta(days=MOST_DAYS_OLD)),
        last=sql.Literal(last),
    )
    names = sql.SQL("currency, session, units_per_euro")
    rows = rows_as_known(connection, FX_RATE, FX_RATES, names, condition, known)
    published: dict[str, list[tuple[date, float]]] = {}
    for currency, day, units in connection.execute(
        sql.SQL("SELECT * FROM ({rows}) AS known ORDER BY currency, session").format(rows=rows)
    ):
        published.setdefault(currency, []).append((day, units))
    without = set(currencies) - set(published)
    elsewhere = without & read_known_currencies(connection) if without else set()
    return {currency: _last_known(rates, sessions) for currency, rates in published.items()} | {
        currency: np.full(len(sessions), np.nan) for currency in elsewhere
    }


def _last_known(rates: Sequence[tuple[date, float]], sessions: DateArray) -> FloatArray:
    days = np.array([day for day, _ in rates], dtype="datetime64[D]")
    row = np.searchsorted(days, sessions, side="right") - 1
    units = np.array([units for _, units in rates])[np.maximum(row, 0)]
    age = (sessions - days[np.maximum(row, 0)]).astype(np.int64)
    return np.where((row >= 0) & (age <= MOST_DAYS_OLD), units, np.nan)
