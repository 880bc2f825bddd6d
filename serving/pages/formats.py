"""Numbers as the pages write them: percent with one decimal, ratios with two, dates as in ISO 8601."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import TypeGuard

MISSING = "–"
_NARROW = "\N{NARROW NO-BREAK SPACE}"
PERCENT_UNITS = ("fraction", "share", "probability")
_ACRONYMS = {name.lower(): name for name in ("EWMA", "HAR", "LTCM", "US", "EU", "GBM")}
_MONEY_FROM = 1_000_000.0
"""From here on a price has no decimals."""
_ALL_DIGITS_FROM = 100_000.0


def percent(value: float | None, decimals: int = 1) -> str:
    """A fraction as percent: 0.1234 is 12.3 %."""
    return MISSING if not _is_known(value) else f"{_fixed(100.0 * value, decimals)}{_NARROW}%"


def ratio(value: float | None, decimals: int = 2) -> str:
    """A number without a unit."""
    return MISSING if not _is_known(value) else _fixed(value, decimals)


def money(value: float | None, currency: str = "") -> str:
    """An amount with its currency."""
    if not _is_known(value):
        return MISSING
    text = _fixed(value, 0 if abs(value) >= _MONEY_FROM else 2)
    return f"{text}{_NARROW}{currency}" if currency else text


def count(value: int | None) -> str:
    """A whole number, by thousands."""
    return MISSING if value is None else _signed(f"{value:,}")


def by_unit(value: float | None, unit: str) -> str:
    """A number as its unit wants it, such as ``fraction per year`` or ``ratio``."""
    return percent(value) if unit.startswith(PERCENT_UNITS) else ratio(value)


def rounded(value: float | None) -> str:
    """A number of any size with six digits that count, or all those before the point."""
    if not _is_known(value):
        return MISSING
    return _signed(f"{value:,.0f}" if abs(value) >= _ALL_DIGITS_FROM else f"{value:.6g}")


def exact(value: float | None) -> str:
    """A number with all its digits."""
    return MISSING if not _is_known(value) else _signed(repr(float(value)).removesuffix(".0"))


def moment(value: datetime | date | None) -> str:
    """A day, or a second of UTC with its zone."""
    if value is None:
        return MISSING
    if not isinstance(value, datetime):
        return value.isoformat()
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def words(name: str) -> str:
    """A name of the code as words: ``dot_com_2000`` is Dot com 2000."""
    parts = [_ACRONYMS.get(part, part) for part in name.split("_")]
    return " ".join([parts[0][:1].upper() + parts[0][1:], *parts[1:]])


def policy_words(rebalancing: str, drift_band: float | None) -> str:
    """A rebalancing policy as words, with its band if it has one."""
    return words(rebalancing) if drift_band is None else f"{words(rebalancing)} of {percent(drift_band)}"


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    # What rounds to zero has no sign.
    return text.lstrip("-") if not text.strip("-0.,") else _signed(text)


def _signed(text: str) -> str:
    return text.replace("-", "−")
