"""The inputs of an explanation that are no closes, as tables: each number that has one leads to its own explanation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from serving.pages.drawing import ChartTable
from serving.pages.formats import MISSING, percent, ratio, rounded
from serving.pages.links import instrument_at, why
from serving.routes.explaining.envelope import ExplanationOut, InputsOut
from serving.routes.explaining.input_forms import (
    BarInputsOut,
    BookInputsOut,
    ScoreInputsOut,
    StrategyInputsOut,
    SumIs,
)

MOST_ROWS = 40
"""Of a table, the newest; the JSON has all."""

SUMS: dict[SumIs, str] = {
    "log_variance": "What the logarithm of its variance adds up",
    "probability": "What the probability adds up",
    "log_odds": "What the logarithm of its odds adds up",
    "score": "What the score of its fifth adds up",
}
"""What parts add up to → caption of their table."""


def input_tables(explained: ExplanationOut, subject: str) -> list[ChartTable]:
    """The tables of an explanation, in the order in which it is read."""
    return [table for make in _MAKERS for table in make(explained.inputs, explained, subject) if table.rows]


def _bars(inputs: InputsOut, _: ExplanationOut, subject: str) -> Iterator[ChartTable]:
    if inputs.bars is None:
        return
    yield _given(inputs.bars, subject)
    yield _actions(inputs.bars)
    yield _revisions(inputs.bars)


def _given(bars: BarInputsOut, subject: str) -> ChartTable:
    names = ("open", "high", "low", "close", "volume")
    heads = ("Session", "Open", "High", "Low", "Close", "Volume", "Own adjusted close", "Provider", "Write")
    rows, links = [], []
    for bar in bars.given:
        values = [rounded(getattr(bar, name)) for name in (*names, "close_adjusted")]
        rows.append([str(bar.session), *values, bar.provider, str(bar.materialization_id)])
        explained = [
            "" if getattr(bar, name) is None else why(f"{subject}/prices", measure=name, session=bar.session)
            for name in names
        ]
        links.append(["", *explained, "", "", _write(bar.materialization_id)])
    return ChartTable("The bar as it was given", heads, rows, links=links)


def _actions(bars: BarInputsOut) -> ChartTable:
    newest = bars.actions[-MOST_ROWS:]
    rows = [
        [
            str(one.ex_session),
            MISSING
            if one.split_numerator == one.split_denominator
            else f"{one.split_numerator}:{one.split_denominator}",
            rounded(one.dividend) if one.dividend else MISSING,
            rounded(one.factor),
            str(one.materialization_id),
        ]
        for one in newest
    ]
    links = [["", "", "", "", _write(one.materialization_id)] for one in newest]
    caption = _of_many("Splits and dividends after it", bars.actions)
    return ChartTable(caption, ("Ex-date", "Split", "Dividend", "Factor", "Write"), rows, links=links)


def _revisions(bars: BarInputsOut) -> ChartTable:
    rows = [
        [
            str(one.session),
            *(rounded(value) for value in (one.close, one.close_adjusted, one.volume)),
            str(one.materialization_id),
            str(one.superseded_by),
        ]
        for one in bars.revisions
    ]
    links = [["", "", "", "", _write(one.materialization_id), _write(one.superseded_by)] for one in bars.revisions]
    heads = ("Session", "Close", "Own adjusted close", "Volume", "Written by", "Replaced by")
    return ChartTable("What it was before it was revised", heads, rows, links=links)


def _positions(inputs: InputsOut, _: ExplanationOut, __: str) -> Iterator[ChartTable]:
    heads = ("Position", "Quantity", "Price", "Currency", "Rate", "Value", "Session")
    rows, links = [], []
    for one in inputs.positions or ():
        values = [rounded(one.quantity), rounded(one.price), one.currency, rounded(one.exchange_rate)]
        rows.append([one.symbol, *values, ratio(one.value), str(one.session)])
        priced = why(f"{instrument_at(one.symbol)}/prices", session=one.session)
        links.append(["", "", priced, "", "", priced, ""])
    if inputs.cash is not None:
        rows.append(["Cash", *[""] * 4, ratio(inputs.cash), ""])
        links.append([""] * 7)
    yield ChartTable("Quantity × price × exchange rate of each position", heads, rows, links=links)


def _book(inputs: InputsOut, _: ExplanationOut, __: str) -> Iterator[ChartTable]:
    if inputs.book is not None:
        yield _trades(inputs.book)
        yield _flows(inputs.book)


def _trades(book: BookInputsOut) -> ChartTable:
    rows = [[str(one.session), one.symbol, rounded(one.units), ratio(one.paid)] for one in book.trades[-MOST_ROWS:]]
    heads = ("Session", "Symbol", "Units of the closes", "Paid")
    return ChartTable(_of_many("Purchases and sales", book.trades), heads, rows)


def _flows(book: BookInputsOut) -> ChartTable:
    rows = [[str(one.session), ratio(one.amount), ratio(one.fee)] for one in book.flows[-MOST_ROWS:]]
    return ChartTable(_of_many("Money paid in and taken out", book.flows), ("Session", "Amount", "Fee"), rows)


def _strategy(inputs: InputsOut, explained: ExplanationOut, _: str) -> Iterator[ChartTable]:
    if inputs.strategy is not None:
        yield from _weights(inputs.strategy, str(explained.parameters["strategy"]))


def _weights(strategy: StrategyInputsOut, name: str) -> Iterator[ChartTable]:
    for one in strategy.set_weights:
        held = sorted(one.weights.items(), key=lambda item: -item[1])
        rows = [[symbol, percent(weight, 2)] for symbol, weight in held[:MOST_ROWS]]
        address = f"/strategies/{name}"
        links = [["", why(address, measure="weight", symbol=symbol, session=one.session)] for symbol, _ in held]
        caption = _of_many(f"Weights set at the close of {one.session}", held)
        yield ChartTable(caption, ("Stock", "Weight"), rows, links=links)


def _scores(inputs: InputsOut, _: ExplanationOut, __: str) -> Iterator[ChartTable]:
    if inputs.scores is not None:
        yield _months(inputs.scores)


def _months(scores: ScoreInputsOut) -> ChartTable:
    columns = (scores.forecasts, scores.hits, scores.loss, scores.baseline_loss)
    rows = [
        [f"{month:%Y-%m}", *(rounded(value) for value in values)]
        for month, *values in zip(scores.months, *columns, strict=True)
    ][-MOST_ROWS:]
    heads = ("Month", "Forecasts", "Hits", "Loss", "Naive loss")
    return ChartTable(_of_many("Stored scores by month, summed over the instruments", scores.months), heads, rows)


def _parts(inputs: InputsOut, _: ExplanationOut, __: str) -> Iterator[ChartTable]:
    if inputs.parts is not None:
        seen, added = inputs.parts.features, inputs.parts.contributions
        rows = [
            [name, rounded(seen.get(name, seen.get(f"weight_{name}"))), rounded(added[name])]
            for name in sorted(added, key=lambda name: -abs(added[name]))
        ]
        yield ChartTable(SUMS[inputs.parts.sum_is], ("Part", "Feature or weight", "Adds"), rows)


def _of_many(caption: str, rows: Sequence[object]) -> str:
    return caption if len(rows) <= MOST_ROWS else f"{caption}: {MOST_ROWS} of {len(rows)}"


def _write(number: int) -> str:
    return f"/writes/{number}"


_MAKERS: tuple[Callable[[InputsOut, ExplanationOut, str], Iterator[ChartTable]], ...] = (
    _bars,
    _positions,
    _book,
    _strategy,
    _scores,
    _parts,
)
