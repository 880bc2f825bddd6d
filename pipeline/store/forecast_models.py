"""The register of forecast models, and which of them is the champion of its target.

Assets register the models that they run; champions are an append-only log, whose newest entry of a target counts. An
entry names the one before it, so that a promotion can be withdrawn, and the one before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import Date, DateTime, Double, Identity, Index, Integer, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.store.schema import METADATA, RATIO, column, key, writer

FORECAST_MODEL = Table(
    "forecast_model",
    METADATA,
    key("target", Text(), "What it forecasts: volatility or distribution."),
    key("name", Text(), "Model."),
    key("version", Text(), "Version of the model."),
    column("hyperparameters", JSONB(), "Parameters of the model, by name.", nullable=False),
    column("trained_from", Date(), "First session of the data that it was fitted on."),
    column("trained_through", Date(), "Last session that entered a fit; empty before the first forecast."),
    column("run_id", Text(), "Run that made its newest forecasts."),
    column("code_version", Text(), "Digest of the source that made them."),
    column("scores", JSONB(), "Past scores by kind and horizon, beside those of the naive forecast.", nullable=False),
    column("relative_loss", Double(), "Mean of its losses over the naive forecast's; below 1 is better.", RATIO),
    column("scored_through", Date(), "Last month with a score."),
    column(
        "registered_at",
        DateTime(timezone=True),
        "When it was first registered.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    writer(),
    comment="Forecast models: what they are, what they were fitted on, and how they did.",
)

FORECAST_CHAMPION = Table(
    "forecast_champion",
    METADATA,
    column("id", Integer(), "Number of the entry.", primary_key=True, server_default=Identity(always=True)),
    column("target", Text(), "What is forecast: volatility or distribution.", nullable=False),
    column("name", Text(), "Model that is champion from here on.", nullable=False),
    column("version", Text(), "Version of the model.", nullable=False),
    column("reason", Text(), "score: the best by past scores; promoted or rolled_back by a person.", nullable=False),
    column("actor", Text(), "Who decided.", nullable=False),
    column("note", Text(), "Why.", nullable=False),
    column("relative_loss", Double(), "Its score when it was decided.", RATIO),
    column("scored_through", Date(), "Last month that this score saw."),
    column("previous_id", Integer(), "Entry that a withdrawal goes back to; empty for none."),
    column(
        "at",
        DateTime(timezone=True),
        "When.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    Index("forecast_champion_target_id_idx", "target", "id"),
    comment="Champions of each target; the newest entry counts, and none is ever changed.",
)


@dataclass(frozen=True, slots=True)
class NewModel:
    """A model as it registers.

    Parameters
    ----------
    forecasts
        Table of its forecasts, which tells its run and the window of its data.
    scores
        Figures by kind and horizon.
    relative_loss, scored_through
        None before the first score.
    """

    target: str
    name: str
    version: str
    forecasts: Table
    hyperparameters: Mapping[str, Any]
    scores: Mapping[str, Any]
    relative_loss: float | None
    scored_through: date | None


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model."""

    target: str
    name: str
    version: str
    hyperparameters: dict[str, Any]
    trained_from: date | None
    trained_through: date | None
    run_id: str | None
    code_version: str | None
    scores: dict[str, Any]
    relative_loss: float | None
    scored_through: date | None
    registered_at: datetime
    is_champion: bool
    materialization_id: int


@dataclass(frozen=True, slots=True)
class Champion:
    """An entry of the log of champions."""

    id: int
    target: str
    name: str
    version: str
    reason: str
    actor: str
    note: str
    relative_loss: float | None
    scored_through: date | None
    previous_id: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides on a champion, and why."""

    actor: str
    note: str


def register_model(connection: Connection, model: NewModel, materialization_id: int) -> None:
    """Enter a model, or bring its entry up to date."""
    window = _trained(connection, model)
    connection.execute(
        """
        INSERT INTO forecast_model (target, name, version, hyperparameters, trained_from, trained_through, run_id,
            code_version, scores, relative_loss, scored_through, materialization_id)
        VALUES (%(target)s, %(name)s, %(version)s, %(hyperparameters)s, %(trained_from)s, %(trained_through)s,
            %(run_id)s, %(code_version)s, %(scores)s, %(relative_loss)s, %(scored_through)s, %(writer)s)
        ON CONFLICT (target, name, version) DO UPDATE SET
            hyperparameters = excluded.hyperparameters, trained_from = excluded.trained_from,
            trained_through = excluded.trained_through, run_id = excluded.run_id,
            code_version = excluded.code_version, scores = excluded.scores,
            relative_loss = excluded.relative_loss, scored_through = excluded.scored_through,
            materialization_id = excluded.materialization_id
        """,
        {
            "target": model.target,
            "name": model.name,
            "version": model.version,
            "hyperparameters": Jsonb(dict(model.hyperparameters)),
            "scores": Jsonb(dict(model.scores)),
            "relative_loss": model.relative_loss,
            "scored_through": model.scored_through,
            "writer": materialization_id,
            **window,
        },
    )


def _trained(connection: Connection, model: NewModel) -> dict[str, Any]:
    """Window of the data of a model's forecasts, and the run that made the newest of them."""
    query = sql.SQL(_TRAINED).format(table=sql.Identifier(model.forecasts.name))
    row = connection.execute(query, {"model": model.name, "version": model.version}).fetchone()
    assert row is not None
    return dict(zip(("trained_from", "trained_through", "run_id", "code_version"), row, strict=True))


