"""Asset ``prices``: daily bars that the rules accept, splits and dividends, and the books of every row that came."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np

from pipeline.base.types import BoolArray, MonthRange, add_months
from pipeline.market_data.assets.loads import (
    Listed,
    Load,
    judged_load,
    months_mask,
    quarantined_rows,
    rule_outcomes,
)
from pipeline.market_data.assets.refusals import keeping_refused, stored
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.assets.symbol_parts import NOBODY, SymbolParts
from pipeline.market_data.measures.action_factors import action_factors
from pipeline.market_data.providers import FetchRequest, FetchResult
from pipeline.market_data.rules import RULES, Actions, Bars
from pipeline.market_data.rules.bars import VALUE_FIELDS
from pipeline.orchestration.checks import CheckOutcome, Columns
from pipeline.orchestration.resources import DatabaseResource
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.carrying import with_carried_rows
from pipeline.store.corporate_actions import CORPORATE_ACTION, action_rows, replace_actions
from pipeline.store.fx_rates import read_known_currencies
from pipeline.store.ingest_runs import record_ingest_run
from pipeline.store.instruments import read_instruments
from pipeline.store.portfolios import noting_changed_units
from pipeline.store.preparing import preparing
from pipeline.store.prices import PRICE, SECOND_PRICE, price_rows, replace_prices, replace_second_prices
from pipeline.store.providers import record_provider
from pipeline.store.quarantine import read_released, replace_quarantine
from pipeline.store.raw_payloads import keep_payloads
from pipeline.store.series_kinds import PRICES_KIND
from pipeline.store.symbols import read_spells
from pipeline.store.writing import Write, WriteOutcome

MONTHS_JUDGED_BEFORE, MONTHS_JUDGED_AFTER = 6, 1
"""A verdict depends on the 63 moves before a bar and on the next one, so it is the same for every range of months."""

COVERAGE = "symbols_answered"


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
    series=PRICES_KIND,
    location="market_data",
    inputs={"instruments": None},
    figures=price_figures,
    headline="close_adjusted",
    kinds=frozenset({"postgres", "pandas"}),
    scheduled=True,
    pool="bars_vendor",
    check_specs=(
        *((rule.name, rule.meaning) for rule in RULES),
        (COVERAGE, "The provider has every instrument that it was asked for."),
    ),
)
def prices(
    write: Write,
    months: MonthRange,
    provider: ProviderResource,
    second_provider: ProviderResource,
    database: DatabaseResource,
) -> Produced:
    """Daily bars of every instrument as traded, without the rows that a quality rule refused."""
    with keeping_refused(database.database, provider.name, write.asset):
        answer = provider.provider.fetch(request_for(months))
    with keeping_refused(database.database, second_provider.name, write.asset):
        second = second_provider.provider.fetch(request_for(months)) if second_provider.is_chosen else None
    parts = SymbolParts.of(read_spells(write.connection))
    answer, second = parts.split(answer), parts.split(second) if second else None
    ids, source = parts.ids, record_provider(write.connection, provider.name, provider.notice)
    assert answer.bars is not None
    candidates, is_candidate = candidate_columns(answer.bars, ids, source, months)
    listed = listed_parts(write, parts)
    with (
        keeping_refused(database.database, provider.name, write.asset),
        preparing(write, PRICE, candidates, months) as prepared,
    ):
        load = judged_load(answer, months, second, listed)
    load = quarantined_load(write, load, parts, provider.name, answer, months)
    keep_payloads(write, provider.name, stored(answer.payloads))
    unanswered = {ids[symbol] for symbol in answer.missing if ids.get(symbol, NOBODY) != NOBODY}
    whole = partial(with_carried_rows, write.connection, months=months, since=parts.renamed)
    accepted = prepared.result().take(load.is_accepted[is_candidate])
    rows = whole(PRICE, accepted, final=parts.retired | unanswered)

    def finish(outcome: WriteOutcome) -> None:
        if second is not None and second.bars is not None:
            number = record_provider(write.connection, second_provider.name, second_provider.notice)
            told = second_columns(second.bars, ids, number, months)
            replace_second_prices(write, whole(SECOND_PRICE, told, final=parts.retired), months)
        if answer.actions is not None:
            actions = action_columns(load.standing, answer.actions, ids, source, months)
            with noting_changed_units(write.connection):
                replace_actions(write, whole(CORPORATE_ACTION, actions, final=parts.retired | unanswered), months)
        # What stands instead of an offered bar is there already; what is carried was not fetched.
        repeats = load.fetched - load.quarantined - len(rows["session"])
        record_ingest_run(write, provider.name, months, load.fetched, load.quarantined, repeats, outcome)

    return Produced(
        rows=rows,
        checks=[*rule_outcomes(load.verdict, load.in_range), coverage_outcome(answer)],
        metadata=load_metadata(answer, load),
        empty_because="the provider has no bar in this month",
        after_write=finish,
    )


def listed_parts(write: Write, parts: SymbolParts) -> Listed:
    """What is known of the instrument of each part of a symbol."""
    known = {instrument.id: instrument for instrument in read_instruments(write.connection)}
    described = {part: known[number] for part, number in parts.described_by.items()}
    return Listed(
        read_known_currencies(write.connection),
        {part: instrument.currency for part, instrument in described.items()},
        {part: instrument.exchange for part, instrument in described.items()},
    )


def quarantined_load(
    write: Write, load: Load, parts: SymbolParts, provider: str, answer: FetchResult, months: MonthRange
) -> Load:
    """Keep the refused rows by the provider's own symbols; the load with those accepted that a person has released."""
    refused = [
        replace(row, symbol=parts.symbols.get(row.symbol, row.symbol))
        for row in quarantined_rows(load.verdict, load.in_range, provider)
    ]
    replace_quarantine(write, refused, months, {*answer.missing, *parts.untold(load.verdict.bars.symbols)})
    released = read_released(write.connection, provider, months)
    return load.releasing(replace(row, symbol=parts.part_on(row.symbol, row.session)) for row in released)


