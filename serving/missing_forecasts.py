"""Why an instrument's forecasts are missing from an answer: what their models need, and what the instrument has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from typing import Protocol

import numpy as np
from psycopg import Connection

from pipeline.base.types import DateArray
from pipeline.forecast.backtest import ForecastSpec, quantile_needs, volatility_needs
from pipeline.store.instruments import Instrument
from pipeline.store.prices import read_price_panel
from pipeline.store.quantile_forecasts import quantile_name
from serving.answers import WarningOut

TOO_FEW, NOT_STORED = "too_few_returns", "not_stored"


@dataclass(frozen=True, slots=True)
class Kind:
    """Forecasts of one table.

    Parameters
    ----------
    name
        Of what is forecast.
    asset
        That stores them.
    needs
        Model → horizon → returns before its first forecast; none where rows give their own reason.
    column
        Of a horizon: null where it has no forecast.
    """

    name: str
    asset: str
    needs: Mapping[str, Mapping[int, int]]
    column: Callable[[int], str]


SPEC = ForecastSpec()
VOLATILITY_KIND = Kind("volatility", "volatility_forecast", volatility_needs(SPEC), "volatility_{}d".format)
QUANTILE_KIND = Kind("quantiles", "quantile_forecast", quantile_needs(SPEC), partial(quantile_name, SPEC.levels[0]))
PROBABILITY_KIND = Kind("probabilities", "probability_forecast", {}, str)


class Stored(Protocol):
    """A row of any of the tables."""

    @property
    def as_of(self) -> date:
        """Last session that the forecast could know."""
        ...

    @property
    def model(self) -> str:
        """Forecast model."""
        ...


class MissingForecasts:
    """What an answer about an instrument does not hold; its prices are read only if something is missing."""

    def __init__(self, connection: Connection, instrument: Instrument) -> None:
        self._connection, self._instrument = connection, instrument

    def warnings(self, kind: Kind, rows: Sequence[Stored], last: date | None) -> list[WarningOut]:
        """Why the newest session lacks a model, and other rows a horizon.

        Parameters
        ----------
        rows
            Of the answer, oldest first.
        last
            Last day that was asked for; None for the newest.
        """
        day = rows[-1].as_of if rows else last
        absent = kind.needs.keys() - {row.model for row in rows if row.as_of == day}
        found = [] if rows and not absent else self._without(kind, absent, day, is_empty=not rows)
        return [*found, *self._nulls(kind, rows)]

    def _without(self, kind: Kind, absent: set[str], day: date | None, *, is_empty: bool) -> list[WarningOut]:
        """That models have no row as of a day because the history is short; or none has, though it is long enough."""
        least = {model: min(kind.needs[model].values()) for model in kind.needs if model in absent}
        short = [f"{model} needs {need}" for model, need in least.items() if need > self._returns(day)]
        found = []
        if short:
            message = f"{kind.name}: {self._had(day)}, and {', '.join(short)}; wait for more sessions, or give POST"
            found.append(WarningOut(code=TOO_FEW, message=f"{message} /api/v1/forecast a longer series."))
        if is_empty and (len(short) < len(least) or not least):
            message = f"{kind.name}: none is stored for these days, {self._had(day)}; ask for others, or see that"
            found.append(WarningOut(code=NOT_STORED, message=f"{message} the asset {kind.asset} has run."))
        return found

    def _nulls(self, kind: Kind, rows: Sequence[Stored]) -> Iterator[WarningOut]:
        """That rows have no forecast over a horizon."""
        for model, own in kind.needs.items():
            of_model = [row for row in rows if row.model == model]
            for horizon in own:
                column = kind.column(horizon)
                days = [row.as_of for row in of_model if getattr(row, column) is None]
                if days:
                    yield self._null(kind, model, horizon, days)

    def _null(self, kind: Kind, model: str, horizon: int, days: Sequence[date]) -> WarningOut:
        what = f"{kind.name} of {model} over {horizon} sessions: null in {len(days)} of the rows up to {days[-1]}"
        need = kind.needs[model][horizon]
        if need > self._returns(days[-1]):
            message = f"{what}: {self._had(days[-1])}, and it needs {need}; use later sessions."
            return WarningOut(code=TOO_FEW, message=message)
        return WarningOut(code=NOT_STORED, message=f"{what}; run the asset {kind.asset} again for these days.")

    def _had(self, day: date | None) -> str:
        until = "" if day is None else f" up to {day}"
        return f"{self._instrument.symbol} has {self._returns(day)} returns{until}"

    def _returns(self, day: date | None) -> int:
        """Returns up to a day."""
        sessions = self._sessions
        seen = len(sessions) if day is None else int(np.searchsorted(sessions, np.datetime64(day, "D"), side="right"))
        return max(seen - 1, 0)

    @cached_property
    def _sessions(self) -> DateArray:
        """Sessions with a price, as models see them."""
        panel = read_price_panel(self._connection, [self._instrument.id], None, date.max)
        return panel.sessions[np.isfinite(panel.column(self._instrument.id))]
