"""The OpenAPI documents: requests made from them meet no defect and no answer that they do not describe."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jsonschema_rs import validator_for

from pipeline.store.engine import Database
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from pipeline.store.users import NewUser, create_user
from serving.app import create_app
from serving.services import SERVICES
from tests.integration.serving.accounts import SECURED, address, log_in, password_hash
from tests.integration.serving.explained_results import seed_explained
from tests.integration.serving.fuzzing import KEPT, Fuzzing, fuzz
from tests.integration.serving.running import Serve, local_settings
from tests.integration.serving.seeding import Seeded

DOCUMENTS = {
    service.name: create_app(service.name, local_settings("postgresql://nobody@127.0.0.1/none")).openapi()
    for service in SERVICES
}
GATEWAY = DOCUMENTS["backend-api"]
SLICES = [service.name for service in SERVICES if service.slice is not None]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


@pytest.fixture(scope="module")
def fuzzed(new_database: Callable[[], Database]) -> Seeded:
    """The database of the requests, which they may change, with the portfolio of the documents' examples."""
    seeded = seed_explained(new_database())
    positions = tuple(Position(seeded.instruments[s].id, s, target_weight=0.5) for s in ("AAPL", "MSFT"))
    with seeded.database.connect() as connection:
        create_portfolio(connection, NewPortfolio("Technology", "monthly", positions, slug=KEPT))
        create_user(connection, NewUser(address("vera"), "vera", password_hash(), "viewer"))
        create_user(connection, NewUser(address("ada"), "ada", password_hash(), "admin"))
    return seeded


@pytest.mark.parametrize(
    "fuzzing",
    [
        Fuzzing("examples,fuzzing"),
        Fuzzing("coverage", options=("--mode", "positive", "--exclude-path-regex", "/explain$")),
    ],
    ids=["any", "bounds"],
)
@pytest.mark.parametrize("name", SLICES)
def test_a_service_answers_as_documented(fuzzed: Seeded, serve: Serve, name: str, fuzzing: Fuzzing) -> None:
    """Bounds that are crossed, and those of explanations, are left to `make fuzz`: thousands, of which each is slow."""
    found = fuzz(serve(fuzzed.database.url, name).port, fuzzing)
    assert not found, found


@pytest.mark.parametrize(
    "fuzzing",
    [
        Fuzzing("examples,fuzzing", examples=2),
        Fuzzing("coverage", options=("--include-tag", "access", "--include-tag", "health")),
    ],
    ids=["all", "access"],
)
def test_the_gateway_answers_an_admin_as_documented(fuzzed: Seeded, serve: Serve, fuzzing: Fuzzing) -> None:
    """By itself it has the accounts only; the routes of the others are theirs."""
    service = serve(fuzzed.database.url, **SECURED)
    token = log_in(service.client, "ada")["access_token"]
    found = fuzz(service.port, Fuzzing(fuzzing.phases, fuzzing.examples, token, fuzzing.options))
    assert not found, found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_operation_is_described(name: str) -> None:
    """For generated clients: a name that is unique and a verb's, a summary, a description, tags and examples."""
    names = [operation["operationId"] for _, _, operation in operations(DOCUMENTS[name])]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", each) for each in names)
    for method, path, operation in operations(DOCUMENTS[name]):
        for field in ("summary", "description", "tags"):
            assert operation.get(field), f"{method} {path} has no {field}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_schema_is_named_by_its_module(name: str) -> None:
    """Two models of one name are told apart by their modules, which moving a file would rename in every client."""
    assert [schema for schema in DOCUMENTS[name]["components"]["schemas"] if "__" in schema] == []


def test_every_body_and_path_parameter_has_an_example() -> None:
    missing = []
    for method, path, operation in operations(GATEWAY):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path" and "example" not in json.dumps(parameter):
                missing.append(f"{method} {path}: {parameter['name']}")
        body = operation.get("requestBody")
        if body is not None and not _examples_of(body["content"]["application/json"]):
            missing.append(f"{method} {path}: body")
    assert missing == []


def test_the_examples_of_bodies_are_what_their_schemas_allow() -> None:
    for method, path, operation in operations(GATEWAY):
        body = operation.get("requestBody")
        if body is None:
            continue
        media = body["content"]["application/json"]
        validator = validator_for({**media["schema"], "components": GATEWAY["components"]})
        for example in _examples_of(media):
            wrong = [error.message for error in validator.iter_errors(example)]
            assert not wrong, f"{method} {path}: {wrong}"


def _examples_of(media: dict[str, Any]) -> list[Any]:
    """The examples of a body, with it or with its schema."""
    if "example" in media:
        return [media["example"]]
    if "examples" in media:
        return [example["value"] for example in media["examples"].values()]
    schema = media["schema"]
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            part = GATEWAY["components"]["schemas"][part["$ref"].rpartition("/")[2]]  # noqa: PLW2901
        if "examples" in part:
            return list(part["examples"])
    return []
