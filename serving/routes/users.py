"""Users: each sees who they are, an admin sees and changes all."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from pipeline.base.errors import ConflictError, InvalidInputError
from pipeline.store.access import Role
from pipeline.store.refresh_tokens import end_logins
from pipeline.store.users import (
    APP_USER,
    NewUser,
    change_user,
    create_user,
    read_user,
    read_users,
)
from serving.answers import Collection, Resource, Row, described_by
from serving.answers.cursors import Order
from serving.auth.logins import try_password
from serving.auth.passwords import hashed, require_acceptable
from serving.auth.permissions import forbid_keeping
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.inputs import Label, Paged
from serving.routes.auth import Email, Password
from serving.routing import ThreadedRoute

USERS = Order("users", (int,), lambda user: (user.id,))

router = APIRouter(route_class=ThreadedRoute, prefix="/users", tags=["access"], dependencies=[Depends(forbid_keeping)])

UserPath = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of a user.", examples=[1])]


@described_by(APP_USER)
class UserOut(Row):
    """A user."""

    is_timeless: ClassVar[bool] = True

    id: int
    email: str
    name: str
    role: Role
    is_active: bool
    created_at: datetime


class UserAnswer(UserOut, Resource):
    """One user."""


class MeAnswer(Resource):
    """Who asks."""

    is_timeless: ClassVar[bool] = True

    name: str = Field(description="Address, or local or service for who is no user.")
    user_id: int | None = Field(description="Number of the user.")
    role: Role = Field(description="What the caller may do at most.")
    permissions: list[str] = Field(description="What the caller may do by these credentials.")


class UserIn(BaseModel):
    """A user to make."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "email": "analyst@example.com",
                    "name": "Analyst",
                    "role": "analyst",
                    "password": "four words no one guesses",
                }
            ]
        },
    )

    email: Email
    name: Label
    role: Role
    password: Password


class UserChange(BaseModel):
    """What to change of a user; what is left out stays. A new password or a disabled user ends every login."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"name": "Chief Analyst", "role": "operator"}]},
    )

    name: Label | None = None
    role: Role | None = None
    is_active: bool | None = None
    password: Password | None = None


class PasswordChange(BaseModel):
    """A new password for oneself."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {"current_password": "four words no one guesses", "new_password": "five other words none knows"}
            ]
        },
    )

    current_password: Password
    new_password: Password


@router.get("/me")
def get_me(database: Database) -> MeAnswer:
    """Who asks, and what they may."""
    caller = database.caller
    assert caller is not None  # checked before
    return MeAnswer(name=caller.name, user_id=caller.user_id, role=caller.role, permissions=sorted(caller.permissions))


@router.put("/me/password", status_code=204, responses=problem_responses(409, 429))
def put_password(change: PasswordChange, database: Database) -> None:
    """Change one's own password; every login ends, this one as well. Wrong guesses are counted as those of a login."""
    email, user_id = _person(database)
    require_acceptable(change.new_password, email)  # or correcting it would use up the tries
    tried = try_password(database, email, change.current_password)
    if tried.user_id != user_id:
        raise InvalidInputError("current_password: is wrong", "Type the one you log in with now.")
    password_hash = hashed(change.new_password, email)
    with database.writing() as connection:
        change_user(connection, user_id, password_hash=password_hash)
        end_logins(connection, user_id)
        database.record(connection, "user.password", f"user:{user_id}", {"tried": tried.number})


@router.get("")
def list_users(query: Paged, database: Database) -> Collection[UserOut]:
    """Users by number."""
    with database.reading() as connection:
        after = USERS.decoded(query.cursor)
        rows = read_users(connection, after[0] if after else 0, query.limit + 1)
        return Collection[UserOut].page(rows, query.limit, USERS, None)


@router.get("/{user_id:int}")
def get_user(user_id: UserPath, database: Database) -> UserAnswer:
    """One user."""
    with database.reading() as connection:
        return UserAnswer.of(read_user(connection, user_id), None)


@router.post("", status_code=201, responses=problem_responses(409))
def post_user(given: UserIn, database: Database) -> UserAnswer:
    """Make a user."""
    new = NewUser(given.email, given.name, hashed(given.password, given.email), given.role)
    with database.writing() as connection:
        user = create_user(connection, new)
        database.record(connection, "user.create", f"user:{user.id}", {"email": user.email, "role": user.role})
    return UserAnswer.of(user, None)


@router.patch("/{user_id:int}", responses=problem_responses(409))
def patch_user(user_id: UserPath, change: UserChange, database: Database) -> UserAnswer:
    """Change a user, or disable one; users are never deleted, for the audit log names them."""
    given = change.model_dump(exclude_none=True)
    if not given:
        raise InvalidInputError("body: names nothing to change", "Give name, role, is_active or password.")
    with database.reading() as connection:
        email = read_user(connection, user_id).email
    password = given.pop("password", None)
    password_hash = hashed(password, email) if password is not None else None
    with database.writing() as connection:
        user = change_user(connection, user_id, password_hash=password_hash, **given)
        if password_hash is not None or not user.is_active:
            end_logins(connection, user_id)
        detail = given | ({"password": "changed"} if password_hash else {})
        database.record(connection, "user.change", f"user:{user_id}", detail)
    return UserAnswer.of(user, None)


def _person(database: Connections) -> tuple[str, int]:
    """Address and number of who asks.

    Raises
    ------
    ConflictError
        If it is no user, or asks by an API key.
    """
    caller = database.caller
    if caller is None or caller.user_id is None or caller.key_id is not None:
        raise ConflictError("Only a user who has logged in has a password to change", "Log in, and ask again.")
    return caller.name, caller.user_id
