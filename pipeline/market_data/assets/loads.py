"""What becomes of each fetched bar: accepted, in quarantine, or said twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np

from pipeline.base.calendars import NEW_YORK, sessions_between
from pipeline.base.types import BoolArray, FloatArray, MonthRange
from pipeline.market_data.providers import FetchResult, Payload, PayloadRefusedError
from pipeline.market_data.rules import RULES, Bars, Context, Verdict, judge
from pipeline.market_data.rules.bars import VALUE_FIELDS, joined_bars, no_actions
from pipeline.market_data.rules.mostly_unchanged import is_mostly_unchanged
from pipeline.orchestration.checks import CheckOutcome
from pipeline.store.quarantine import ParsedRow, QuarantinedRow

SAMPLE_KEYS = 5


@dataclass(frozen=True, slots=True)
class Load:
    """Judged bars, and what becomes of each.

    Parameters
    ----------
    verdict
        What the rules say of all that was fetched.
    in_range
        (m,) bars of the months that are loaded.
    is_released
        (m,) refused bars that a person has released.
    """

    verdict: Verdict
    in_range: BoolArray
    is_released: BoolArray

    @property
    def is_accepted(self) -> BoolArray:
        """(m,) bars to be stored."""
        return self._stands & self.in_range

    @property
    def standing(self) -> Bars:
        """The bars to be stored and those around them."""
        return self.verdict.bars.take(self._stands)

    @property
    def _stands(self) -> BoolArray:
        return self.verdict.accepted | self.is_released

    @property
    def fetched(self) -> int:
        """Rows of the months."""
        return int(self.in_range.sum())

    @property
    def quarantined(self) -> int:
        """Rows that stay in quarantine."""
        return int((self.in_range & self.verdict.refused & ~self.is_released).sum())

    @property
    def repeats(self) -> int:
        """Rows that say again what an accepted one says."""
        return self.fetched - self.quarantined - int(self.is_accepted.sum())

    def releasing(self, released: Iterable[QuarantinedRow]) -> Load:
        """The same load with the rows accepted that a person has released, as long as they have not changed."""
        known = {(row.symbol, row.session): row.payload for row in released}
        is_released = np.zeros(len(self.verdict.bars), dtype=bool)
        given = _given_fields(self.verdict.bars)
        for position in np.flatnonzero(self.in_range & self.verdict.refused).tolist():
            payload = known.get(_key(self.verdict.bars, position))
            is_released[position] = payload is not None and payload == _parsed(self.verdict.bars, position, given)
        return Load(self.verdict, self.in_range, is_released)


@dataclass(frozen=True, slots=True)
class Listed:
    """What the platform knows of the instruments that are loaded.

    Parameters
    ----------
    currencies
        Those that can be converted; none where that is not judged.
    currency_of, exchange_of
        By symbol.
    """

    currencies: frozenset[str] = frozenset()
    currency_of: Mapping[str, str] = field(default_factory=dict)
    exchange_of: Mapping[str, str] = field(default_factory=dict)


NOTHING_LISTED = Listed()


def judged_load(
    answer: FetchResult, months: MonthRange, second: FetchResult | None = None, listed: Listed = NOTHING_LISTED
) -> Load:
    """Judge what was fetched, the instruments of each exchange by its own sessions.

    Parameters
    ----------
    second
        Answer of the second provider to the same question; None if there is none.

    Raises
    ------
    PayloadRefusedError
        If the newest session says what the one before it said.
    """
    bars = answer.bars
    assert bars is not None
    exchanges = [listed.exchange_of.get(symbol, NEW_YORK) for symbol in bars.symbols]
    context = Context(
        sessions_between(*_span(bars, months)),
        answer.actions or no_actions(bars.symbols),
        listed.currencies,
        tuple(listed.currency_of.get(symbol, "") for symbol in bars.symbols) if listed.currency_of else (),
        second.bars if second else None,
        second.actions if second else None,
    )
    verdict = _judged_by_exchange(bars, context, exchanges, months)
    _refuse_repeated_session(verdict.bars, months, answer.payloads)
    return Load(verdict, months_mask(verdict.bars, months), np.zeros(len(bars), dtype=bool))


def _judged_by_exchange(bars: Bars, context: Context, exchanges: list[str], months: MonthRange) -> Verdict:
    """The verdict on bars of several exchanges; the moves of a market are those of its own instruments."""
    verdicts = []
    for exchange in sorted(set(exchanges)):
        own = bars.take(np.array([name == exchange for name in exchanges])[bars.symbol_index])
        sessions = sessions_between(*_span(own, months), exchange)
        verdicts.append(judge(own, replace(context, sessions=sessions)))
    if len(verdicts) == 1:
        return verdicts[0]
    joined = joined_bars([verdict.bars for verdict in verdicts])
    order = np.argsort(joined.symbol_index, kind="stable")
    return Verdict(joined.take(order), np.concatenate([verdict.flags for verdict in verdicts])[order])


def _refuse_repeated_session(bars: Bars, months: MonthRange, payloads: Sequence[Payload]) -> None:
    """Refuse an answer whose newest session, if it is to be loaded, repeats the session before."""
    days = np.unique(bars.sessions)
    first, end = np.array([months.first, months.end], dtype="datetime64[D]")
    if len(days) < 2 or not first <= days[-1] < end:
        return
    before, newest = (_closes_on(bars, day) for day in days[-2:])
    if is_mostly_unchanged(before, newest):
        raise PayloadRefusedError(
            "mostly_unchanged",
            f"Most closes of {days[-1]} are those of {days[-2]}: the provider has sent the session before again",
            "Load again once the provider has the new session; nothing was written.",
            payloads,
        )


def _closes_on(bars: Bars, day: np.datetime64) -> FloatArray:
    """(n,) close of each symbol on a day; NaN where there is none."""
    closes = np.full(len(bars.symbols), np.nan)
    rows = np.flatnonzero(bars.sessions == day)
    closes[bars.symbol_index[rows]] = bars.judged_close[rows]
    return closes


def quarantined_rows(verdict: Verdict, in_range: BoolArray, provider: str) -> list[QuarantinedRow]:
    """Every refused bar with the first rule that refused it; conflicting bars are one row that keeps all numbers."""
    bars, given = verdict.bars, _given_fields(verdict.bars)
    parsed: dict[tuple[str, date, str], list[ParsedRow]] = {}
    for position in np.flatnonzero(in_range & verdict.refused).tolist():
        rule = next(rule.name for rule, hit in zip(RULES, verdict.flags[position], strict=True) if hit)
        parsed.setdefault((*_key(bars, position), rule), []).append(_parsed(bars, position, given))
    return [QuarantinedRow(provider, *key, _merged(rows)) for key, rows in parsed.items()]


def rule_outcomes(verdict: Verdict, in_range: BoolArray) -> list[CheckOutcome]:
    """One check result a rule: count, parts per million and sample keys."""
    bars = verdict.bars
    outcomes = []
    for column, rule in enumerate(RULES):
        hits = np.flatnonzero(verdict.flags[:, column] & in_range)
        ppm = 1e6 * len(hits) / max(int(in_range.sum()), 1)
        samples = [f"{bars.symbols[bars.symbol_index[hit]]} {bars.sessions[hit]}" for hit in hits[:SAMPLE_KEYS]]
        outcomes.append(
            CheckOutcome(
                rule.name,
                passed=len(hits) <= rule.tolerated_rows or ppm <= rule.tolerated_ppm,
                blocking=False,
                metadata={"count": len(hits), "ppm": round(ppm, 1), "samples": samples, "action": rule.action},
            )
        )
    return outcomes


def months_mask(bars: Bars, months: MonthRange) -> BoolArray:
    """(m,) bars of the months."""
    first, end = np.array([months.first, months.end], dtype="datetime64[D]")
    inside: BoolArray = (bars.sessions >= first) & (bars.sessions < end)
    return inside


def _key(bars: Bars, position: int) -> tuple[str, date]:
    session: date = bars.sessions[position].astype(object)
    return bars.symbols[bars.symbol_index[position]], session


def _given_fields(bars: Bars) -> list[str]:
    """The numbers that the provider gives; those that are missing everywhere it does not have."""
    given = [name for name in VALUE_FIELDS if not np.isnan(getattr(bars, name)).all()]
    return given or ["close_adjusted"]


def _parsed(bars: Bars, position: int, given: list[str]) -> ParsedRow:
    numbers = {name: float(getattr(bars, name)[position]) for name in given}
    return {name: value if np.isfinite(value) else str(value) for name, value in numbers.items()}


def _merged(rows: list[ParsedRow]) -> ParsedRow:
    """One row as it is; several as a list a field."""
    if len(rows) == 1:
        return rows[0]
    return {name: [value for row in rows if not isinstance(value := row[name], list | None)] for name in rows[0]}


def _span(bars: Bars, months: MonthRange) -> tuple[date, date]:
    """The first day of the bars, and the day after their last; the months where there are none."""
    if not len(bars):
        return months.first, months.end
    first: date = bars.sessions.min().astype(object)
    last: date = bars.sessions.max().astype(object)
    return first, last + timedelta(days=1)
