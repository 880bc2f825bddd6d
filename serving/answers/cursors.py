"""Cursors: where the next page of a collection begins, by the key of the last row and not by its number.

So no row that is added or taken away in the meantime makes another come twice or not at all. A cursor is opaque: it
holds the key, and a digest that tells a cursor of this collection from anything else. It is no secret and opens nothing
that its address does not show anyway.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Self, TypeVar
from uuid import UUID

from sqlalchemy import Table

from pipeline.base.errors import InvalidInputError
from pipeline.store.reading import order_columns

T = TypeVar("T")
Key = tuple[Any, ...]

LONGEST_CURSOR = 1_024
_DIGEST_BYTES = 6
_WIDEST_NUMBER = 2**63


@dataclass(frozen=True, slots=True)
class Order:
    """The order in which a collection is walked.

    Parameters
    ----------
    name
        Of the collection, which its cursors belong to.
    kinds
        Of the parts of a key: date, datetime, int, str or UUID.
    key
        The key of a row; no two rows have the same.
    is_reversed
        Whether a page lists its rows against the walk: the pages of a series go back in time, and each is oldest
        first.
    """

    name: str
    kinds: tuple[type, ...]
    key: Callable[[Any], Key]
    is_reversed: bool = False

    @classmethod
    def of_series(cls, table: Table, *subject: str) -> Self:
        """The order in which the store reads the rows of one subject: from the newest session back.

        Parameters
        ----------
        subject
            Key columns that have one value in the whole collection.
        """
        columns = order_columns(table, subject)
        get = attrgetter(*columns)
        kinds = tuple(table.columns[name].type.python_type for name in columns)
        return cls(table.name, kinds, get if len(columns) > 1 else lambda row: (get(row),), is_reversed=True)

    def cut(self, rows: Sequence[T], limit: int) -> tuple[Sequence[T], str | None]:
        """The first `limit` rows of the walk, and the cursor of those that follow; None if none do.

        Parameters
        ----------
        rows
            One more than `limit`, if there are as many.
        """
        if len(rows) <= limit:
            return rows, None
        kept = rows[-limit:] if self.is_reversed else rows[:limit]
        return kept, self.cursor_of(kept[0] if self.is_reversed else kept[-1])

    def sliced(self, rows: Sequence[T], limit: int, cursor: str | None) -> tuple[Sequence[T], str | None]:
        """As `cut`, of a whole collection that is sorted by its key."""
        after = self.decoded(cursor)
        later = rows if after is None else [row for row in rows if self.key(row) > after]
        return self.cut(later[: limit + 1], limit)

    def cursor_of(self, row: object) -> str:
        """The cursor of the rows that follow one."""
        values = [str(part) if isinstance(part, date | UUID) else part for part in self.key(row)]
        packed = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
        return urlsafe_b64encode(self._digest(packed) + packed).rstrip(b"=").decode()

    def decoded(self, cursor: str | None) -> Key | None:
        """The key after which the page begins; None without a cursor.

        Raises
        ------
        InvalidInputError
            If no page of this collection gave the cursor.
        """
        if cursor is None:
            return None
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            digest, packed = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
            values = json.loads(packed)
            if digest == self._digest(packed) and len(values) == len(self.kinds):
                return tuple(_parsed(value, kind) for value, kind in zip(values, self.kinds, strict=True))
        except (ValueError, TypeError, RecursionError, binascii.Error):
            pass
        raise InvalidInputError(
            "cursor: no page of this address gave it",
            "Send next_cursor of an answer as it is, or leave cursor out to begin anew.",
        )

    def _digest(self, packed: bytes) -> bytes:
        return blake2b(packed, digest_size=_DIGEST_BYTES, key=self.name.encode()[:64]).digest()


def _parsed(value: Any, kind: type) -> Any:
    """A part of a key.

    Raises
    ------
    ValueError
        If it is none of that kind, or nothing that Postgres takes.
    """
    if kind is int:
        if not isinstance(value, int) or abs(value) >= _WIDEST_NUMBER:
            raise ValueError
        return value
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError
    value.encode()  # a lone surrogate raises
    return value if kind is str else UUID(value) if kind is UUID else kind.fromisoformat(value)  # type: ignore[attr-defined]
