"""Recorded answers, as the examples of the OpenAPI document."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("recorded")
"""A file a tag, made by `make docs`: operation → status → answer."""
STATUSES = ("200", "201", "202")
"""Of answers that have a body."""
_SUMMARY = "Recorded. Lists end after two entries and numbers after six digits; moments, ids and secrets are replaced."


def attach_examples(paths: dict[str, Any]) -> None:
    """Add what is recorded of an operation to its JSON answers."""
    known = recorded()
    for operations in paths.values():
        for operation in operations.values():
            for status, answer in known.get(operation["operationId"], {}).items():
                content = operation["responses"].get(status, {}).get("content", {})
                if "application/json" in content:
                    content["application/json"]["examples"] = {"recorded": {"summary": _SUMMARY, "value": answer}}


@cache
def recorded() -> dict[str, dict[str, Any]]:
    """Operation → status → answer, of all files."""
    files = (json.loads(file.read_bytes()) for file in sorted(FOLDER.glob("*.json")))
    return {name: answers for of_tag in files for name, answers in of_tag.items()}
