"""The register of forecast models: what they are, how they did, and which one is champion of its target."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field

from pipeline.forecast.models.catalogue import note_of
from pipeline.store.forecast_models import (
    FORECAST_CHAMPION,
    FORECAST_MODEL,
    Champion,
    Decision,
    Model,
    promote,
    read_champions,
    read_model,
    read_models,
    roll_back,
)
from pipeline.store.forecast_scores import ScoreFilter
from serving.answers import Collection, Resource, Row, described_by
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.evaluations import read_evaluations
from serving.inputs import Label, Tabular
from serving.model_cards import CARD_POLICY, card_markdown, card_page, card_sections
from serving.routes.scores import ModelName
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/models", tags=["models"])

ModelPath = Annotated[ModelName, Path(description="Name of a forecast model.", examples=["har"])]
CardForm = Annotated[Literal["markdown", "html"], Query(description="Form of the card.")]


@described_by(FORECAST_MODEL)
class ModelOut(Row):
    """A forecast model."""

    model_config = ConfigDict(protected_namespaces=())

    target: str
    name: str
    version: str
    is_champion: bool = Field(description="Whether it is the champion of its target now.")
    summary: str = Field("", description="What it does.")
    hyperparameters: dict[str, Any]
    trained_from: date | None
    trained_through: date | None
    run_id: str | None
    code_version: str | None
    scores: dict[str, Any]
    relative_loss: float | None
    scored_through: date | None
    registered_at: datetime
    materialization_id: int


@described_by(FORECAST_CHAMPION)
class ChampionOut(Row):
    """A decision on a champion."""

    id: int
    target: str
    name: str
    version: str
    reason: str
    actor: str
    note: str
    relative_loss: float | None
    scored_through: date | None
    at: datetime


class ModelAnswer(ModelOut, Resource):
    """One model, and the champions of its target."""

    champions: list[ChampionOut] = Field(default_factory=list, description="Of its target, the newest first.")


class ChampionAnswer(ChampionOut, Resource):
    """The champion from here on."""


class DecisionIn(BaseModel):
    """Why a champion changes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "Better at every horizon."}]})

    note: Label = Field(description="Why.")


@router.get("")
def list_models(query: Tabular, database: Database) -> Collection[ModelOut]:  # noqa: ARG001 - its format is for `serving.finishing`
    """Forecast models by target: the champion first, then by past score."""
    with database.reading() as connection:
        models = [_model_out(model) for model in read_models(connection)]
        return Collection[ModelOut](data=models, notice=database.notice(connection))


@router.get("/{name}")
def get_model(name: ModelPath, database: Database) -> ModelAnswer:
    """The newest version of a model."""
    with database.reading() as connection:
        model = read_model(connection, name)
        champions = [ChampionOut.model_validate(entry) for entry in read_champions(connection, model.target)]
        found = _model_out(model).model_dump()
        return ModelAnswer(**found, champions=champions, notice=database.notice(connection))


@router.get(
    "/{name}/card",
    response_class=Response,
    responses={200: {"content": {"text/markdown": {"schema": {"type": "string"}}, "text/html": {}}}},
)
def get_model_card(name: ModelPath, database: Database, form: CardForm = "markdown") -> Response:
    """The model card: what the model is for, what it was fitted on, how it did and where it fails."""
    with database.reading() as connection:
        model = read_model(connection, name)
        sections = card_sections(
            model,
            read_evaluations(connection, ScoreFilter(model=name)),
            read_champions(connection, model.target),
            database.notice(connection),
        )
        if form == "html":
            headers = {"Content-Security-Policy": CARD_POLICY}
            return Response(card_page(sections), media_type="text/html; charset=utf-8", headers=headers)
        return Response(card_markdown(sections), media_type="text/markdown; charset=utf-8")


@router.post("/{name}/promote", responses=problem_responses(409))
def promote_model(name: ModelPath, given: DecisionIn, database: Database) -> ChampionAnswer:
    """Make the newest version of a model the champion of its target."""
    with database.writing() as connection:
        champion = promote(connection, name, Decision(database.actor.name, given.note))
        _record(database, connection, "model.promote", champion)
        return ChampionAnswer.of(champion, database.notice(connection))


@router.post("/{name}/rollback", responses=problem_responses(409))
def roll_model_back(name: ModelPath, given: DecisionIn, database: Database) -> ChampionAnswer:
    """Withdraw a champion; the one before it is champion again."""
    with database.writing() as connection:
        champion = roll_back(connection, name, Decision(database.actor.name, given.note))
        _record(database, connection, "model.rollback", champion)
        return ChampionAnswer.of(champion, database.notice(connection))


def _record(database: Connections, connection: Connection, action: str, champion: Champion) -> None:
    detail = {"target": champion.target, "champion": f"{champion.name} {champion.version}", "note": champion.note}
    database.record(connection, action, f"model:{champion.target}", detail)


def _model_out(model: Model) -> ModelOut:
    return ModelOut.model_validate(model).model_copy(update={"summary": note_of(model.name).summary})
