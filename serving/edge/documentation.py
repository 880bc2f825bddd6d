"""What the edge adds to the documentation of every route."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from serving.errors import problem_responses

_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names this request, such as a random UUID: sent again within 24 hours it is answered as before, and"
    " carried out once.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_OF_EACH = (
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
)
_OF_BODIES = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
_OF_KEYS = (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)


def describe_edge(paths: dict[str, Any], prefix: str) -> None:
    """Add its answers, and the header of a POST, to the operations below a prefix."""
    for path, operations in paths.items():
        if not path.startswith(prefix):
            continue
        for method, operation in operations.items():
            statuses = [*_OF_EACH]
            if "requestBody" in operation:
                statuses += _OF_BODIES
            if method == "post":
                statuses += _OF_KEYS
                _add_parameter(operation)
            for status, response in problem_responses(*statuses).items():
                operation["responses"].setdefault(str(int(status)), response)


def _add_parameter(operation: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    if all(known["name"] != _KEY_PARAMETER["name"] for known in parameters):
        parameters.append(_KEY_PARAMETER)