def request_for(months: MonthRange) -> FetchRequest:
    """The bars of some months, and those around them that rules look at."""
    first, end = months.back(MONTHS_JUDGED_BEFORE), add_months(months.end, MONTHS_JUDGED_AFTER)
    return FetchRequest("bars", (), first, end - timedelta(days=1))


def candidate_columns(bars: Bars, ids: dict[str, int], source: int, months: MonthRange) -> tuple[Columns, BoolArray]:
    """What of some bars may be stored, as columns of the table, and which of them that are once they are sorted."""
    bars = bars.sorted()
    is_held = np.array([ids[symbol] != NOBODY for symbol in bars.symbols], dtype=bool)
    is_candidate = months_mask(bars, months) & is_held[bars.symbol_index]
    return price_columns(bars if is_candidate.all() else bars.take(is_candidate), ids, source), is_candidate


def price_columns(bars: Bars, ids: dict[str, int], source: int) -> Columns:
    """Accepted bars as columns of the table, without those of a symbol that no instrument had then."""
    id_of = np.array([ids[symbol] for symbol in bars.symbols], dtype=np.int32)
    if (id_of == NOBODY).any():
        bars = bars.take(id_of[bars.symbol_index] != NOBODY)
    numbers = {name: getattr(bars, name) for name in VALUE_FIELDS}
    return price_rows(id_of[bars.symbol_index], bars.sessions, source, numbers)


def second_columns(bars: Bars, ids: dict[str, int], source: int, months: MonthRange) -> Columns:
    """What the second provider says of the platform's instruments: its first bar of each key that has a close."""
    ordered = bars.sorted()
    is_known = np.array([ids.get(s, NOBODY) != NOBODY for s in bars.symbols], dtype=bool)[ordered.symbol_index]
    kept = is_known & months_mask(ordered, months) & ~np.isnan(ordered.judged_close)
    unique = ordered.take(kept)
    return price_columns(unique.take(~unique.is_repeat), {s: ids.get(s, NOBODY) for s in bars.symbols}, source)


def action_columns(bars: Bars, actions: Actions, ids: dict[str, int], source: int, months: MonthRange) -> Columns:
    """The actions of some months as columns of their table, each with its factor.

    Parameters
    ----------
    bars
        Accepted bars of the months and before; an action is measured on the last close before it.
    """
    assert bars.symbols == actions.symbols
    first, end = np.array([months.first, months.end], dtype="datetime64[D]")
    id_of = np.array([ids[symbol] for symbol in actions.symbols], dtype=np.int32)
    kept = (actions.ex_sessions >= first) & (actions.ex_sessions < end) & (id_of[actions.symbol_index] != NOBODY)
    # Closes that the provider has adjusted itself must not be adjusted again.
    traded = np.zeros(len(actions.symbols), dtype=bool)
    traded[bars.symbol_index[~np.isnan(bars.close)]] = True
    factors = np.where(traded[actions.symbol_index], action_factors(bars, actions), 1.0)
    return action_rows(
        id_of[actions.symbol_index[kept]],
        actions.ex_sessions[kept],
        source,
        (actions.split_numerator[kept], actions.split_denominator[kept]),
        actions.dividend[kept],
        factors[kept],
    )


def coverage_outcome(answer: FetchResult) -> CheckOutcome:
    """Whether the provider had every instrument; what is stored of the others stays."""
    missing = dict(sorted(answer.missing.items()))
    metadata = {"count": len(missing), "missing": [f"{symbol}: {reason}" for symbol, reason in missing.items()][:20]}
    return CheckOutcome(COVERAGE, not missing, blocking=False, metadata=metadata)


def load_metadata(answer: FetchResult, load: Load) -> dict[str, int | str]:
    """Figures of a load for the asset page."""
    bars = answer.bars
    last = str(bars.sessions.max()) if bars is not None and len(bars) else "none"
    return {"last_session": last, "rows_fetched": load.fetched, "rows_quarantined": load.quarantined}
