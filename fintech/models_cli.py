"""The commands of `fintech models`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from pipeline.base.settings import Settings, load_settings

Note = Annotated[str, typer.Option(help="Why.")]

models = typer.Typer(help="List forecast models, and choose the champion of a target.", no_args_is_help=True)


@models.command("list")
def models_list() -> None:
    """Show the models by target: the champion first, then by past score."""
    settings = _settings()
    from fintech.models import list_models  # noqa: PLC0415 - each command imports only what it needs

    list_models(settings, Console())


@models.command("promote")
def models_promote(name: str, note: Note) -> None:
    """Make a model the champion of its target."""
    settings = _settings()
    from fintech.models import promote_model  # noqa: PLC0415

    promote_model(settings, name, note, Console())


@models.command("rollback")
def models_rollback(name: Annotated[str, typer.Argument(help="The champion to withdraw.")], note: Note) -> None:
    """Withdraw a champion; the one before it is champion again."""
    settings = _settings()
    from fintech.models import roll_model_back  # noqa: PLC0415

    roll_model_back(settings, name, note, Console())


def _settings() -> Settings:
    from fintech.host import require_server  # noqa: PLC0415

    settings = load_settings()
    require_server(settings)
    return settings
