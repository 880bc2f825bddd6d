"""The commands that look after a platform: health, logs, backup, restore, prune and flags."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.base.settings import Settings, load_settings

LEAST_JOBS, MOST_JOBS = 2, 8

Folder = Annotated[Path | None, typer.Option(help="Where backups are kept; backups in the data folder.")]
Jobs = Annotated[int | None, typer.Option(min=1, max=64, help="Tables at once; as many as cores, 2 to 8.")]


def backup(
    folder: Folder = None,
    keep: Annotated[int, typer.Option(min=1, help="Backups that stay, this one included.")] = 7,
    jobs: Jobs = None,
) -> None:
    """Dump both databases as of one moment, with sums of every table; older backups go."""
    settings = _local_settings()
    from fintech.operations.backup import backup as make_backup  # noqa: PLC0415

    make_backup(settings, folder or _backups_of(settings), keep, jobs or _jobs(), Console())


def restore(
    source: Annotated[Path | None, typer.Option("--from", help="A backup, or a folder of them for the newest.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where there are tables; they are kept aside.")
    ] = False,
    jobs: Jobs = None,
) -> None:
    """Put a backup in the place of both databases, once what was restored is proven to be what was backed up."""
    settings = _local_settings()
    from fintech.operations.restore import restore as restore_backup  # noqa: PLC0415

    restore_backup(settings, source or _backups_of(settings), jobs or _jobs(), Console(), replace=replace)


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
) -> None:
    """Delete what is no longer kept: old events, vendors' answers, finished simulations; no result is among it."""
    settings = _local_settings()
    from fintech.operations.pruning import prune as prune_all  # noqa: PLC0415

    prune_all(settings, Console(), dry_run=dry_run)


def health() -> None:
    """Ask every service, Dagster, Postgres and Redis how they are; fails if one is ill."""
    from fintech.operations.health import print_health  # noqa: PLC0415

    print_health(load_settings(), Console())


def logs(
    files: Annotated[list[Path] | None, typer.Argument(help="Log files; - for the standard input.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only errors; warnings too otherwise.")] = False,
    compose: Annotated[bool, typer.Option("--compose", help="Read `docker compose logs` of this machine.")] = False,
) -> None:
    """Show what went wrong, equal messages as one, with the requests and runs that they belong to."""
    from fintech.operations.error_lines import print_lines  # noqa: PLC0415

    print_lines(load_settings(), files or [], Console(), only_errors=errors, from_compose=compose)


flags = typer.Typer(help="Look at risky paths, and turn one off or on for everybody.", no_args_is_help=True)


@flags.command("list")
def flags_list() -> None:
    """Show every flag, and who set it."""
    settings = _local_settings()
    from fintech.operations.flags import list_flags  # noqa: PLC0415

    list_flags(settings, Console())


@flags.command("set")
def flags_set(
    name: str,
    state: Annotated[str, typer.Argument(help="on or off.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it set.")],
) -> None:
    """Turn a flag on or off, and note who did."""
    settings = _local_settings()
    from fintech.operations.flags import set_one  # noqa: PLC0415

    set_one(settings, name, state, reason, Console())


@flags.command("unset")
def flags_unset(name: str) -> None:
    """Let a flag be what the code says again."""
    settings = _local_settings()
    from fintech.operations.flags import unset_one  # noqa: PLC0415

    unset_one(settings, name, Console())


def _backups_of(settings: Settings) -> Path:
    return settings.data_dir / "backups"


def _jobs() -> int:
    return min(max(os.cpu_count() or LEAST_JOBS, LEAST_JOBS), MOST_JOBS)


def _local_settings() -> Settings:
    from fintech.host import require_server  # noqa: PLC0415

    settings = load_settings()
    require_server(settings)
    return settings
