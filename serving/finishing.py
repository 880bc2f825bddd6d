"""What happens to every answer between its route and its caller.

A route gives records, a notice, and what only it can warn of. Here a collection gets its format, each answer what is
told of its data, and a page the address of the next one, so that routes need no word about it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from datetime import date
from functools import wraps
from typing import Any, TypeVar, get_args
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import HTTPException, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from pipeline.base.errors import DatabaseError
from pipeline.base.flags import Flag
from serving.answers import Collection, Resource, Row, WarningOut
from serving.answers.formats import MEDIA_TYPES, Format, format_for
from serving.answers.tables import encoded
from serving.inputs import TableQuery, WindowQuery
from serving.signatures import signature_of, types_of, with_parameters
from serving.staleness import Standing, Standings, now
from serving.stored_series import HeldSeries, stored_series_of, written_around

TOLD = "X-Answer-Metadata"
"""Header of a table with what the JSON says beside its rows, as ASCII JSON."""

OneResource = TypeVar("OneResource", bound=Resource)

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_NOT_ACCEPTABLE = 406


def documented(endpoint: Callable[..., Any]) -> dict[int | str, dict[str, Any]]:
    """What the documentation of a route says of formats: nothing, unless it answers with a collection in several."""
    if not _asks_format(endpoint):
        return {}
    tables = {MEDIA_TYPES[name]: _BINARY for name in MEDIA_TYPES if name != "json"}
    problem = {"application/problem+json": {"schema": {"type": "object"}}}
    return {
        200: {"content": tables},
        _NOT_ACCEPTABLE: {"description": "Accept names none of the formats.", "content": problem},
    }


def finished(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a route, whose answer is finished if it is a collection or a resource."""
    if not any(issubclass(model, Collection | Resource) for model in _answers_of(endpoint)):
        return endpoint
    messages = _Messages(endpoint)
    stored = stored_series_of(endpoint)

    @wraps(endpoint)
    def finish(**values: Any) -> Any:
        request, response = messages.taken_from(values)
        asked, wanted = _wanted(values, request)
        passes = stored is not None and wanted == "json" and request.app.state.flags.is_on(Flag.STORED_SERIES)
        whole = stored.whole(values, request.app.state.texts) if stored is not None and passes else None
        return _finished(whole or endpoint(**values), asked, wanted, request, response)

    @wraps(endpoint)
    async def finish_later(**values: Any) -> Any:
        request, response = messages.taken_from(values)
        asked, wanted = _wanted(values, request)
        answer = await endpoint(**values)
        return await run_in_threadpool(_finished, answer, asked, wanted, request, response)

    made: Any = finish_later if inspect.iscoroutinefunction(endpoint) else finish
    made.__signature__ = messages.signature
    return made  # type: ignore[no-any-return]


class _Messages:
    """The parameters by which FastAPI hands over the request and the headers of the answer: one of each at most."""

    def __init__(self, endpoint: Callable[..., Any]) -> None:
        signature = signature_of(endpoint)
        own = {kind: name for name, kind in types_of(signature).items() if kind in (Request, Response)}
        self._request = own.get(Request, "finishing_request")
        self._response = own.get(Response, "finishing_response")
        added: dict[str, type] = {self._request: Request, self._response: Response}
        for name in own.values():
            del added[name]
        self._added = tuple(added)
        self.signature = with_parameters(signature, added)

    def taken_from(self, values: dict[str, Any]) -> tuple[Request, Response]:
        """Both, of which the route keeps those that it asked for."""
        found = values[self._request], values[self._response]
        for name in self._added:
            del values[name]
        return found


