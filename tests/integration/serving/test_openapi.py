"""The OpenAPI documents: requests made from them meet no defect and no answer that they do not describe."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from jsonschema_rs import validator_for
from starlette.types import Receive, Scope, Send

from pipeline.store.engine import Database
from serving.services import SERVICES
from tests.docs.answer_rows import ADMIN, fill_for_answers
from tests.integration.serving.accounts import SECURED, log_in
from tests.integration.serving.fuzzing import Fuzzing, fuzz
from tests.integration.serving.gateways import Puppet, running_puppet, say
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded
from tests.openapi_documents import body_examples, document_of, operations, parameter_example

NAMES = [service.name for service in SERVICES]
SLICES = [service.name for service in SERVICES if service.slice is not None]


@pytest.fixture(scope="module")
def fuzzed(new_database: Callable[[], Database]) -> Seeded:
    """The database of the requests, which they may change: it has something to answer to every one of them."""
    return fill_for_answers(new_database())


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
        Fuzzing("fuzzing", examples=1),
        Fuzzing("coverage", options=("--include-tag", "access", "--include-tag", "health")),
    ],
    ids=["all", "access"],
)
def test_the_gateway_answers_an_admin_as_documented(fuzzed: Seeded, serve: Serve, fuzzing: Fuzzing) -> None:
    """By itself it has the accounts only; the routes of the others are theirs, and here they are asked for a login."""
    service = serve(fuzzed.database.url, **SECURED)
    token = log_in(service.client, ADMIN)["access_token"]
    found = fuzz(service.port, Fuzzing(fuzzing.phases, fuzzing.examples, token, fuzzing.options))
    assert not found, found


@pytest.mark.parametrize(("status", "words"), [(200, ""), (202, "Undocumented status code")])
def test_a_status_that_is_not_documented_is_found(status: int, words: str) -> None:
    """The judge of the tests above is not ours: it has to refuse a service that answers with another status."""
    puppet = Puppet()
    answers = {"/openapi.json": say(json.dumps(_ONE_STATUS).encode())}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await answers.get(scope["path"], say(b"{}", status))(scope, receive, send)

    puppet.answer = answer
    with running_puppet(puppet):
        found = fuzz(puppet.port, Fuzzing("fuzzing", examples=1))
    assert words in found if words else not found, found


_ONE_STATUS = {
    "openapi": "3.1.0",
    "info": {"title": "One status", "version": "1"},
    "paths": {
        "/one": {
            "get": {"responses": {"200": {"description": "One.", "content": {"application/json": {"schema": {}}}}}}
        }
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_is_described(name: str) -> None:
    """For generated clients: a name that is unique and a verb's, a summary, a description and tags."""
    names = [operation["operationId"] for _, _, operation in operations(document_of(name))]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", each) for each in names)
    for method, path, operation in operations(document_of(name)):
        for field in ("summary", "description", "tags"):
            assert operation.get(field), f"{method} {path} has no {field}"


@pytest.mark.parametrize("name", NAMES)
def test_no_schema_is_named_by_its_module(name: str) -> None:
    """Two models of one name are told apart by their modules, which moving a file would rename in every client."""
    assert [schema for schema in document_of(name)["components"]["schemas"] if "__" in schema] == []


def test_every_body_and_parameter_that_has_to_be_sent_has_an_example() -> None:
    """Those of answers are tested where they are recorded: tests/unit/serving/test_answer_examples.py."""
    missing = []
    for method, path, operation in operations(document_of()):
        for parameter in operation.get("parameters", ()):
            if parameter.get("required") and parameter_example(parameter) is None:
                missing.append(f"{method} {path}: {parameter['name']}")
        body = operation.get("requestBody")
        if body is not None and not body_examples(document_of(), body["content"]["application/json"]):
            missing.append(f"{method} {path}: body")
    assert missing == []


def test_the_examples_of_bodies_are_what_their_schemas_allow() -> None:
    for method, path, operation in operations(document_of()):
        body = operation.get("requestBody")
        if body is None:
            continue
        media = body["content"]["application/json"]
        validator = validator_for({**media["schema"], "components": document_of()["components"]})
        for example in body_examples(document_of(), media):
            wrong = [error.message for error in validator.iter_errors(example)]
            assert not wrong, f"{method} {path}: {wrong}"
