"""`fintech prune`: what is no longer kept, counted or deleted."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.table import Table

from fintech.actors import command_line_actor
from fintech.driving import instance_on
from fintech.host import prepared_host
from pipeline.base.settings import Settings
from pipeline.orchestration.event_retention import delete_events, old_events
from pipeline.store import retention

FOR_EVER = "for ever"


def prune(settings: Settings, console: Console, *, dry_run: bool) -> None:
    """Delete what is no longer kept, or count it.

    Parameters
    ----------
    dry_run
        Whether nothing is deleted.

    Raises
    ------
    DatabaseError
        If a database is out of reach.
    """
    rules = retention.retentions(settings.audit_days)
    with prepared_host(settings) as host, instance_on(host) as instance:
        old = old_events(instance, timedelta(days=settings.event_log_days))
        if dry_run:
            rows = retention.count_gone(host.database, rules)
        else:
            rows = retention.prune(host.database, rules, command_line_actor())
            delete_events(instance, old)
    kept = {rule.name: f"{rule.kept.days} days" if rule.kept else "the last 10,000" for rule in rules}
    table = Table("what", "kept", "would go" if dry_run else "deleted", box=None, pad_edge=False)
    for name, count in rows.items():
        table.add_row(name, kept[name], f"{count:,}")
    if retention.AUDIT not in rows:
        table.add_row(retention.AUDIT, FOR_EVER, "0")
    events = f"{settings.event_log_days} days, and the newest of each asset and partition"
    table.add_row("events of Dagster", events, f"{len(old.events):,}")
    table.add_row("evaluations of checks", events, f"{len(old.checks):,}")
    console.print(table)
