"""Series that are passed through as the pipeline has stored them: one statement, no rows and no models.

Only the list of rows is stored. What is told beside it changes with the day, so it is written around the rows when
somebody asks, by the same model as around rows that were read; both ways give the same bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from typing import Any, TypeVar

from fastapi import Response
from psycopg import Connection

from pipeline.store.served_series import ServedSeries, YearText
from serving.answers import Collection
from serving.caching.conditional import entity_tag
from serving.inputs import TableQuery, WindowQuery

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Read = Callable[[Connection, str, str, int, Mapping[bytes, YearText]], ServedSeries | None]
"""Of a resource, a subject, most rows and the texts that are held; None if they have to be read as rows."""

HELD_BYTES = 32 << 20
"""Of texts in a process: some twenty series of thirty years."""

HEAVY_ROWS = 1_000
"""Fewer are read as rows: most that ask for so few want the newest of a long series, which is not stored as such."""

_UNFILTERED = frozenset({"limit", "format"})
_OPENING = b'{"data":['
"""Of every collection: the rows come first."""


class HeldSeries:
    """A series as it was answered last.

    The texts are parts of that answer, so that they take their room once.
    """

    def __init__(self, series: ServedSeries) -> None:
        self.digests = series.digests
        self.last_session = series.last_session
        self.texts: Mapping[bytes, YearText] = dict(zip(series.digests, series.bodies, strict=True))
        self.size = sum(map(len, series.bodies))
        self._digest = series.digest
        self._answered = (b"", b"", "")

    def answered(self, beside: bytes) -> tuple[bytes, str]:
        """The whole answer and its validator, which needs no look at the rows; the same bytes as long as they last.

        Parameters
        ----------
        beside
            The answer as JSON, without rows.
        """
        last_beside, body, tag = self._answered
        if beside != last_beside:
            body, tag = self._body(beside), entity_tag(beside + self._digest).decode()
            self.texts = self._parts(body)
            self._answered = (beside, body, tag)
        return body, tag

    def _body(self, beside: bytes) -> bytes:
        assert beside.startswith(_OPENING)
        texts = self.texts
        with_commas = chain.from_iterable((b",", texts[digest]) for digest in self.digests)
        next(with_commas)
        return b"".join([_OPENING, *with_commas, beside[len(_OPENING) :]])

    def _parts(self, body: bytes) -> dict[bytes, YearText]:
        found: dict[bytes, YearText] = {}
        whole, begin = memoryview(body), len(_OPENING)
        for digest in self.digests:
            end = begin + len(self.texts[digest])
            found[digest] = whole[begin:end]
            begin = end + len(b",")
        return found


class HeldTexts:
    """The series that were asked for last, so that Postgres sends a text once.

    It is asked each time which texts make up a series, and told by their digests which of them are here. After a new
    session that is all of them but the year's.

    Parameters
    ----------
    most_bytes
        Of all texts together.
    """

    def __init__(self, most_bytes: int = HELD_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: OrderedDict[tuple[str, str], HeldSeries] = OrderedDict()
        self._lock = Lock()

    def of(self, resource: str, subject: str) -> Mapping[bytes, YearText]:
        """Digest → text of a series."""
        held = self._held.get((resource, subject))
        return held.texts if held is not None else {}

    def keep(self, resource: str, subject: str, series: ServedSeries) -> HeldSeries:
        """Hold a series instead of what was held of it; those not asked for longest make room."""
        with self._lock:
            held = self._held.pop((resource, subject), None)
            self._bytes -= held.size if held is not None else 0
            if held is None or held.digests != series.digests:
                held = HeldSeries(series)
            self._held[resource, subject] = held
            self._bytes += held.size
            while self._bytes > self._most_bytes:
                self._bytes -= self._held.popitem(last=False)[1].size
        return held


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """What a route passes through.

    Parameters
    ----------
    answer
        Model of its answer.
    resource
        Of the stored series.
    subject
        Parameter of the route that names whose it is.
    read
        How it is found.
    """

    answer: type[Collection[Any]]
    resource: str
    subject: str
    read: Read

    def whole(self, values: Mapping[str, Any], texts: HeldTexts) -> Collection[Any] | None:
        """The answer with the series in the place of its rows, if all of it is asked for and it is stored; else None.

        Parameters
        ----------
        values
            Of the route's parameters, of which ``query`` and ``database`` are two.
        texts
            Those of this service.
        """
        query, database, subject = values["query"], values["database"], values[self.subject]
        if not _is_of_everything(query):
            return None
        with database.reading_once() as connection:
            found = self.read(connection, self.resource, subject, query.limit, texts.of(self.resource, subject))
            if found is None:
                return None
            held = texts.keep(self.resource, subject, found)
            given: dict[str, Any] = {"data": held, "notice": database.notice(connection), "next_cursor": None}
            return self.answer.model_construct(**given)


def passed_through(
    answer: type[Collection[Any]], resource: str, subject: str, read: Read
) -> Callable[[Endpoint], Endpoint]:
    """Mark a route that passes a stored series through where it can; `stored_series_of` finds the mark."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.stored_series = StoredSeries(answer, resource, subject, read)  # type: ignore[attr-defined]
        return endpoint

    return mark


def stored_series_of(endpoint: Callable[..., Any]) -> StoredSeries | None:
    """What a route passes through, if anything."""
    return getattr(endpoint, "stored_series", None)


def _is_of_everything(query: TableQuery) -> bool:
    return isinstance(query, WindowQuery) and query.limit >= HEAVY_ROWS and query.model_fields_set <= _UNFILTERED


def written_around(series: HeldSeries, told: Collection[Any]) -> Response:
    """The answer as JSON.

    Parameters
    ----------
    told
        The answer without its rows.
    """
    body, tag = series.answered(told.__pydantic_serializer__.to_json(told))
    return Response(body, media_type="application/json", headers={"ETag": tag})
