"""Every JSON answer of the OpenAPI documents has a recorded example, which has the form that is documented."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema_rs import validator_for

from serving.answers.examples import FOLDER, STATUSES, recorded
from serving.services import SERVICES
from tests.docs.fixed_answers import MOST, fixed
from tests.openapi_documents import document_of, operations

REMEDY = "run 'make docs'; tests/docs/answers.py says what is asked of each operation"


def answers(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Operation, status and media object of every JSON answer that is no refusal."""
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status in STATUSES and "application/json" in answer.get("content", {}):
                yield operation["operationId"], status, answer["content"]["application/json"]


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """Its components with objects that have all of their properties, and no others."""
    components: dict[str, Any] = copy.deepcopy(document["components"])
    for schema in _objects(components):
        schema["required"] = list(schema["properties"])
        schema.setdefault("additionalProperties", False)
    return components


def _objects(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if isinstance(part.get("properties"), dict) and part.get("type") == "object":
            yield part
        for inner in part.values():
            yield from _objects(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _objects(inner)


def wrong(media: dict[str, Any], components: dict[str, Any]) -> list[str]:
    """What the schema of an answer does not accept in its example."""
    validator = validator_for({**media["schema"], "components": components}, validate_formats=True)
    value = media["examples"]["recorded"]["value"]
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(value)]


@pytest.mark.parametrize("name", [service.name for service in SERVICES])
def test_every_answer_has_an_example(name: str) -> None:
    known = {(name, status): value for name, by_status in recorded().items() for status, value in by_status.items()}
    missing = []
    for operation, status, media in answers(document_of(name)):
        shown = media.get("examples", {}).get("recorded", {}).get("value")
        if shown is None or shown != known[operation, status]:
            missing.append(f"{operation} {status}")
    assert missing == [], REMEDY
    assert len(list(answers(document_of(name)))) > 5


def test_an_example_has_every_field_that_is_documented_and_no_other() -> None:
    components = closed(document_of())
    for name, status, media in answers(document_of()):
        if "examples" in media:
            assert wrong(media, components) == [], f"{name} {status}: {REMEDY}"


def test_a_field_that_is_missing_or_unknown_or_of_another_kind_is_found() -> None:
    components = closed(document_of())
    media = copy.deepcopy(next(media for name, _, media in answers(document_of()) if name == "list_prices"))
    row = media["examples"]["recorded"]["value"]["data"][0]
    session = row.pop("session")
    assert wrong(media, components) == ['data.0: "session" is a required property']
    row["session"] = "28 December"
    assert wrong(media, components) == ['data.0.session: "28 December" is not a "date"']
    row |= {"session": session, "more": 1}
    assert len(wrong(media, components)) == 1


def test_nothing_is_recorded_that_is_not_documented() -> None:
    documented = {(name, status) for name, status, _ in answers(document_of())}
    known = {(name, status) for name, by_status in recorded().items() for status in by_status}
    assert known - documented == set(), REMEDY


def test_examples_are_short_and_tell_no_secret() -> None:
    for file in FOLDER.glob("*.json"):
        assert fixed(json.loads(file.read_text())) == json.loads(file.read_text()), f"{file.name}: {REMEDY}"
        assert len(file.read_bytes()) < 150_000, file.name
    for name, by_status in recorded().items():
        for answer in by_status.values():
            if isinstance(answer.get("data"), list):
                assert 0 < len(answer["data"]) <= MOST, f"{name}: say in tests/docs/answer_rows.py what it has to read"


def test_what_another_recording_would_have_otherwise_is_replaced() -> None:
    found = fixed(
        {
            "at": "2026-11-25T23:42:13.123456Z",
            "id": "9f6f1a57-0b3e-4c8e-9d0a-0123456789ab",
            "key": f"ftk_{'b' * 60}",
            "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "values": [1.23456789, -8.3e-17, 3.0],
        }
    )
    assert found == {
        "at": "2022-12-29T03:00:00Z",
        "id": "0198c0de-0000-7000-8000-000000000001",
        "key": f"ftk_{'A' * 43}",
        "access_token": "eyJhbGciOiJIUzI1NiJ9.e30.example",
        "values": [1.23457, 0.0],
    }
    assert re.fullmatch(r"ft[a-z]_A{43}", found["key"])
