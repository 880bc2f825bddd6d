"""The credentials in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from serving.auth.headers import API_KEY, SERVICE_TOKEN
from serving.auth.permissions import PUBLIC

_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of POST /api/v1/auth/login, or an API key. FINTECH_ENV=local asks for none.",
    },
    "api_key": {"type": "apiKey", "in": "header", "name": API_KEY, "description": "An API key."},
    "service": {"type": "apiKey", "in": "header", "name": SERVICE_TOKEN, "description": "Between services."},
}


def document_credentials(specification: dict[str, Any]) -> None:
    """Say with what each path of the API may be asked."""
    specification.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for path, operations in specification["paths"].items():
        if path.startswith("/api/") and path not in PUBLIC:
            for operation in operations.values():
                operation["security"] = [{name: []} for name in _SCHEMES]
