"""A tear sheet as PDF, set by typst beside everything else: few at once, and none for long."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime, time
from functools import partial
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from pipeline.base.errors import DatabaseError, NotInstalledError
from serving.cores import freely
from serving.pages.drawing import printed
from serving.pages.tear_sheet_parts import Sheet

TEMPLATE = Path(__file__).parent / "templates" / "tear_sheet.typ"
AT_ONCE = 1
"""Sheets that are set at the same time; one takes a processor for a quarter of a second."""
WAITING = 8
SECONDS = 15.0
"""From the request on, waiting included."""

_LIMITER: RunVar[CapacityLimiter] = RunVar("fintech_typesetting")


async def typeset(sheet: Sheet) -> bytes:
    """The sheet as PDF/A-like bytes: fonts inside, and equal for equal sheets.

    Raises
    ------
    NotInstalledError
        If typst is not installed here.
    DatabaseError
        If too many sheets wait, or one takes too long.
    """
    limiter = _limiter()
    if limiter.statistics().tasks_waiting >= WAITING:
        raise DatabaseError(f"{WAITING} tear sheets are waiting to be set", "Try again in a few seconds.")
    setting = asyncio.ensure_future(
        to_thread.run_sync(freely, partial(set_sheet, sheet), limiter=limiter, abandon_on_cancel=True)
    )
    done, _ = await asyncio.wait({setting}, timeout=SECONDS)
    if not done:
        setting.cancel()  # what runs in the thread ends by itself, and keeps its place until then
        raise DatabaseError(f"The tear sheet was not set within {SECONDS:.0f} s", "Try again in a few seconds.")
    return setting.result()


def set_sheet(sheet: Sheet) -> bytes:
    """The sheet as PDF, in this thread.

    Raises
    ------
    NotInstalledError
        If typst is not installed here.
    """
    try:
        import typst  # noqa: PLC0415 - 40 MB, and the gateway alone has it
    except ImportError as error:
        raise NotInstalledError("This service sets no PDF: typst is not installed", "Ask backend-api.") from error
    content = asdict(sheet)
    for part in content["parts"]:
        part["charts"] = [printed(svg) for svg in part["charts"]]
    # Nothing of the machine or the moment enters: neither its fonts nor its clock.
    made_at = datetime.combine(sheet.as_of, time(), UTC)
    return typst.compile(
        str(TEMPLATE),
        root=str(TEMPLATE.parent),
        ignore_system_fonts=True,
        sys_inputs={"sheet": json.dumps(content, default=str)},
        timestamp=made_at,
        pdf_standards="a-2u",
    )


def _limiter() -> CapacityLimiter:
    """Of this loop: a limiter belongs to the one in which it is made."""
    try:
        return _LIMITER.get()
    except LookupError:
        limiter = CapacityLimiter(AT_ONCE)
        _LIMITER.set(limiter)
        return limiter
