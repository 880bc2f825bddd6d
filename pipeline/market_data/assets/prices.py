"""Asset ``prices``: daily bars that the rules accept, splits and dividends, and the books of every row that came."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from pipeline.base.types import MonthRange, add_months
from pipeline.market_data.assets.loads import (
    Listed,
    Load,
    judged_load,
    months_mask,
    quarantined_rows,
    rule_outcomes,
)
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.measures.action_factors import action_factors
from pipeline.market_data.providers import FetchRequest, FetchResult
from pipeline.market_data.rules import RULES, Actions, Bars
from pipeline.market_data.rules.bars import VALUE_FIELDS
from pipeline.orchestration.checks import CheckOutcome, Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.carrying import read_rows_of
from pipeline.store.corporate_actions import CORPORATE_ACTION, action_rows, replace_actions
from pipeline.store.fx_rates import read_known_currencies
from pipeline.store.ingest_runs import record_ingest_run
from pipeline.store.instruments import read_instruments
from pipeline.store.prices import PRICE, price_rows, replace_prices, replace_second_prices
from pipeline.store.providers import record_provider
from pipeline.store.quarantine import read_released, replace_quarantine
from pipeline.store.raw_payloads import StoredPayload, keep_payloads
from pipeline.store.writing import Write, WriteOutcome, concatenated

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
def prices(write: Write, months: MonthRange, provider: ProviderResource, second_provider: ProviderResource) -> Produced:
    """Daily bars of every instrument as traded, without the rows that a quality rule refused."""
    answer = provider.provider.fetch(request_for(months))
    second = second_provider.provider.fetch(request_for(months)) if second_provider.is_chosen else None
    instruments = read_instruments(write.connection)
    listed = Listed(
        read_known_currencies(write.connection),
        {instrument.symbol: instrument.currency for instrument in instruments},
        {instrument.symbol: instrument.exchange for instrument in instruments},
    )
    load = judged_load(answer, months, second, listed)
    replace_quarantine(write, quarantined_rows(load.verdict, load.in_range, provider.name), months, answer.missing)
    load = load.releasing(read_released(write.connection, provider.name, months))
    source = record_provider(write.connection, provider.name, provider.notice)
    keep_payloads(
        write, provider.name, (StoredPayload(p.sha256, p.name, p.media_type, p.content) for p in answer.payloads)
    )
    ids = {instrument.symbol: instrument.id for instrument in instruments}
    unanswered = [ids[symbol] for symbol in answer.missing if symbol in ids]
    carried = read_rows_of(write.connection, PRICE, unanswered, months)
    carried_count = len(carried["session"])

    def finish(outcome: WriteOutcome) -> None:
        if second is not None and second.bars is not None:
            number = record_provider(write.connection, second_provider.name, second_provider.notice)
            replace_second_prices(write, second_columns(second.bars, ids, number, months), months)
        if answer.actions is not None:
            actions = action_columns(load.standing, answer.actions, ids, source, months)
            replace_actions(write, concatenated_actions(write, actions, unanswered, months), months)
        fetched, refused, repeats = load.fetched, load.quarantined, load.repeats
        record_ingest_run(write, provider.name, months, fetched, refused, repeats - carried_count, outcome)

    return Produced(
        rows=concatenated(PRICE, [price_columns(load.accepted, ids, source), carried]),
        checks=[*rule_outcomes(load.verdict, load.in_range), coverage_outcome(answer)],
        metadata=load_metadata(answer, load),
        empty_because="the provider has no bar in this month",
        after_write=finish,
    )


def request_for(months: MonthRange) -> FetchRequest:
    """The bars of some months, and those around them that rules look at."""
    first, end = months.back(MONTHS_JUDGED_BEFORE), add_months(months.end, MONTHS_JUDGED_AFTER)
    return FetchRequest("bars", (), first, end - timedelta(days=1))


def price_columns(bars: Bars, ids: dict[str, int], source: int) -> Columns:
    """Accepted bars as columns of the table."""
    id_of = np.array([ids[symbol] for symbol in bars.symbols], dtype=np.int32)
    numbers = {name: getattr(bars, name) for name in VALUE_FIELDS}
    return price_rows(id_of[bars.symbol_index], bars.sessions, source, numbers)


def concatenated_actions(write: Write, actions: Columns, unanswered: list[int], months: MonthRange) -> Columns:
    """The actions that the provider told of, and those stored of instruments that it did not answer for."""
    answered = ~np.isin(actions["instrument_id"], unanswered)
    told = {name: values[answered] for name, values in actions.items()}
    return concatenated(CORPORATE_ACTION, [told, read_rows_of(write.connection, CORPORATE_ACTION, unanswered, months)])


def second_columns(bars: Bars, ids: dict[str, int], source: int, months: MonthRange) -> Columns:
    """What the second provider says of the platform's instruments: its first bar of each key that has a close."""
    ordered = bars.sorted()
    is_known = np.array([symbol in ids for symbol in bars.symbols], dtype=bool)[ordered.symbol_index]
    kept = is_known & months_mask(ordered, months) & ~np.isnan(ordered.judged_close)
    unique = ordered.take(kept)
    return price_columns(unique.take(~unique.is_repeat), {s: ids.get(s, 0) for s in bars.symbols}, source)


def action_columns(bars: Bars, actions: Actions, ids: dict[str, int], source: int, months: MonthRange) -> Columns:
    """The actions of some months as columns of their table, each with its factor.

    Parameters
    ----------
    bars
        Accepted bars of the months and before; an action is measured on the last close before it.
    """
    assert bars.symbols == actions.symbols
    first, end = np.array([months.first, months.end], dtype="datetime64[D]")
    kept = (actions.ex_sessions >= first) & (actions.ex_sessions < end)
    # Closes that the provider has adjusted itself must not be adjusted again.
    traded = np.zeros(len(actions.symbols), dtype=bool)
    traded[bars.symbol_index[~np.isnan(bars.close)]] = True
    factors = np.where(traded[actions.symbol_index], action_factors(bars, actions), 1.0)
    id_of = np.array([ids[symbol] for symbol in actions.symbols], dtype=np.int32)
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
