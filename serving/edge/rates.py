"""How many requests a client may send in how long, as the settings say it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings

DEFAULT = "100/15 minutes"
"""Outside of ``FINTECH_ENV=local``."""
NONE = "none"
MAXIMUM = 10**9


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests in a window.

    Parameters
    ----------
    amount
        Most requests of one client.
    seconds
        How long the window is.
    """

    amount: int
    seconds: int


def rate_of(settings: Settings) -> Rate | None:
    """The rate that the settings want; None for none, which is the default on a developer's own machine.

    Raises
    ------
    ConfigurationError
        If it cannot be read.
    """
    text = settings.rate_limit or (NONE if settings.is_local else DEFAULT)
    return None if text.strip().lower() == NONE else parse_rate(text)


def parse_rate(text: str) -> Rate:
    """A rate in the notation of the library `limits`, such as ``100/15 minutes`` or ``5 per second``.

    Raises
    ------
    ConfigurationError
        If it is none, or one of several windows.
    """
    from limits import parse_many  # noqa: PLC0415 - 0.06 s, and only needed where there is a rate

    try:
        items = parse_many(text)
    except ValueError:
        items = []
    if len(items) != 1 or not 1 <= items[0].amount <= MAXIMUM or not 1 <= items[0].get_expiry() <= MAXIMUM:
        raise ConfigurationError(
            f"FINTECH_RATE_LIMIT={text!r} cannot be read",
            f"Write one rate, such as {DEFAULT} or 5/second, or {NONE}.",
            exit_code=2,
        )
    return Rate(items[0].amount, items[0].get_expiry())
