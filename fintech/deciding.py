"""`fintech quarantine`: a person's decision on refused rows, and its consequences."""

from __future__ import annotations

from datetime import date

from rich.console import Console
from rich.table import Table

from fintech.actors import command_line_actor
from fintech.backfilling import backfill
from fintech.host import prepared_host
from fintech.planning import Selection
from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings
from pipeline.store import audit
from pipeline.store.prices import PRICES
from pipeline.store.quarantine import Decision, HeldRow, decide, read_quarantine

STATES = ("held", "released", "rejected")


def print_quarantine(settings: Settings, state: str | None, console: Console) -> None:
    """Print the refused rows.

    Raises
    ------
    ConfigurationError
        If there is no such state.
    """
    if state is not None and state not in STATES:
        raise ConfigurationError(f"There is no state {state!r}", f"Use one of: {', '.join(STATES)}.", exit_code=2)
    with prepared_host(settings) as host, host.database.connect() as connection:
        rows = read_quarantine(connection, state)
    if not rows:
        console.print("Nothing is in quarantine." if state is None else f"Nothing is {state}.")
        return
    console.print(quarantine_table(rows))


def quarantine_table(rows: list[HeldRow]) -> Table:
    """Refused rows, a row each."""
    table = Table(box=None, pad_edge=False)
    for name in ("symbol", "session", "rule", "state", "as parsed"):
        table.add_column(name, no_wrap=name != "as parsed")
    for row in rows:
        parsed = ", ".join(f"{name} {value}" for name, value in row.payload.items())
        table.add_row(row.symbol, str(row.session), row.rule, row.state, parsed)
    return table


def decide_row(
    settings: Settings, row: tuple[str, str], decision: Decision, reason: tuple[str, str], console: Console
) -> None:
    """Keep a decision, load the month again, and compute what depends on it.

    Parameters
    ----------
    row
        Symbol and session.
    reason
        Who decides, and why.

    Raises
    ------
    NotFoundError
        If nothing of that symbol and session is in quarantine.
    ConflictError
        If rows that contradict each other are to be released.
    """
    symbol, session = row[0], _parsed_session(row[1])
    with prepared_host(settings) as host, host.database.connect() as connection:
        decided = decide(connection, symbol, session, decision, *reason)
        detail = {"decided_by": reason[0], "note": reason[1], "rules": [made.rule for made in decided]}
        audit.record(connection, command_line_actor(), f"quarantine.{decision}", f"{symbol}:{session}", detail)
        for made in decided:
            console.print(f"{made.decision}: {made.symbol} {made.session}, refused by {made.rule}.", highlight=False)
    month = session.replace(day=1)
    backfill(settings, Selection(month, month, frozenset({PRICES}), current_too=True), console)
    console.print("Prices are loaded again; computing what depends on them ...", highlight=False)
    backfill(settings, Selection(only="stale"), console)


def _parsed_session(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a date", "Write it as 2022-05-02.", exit_code=2) from error
