"""The OpenAPI documents of the services, and what they show callers to send."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from serving.app import create_app
from tests.integration.serving.running import local_settings

Document = dict[str, Any]
GATEWAY = "backend-api"


@cache
def document_of(service: str = GATEWAY) -> Document:
    """The document of a service, which nobody changes; made once, as it takes a second."""
    return create_app(service, local_settings("postgresql://nobody@127.0.0.1/none")).openapi()


def operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def parameter_example(parameter: dict[str, Any]) -> Any:
    """The first example of a parameter, with it or with its schema; None if there is none."""
    for given in (parameter, parameter["schema"]):
        if "example" in given:
            return given["example"]
        if given.get("examples"):
            examples = given["examples"]
            first = next(iter(examples.values()))["value"] if isinstance(examples, dict) else examples[0]
            # Of a list in the query, which is written with commas.
            return first[0] if isinstance(first, list) else first
    return None


def body_examples(document: Document, media: dict[str, Any]) -> list[Any]:
    """The examples of a body, with it or with its schema."""
    if "example" in media:
        return [media["example"]]
    if "examples" in media:
        return [example["value"] for example in media["examples"].values()]
    schema = media["schema"]
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            part = document["components"]["schemas"][part["$ref"].rpartition("/")[2]]  # noqa: PLW2901
        if "examples" in part:
            return list(part["examples"])
    return []
