"""`fintech models`: forecast models, and which one is champion of its target."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fintech.actors import command_line_actor
from fintech.host import prepared_host
from pipeline.base.settings import Settings
from pipeline.store import audit
from pipeline.store.forecast_models import Champion, Decision, Model, promote, read_models, roll_back

NO_MODEL = "No model is registered. `fintech run` computes forecasts, and registers what made them."


def list_models(settings: Settings, console: Console) -> None:
    """Print the models by target: the champion first, then by past score."""
    with prepared_host(settings) as host, host.database.connect() as connection:
        models = read_models(connection)
    console.print(_table(models) if models else NO_MODEL)


def promote_model(settings: Settings, name: str, note: str, console: Console) -> None:
    """Make a model the champion of its target.

    Raises
    ------
    NotFoundError
        If no model of that name is registered.
    ConflictError
        If it has no score yet, or is the champion already.
    """
    with prepared_host(settings) as host, host.database.connect() as connection:
        champion = promote(connection, name, Decision(command_line_actor().name, note))
        audit.record(connection, command_line_actor(), "model.promote", *_detail(champion))
    _tell(champion, console)


def roll_model_back(settings: Settings, name: str, note: str, console: Console) -> None:
    """Withdraw a champion, so that the one before it is champion again.

    Raises
    ------
    NotFoundError
        If no model of that name is registered.
    ConflictError
        If it is not the champion, or there was none before it.
    """
    with prepared_host(settings) as host, host.database.connect() as connection:
        champion = roll_back(connection, name, Decision(command_line_actor().name, note))
        audit.record(connection, command_line_actor(), "model.rollback", *_detail(champion))
    _tell(champion, console)


def _detail(champion: Champion) -> tuple[str, dict[str, str]]:
    detail = {
        "target": champion.target,
        "champion": f"{champion.name} {champion.version}",
        "note": champion.note,
    }
    return f"model:{champion.target}", detail


def _tell(champion: Champion, console: Console) -> None:
    console.print(f"{champion.name} {champion.version} is the champion of {champion.target} now.", highlight=False)


def _table(models: list[Model]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("target", "model", "version", "champion", "over naive", "scored"):
        table.add_column(name, no_wrap=True)
    for model in models:
        table.add_row(
            model.target,
            model.name,
            model.version,
            "yes" if model.is_champion else "",
            "" if model.relative_loss is None else f"{model.relative_loss:.4f}",
            f"{model.scored_through:%Y-%m}" if model.scored_through else "not yet",
        )
    return table
