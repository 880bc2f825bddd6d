"""``docs/openapi.txt``: what callers of the API depend on, one thing a line, so that a review sees each change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipeline.base.settings import PROJECT_ROOT
from tests.openapi_documents import document_of, operations

PAGE = PROJECT_ROOT / "docs" / "openapi.txt"


def openapi_page() -> str:
    """The page, ending with a newline: operations, their parameters, bodies and answers, and the fields of each."""
    document = document_of()
    return "\n".join([*sorted(_operations(document)), *sorted(_fields(document)), ""])


def removed(before: str, after: str) -> list[str]:
    """Lines of the first page that the second has no more: what would break a caller."""
    kept = set(after.splitlines())
    return [line for line in before.splitlines() if line not in kept]


def _operations(document: dict[str, Any]) -> Iterator[str]:
    for method, path, operation in operations(document):
        name = f"{method.upper()} {path}"
        yield f"{name} = {operation['operationId']}"
        for parameter in operation.get("parameters", ()):
            need = "required" if parameter.get("required") else "optional"
            yield f"{name} {parameter['in']} {parameter['name']}: {need} {_type(parameter['schema'])}"
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name} body {kind}: {_type(media['schema'])}"
        for status, answer in operation["responses"].items():
            kinds = answer.get("content", {"no content": {"schema": {}}})
            for kind, media in kinds.items():
                yield f"{name} {status} {kind}: {_type(media.get('schema', {}))}"


def _fields(document: dict[str, Any]) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        for field, of_field in schema.get("properties", {}).items():
            need = "required" if field in schema.get("required", ()) else "optional"
            yield f"{name}.{field}: {need} {_type(of_field)}"


def _type(schema: dict[str, Any]) -> str:
    """Of a schema in a word: its bounds and descriptions may change."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return "|".join(_type(part) for part in schema[several])
    if "enum" in schema:
        return "|".join(json.dumps(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"[{_type(schema.get('items', {}))}]"
    if "title" in schema and schema["title"] == "Problem":
        return "Problem"
    return str(schema.get("format", schema.get("type", "any")))
