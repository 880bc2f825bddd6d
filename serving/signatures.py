"""Signatures of the functions of routes, their annotations resolved once, however often they are asked for.

Resolving those of a hundred routes again for every wrapper around them took a tenth of the API's imports.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from fastapi import Request


def signature_of(endpoint: Callable[..., Any]) -> inspect.Signature:
    """The signature with types in the place of their names; kept with the function, where FastAPI finds it, too."""
    known = getattr(endpoint, "__signature__", None)
    if known is None:
        given, hints = inspect.signature(endpoint), get_type_hints(endpoint, include_extras=True)
        answer = hints.get("return", given.return_annotation)
        known = given.replace(
            parameters=[p.replace(annotation=hints.get(p.name, p.annotation)) for p in given.parameters.values()],
            return_annotation=None if answer is type(None) else answer,  # as FastAPI asks for it
        )
        endpoint.__signature__ = known  # type: ignore[attr-defined]
    return known


def types_of(signature: inspect.Signature) -> dict[str, Any]:
    """Parameter → its type, without what an annotation says beside it."""
    return {name: _bare(parameter.annotation) for name, parameter in signature.parameters.items()}


def with_parameters(
    signature: inspect.Signature, added: Mapping[str, type], without: Collection[str] = ()
) -> inspect.Signature:
    """The signature with other parameters, all of them by name."""
    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name not in without
    ]
    new = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in added.items()]
    return signature.replace(parameters=[*kept, *new])


def request_parameter(signature: inspect.Signature) -> str | None:
    """The parameter that takes the request, if there is one."""
    return next((name for name, kind in types_of(signature).items() if kind is Request), None)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
