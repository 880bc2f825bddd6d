"""What a statistical test answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistic:
    """A test statistic and its p-value, or why there is none.

    Parameters
    ----------
    value, p_value
        Both None where the test is undefined.
    undefined_because
        None where it is defined.
    """

    value: float | None
    p_value: float | None
    undefined_because: str | None = None

    @classmethod
    def undefined(cls, reason: str) -> Statistic:
        """No statistic, for a reason."""
        return cls(None, None, reason)
