"""Asset ``prices``: daily bars that the rules accept, and the books of every row that came."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from pipeline.base.calendars import sessions_between
from pipeline.base.types import BoolArray, MonthRange, add_months
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest, FetchResult
from pipeline.market_data.rules import RULES, Bars, Context, Verdict, judge
from pipeline.market_data.rules.bars import VALUE_FIELDS, no_actions
from pipeline.orchestration.checks import CheckOutcome, Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.ingest_runs import record_ingest_run
from pipeline.store.instruments import read_instruments
from pipeline.store.prices import PRICE, price_rows, replace_prices
from pipeline.store.providers import record_provider
from pipeline.store.quarantine import ParsedRow, QuarantinedRow, read_released, replace_quarantine
from pipeline.store.raw_payloads import StoredPayload, keep_payloads
from pipeline.store.writing import Write, WriteOutcome

SAMPLE_KEYS = 5

MONTHS_JUDGED_BEFORE, MONTHS_JUDGED_AFTER = 6, 1
"""A verdict depends on the 63 moves before a bar and on the next one, so it is the same for every range of months."""


def price_figures(rows: Columns) -> dict[str, float]:
    """Figures of a month of prices."""
    close = np.where(np.isnan(rows["close"]), rows["close_adjusted"], rows["close"])
    return {
        "instruments_count": float(len(np.unique(rows["instrument_id"]))),
        "sessions_count": float(len(np.unique(rows["session"]))),
        "median_close": float(np.median(close)),
        "highest_close": float(close.max()),
    }


@TableAsset(
    table=PRICE,
    replace=replace_prices,
    location="market_data",
    inputs={"instruments": None},
    figures=price_figures,
    headline="close_adjusted",
    kinds=frozenset({"postgres", "pandas"}),
    scheduled=True,
    check_specs=tuple((rule.name, rule.meaning) for rule in RULES),
)
def prices(write: Write, months: MonthRange, provider: ProviderResource) -> Produced:
    """Daily bars of every instrument as traded, without the rows that a quality rule refused."""
    answer = provider.provider.fetch(request_for(months))
    assert answer.bars is not None
    load = judged_load(answer, answer.bars, months)
    refused = quarantined_rows(load.verdict, load.in_range, provider.name)
    replace_quarantine(write, refused, months)
    load = load.releasing(read_released(write.connection, provider.name, months))
    source = record_provider(write.connection, provider.name, provider.notice)
    keep_payloads(
        write, provider.name, (StoredPayload(p.sha256, p.name, p.media_type, p.content) for p in answer.payloads)
    )
    ids = {instrument.symbol: instrument.id for instrument in read_instruments(write.connection)}

    def close_books(outcome: WriteOutcome) -> None:
        record_ingest_run(write, provider.name, months, load.fetched, load.quarantined, load.repeats, outcome)

    last = str(answer.bars.sessions.max()) if len(answer.bars) else "none"
    return Produced(
        rows=price_columns(load.accepted, ids, source),
        checks=rule_outcomes(load.verdict, load.in_range),
        metadata={"last_session": last, "rows_fetched": load.fetched, "rows_quarantined": load.quarantined},
        empty_because="the provider has no bar in this month",
        after_write=close_books,
    )


def request_for(months: MonthRange) -> FetchRequest:
    """The bars of some months, and those around them that rules look at."""
    first, end = months.back(MONTHS_JUDGED_BEFORE), add_months(months.end, MONTHS_JUDGED_AFTER)
    return FetchRequest("bars", (), first, end - timedelta(days=1))


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
    def accepted(self) -> Bars:
        """The bars to be stored."""
        return self.verdict.bars.take((self.verdict.accepted | self.is_released) & self.in_range)

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
        return self.fetched - self.quarantined - len(self.accepted)

    def releasing(self, released: Iterable[QuarantinedRow]) -> Load:
        """The same load with the rows accepted that a person has released, as long as they have not changed."""
        known = {(row.symbol, row.session): row.payload for row in released}
        is_released = np.zeros(len(self.verdict.bars), dtype=bool)
        given = _given_fields(self.verdict.bars)
        for position in np.flatnonzero(self.in_range & self.verdict.refused).tolist():
            payload = known.get(_key(self.verdict.bars, position))
            is_released[position] = payload is not None and payload == _parsed(self.verdict.bars, position, given)
        return Load(self.verdict, self.in_range, is_released)


def judged_load(answer: FetchResult, bars: Bars, months: MonthRange) -> Load:
    """Judge what was fetched."""
    context = Context(sessions_between(*_span(bars, months)), answer.actions or no_actions(bars.symbols))
    verdict = judge(bars, context)
    return Load(verdict, _in_months(verdict.bars, months), np.zeros(len(bars), dtype=bool))


def price_columns(bars: Bars, ids: dict[str, int], source: int) -> Columns:
    """Accepted bars as columns of the table."""
    id_of = np.array([ids[symbol] for symbol in bars.symbols], dtype=np.int32)
    numbers = {name: getattr(bars, name) for name in VALUE_FIELDS}
    return price_rows(id_of[bars.symbol_index], bars.sessions, source, numbers)


def quarantined_rows(verdict: Verdict, in_range: BoolArray, provider: str) -> list[QuarantinedRow]:
    """Every refused bar with the first rule that refused it; conflicting bars are one row that keeps all numbers."""
    bars, given = verdict.bars, _given_fields(verdict.bars)
    parsed: dict[tuple[str, date, str], list[ParsedRow]] = {}
    for position in np.flatnonzero(in_range & verdict.refused).tolist():
        rule = next(rule.name for rule, hit in zip(RULES, verdict.flags[position], strict=True) if hit)
        parsed.setdefault((*_key(bars, position), rule), []).append(_parsed(bars, position, given))
    return [QuarantinedRow(provider, *key, _merged(rows)) for key, rows in parsed.items()]


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


def _span(bars: Bars, months: MonthRange) -> tuple[date, date]:
    """The first day of the bars, and the day after their last; the months where there are none."""
    if not len(bars):
        return months.first, months.end
    first: date = bars.sessions.min().astype(object)
    last: date = bars.sessions.max().astype(object)
    return first, last + timedelta(days=1)


def _in_months(bars: Bars, months: MonthRange) -> BoolArray:
    first, end = np.array([months.first, months.end], dtype="datetime64[D]")
    inside: BoolArray = (bars.sessions >= first) & (bars.sessions < end)
    return inside
