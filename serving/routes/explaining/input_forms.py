"""What some explanations are made of beside closes: bars, holdings, books, weights, monthly scores and parts."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from pipeline.store.corporate_actions import CORPORATE_ACTION
from pipeline.store.prices import PRICE
from serving.answers import Row, described_by


@described_by(PRICE)
class GivenBarOut(Row):
    """A bar as its provider gave it."""

    session: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    close_adjusted: float | None
    provider: str = Field(description="Who gave it.")
    materialization_id: int = Field(description="Write that stored it.")


class RevisedOut(Row):
    """A bar that another one has replaced."""

    session: date
    close: float | None
    close_adjusted: float | None
    volume: float | None
    materialization_id: int = Field(description="Write that stored it.")
    superseded_by: int = Field(description="Write that replaced or deleted it.")


@described_by(CORPORATE_ACTION)
class ActionOut(Row):
    """A split or a dividend."""

    ex_session: date
    split_numerator: int
    split_denominator: int
    dividend: float
    factor: float
    materialization_id: int


class BarInputsOut(Row):
    """What a served price is made of."""

    price_unit: float = Field(
        description="Units of the instrument's currency that one of the given prices is: 0.01 for pence, else 1."
    )
    given: list[GivenBarOut] = Field(description="Bars, oldest first.")
    actions: list[ActionOut] = Field(description="After the first of the bars, oldest first.")
    revisions: list[RevisedOut] = Field(description="What the bars were before, oldest first; empty if never revised.")


class ValuedOut(Row):
    """A position at a close; its value is quantity × price × exchange_rate."""

    symbol: str
    quantity: float = Field(description="Units held, as units are on `session`: splits are counted, and dividends.")
    session: date = Field(description="Of the price: the last one up to the explained session.")
    price: float = Field(description="Close as traded; the provider's adjusted close where it gives no other.")
    currency: str = Field(description="Of the price.")
    exchange_rate: float = Field(description="Units of the base currency for one of `currency`.")
    value: float


class TradeOut(Row):
    """A purchase or sale of a book."""

    session: date
    symbol: str
    units: float = Field(description="Added, in the units of `close`; negative for sales.")
    paid: float = Field(description="With the fee, in the base currency; negative is received.")


class CashFlowOut(Row):
    """Money paid into a book, or taken out."""

    session: date
    amount: float = Field(description="Paid in; negative is taken out.")
    fee: float


class BookInputsOut(Row):
    """What a book is made of, in the order of its transactions."""

    trades: list[TradeOut]
    flows: list[CashFlowOut]


class SetWeightsOut(Row):
    """Weights that a strategy has set."""

    session: date
    weights: dict[str, float] = Field(description="Symbol → weight, of what is held.")


class StrategyInputsOut(Row):
    """What a figure of a strategy is made of, beside closes."""

    set_weights: list[SetWeightsOut] = Field(description="Those that were followed, oldest first.")
    nav_before: float | None = Field(None, description="Value at the close at which the last of them were traded.")
    cost_fraction: float | None = Field(None, description="Cost of what is bought or sold.")
    nav: list[float] = Field([], description="Of the whole history, for what is measured over all of it.")
    turnover: list[float] = Field([], description="As nav.")
    cost: list[float] = Field([], description="As nav.")


class ScoreInputsOut(Row):
    """Stored scores by month, summed over the instruments."""

    months: list[date]
    forecasts: list[int]
    hits: list[int] = Field(description="Returns below their quantile; 0 for other kinds.")
    loss: list[float]
    baseline_loss: list[float]
    squared_error: list[float | None]
    baseline_squared_error: list[float | None]
    hit_series: list[list[bool]] = Field(description="Of each instrument in the order of time; quantiles only.")


SumIs = Literal["log_variance", "probability", "log_odds", "score"]


class PartsOut(Row):
    """A forecast of a model that looks at all instruments, in parts."""

    instruments: int = Field(description="That the model looked at.")
    features: dict[str, float] = Field(description="What a regression saw, by name; of a combination its weights.")
    contributions: dict[str, float] = Field(description="What each part adds.")
    sum_is: SumIs = Field(
        description="What their sum Σ is: the logarithm of a variance a session, of which √periods_per_year ×"
        " exp(Σ / 2) is the volatility; a probability; log odds, whose probability is 1 / (1 + exp(-Σ)); or the score"
        " of a fifth, whose probability is exp(Σ) over the sum of that of all `fifths`."
    )
    fifths: dict[str, dict[str, float]] | None = Field(
        None, description="Fifth, 1 the lowest → contributions to its score; null where the sum is no score."
    )
