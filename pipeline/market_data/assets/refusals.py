"""What a vendor sent and a rule refused as a whole is kept, although the load that asked for it ends without a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg

from pipeline.base.errors import PlatformError
from pipeline.market_data.providers import Payload, PayloadRefusedError
from pipeline.store.engine import Database
from pipeline.store.raw_payloads import Refusal, StoredPayload, keep_refused


def stored(payloads: Iterable[Payload]) -> list[StoredPayload]:
    """Payloads as the store keeps them."""
    return [StoredPayload(p.sha256, p.name, p.media_type, p.content) for p in payloads]


@contextmanager
def keeping_refused(database: Database, provider: str, asset: str) -> Iterator[None]:
    """Keep what is refused inside the block, in a transaction of its own, before the error goes on.

    The load's own transaction is rolled back by the error. Should keeping fail, the error says so and stays the
    one that the operator must see.

    Parameters
    ----------
    provider, asset
        Who answered, and what was to be loaded.

    Raises
    ------
    PayloadRefusedError
        The one raised inside, which now says how to look at what was sent.
    """
    try:
        yield
    except PayloadRefusedError as error:
        remedy = f"{error.remedy} {_kept(database, provider, asset, error)}".rstrip()
        raise PayloadRefusedError(error.rule, error.cause, remedy, error.payloads) from error.__cause__


def _kept(database: Database, provider: str, asset: str, error: PayloadRefusedError) -> str:
    """Keep what an error carries; how to look at it, or why it could not be kept."""
    if not error.payloads:
        return ""
    try:
        with database.connect() as connection:
            keep_refused(connection, Refusal(provider, asset, error.rule, error.cause), stored(error.payloads))
    except (PlatformError, psycopg.Error) as failure:
        return f"What was sent could not be kept ({' '.join(str(failure).split())})."
    if len(error.payloads) > 1:
        return f"The {len(error.payloads)} answers are kept: `fintech quarantine payloads` lists them."
    return (
        f"What was sent is kept: `fintech quarantine payload {error.payloads[0].sha256} > answer` writes it to a file."
    )
