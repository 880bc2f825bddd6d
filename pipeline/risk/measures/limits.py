"""Limits on measures: where a portfolio stands against them, and when somebody must be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, TypeAlias

from pipeline.risk.measures.errors import MeasureInputError

Direction: TypeAlias = Literal["above", "below"]
"""The side of a limit that is not allowed: above for a loss or a weight, below for a drawdown, which is negative."""

Status: TypeAlias = Literal["OK", "WARN", "BREACH", "UNKNOWN"]
EventKind: TypeAlias = Literal["WARN", "BREACH", "CLEAR"]

LimitKey: TypeAlias = tuple[str, Direction]


@dataclass(frozen=True, slots=True)
class Limit:
    """How far a measure may go.

    Parameters
    ----------
    measure
        Name, with confidence and horizon where it has them: ``var_99_1d``, ``max_drawdown``, ``largest_weight``.
    warn, breach
        In the measure's unit and with its sign. Reaching one counts.
    direction
        The side that is not allowed.
    """

    measure: str
    warn: float
    breach: float
    direction: Direction

    def __post_init__(self) -> None:
        if not self.measure:
            raise MeasureInputError("measure: empty; name what the limit is on, such as var_99_1d")
        if self.direction not in ("above", "below"):
            raise MeasureInputError(f"direction={self.direction!r}: give 'above' or 'below', the side not allowed")
        if not (math.isfinite(self.warn) and math.isfinite(self.breach)):
            raise MeasureInputError(f"warn={self.warn}, breach={self.breach}: give finite numbers")
        if self._distance(self.warn, self.breach) < 0.0:
            raise MeasureInputError(
                f"warn={self.warn}: beyond breach={self.breach} of {self.measure}; a warning comes first"
            )

    @property
    def key(self) -> LimitKey:
        """What makes it another limit."""
        return self.measure, self.direction

    def headroom(self, value: float) -> float:
        """How far the value is from the breach, in the measure's unit; 0 or negative where it is breached."""
        return self._distance(value, self.breach)

    def status_of(self, value: float) -> Status:
        """Where a finite value stands."""
        if self.headroom(value) <= 0.0:
            return "BREACH"
        return "WARN" if self._distance(value, self.warn) <= 0.0 else "OK"

    def _distance(self, value: float, bound: float) -> float:
        return bound - value if self.direction == "above" else value - bound


@dataclass(frozen=True, slots=True)
class LimitState:
    """Where a portfolio stands against one limit.

    Parameters
    ----------
    limit
        The limit.
    status
        UNKNOWN where the measure has no value: never taken for OK.
    value, headroom
        Of the measure, and its distance to the breach; None where unknown.
    reason
        Why it is unknown; empty otherwise.
    """

    limit: Limit
    status: Status
    value: float | None = None
    headroom: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """Sessions on end on which a limit was not seen to be kept.

    Parameters
    ----------
    measure, direction
        Of the limit.
    opened
        Session on which it began.
    level
        The worst that was told of so far.
    ordinal
        Which of the limit's episodes of that session it is, from 1: a limit that is moved away and back ends one and
        opens the next on the same session.
    """

    measure: str
    direction: Direction
    opened: date
    level: Literal["WARN", "BREACH"]
    ordinal: int = 1

    @property
    def key(self) -> LimitKey:
        """Of its limit."""
        return self.measure, self.direction


@dataclass(frozen=True, slots=True)
class LimitEvent:
    """Something to tell.

    Parameters
    ----------
    key
        The same whenever the same session is judged again: who has delivered it once need not do so twice.
    subject
        Whose limit it is.
    kind
        What was reached, or CLEAR.
    measure, direction
        Of the limit.
    session, opened
        On which it happened, and on which the episode began.
    value
        Of the measure; None where the limit itself was taken away.
    ordinal
        Which of the episodes that began on that session it belongs to, from 1.
    """

    key: str
    subject: str
    kind: EventKind
    measure: str
    direction: Direction
    session: date
    opened: date
    value: float | None
    ordinal: int = 1


@dataclass(frozen=True, slots=True)
class Watch:
    """What one session adds.

    Parameters
    ----------
    events
        To tell, in the order of the states.
    episodes
        Open after the session: what the next session is judged with.
    """

    events: tuple[LimitEvent, ...]
    episodes: tuple[Episode, ...]


