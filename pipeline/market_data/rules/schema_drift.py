"""An answer whose shape is not the documented one: columns renamed, dropped, or rows of other lengths."""

from __future__ import annotations

from collections.abc import Collection, Iterable

SCHEMA_DRIFT = "schema_drift"

NAMES_SHOWN = 8


def refuse_schema_drift(columns: Collection[str], required: Collection[str], widths: Iterable[int] = ()) -> str | None:
    """Why the payload is not of the documented shape; None if it is. Columns that are new are let pass.

    Parameters
    ----------
    columns
        What it has.
    required
        What is read from it.
    widths
        Cells of each row of a table, which must be as many as its columns.
    """
    missing = [name for name in required if name not in columns]
    if missing:
        return f"it lacks {', '.join(missing)} (it has {_shown(columns)})"
    for number, width in enumerate(widths, start=1):
        if width != len(columns):
            return f"row {number} has {width} cells of {len(columns)}"
    return None


def _shown(columns: Collection[str]) -> str:
    names = [repr(name[:40]) for name in columns]
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "") if names else "no columns"
