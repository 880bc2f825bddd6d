"""What the assets of rates share: ask the chosen provider, keep its answer, keep what it does not answer for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Table

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.refusals import keeping_refused, stored
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest, FetchResult
from pipeline.market_data.providers.protocol import Offer
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.resources import DatabaseResource
from pipeline.orchestration.table_assets import Produced
from pipeline.store.carrying import read_rows_of
from pipeline.store.providers import record_provider
from pipeline.store.raw_payloads import keep_payloads
from pipeline.store.writing import Write, concatenated


def provided_rates(
    write: Write,
    months: MonthRange,
    chosen: ProviderResource,
    database: DatabaseResource,
    what: Offer,
    table: Table,
    columns: Callable[[FetchResult], Columns],
) -> Produced:
    """The rates of some months, those of what the provider does not answer for as they are stored.

    Parameters
    ----------
    columns
        The answer as columns of the table.
    """
    provider = chosen.provider
    request = FetchRequest(what, (), months.first, months.end - timedelta(days=1))
    with keeping_refused(database.database, provider.name, write.asset):
        answer = provider.fetch(request)
    answered = columns(answer)
    if "bars" not in provider.offers:  # the notice of a provider of bars is about these, and told with them
        record_provider(write.connection, provider.name, provider.notice)
    keep_payloads(write, provider.name, stored(answer.payloads))
    carried = read_rows_of(write.connection, table, answer.missing, months)
    sessions = answered["session"]
    return Produced(
        rows=concatenated(table, [answered, carried]),
        metadata={"last_session": str(sessions.max()) if len(sessions) else "none"},
        empty_because="the provider has no rates in this month",
    )