def check_limits(
    values: Mapping[str, float | None], limits: tuple[Limit, ...], reasons: Mapping[str, str] | None = None
) -> tuple[LimitState, ...]:
    """Hold measures against limits.

    Parameters
    ----------
    values
        Measure → value; None or NaN where it has none.
    limits
        At most one a measure and direction.
    reasons
        Measure → why it has no value, where known.

    Returns
    -------
    tuple
        A state a limit, in their order.

    Raises
    ------
    MeasureInputError
        For two limits on the same side of a measure.
    """
    keys = [limit.key for limit in limits]
    for key in keys:
        if keys.count(key) > 1:
            raise MeasureInputError(f"limits: two on {key[0]} ({key[1]}); keep one")
    return tuple(_state(limit, values, reasons or {}) for limit in limits)


def watch_limits(
    subject: str,
    session: date,
    episodes: tuple[Episode, ...],
    states: tuple[LimitState, ...],
    ended: Mapping[LimitKey, int] | None = None,
) -> Watch:
    """Decide what to tell about a session, given what was open before it.

    An episode opens when a limit reaches WARN or BREACH and ends when it is OK again. It is told of once at each level
    that it reaches, and once when it ends. A return from BREACH to WARN ends nothing, and neither does UNKNOWN.

    Parameters
    ----------
    subject
        Whose limits they are.
    session
        That the states belong to.
    episodes
        Open after the session before; after this one, if it is judged again, which then adds nothing.
    states
        Of every limit. An episode whose limit is gone ends.
    ended
        Limit → how many of its episodes began on this session and have ended; none by default.

    Raises
    ------
    MeasureInputError
        If an episode began after the session.
    """
    late = [episode for episode in episodes if episode.opened > session]
    if late:
        raise MeasureInputError(
            f"session={session}: before {late[0].opened}, when the episode of {late[0].measure} began; give the"
            " episodes that were open before that session"
        )
    before = {episode.key: episode for episode in episodes}
    spent = ended or {}
    after = {
        state.limit.key: _advanced(before.get(state.limit.key), state, session, spent.get(state.limit.key, 0))
        for state in states
    }
    value_of = {state.limit.key: state.value for state in states}
    keys = [*after, *(key for key in before if key not in after)]
    events = [_event(subject, session, before.get(key), after.get(key), value_of.get(key)) for key in keys]
    return Watch(
        tuple(event for event in events if event is not None),
        tuple(episode for episode in after.values() if episode is not None),
    )


def _state(limit: Limit, values: Mapping[str, float | None], reasons: Mapping[str, str]) -> LimitState:
    value = values.get(limit.measure)
    if value is not None and math.isfinite(value):
        return LimitState(limit, limit.status_of(value), float(value), limit.headroom(value))
    if limit.measure in reasons:
        reason = reasons[limit.measure]
    elif limit.measure not in values:
        reason = "not measured"
    else:
        reason = "no value" if value is None else f"no finite value ({value})"
    return LimitState(limit, "UNKNOWN", reason=f"{limit.measure}: {reason}")


def _advanced(episode: Episode | None, state: LimitState, session: date, ended: int) -> Episode | None:
    """The episode after a state, given how many of the limit's began on the session and ended."""
    if state.status == "UNKNOWN":
        return episode
    if state.status == "OK":
        return None
    if episode is None:
        return Episode(state.limit.measure, state.limit.direction, session, state.status, ended + 1)
    return replace(episode, level="BREACH") if state.status == "BREACH" else episode


def _event(
    subject: str, session: date, before: Episode | None, after: Episode | None, value: float | None
) -> LimitEvent | None:
    """What the step from one episode to the next tells."""
    if before == after:
        return None
    kind: EventKind = "CLEAR" if after is None else after.level
    episode = after or before
    assert episode is not None
    # By the day it began, not by today: a store that keeps keys unique then tells each level of an episode once.
    name = f"{episode.opened}" if episode.ordinal == 1 else f"{episode.opened}#{episode.ordinal}"
    key = f"{subject}:{episode.measure}:{episode.direction}:{name}:{kind}"
    return LimitEvent(
        key, subject, kind, episode.measure, episode.direction, session, episode.opened, value, episode.ordinal
    )
