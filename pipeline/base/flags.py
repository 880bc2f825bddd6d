"""Switches of risky paths: each one turns a path off, and leaves a slower one that gives the same answers.

What a flag is without an override is code; overrides are rows (`pipeline.store.feature_flags`). ADR 0019 says why no
service is asked for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from pipeline.base.errors import NotFoundError


class Flag(StrEnum):
    """Every flag."""

    STORED_SERIES = "stored_series"
    SHARED_ANSWERS = "shared_answers"
    BUILD_ANEW = "build_anew"


@dataclass(frozen=True, slots=True)
class FlagSpec:
    """What is known of a flag.

    Parameters
    ----------
    meaning
        What happens while it is on, and what instead.
    default
        Without an override.
    owner
        Room of the repository whose readers decide on it.
    remove_after
        Day by which the flag and the path that lost are deleted, or the day is moved with a reason.
    """

    meaning: str
    default: bool
    owner: str
    remove_after: date


FLAGS: Mapping[Flag, FlagSpec] = {
    Flag.STORED_SERIES: FlagSpec(
        "Long series are passed through as the pipeline stored them; off: they are made of their rows.",
        default=True,
        owner="serving",
        remove_after=date(2027, 6, 30),
    ),
    Flag.SHARED_ANSWERS: FlagSpec(
        "Answers are shared by REDIS_URL; off: each process keeps its own.",
        default=True,
        owner="serving",
        remove_after=date(2027, 6, 30),
    ),
    Flag.BUILD_ANEW: FlagSpec(
        "A large load that is new for a good part builds its table beside the one in use; off: it is merged in place,"
        " unless --rebuild asks for it.",
        default=True,
        owner="pipeline/store",
        remove_after=date(2027, 6, 30),
    ),
}

DEFAULTS: Mapping[Flag, bool] = {flag: spec.default for flag, spec in FLAGS.items()}


def flag_named(name: str) -> Flag:
    """The flag of a name.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    try:
        return Flag(name)
    except ValueError:
        raise NotFoundError(f"There is no flag {name!r}", f"Choose one of {', '.join(Flag)}.") from None
