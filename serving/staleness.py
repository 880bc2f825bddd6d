"""What every answer tells of the data that it stands on: how new it is, and what to know before it is used.

Prices are behind everything; instruments' own measures, forecasts and rates are asked for theirs. What was read is
remembered for `STANDING_SECONDS` and as long as the version of the data is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from psycopg import Connection
from sqlalchemy import Table

from pipeline.base.errors import InvalidInputError
from pipeline.base.expected_sessions import expected_month_end, expected_session, sessions_after
from pipeline.store.freshness import Newest, read_newest_of
from pipeline.store.fx_rates import FX_RATE, FX_RATES
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.interest_rates import INTEREST_RATE, INTEREST_RATES
from pipeline.store.prices import PRICE, PRICES
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST
from pipeline.store.providers import read_named_notices
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from serving.answers import StalenessOut, WarningOut

STANDING_SECONDS = 60.0
SAMPLES = "bundled"
"""Provider whose data is there to try the platform with."""

Reading = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that grows old.

    Parameters
    ----------
    table
        Whose sessions count.
    asset
        Asset whose last write counts.
    lag
        Sessions that it may be behind without being stale, because its providers publish later.
    ends_months
        Whether its rows are of months' ends, so that those of a month that is not over change again.
    """

    table: Table
    asset: str
    lag: int = 0
    ends_months: bool = False


DEFAULT = Dataset(PRICE, PRICES)
DATASETS = {
    "fx_rate": Dataset(FX_RATE, FX_RATES, lag=1),
    "interest_rate": Dataset(INTEREST_RATE, INTEREST_RATES, lag=3),
    "instrument_risk": Dataset(INSTRUMENT_RISK, "instrument_risk"),
    "volatility_forecast": Dataset(VOLATILITY_FORECAST, "volatility_forecast"),
    "quantile_forecast": Dataset(QUANTILE_FORECAST, "quantile_forecast"),
    "probability_forecast": Dataset(PROBABILITY_FORECAST, "probability_forecast"),
    "portfolio_risk": Dataset(PRICE, "portfolio_risk"),
    "portfolio_tail": Dataset(PRICE, "portfolio_tail"),
    "portfolio_simulation": Dataset(PRICE, "portfolio_simulation"),
    "strategy_nav": Dataset(PRICE, "strategy_nav"),
    "strategy_weight": Dataset(PRICE, "strategy_weights", ends_months=True),
    "stress_scenario": Dataset(PRICE, "stress_results"),
    "portfolio_contribution": Dataset(PRICE, "portfolio_contribution", ends_months=True),
    "var_backtest": Dataset(PRICE, "var_backtests", ends_months=True),
    "factor_exposure": Dataset(PRICE, "factor_exposure", ends_months=True),
}
"""Table of an answer's rows → what says how new they are; prices for every other."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was read of a dataset.

    Parameters
    ----------
    notices
        (provider, notice) of all data.
    """

    dataset: Dataset
    newest: Newest
    notices: tuple[tuple[str, str], ...]

    def staleness(self, now: datetime) -> StalenessOut:
        """How far it is behind at a moment."""
        expected, last = expected_session(now), self.newest.session
        return StalenessOut(
            last_session=last,
            expected_session=expected,
            sessions_behind=None if last is None else sessions_after(last, expected),
            materialized_at=self.newest.materialized_at,
        )

    def warnings(self, staleness: StalenessOut) -> Iterator[WarningOut]:
        """What to know of any answer that stands on it."""
        for provider, notice in self.notices:
            yield WarningOut(code="sample_data" if provider == SAMPLES else "provider_notice", message=notice)
        behind = staleness.sessions_behind or 0
        if behind > self.dataset.lag:
            yield WarningOut(
                code="stale",
                message=f"The newest session is {staleness.last_session}, {behind} before"
                f" {staleness.expected_session}, whose data should be there; see that the daily load has run.",
            )

    def require(self, as_of: date | None, known_at: datetime | None) -> None:
        """Refuse a point in time at which there was nothing.

        Raises
        ------
        InvalidInputError
            If it lies before the first session, or the first load.
        """
        first, loaded = self.newest.first_session, self.newest.first_write_at
        if as_of is not None and first is not None and as_of < first:
            raise InvalidInputError(f"as_of: lies before the first session, {first}", "Give a later day.")
        if known_at is not None and loaded is not None and known_at < loaded:
            raise InvalidInputError(
                f"known_at: lies before the first load, {loaded:%Y-%m-%dT%H:%M:%S.%fZ}", "Give a later moment."
            )

    def provisional(self, newest: date | None, now: datetime) -> WarningOut | None:
        """That the newest row of an answer will change, if it will."""
        final = expected_month_end(now) if self.dataset.ends_months else expected_session(now)
        if newest is None or newest <= final:
            return None
        what = "month" if self.dataset.ends_months else "session"
        return WarningOut(code="provisional", message=f"The {what} of {newest} is not over; its row may still change.")


class Standings:
    """What was last read of each dataset; for several threads, which at worst read the same."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, str | None, Standing]] = {}

    def of(self, table_name: str | None, version: str | None, reading: Reading) -> Standing:
        """The standing of the rows of a table.

        Parameters
        ----------
        version
            Of the data; None if it is not known, so that only the time counts.
        reading
            Opens a connection, if it has to be read.
        """
        dataset = DATASETS.get(table_name or "", DEFAULT)
        known = self._known.get(dataset.asset)
        if known is not None and time.monotonic() < known[0] and version in (known[1], None):
            return known[2]
        with reading() as connection:
            newest = read_newest_of(connection, dataset.table, dataset.asset)
            standing = Standing(dataset, newest, tuple(read_named_notices(connection)))
        self._known[dataset.asset] = (time.monotonic() + STANDING_SECONDS, version, standing)
        return standing


def now() -> datetime:
    """The moment against which data is old or new."""
    return datetime.now(UTC)