_TRAINED = """
WITH made AS (
    SELECT max(trained_through) AS trained_through, max(materialization_id) AS id
    FROM {table} WHERE model = %(model)s AND model_version = %(version)s
)
SELECT (SELECT min(session) FROM price WHERE made.id IS NOT NULL), made.trained_through, m.run_id, m.code_version
FROM made LEFT JOIN materialization AS m ON m.id = made.id
"""

_MODELS = """
SELECT m.target, m.name, m.version, m.hyperparameters, m.trained_from, m.trained_through, m.run_id, m.code_version,
    m.scores, m.relative_loss, m.scored_through, m.registered_at, c.id IS NOT NULL AS is_champion,
    m.materialization_id
FROM forecast_model AS m
LEFT JOIN (SELECT DISTINCT ON (target) * FROM forecast_champion ORDER BY target, id DESC) AS c
    ON (c.target, c.name, c.version) = (m.target, m.name, m.version)
WHERE %(name)s::text IS NULL OR m.name = %(name)s
ORDER BY m.target DESC, is_champion DESC, m.relative_loss, m.name, m.registered_at DESC
"""


def read_models(connection: Connection, name: str | None = None) -> list[Model]:
    """Registered models, or the versions of one: by target, the champion first, then by past score."""
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        return cursor.execute(_MODELS, {"name": name}).fetchall()


def read_model(connection: Connection, name: str) -> Model:
    """The newest version of a model.

    Raises
    ------
    NotFoundError
        If no model of that name is registered.
    """
    found = read_models(connection, name)
    if not found:
        raise NotFoundError(f"There is no forecast model {name!r}", "`fintech models list` shows which there are.")
    return max(found, key=lambda model: model.registered_at)


def read_champions(connection: Connection, target: str, limit: int = 100) -> list[Champion]:
    """The log of a target's champions, the newest first."""
    with connection.cursor(row_factory=class_row(Champion)) as cursor:
        return cursor.execute(
            "SELECT id, target, name, version, reason, actor, note, relative_loss, scored_through, previous_id, at"
            " FROM forecast_champion WHERE target = %s ORDER BY id DESC LIMIT %s",
            [target, limit],
        ).fetchall()


def promote(connection: Connection, name: str, decision: Decision, reason: str = "promoted") -> Champion:
    """Make the newest version of a model the champion of its target.

    Raises
    ------
    NotFoundError
        If no model of that name is registered.
    ConflictError
        If it has no score yet, or is the champion already.
    """
    _take_turn(connection)
    model = read_model(connection, name)
    if model.relative_loss is None:
        raise ConflictError(f"{name} has no score yet", "Wait until a horizon of its forecasts has passed.")
    if model.is_champion:
        raise ConflictError(f"{name} is the champion of {model.target} already", "There is nothing to do.")
    current = next(iter(read_champions(connection, model.target, 1)), None)
    return _enter(connection, model, decision, reason, current.id if current else None)


def roll_back(connection: Connection, name: str, decision: Decision) -> Champion:
    """Withdraw a champion: the one before it is champion again.

    Raises
    ------
    NotFoundError
        If no model of that name is registered.
    ConflictError
        If it is not the champion, or there was none before it.
    """
    _take_turn(connection)
    target = read_model(connection, name).target
    entries = {entry.id: entry for entry in read_champions(connection, target)}
    current = next(iter(entries.values()), None)
    if current is None or current.name != name:
        champion = current.name if current else "none"
        raise ConflictError(f"{name} is not the champion of {target}, which is {champion}", "Name the champion.")
    previous = entries.get(current.previous_id or 0)
    if previous is None:
        raise ConflictError(f"There was no champion of {target} before {name}", "Promote another model instead.")
    known = next(m for m in read_models(connection, previous.name) if m.version == previous.version)
    return _enter(connection, known, decision, "rolled_back", previous.previous_id)


def _take_turn(connection: Connection) -> None:
    """Wait for others who decide, so that an entry names the one before it."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('forecast_champion', 0))")


def _enter(connection: Connection, model: Model, decision: Decision, reason: str, previous_id: int | None) -> Champion:
    connection.execute(
        "INSERT INTO forecast_champion (target, name, version, reason, actor, note, relative_loss, scored_through,"
        " previous_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            model.target,
            model.name,
            model.version,
            reason,
            decision.actor,
            decision.note,
            model.relative_loss,
            model.scored_through,
            previous_id,
        ],
    )
    return read_champions(connection, model.target, 1)[0]
