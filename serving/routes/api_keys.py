"""API keys: users make, see and revoke their own; an admin sees and revokes all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from pipeline.base.errors import ConflictError, InvalidInputError
from pipeline.store.api_keys import API_KEY, create_key, read_keys, revoke_key
from serving.answers import Collection, Resource, Row, described_by
from serving.answers.cursors import Order
from serving.auth.permissions import forbid_keeping
from serving.callers import Permission
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.inputs import Label, Paged
from serving.routing import ThreadedRoute

router = APIRouter(
    route_class=ThreadedRoute, prefix="/api-keys", tags=["access"], dependencies=[Depends(forbid_keeping)]
)

KEYS = Order("api_keys", (int,), lambda key: (key.id,))

KeyPath = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of a key.", examples=[1])]


@described_by(API_KEY)
class KeyOut(Row):
    """A key, without its secret."""

    is_timeless: ClassVar[bool] = True

    id: int
    user_id: int
    email: str = Field(description="Address of its user.")
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class KeyAnswer(KeyOut, Resource):
    """One key."""


class NewKeyAnswer(KeyAnswer):
    """A key that was just made."""

    key: str = Field("", description="The key itself, which is shown this once.")


class KeyIn(BaseModel):
    """A key to make; what it may do is never more than its user may."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "nightly report", "scopes": ["read"]}]},
    )

    name: Label = Field(description="What it is for.", examples=["nightly report"])
    scopes: list[Permission] = Field(
        [Permission.READ], min_length=1, max_length=len(Permission), description="What it may do."
    )
    expires_at: datetime | None = Field(None, description="Moment with a time zone; null for no end.")


@router.get("")
def list_keys(query: Paged, database: Database) -> Collection[KeyOut]:
    """One's own keys, or for an admin all, by number."""
    with database.reading() as connection:
        kept, following = query.sliced(read_keys(connection, _whose(database)), KEYS)
        return Collection[KeyOut].of(kept, None, following)


@router.post("", status_code=201, responses=problem_responses(409))
def post_key(given: KeyIn, database: Database) -> NewKeyAnswer:
    """Make a key for oneself, after logging in; the answer shows it once."""
    caller = database.caller
    if caller is None or caller.user_id is None:
        raise ConflictError(
            "Whoever asks is no user, so that a key would belong to nobody",
            "Log in as a user, or run `fintech keys add EMAIL`.",
        )
    if caller.key_id is not None:
        raise ConflictError(
            "An API key makes no other, which would outlive it when it is revoked", "Log in, and make it then."
        )
    beyond = sorted(set(given.scopes) - caller.permissions)
    if beyond:
        raise InvalidInputError(f"scopes: {', '.join(beyond)} go beyond what you may", "Leave them out.")
    _require_future(given.expires_at)
    with database.writing() as connection:
        key, secret = create_key(connection, caller.user_id, given.name, sorted(set(given.scopes)), given.expires_at)
        database.record(connection, "key.create", f"key:{key.id}", {"prefix": key.prefix, "scopes": key.scopes})
    return NewKeyAnswer.of(key, None).model_copy(update={"key": secret})


@router.delete("/{key_id}", status_code=204)
def delete_key(key_id: KeyPath, database: Database) -> None:
    """Revoke a key; it is refused within 30 s."""
    with database.writing() as connection:
        key = revoke_key(connection, key_id, _whose(database))
        database.record(connection, "key.revoke", f"key:{key.id}", {"prefix": key.prefix})


def _whose(database: Connections) -> int | None:
    """Number of the user whose keys are meant; None for all."""
    caller = database.caller
    assert caller is not None  # checked before
    if Permission.USERS in caller.permissions:
        return None
    return caller.user_id if caller.user_id is not None else 0


def _require_future(expires_at: datetime | None) -> None:
    if expires_at is None:
        return
    if expires_at.tzinfo is None:
        raise InvalidInputError("expires_at: has no time zone", "Write it as 2030-01-01T00:00:00Z.")
    if expires_at <= datetime.now(UTC):
        raise InvalidInputError("expires_at: has passed", "Give a moment that is still to come, or none.")
