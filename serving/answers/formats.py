"""In which format a collection is wanted: by ``format``, or else by ``Accept`` (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

Format = Literal["json", "csv", "parquet", "arrow"]

MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
"""In the order of preference where a caller likes several as much."""

_COMMON = frozenset({"", "*/*", MEDIA_TYPES["json"]})
"""What nearly every caller sends, so that it need not be read each time."""


def format_for(accept: Iterable[str]) -> Format | None:
    """The format that a caller likes best; None if none is acceptable.

    Parameters
    ----------
    accept
        The headers of that name; without any everything is acceptable.
    """
    asked = ",".join(accept)
    if asked in _COMMON:
        return "json"
    ranges = _ranges(asked)
    if not ranges:
        return "json"
    liked: dict[Format, float] = {name: _quality(media_type, ranges) for name, media_type in MEDIA_TYPES.items()}
    best = max(liked, key=lambda name: liked[name])
    return best if liked[best] > 0 else None


def _ranges(accept: str) -> dict[str, float]:
    """Media range → its quality; one that cannot be read counts as wanted without reserve."""
    found = {}
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        if media_range:
            found[media_range] = _weight(parameters)
    return found


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 1.0
    return 1.0


def _quality(media_type: str, ranges: Mapping[str, float]) -> float:
    """Of the most specific range that holds the type; 0 if none does."""
    kind = media_type.partition("/")[0]
    return next((ranges[name] for name in (media_type, f"{kind}/*", "*/*") if name in ranges), 0.0)
