"""What the edge adds to the documentation of every route."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from serving.edge.rate_limit import EXEMPT
from serving.errors import MEDIA_TYPE, PROBLEM, problem_responses

_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names this request, such as a random UUID: sent again within 24 hours it is answered as before, and"
    " carried out once.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_OF_EACH = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
)
"""Of heads and bodies: whatever is sent to an address is read, also a body that its operation has no use for. And of a
defect, which may be anywhere."""


def describe_edge(specification: dict[str, Any], prefix: str) -> None:
    """Add the edge's answers to every operation, and the header of a POST to those below a prefix."""
    specification["components"]["schemas"]["Problem"] = PROBLEM
    for path, operations in specification["paths"].items():
        for method, operation in operations.items():
            statuses = [*_OF_EACH]
            if path not in EXEMPT:
                statuses.append(HTTPStatus.TOO_MANY_REQUESTS)
            if method == "post" and path.startswith(prefix):
                statuses.append(HTTPStatus.CONFLICT)
                _add_parameter(operation)
            for status, response in problem_responses(*statuses).items():
                operation["responses"].setdefault(str(int(status)), response)
            _refer_to_problem(operation["responses"])


def _refer_to_problem(responses: dict[str, Any]) -> None:
    """Name the form of refusals instead of repeating it: a thousand times it is most of the document."""
    for response in responses.values():
        if MEDIA_TYPE in response.get("content", {}):
            response["content"][MEDIA_TYPE] = {"schema": {"$ref": "#/components/schemas/Problem"}}


def _add_parameter(operation: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    if all(known["name"] != _KEY_PARAMETER["name"] for known in parameters):
        parameters.append(_KEY_PARAMETER)
