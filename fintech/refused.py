"""`fintech quarantine payloads` and `payload`: what vendors sent and rules refused as a whole."""

from __future__ import annotations

from typing import BinaryIO

from rich.console import Console
from rich.table import Table

from fintech.host import prepared_host
from pipeline.base.settings import Settings
from pipeline.store.raw_payloads import RefusedPayload, find_payload, read_refused

SHOWN_DIGITS = 16
"""Of a digest: enough to name an answer among all that are kept."""


def print_refused(settings: Settings, console: Console) -> None:
    """Print the refused answers."""
    with prepared_host(settings) as host, host.database.connect() as connection:
        refused = read_refused(connection)
    if not refused:
        console.print("No answer of a vendor was refused.")
        return
    console.print(refused_table(refused))


def refused_table(refused: list[RefusedPayload]) -> Table:
    """Refused answers, a row each."""
    table = Table(box=None, pad_edge=False)
    for name in ("last refused", "provider", "asked", "sha256", "bytes", "times", "why"):
        table.add_column(name, no_wrap=name != "why")
    for row in refused:
        moment, digest = f"{row.last_refused_at:%Y-%m-%d %H:%M}", row.sha256[:SHOWN_DIGITS]
        table.add_row(moment, row.provider, row.name, digest, f"{row.size_bytes:,}", str(row.times), row.reason)
    return table


def write_payload(settings: Settings, sha256: str, stream: BinaryIO) -> None:
    """Write an answer as it came.

    Raises
    ------
    NotFoundError
        If no answer with a digest that begins like this is kept.
    ConflictError
        If several are.
    """
    with prepared_host(settings) as host, host.database.connect() as connection:
        content = find_payload(connection, sha256)
    stream.write(content)
    stream.flush()
