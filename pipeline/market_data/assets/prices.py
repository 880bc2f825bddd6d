"""Asset ``prices``: daily bars that the rules accept."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from pipeline.base.calendars import sessions_between
from pipeline.base.types import BoolArray, MonthRange, add_months
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest
from pipeline.market_data.rules import RULES, Bars, Context, Verdict, judge
from pipeline.orchestration.checks import CheckOutcome, Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.instruments import read_instruments
from pipeline.store.prices import PRICE
from pipeline.store.quarantine import QuarantinedRow, replace_quarantine
from pipeline.store.writing import Write

SAMPLE_KEYS = 5

MONTHS_JUDGED_BEFORE, MONTHS_JUDGED_AFTER = 6, 1
"""A verdict depends on the 63 moves before a bar and on the next one, so it is the same for every range of months."""


def price_figures(rows: Columns) -> dict[str, float]:
    """Figures of a month of prices."""
    close = rows["close_adjusted"]
    return {
        "instruments_count": float(len(np.unique(rows["instrument_id"]))),
        "sessions_count": float(len(np.unique(rows["session"]))),
        "median_close_usd": float(np.median(close)),
        "highest_close_usd": float(close.max()),
    }


@TableAsset(
    table=PRICE,
    location="market_data",
    inputs={"instruments": None},
    figures=price_figures,
    headline="close_adjusted",
    kinds=frozenset({"postgres", "pandas"}),
    scheduled=True,
    check_specs=tuple((rule.name, rule.meaning) for rule in RULES),
)
def prices(write: Write, months: MonthRange, provider: ProviderResource) -> Produced:
    """Daily adjusted closes of every instrument, without the rows that a quality rule refused."""
    bars = fetch_bars(provider, months)
    verdict = judge(bars, Context(sessions_between(*_span(bars, months))))
    in_range = _in_months(verdict.bars, months)
    replace_quarantine(write, quarantined_rows(verdict, in_range, provider.name), months)
    ids = {instrument.symbol: instrument.id for instrument in read_instruments(write.connection)}
    accepted = verdict.bars.take(verdict.accepted & in_range)
    last = str(bars.sessions.max()) if len(bars) else "none"
    return Produced(
        rows=price_columns(accepted, ids),
        checks=rule_outcomes(verdict, in_range),
        metadata={"last_session": last, "rows_quarantined": int((in_range & verdict.refused).sum())},
        empty_because="the provider has no bar in this month",
    )


def fetch_bars(provider: ProviderResource, months: MonthRange) -> Bars:
    """The bars of some months, and those around them that rules look at."""
    first, end = months.back(MONTHS_JUDGED_BEFORE), add_months(months.end, MONTHS_JUDGED_AFTER)
    answer = provider.provider.fetch(FetchRequest("bars", (), first, end - timedelta(days=1)))
    assert answer.bars is not None
    return answer.bars


def price_columns(bars: Bars, ids: dict[str, int]) -> Columns:
    """Accepted bars as columns of the table."""
    id_of = np.array([ids[symbol] for symbol in bars.symbols], dtype=np.int32)
    return {
        "instrument_id": id_of[bars.symbol_index],
        "session": bars.sessions,
        "close_adjusted": bars.close_adjusted,
    }


def quarantined_rows(verdict: Verdict, in_range: BoolArray, provider: str) -> list[QuarantinedRow]:
    """Every refused bar with the first rule that refused it; conflicting bars are one row that keeps all closes."""
    closes: dict[tuple[str, date, str], list[float | str]] = {}
    for position in np.flatnonzero(in_range & verdict.refused):
        rule = next(rule.name for rule, hit in zip(RULES, verdict.flags[position], strict=True) if hit)
        symbol = verdict.bars.symbols[verdict.bars.symbol_index[position]]
        close = float(verdict.bars.close_adjusted[position])
        of_key = closes.setdefault((symbol, verdict.bars.sessions[position].astype(object), rule), [])
        of_key.append(close if np.isfinite(close) else str(close))
    return [
        QuarantinedRow(provider, *key, {"close_adjusted": values[0] if len(values) == 1 else values})
        for key, values in closes.items()
    ]


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
