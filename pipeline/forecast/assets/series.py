"""What the forecast assets read: each instrument's whole history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import DateArray, FloatArray, MonthRange
from pipeline.forecast.models.panel import Member, Panel
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.instruments import read_instruments
from pipeline.store.prices import read_price_panel
from pipeline.store.writing import Write

LOOK_BACK_MONTHS = 132
"""HAR trains on 2,520 sessions, ten years, GJR-GARCH on 2,500. The whole history is read, because
their refits are counted from the first session, and the pooled regression learns from all of it;
a revision before these months changes no forecast by much."""


@dataclass(frozen=True, slots=True)
class InstrumentSeries:
    """One instrument up to the end of a range of months.

    Parameters
    ----------
    sessions
        (t,) sessions with a price.
    returns
        (t-1,) simple returns.
    rows
        Positions of the sessions inside the months.
    """

    instrument_id: int
    sessions: DateArray
    returns: FloatArray
    rows: slice


def read_series(write: Write, months: MonthRange) -> Iterator[InstrumentSeries]:
    """Every instrument that has a price in the months."""
    return (series for series in read_all_series(write, months) if series.rows.start < series.rows.stop)


def read_all_series(write: Write, months: MonthRange) -> Iterator[InstrumentSeries]:
    """Every instrument that has had two prices up to the end of the months; its rows may be empty."""
    ids = [instrument.id for instrument in read_instruments(write.connection)]
    panel = read_price_panel(write.connection, ids, None, months.end)
    for instrument_id, close in zip(ids, panel.close.T, strict=True):
        priced = np.isfinite(close)
        sessions = panel.sessions[priced]
        if len(sessions) > 1:
            yield InstrumentSeries(instrument_id, sessions, simple_returns(close[priced]), months.rows_of(sessions))


def panel_of(every: Sequence[InstrumentSeries]) -> Panel:
    """Some instruments side by side; at least one."""
    return Panel.of([Member(series.sessions, series.returns) for series in every])


def returns_by_session(every: Sequence[InstrumentSeries]) -> FloatArray:
    """(t, n) return into each session of any; NaN where an instrument has none."""
    if not every:
        return np.empty((0, 0))
    panel = panel_of(every)
    into = [np.concatenate([[np.nan], series.returns]) for series in every]
    return np.stack([panel.spread(number, own) for number, own in enumerate(into)], axis=1)
