"""How the API is asked again, and what counts as its answer."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from fintech.problems import ProblemError

FIRST_PAUSE_SECONDS = 0.2
"""Doubles with each try; the pause is drawn between half of it and all."""


def success_of(answer: httpx.Response) -> Any:
    """The JSON of a success.

    Raises
    ------
    ProblemError
        If it is none.
    """
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.is_success and body is not None:
        return body
    raise ProblemError(answer.status_code, body if isinstance(body, dict) else {})


def bytes_of(answer: httpx.Response) -> bytes:
    """The bytes of a success that is no JSON; errors as `success_of`."""
    return answer.content if answer.is_success else bytes(success_of(answer))


def nothing_of(answer: httpx.Response) -> None:
    """Accept a success that says nothing; errors as `success_of`."""
    bytes_of(answer)


def paused(number: int, retry_after: str | None) -> float:
    """Seconds before the next try: what the answer asks for, or more and more by chance."""
    asked = _seconds(retry_after) if retry_after else None
    if asked is not None:
        return asked
    return random.uniform(0.5, 1.0) * FIRST_PAUSE_SECONDS * float(2**number)  # noqa: S311 - no secret


def _seconds(retry_after: str) -> float | None:
    """Of the header, which has seconds or a date (RFC 9110, section 10.2.3); None if it has neither."""
    if retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
