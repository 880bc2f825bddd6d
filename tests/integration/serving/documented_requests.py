"""Requests made from the OpenAPI document, with the values of its examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

METHODS = {"get", "post", "put", "patch", "delete"}


@dataclass(frozen=True, slots=True)
class Operation:
    """A documented operation.

    Parameters
    ----------
    names
        Of every parameter of its path and query.
    values
        Of those that it needs: their examples.
    body
        The first example of its body; None without a body.
    """

    method: str
    path: str
    names: tuple[str, ...]
    values: dict[str, str]
    body: Any

    def asked(self, client: httpx.Client, headers: dict[str, str] | None = None, **changes: str) -> httpx.Response:
        """The answer, with other values of some parameters."""
        path, query = self.path, {}
        for name, value in {**self.values, **changes}.items():
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", quote(value, safe=""))
            else:
                query[name] = value
        return client.request(self.method, path, params=query, json=self.body, headers=headers)


def documented_operations(document: dict[str, Any], below: str) -> Iterator[Operation]:
    """Each operation whose path begins with `below`."""
    for path, operations in document["paths"].items():
        if path.startswith(below):
            for method in sorted(operations.keys() & METHODS):
                operation = operations[method]
                parameters = [each for each in operation.get("parameters", ()) if each["in"] in ("path", "query")]
                needed = {p["name"]: str(p["schema"]["examples"][0]) for p in parameters if p.get("required")}
                names = tuple(each["name"] for each in parameters)
                yield Operation(method.upper(), path, names, needed, _body(operation, document))


def _body(operation: dict[str, Any], document: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    media = operation["requestBody"]["content"]["application/json"]
    if "examples" in media:
        return next(iter(media["examples"].values()))["value"]
    for part in (media["schema"], *media["schema"].get("anyOf", ())):
        schema = document["components"]["schemas"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        if "examples" in schema:
            return schema["examples"][0]
    raise AssertionError(f"no example of a body: {operation['operationId']}")
