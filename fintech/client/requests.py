"""One request after the other: paths and bodies, pages, and what is asked again."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from datetime import date, datetime
from http import HTTPStatus
from itertools import chain
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel

from fintech.answers.records import Listing, Record
from fintech.asking import nothing_of, paused, success_of
from fintech.problems import UnreachableError
from fintech.series import Columns, Series, Told
from pipeline.base.settings import load_settings

URL = "http://127.0.0.1:3000"
TIMEOUT_SECONDS = 35.0
"""A little longer than the 30 s after which the gateway gives up."""

TRIES = 4
LONGEST_PAUSE_SECONDS = 60.0
"""Who is told to wait longer is not kept waiting: the refusal is raised."""
_WAIT_AND_REPEAT = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

KEY = "Idempotency-Key"
_IS_UNCLEAR = "fintech.is_unclear"

PAGE_ROWS = 10_000
"""Most rows that the API answers with at once."""

Day = date | str
Limit = int | Literal["all"] | None
"""Rows wanted of a series, the newest ones; None for the API's 252. More than `PAGE_ROWS` come in several pages."""
T = TypeVar("T", bound=Record)


class Requests:
    """How the methods of the client ask, over one pool of connections; for several threads."""

    def __init__(self, url: str = URL, api_key: str | None = None, timeout: float = TIMEOUT_SECONDS) -> None:
        if api_key is None:
            configured = load_settings().api_key
            api_key = configured.get_secret_value() if configured else None
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        weakref.finalize(self, self._http.close)  # a client that is made for one question is never closed otherwise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # Reading -----------------------------------------------------------------------------------------------

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        return success_of(self._ask("GET", path, query=query))

    def _series(self, path: str, columns: Columns, query: Mapping[str, Any], *, is_forward: bool = False) -> Series:
        """Rows of one subject, whose pages go back in time, or of several, whose pages go on."""
        pages, told = self._pages(path, query, query["limit"])
        return Series.of(chain.from_iterable(pages if is_forward else reversed(pages)), columns, told)

    def _listing(
        self,
        path: str,
        record: type[T],
        columns: Columns,
        query: Mapping[str, Any] | None = None,
        limit: Limit = "all",
    ) -> Listing[T]:
        """Records, of every page; `limit` is None where there are no pages."""
        pages, told = self._pages(path, query or {}, limit)
        return Listing(tuple(map(record.model_validate, chain.from_iterable(pages))), columns, told)

    def _pages(self, path: str, query: Mapping[str, Any], limit: Limit) -> tuple[list[list[Any]], Told]:
        """The rows of each page up to a limit, and what the first one tells."""
        body = self._get(path, {**query, "limit": _rows_wanted(limit, 0)})
        pages, told = [body["data"]], Told.of(body)
        while limit is not None and body.get("next_cursor"):
            wanted = _rows_wanted(limit, sum(map(len, pages)))
            if wanted == 0:
                break
            body = self._get(path, {**query, "limit": wanted, "cursor": body["next_cursor"]})
            pages.append(body["data"])
        return pages, told

    # Computing and changing --------------------------------------------------------------------------------

    def _computed(self, path: str, asked: Mapping[str, Any], answer: type[T]) -> T:
        """A POST that stores nothing, so that it may be repeated."""
        return answer.model_validate(success_of(self._ask("POST", path, body=asked)))

    def _posted(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> httpx.Response:
        """A POST that stores: under a key of its own, so that it is carried out once however often it is sent."""
        return self._ask("POST", path, body=body, headers={**(headers or {}), KEY: str(uuid4())})

    def _delete(self, path: str, headers: Mapping[str, str] | None = None) -> None:
        """Delete; what a try has deleted whose answer was lost is not there for the next one."""
        answer = self._ask("DELETE", path, headers=headers)
        if answer.status_code != HTTPStatus.NOT_FOUND or not answer.extensions[_IS_UNCLEAR]:
            nothing_of(answer)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer of the last try, a success or not.

        Everything may be sent again: what reads or computes changes nothing, PUT, PATCH and DELETE leave what the first
        one left, and every other POST has a key.
        """
        content = None if body is None else plain(body)
        request = self._http.build_request(
            method, f"/api/v1{path}", params=given(query or {}), json=content, headers=headers
        )
        return self._sent(request, has_key=KEY in request.headers)

    def _sent(self, request: httpx.Request, *, has_key: bool) -> httpx.Response:
        is_unclear = False  # whether a try before this one may have been carried out
        for number in range(TRIES):
            is_last = number == TRIES - 1
            try:
                answer = self._http.send(request)
            except httpx.TransportError as error:
                # Who waited in vain is not kept waiting again, unless something may have been stored: a repeat says so.
                if is_last or (isinstance(error, httpx.TimeoutException) and not has_key):
                    raise self._unreachable(error) from error
                is_unclear = is_unclear or not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                pause = paused(number, None)
            else:
                answer.extensions[_IS_UNCLEAR] = is_unclear
                pause = paused(number, answer.headers.get("retry-after"))
                if is_last or pause > LONGEST_PAUSE_SECONDS or not _passes(answer, has_key):
                    return answer
                is_unclear = is_unclear or answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
            time.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        kind = type(error).__name__
        remedy = "Start it ('make up', 'fintech serve'), or give the address of one that runs."
        return UnreachableError(f"url: no API answers at {self._http.base_url} ({kind})", remedy)


def _passes(answer: httpx.Response, has_key: bool) -> bool:
    """Whether the same request may be answered otherwise in a while."""
    if answer.status_code in _WAIT_AND_REPEAT:
        return True
    # The first one under this key is still being answered.
    return has_key and answer.status_code == HTTPStatus.CONFLICT and "retry-after" in answer.headers


def _rows_wanted(limit: Limit, known: int) -> int | None:
    """Rows to ask for when so many are known; None where the API decides."""
    if limit is None:
        return None
    # Nothing is too many or too few for the API to say so.
    return PAGE_ROWS if limit == "all" else min(limit - known, PAGE_ROWS)


def window(start: Day | None, end: Day | None, limit: Limit) -> dict[str, Any]:
    """The query of a window."""
    return {"start": start, "end": end, "limit": limit}


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is not None, as JSON has it."""
    return {name: plain(value) for name, value in fields.items() if value is not None}


def plain(value: Any) -> Any:
    """A value as JSON has it: days as texts, records as what is given of them."""
    if isinstance(value, BaseModel):
        return given(value.model_dump())
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def part(value: str | int | date) -> str:
    """A part of a path: nothing in it leads elsewhere."""
    return quote(str(value), safe="@")
