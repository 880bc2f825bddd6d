"""What stress needs to know of instruments besides their prices: sectors, currencies, and exposures to factor funds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from psycopg import Connection

from pipeline.base.types import DateArray, FloatArray, IntArray, MonthRange
from pipeline.risk.measures.stress_standing import Registered
from pipeline.store.factor_exposures import FACTOR_EXPOSURE
from pipeline.store.instruments import Instrument, factor_funds_of
from pipeline.store.packed_series import Series, read_series

EXPOSURE_MONTHS = 1
"""A portfolio may have no session on the last one of the market's month: then the month before has its exposures."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Facts about instruments.

    Parameters
    ----------
    sectors, currencies
        Instrument → as registered.
    funds
        Symbol of each factor fund → instrument.
    series
        (Instrument, symbol of a fund) → stored exposures.
    """

    sectors: Mapping[int, str] = field(default_factory=dict)
    currencies: Mapping[int, str] = field(default_factory=dict)
    funds: Mapping[str, int] = field(default_factory=dict)
    series: Mapping[tuple[int, str], Series] = field(default_factory=dict)

    @classmethod
    def read(cls, connection: Connection, instruments: Sequence[Instrument], months: MonthRange) -> Reference:
        """The facts, and the exposures up to the end of `months`."""
        start, end = months.back(EXPOSURE_MONTHS), months.end
        subject = ("instrument_id", "factor")
        return cls(
            {instrument.id: instrument.sector for instrument in instruments},
            {instrument.id: instrument.currency for instrument in instruments},
            {fund.symbol: fund.id for fund in factor_funds_of(instruments)},
            read_series(connection, FACTOR_EXPOSURE, subject, ["exposure_ols"], start, end),
        )

    def registered(self, instrument_ids: IntArray, base_currency: str) -> Registered:
        """What is registered of some positions."""
        ids = instrument_ids.tolist()
        sectors = tuple(self.sectors.get(number, "") for number in ids)
        currencies = tuple(self.currencies.get(number, "") for number in ids)
        return Registered(instrument_ids, sectors, currencies, base_currency, tuple(sorted(self.funds)))

    def exposures(self, instrument_ids: IntArray, sessions: DateArray) -> FloatArray:
        """(m, k, f) newest exposures up to each session, of its month or the one before; NaN where there are none.

        A fund is not explained by itself, and moves by its own return: its exposure to itself is 1.
        """
        funds = sorted(self.funds)
        found = np.full((len(sessions), len(instrument_ids), len(funds)), np.nan)
        oldest = (sessions.astype("datetime64[M]") - EXPOSURE_MONTHS).astype("datetime64[D]")
        for column, number in enumerate(instrument_ids.tolist()):
            for place, fund in enumerate(funds):
                if self.funds[fund] == number:
                    found[:, column, place] = 1.0
                elif (number, fund) in self.series:
                    found[:, column, place] = _newest(self.series[number, fund], sessions, oldest)
        return found


NOTHING_KNOWN = Reference()


def _newest(series: Series, sessions: DateArray, oldest: DateArray) -> FloatArray:
    """(m,) last value up to each session and not before its oldest day."""
    row = np.searchsorted(series.sessions, sessions, side="right") - 1
    last = np.maximum(row, 0)
    known = (row >= 0) & (series.sessions[last] >= oldest)
    return np.where(known, series.values["exposure_ols"][last], np.nan)
