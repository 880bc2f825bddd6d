"""Asset ``instruments``: what the platform prices."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np

from pipeline.base.code_version import code_version
from pipeline.base.currencies import CURRENCIES
from pipeline.market_data.assets.refusals import keeping_refused
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest
from pipeline.orchestration.asset_page import sparkline
from pipeline.orchestration.table_assets import asset_attributes, outcome_metadata
from pipeline.store.engine import Database
from pipeline.store.instruments import INSTRUMENT, Listing, read_instruments, replace_instruments
from pipeline.store.materializations import UNPARTITIONED, read_partition_states
from pipeline.store.providers import read_notices, record_provider
from pipeline.store.symbols import read_ended
from pipeline.store.writing import open_write

KNOWN_CURRENCIES = "currencies_known"


@dg.asset(
    **asset_attributes("instruments", INSTRUMENT, "market_data", frozenset({"postgres", "python"}), {}),
    check_specs=[
        dg.AssetCheckSpec(
            KNOWN_CURRENCIES, asset="instruments", blocking=True, description="Every currency is an ISO 4217 code."
        )
    ],
    required_resource_keys={"database", "provider"},
)
def instruments(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """Stocks, funds and indices that the platform prices, by symbol."""
    provider: ProviderResource = context.resources.provider
    database: Database = context.resources.database.database
    with keeping_refused(database, provider.name, "instruments"):
        listings, old = told_apart(database, provider, provider.listings())
    unknown = unknown_currencies(listings)
    check = dg.AssetCheckResult(
        passed=not unknown,
        check_name=KNOWN_CURRENCIES,
        metadata={"currencies": len({listing.currency for listing in listings}), "unknown": unknown[:20]},
    )
    if unknown:
        yield check
        raise dg.Failure(
            f"Nothing was written: {KNOWN_CURRENCIES} failed. Not in ISO 4217: {', '.join(unknown[:20])}."
            " Correct what the provider says of these; pence are GBP with a price_scale of 0.01.",
            allow_retries=False,
        )
    page, version = write_listings(database, listings, provider, context.run.run_id)
    page |= {"still_listed": ", ".join(old[:20])} if old else {}
    yield check
    yield dg.MaterializeResult(metadata=page, data_version=dg.DataVersion(version))


def told_apart(
    database: Database, provider: ProviderResource, listings: list[Listing]
) -> tuple[list[Listing], list[str]]:
    """Listings of what is traded, and the symbols that the provider lists although their instrument is retired.

    Only bars tell whether a symbol that is listed after its instrument was retired is another company's: many
    providers list what is no longer traded.
    """
    with database.connect() as connection:
        ended = read_ended(connection)
    asked = {listing.symbol: ended[listing.symbol] for listing in listings if listing.symbol in ended}
    traded = symbols_traded_after(provider, asked)
    old = sorted(asked.keys() - traded)
    return [listing for listing in listings if listing.symbol not in old], old


def symbols_traded_after(provider: ProviderResource, last_sessions: Mapping[str, date]) -> set[str]:
    """Those of the symbols of which the provider has a bar after their day."""
    today = datetime.now(UTC).date()
    if not last_sessions or min(last_sessions.values()) >= today:
        return set()
    first = min(last_sessions.values()) + timedelta(days=1)
    bars = provider.provider.fetch(FetchRequest("bars", tuple(sorted(last_sessions)), first, today)).bars
    if bars is None:
        return set()
    ends = np.array([last_sessions.get(symbol, date.max) for symbol in bars.symbols], dtype="datetime64[D]")
    is_later = bars.sessions > ends[bars.symbol_index]
    return {bars.symbols[position] for position in np.unique(bars.symbol_index[is_later]).tolist()}


def unknown_currencies(listings: list[Listing]) -> list[str]:
    """Symbol and currency of each listing whose currency is not in ISO 4217."""
    return [f"{listing.symbol} in {listing.currency!r}" for listing in listings if listing.currency not in CURRENCIES]


def write_listings(
    database: Database, listings: list[Listing], provider: ProviderResource, run_id: str
) -> tuple[dict[str, Any], str]:
    """Register listings and describe the table.

    Returns
    -------
    tuple
        Metadata of the asset page, and the version of the table: the last write that changed it.
    """
    with open_write(database, "instruments", run_id, code_version("market_data")) as write:
        outcome = replace_instruments(write, listings)
        record_provider(write.connection, provider.name, provider.notice)
        known = read_instruments(write.connection)
        notices = read_notices(write.connection)
        version = str(read_partition_states(write.connection, write.asset)[UNPARTITIONED].changed_by)
    per_kind = [float(sum(i.kind == kind for i in known)) for kind in ("stock", "etf", "index")]
    page = {
        "dagster/row_count": len(known),
        "stocks_count": per_kind[0],
        "funds_count": per_kind[1],
        "indices_count": per_kind[2],
        "sectors_count": len({i.sector for i in known if i.sector}),
        "trend": sparkline(per_kind, "instruments by kind: stock, etf, index"),
        "notice": dg.MetadataValue.md("  \n".join(notices) or "none"),
        **outcome_metadata(outcome),
    }
    return page, version
