"""Complete answers, and those that this process keeps."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Self

import orjson

from serving.caching.conditional import entity_tag
from serving.caching.keys import Key

Header = tuple[bytes, bytes]
Headers = list[Header]

CACHE_CONTROL = b"private, no-cache"
"""Callers may keep an answer and ask each time whether it is still the newest, since new data must show at once."""

VARY = b"Accept, Authorization"
REFUSALS_BY_KEY = frozenset({404, 422, 503})
"""Statuses that follow from the request and its audience; 401, 403 and 429 follow from who asks."""
_OVERHEAD_BYTES = 1_024
"""Of an answer's key and objects, about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of the application.

    Parameters
    ----------
    route
        Template of the route that made it.
    created
        Seconds since 1970.
    tag
        Its validator; empty if it may not be kept.
    """

    status: int
    headers: Headers
    body: bytes
    route: str
    created: float
    tag: bytes = b""

    @classmethod
    def of(cls, status: int, headers: Headers, body: bytes, route: str) -> Self:
        """The answer, with the headers that let callers keep it if it is a success that may be kept."""
        if status != 200 or not _may_be_kept(headers):
            return cls(status, headers, body, route, time.time())
        given = dict(headers)
        tag = given.get(b"etag") or entity_tag(body)
        vary = b", ".join([VARY, given[b"vary"]]) if b"vary" in given else VARY
        own = [(b"etag", tag), (b"cache-control", given.get(b"cache-control", CACHE_CONTROL)), (b"vary", vary)]
        replaced = {name for name, _ in own}
        kept = [(name, value) for name, value in headers if name not in replaced]
        return cls(status, [*kept, *own], body, route, time.time(), tag)

    @property
    def is_for_all_with_its_key(self) -> bool:
        """Whether another request with the same key may be given it: what may be kept, and some refusals."""
        return bool(self.tag) or (self.status in REFUSALS_BY_KEY and _may_be_kept(self.headers))

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return _OVERHEAD_BYTES + len(self.body)

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return max(0.0, time.time() - self.created)

    def packed(self) -> bytes:
        """As bytes that `unpacked` reads: a line of JSON, and the body."""
        head = {
            "created": self.created,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers],
            "route": self.route,
            "tag": self.tag.decode("latin-1"),
        }
        return orjson.dumps(head) + b"\n" + self.body

    @classmethod
    def unpacked(cls, packed: bytes) -> Self | None:
        """A kept answer; None for bytes that are none."""
        head, _, body = packed.partition(b"\n")
        try:
            known = orjson.loads(head)
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in known["headers"]]
            return cls(200, headers, body, known["route"], float(known["created"]), known["tag"].encode("latin-1"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def _may_be_kept(headers: Headers) -> bool:
    """Whether an answer is anybody's: routes forbid it by ``Cache-Control: no-store``, as for the state of a job."""
    return not any(
        name == b"set-cookie" or (name == b"cache-control" and b"no-store" in value.lower()) for name, value in headers
    )


class Memory:
    """Answers by key, as many as fit; those not asked for longest go first.

    Parameters
    ----------
    maximum_bytes
        Of all answers together; 0 keeps none.
    seconds
        How long an answer is kept.
    """

    def __init__(self, maximum_bytes: int, seconds: float) -> None:
        self.maximum_bytes = maximum_bytes
        self.seconds = seconds
        self.bytes = 0
        self.evicted = 0
        self._answers: OrderedDict[Key, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def largest_bytes(self) -> int:
        """Of one answer: none may push out most of the others."""
        return self.maximum_bytes // 8

    def takes(self, answer: Answer) -> bool:
        """Whether an answer may be kept here."""
        return bool(answer.tag) and answer.size <= self.largest_bytes

    def get(self, key: Key) -> Answer | None:
        """The answer, if it is kept and not too old."""
        answer = self._answers.get(key)
        if answer is None:
            return None
        if time.time() - answer.created >= self.seconds:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        return answer

    def put(self, key: Key, answer: Answer) -> None:
        """Keep an answer that `takes` lets in."""
        if key in self._answers:
            self._drop(key)
        self._answers[key] = answer
        self.bytes += answer.size
        while self.bytes > self.maximum_bytes:
            self._drop(next(iter(self._answers)))
            self.evicted += 1

    def _drop(self, key: Key) -> None:
        self.bytes -= self._answers.pop(key).size