def _answers_of(endpoint: Callable[..., Any]) -> list[type[BaseModel]]:
    found = signature_of(endpoint).return_annotation
    return [kind for kind in (found, *get_args(found)) if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _asks_format(endpoint: Callable[..., Any]) -> bool:
    if not any(issubclass(model, Collection) for model in _answers_of(endpoint)):
        return False
    kinds = types_of(signature_of(endpoint)).values()
    return any(isinstance(kind, type) and issubclass(kind, TableQuery) for kind in kinds)


def _wanted(values: Mapping[str, Any], request: Request) -> tuple[TableQuery | None, Format]:
    """The query of a collection and the format that is wanted of it; JSON of everything else.

    Raises
    ------
    HTTPException
        406 if no format is acceptable.
    """
    asked = next((value for value in values.values() if isinstance(value, TableQuery)), None)
    if asked is None:
        return None, "json"
    wanted = asked.format or format_for(request.headers.getlist("accept"))
    if wanted is None:
        named = ", ".join(MEDIA_TYPES.values())
        raise HTTPException(_NOT_ACCEPTABLE, f"Accept: names no format of this address; send one of {named}, or */*")
    return asked, wanted


def _finished(answer: Any, asked: TableQuery | None, wanted: Format, request: Request, response: Response) -> Any:
    if not isinstance(answer, Collection | Resource):
        return answer
    if isinstance(answer, Resource):
        return with_told(answer, request)
    told = _told(answer, asked, request)
    told["warnings"] = [*told["warnings"], *answer.warnings]
    told["next_cursor"] = answer.next_cursor
    response.headers.update(_link(request, answer.next_cursor))
    rows: object = answer.data
    if isinstance(rows, HeldSeries):
        return written_around(rows, _without_rows(answer, told))
    if wanted == "json":
        beside = {name: getattr(answer, name) for name in type(answer).model_fields if name not in told}
        return type(answer).model_validate(beside | told)
    return _table(answer, wanted, told, response)


def with_told(answer: OneResource, request: Request) -> OneResource:
    """A resource with what is told of its data: for a route that makes its own response of it, in a thread."""
    told = _told(answer, None, request)
    return answer.model_copy(update=told | {"warnings": [*told["warnings"], *answer.warnings]})


def _table(answer: Collection[Any], wanted: Format, told: dict[str, Any], response: Response) -> Response:
    """The answer in another format, with the headers that were set for it: whether it may be kept above all."""
    about = _without_rows(answer, told).model_dump(mode="json")
    del about["data"]
    body = encoded(wanted, answer.data, answer.row_type(), about)
    made = Response(body, media_type=MEDIA_TYPES[wanted])
    made.headers[TOLD] = json.dumps(about)
    made.headers.update({name: value for name, value in response.headers.items() if name not in made.headers})
    return made


def _without_rows(answer: Collection[Any], told: dict[str, Any]) -> Collection[Any]:
    return type(answer).model_construct(**{"data": [], "notice": answer.notice} | told)


def _told(answer: Collection[Any] | Resource, asked: TableQuery | None, request: Request) -> dict[str, Any]:
    """What is added to an answer: warnings, and how new its data is."""
    row = answer.row_type() if isinstance(answer, Collection) else type(answer)
    if issubclass(row, Row) and row.is_timeless:
        return {"warnings": [], "staleness": None}
    standing = _standing(answer, row, request.app.state)
    if standing is None:
        return {"warnings": [], "staleness": None}
    standing.require(getattr(asked, "as_of", None), getattr(asked, "known_at", None))
    if standing.notices and answer.notice is None:  # it stands on what its caller gave
        return {"warnings": [], "staleness": None}
    moment = now()
    staleness = standing.staleness(moment)
    warnings = list(standing.warnings(staleness))
    if isinstance(answer, Collection):
        warnings += filter(None, (standing.provisional(_newest(answer), moment), _partial(answer, asked)))
    return {"warnings": warnings, "staleness": staleness}


def _standing(answer: Collection[Any] | Resource, row: type[BaseModel], state: Any) -> Standing | None:
    """How the data of an answer stands; None for what its caller gave, which needs no database, while there is none."""
    standings: Standings = state.standings
    try:
        return standings.of(_table_of(row), state.cache.version.fresh(), state.connections.reading)
    except DatabaseError:
        if answer.notice is not None:
            raise
        return None


def _newest(answer: Collection[Any]) -> date | None:
    """Session of the last row; None if there is no row, or none that has a session."""
    rows: object = answer.data
    if isinstance(rows, HeldSeries):
        return rows.last_session
    return next((_session(row) for row in answer.data[-1:]), None)


def _session(row: object) -> Any:
    return getattr(row, "session", None) or getattr(row, "as_of", None)


def _table_of(row: type[BaseModel]) -> str | None:
    """Table of the rows, or of the first that are inside of a resource."""
    own: str | None = getattr(row, "table_name", None)
    if own is not None:
        return own
    inner = (part for field in row.model_fields.values() for part in get_args(field.annotation))
    return next((part.table_name for part in inner if isinstance(part, type) and issubclass(part, Row)), None)


def _partial(answer: Collection[Any], asked: TableQuery | None) -> WarningOut | None:
    """That a window which names its first session has more rows than the answer."""
    if not isinstance(asked, WindowQuery) or asked.start is None or answer.next_cursor is None:
        return None
    message = f"The window from {asked.start} on has more rows than these {len(answer.data)}; next_cursor leads on."
    return WarningOut(code="partial_window", message=message)


def _link(request: Request, cursor: str | None) -> dict[str, str]:
    """The header that names the next page (RFC 8288), relative to the host that was asked."""
    if cursor is None:
        return {}
    query = [pair for pair in parse_qsl(request.url.query, keep_blank_values=True) if pair[0] != "cursor"]
    following = urlencode([*query, ("cursor", cursor)])
    return {"Link": f'<{quote(request.url.path)}?{following}>; rel="next"'}
