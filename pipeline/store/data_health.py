"""How the data stands, in a few counts: what was written when, what failed, what is held back, what ran.

Everything is read from the application's own tables, so it is told while Dagster is down, too, which is when it
matters; and it costs a few milliseconds, for it is read again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from pipeline.base.due_times import ASSETS_DUE
from pipeline.store.incidents import WORTH_TELLING, count_failed_partitions

INTEREST_RATES = "interest_rates"
REGULAR_ASSETS = frozenset(
    {
        "covariance",
        "factor_exposure",
        "forecast_scores",
        "fx_rates",
        "instrument_risk",
        "instruments",
        INTEREST_RATES,
        "portfolio_contribution",
        "portfolio_risk",
        "portfolio_simulation",
        "portfolio_tail",
        "portfolio_units",
        "prices",
        "probability_forecast",
        "quantile_forecast",
        "strategy_nav",
        "strategy_weights",
        "stress_results",
        "var_backtests",
        "volatility_forecast",
    }
)
"""Assets that are written every weekday, interest rates where a provider is set; a test holds them equal to Dagster's
that have a freshness policy."""


@dataclass(frozen=True, slots=True)
class DataHealth:
    """What was read.

    Parameters
    ----------
    written_at
        Asset → when its newest write was finished.
    failed_partitions
        Asset → partitions that a failed run left undone.
    quarantined
        (provider, state) → rows.
    schedules, sensors
        Name → when its run, or its tick, last succeeded.
    open_incidents
        Kind → incidents that are not over.
    undelivered
        Messages that the receiver of alerts has not taken although it was asked.
    """

    written_at: Mapping[str, datetime]
    failed_partitions: Mapping[str, int]
    quarantined: Mapping[tuple[str, str], int]
    schedules: Mapping[str, datetime]
    sensors: Mapping[str, datetime]
    open_incidents: Mapping[str, int]
    undelivered: int


def regular_assets(*, has_interest_rates: bool) -> frozenset[str]:
    """The assets that are written every weekday, by whether a provider of interest rates is set."""
    return REGULAR_ASSETS if has_interest_rates else REGULAR_ASSETS - {INTEREST_RATES}


def stale_assets(written_at: Mapping[str, datetime], regular: frozenset[str], now: datetime) -> list[str]:
    """Assets that were written before, and not since they had to be; one that never was has not begun.

    Parameters
    ----------
    written_at
        Asset → when its newest write was finished.
    regular
        Assets that are written every weekday.
    """
    since = ASSETS_DUE.since(now)
    return sorted(asset for asset in regular & written_at.keys() if written_at[asset] < since)


def read_data_health(connection: Connection) -> DataHealth:
    """Read everything, best in one snapshot."""
    successes = connection.execute("SELECT kind, name, succeeded_at FROM last_success ORDER BY name").fetchall()
    return DataHealth(
        read_written_at(connection),
        count_failed_partitions(connection),
        _count_quarantined(connection),
        {name: at for kind, name, at in successes if kind == "schedule"},
        {name: at for kind, name, at in successes if kind == "sensor"},
        _count_open_incidents(connection),
        _count_undelivered(connection),
    )


def read_written_at(connection: Connection) -> dict[str, datetime]:
    """Asset → when its newest write was finished."""
    rows = connection.execute(
        """
        SELECT asset, finished_at FROM materialization
        WHERE id IN (SELECT max(built_by) FROM asset_partition GROUP BY asset) AND finished_at IS NOT NULL
        ORDER BY asset
        """
    )
    return dict(rows.fetchall())


def _count_quarantined(connection: Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        "SELECT provider, state, count(*) FROM quarantine GROUP BY provider, state ORDER BY provider, state"
    )
    return {(provider, state): count for provider, state, count in rows}


def _count_open_incidents(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT kind, count(*) FROM incident WHERE resolved_at IS NULL GROUP BY kind")
    return dict(rows.fetchall())


def _count_undelivered(connection: Connection) -> int:
    """Of incidents and of limits' events; a connection that shows nobody's portfolios sees no event of theirs."""
    row = connection.execute(
        """
        SELECT
            (SELECT count(*) FROM incident WHERE last_error IS NOT NULL
                AND (told_at IS NOT NULL OR coalesce(resolved_at > now() - %s, true)))
            + (SELECT count(*) FROM limit_event WHERE last_error IS NOT NULL AND delivered_at IS NULL)
        """,
        [WORTH_TELLING],
    ).fetchone()
    assert row is not None
    return int(row[0])
