"""Forecasts of instruments, portfolios and own series, the models that make them, and how they have done."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from fintech.answers.records import Answer, Record, each, table
from fintech.series import Columns, Series, columns_of, frame
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST

if TYPE_CHECKING:
    import pandas as pd

VOLATILITY = columns_of(VOLATILITY_FORECAST, "instrument_id")
QUANTILES = columns_of(QUANTILE_FORECAST, "instrument_id")
PROBABILITIES: Columns = {
    **columns_of(PROBABILITY_FORECAST, "instrument_id"),
    **each("float", "positive_relative_loss", "rank_relative_loss"),
    **each("text", "positive_record", "rank_record"),
}
MODELS: Columns = {
    **each("text", "name", "target", "version"),
    "is_champion": "truth",
    **each("date", "trained_from", "trained_through", "scored_through"),
    "relative_loss": "float",
    "registered_at": "time",
}
SCORES: Columns = {
    **each("text", "model", "kind", "baseline"),
    **each("int", "horizon_sessions", "instruments", "forecasts"),
    **each("date", "first_month", "last_month"),
    "regime": "text",
    **each("float", "loss", "baseline_loss", "relative_loss", "diebold_mariano_p_value", "level", "coverage"),
}
OWN_VOLATILITY: Columns = each("text", "model") | each("int", "horizon_sessions") | each("float", "volatility")
LEVELS: Columns = each("text", "model") | each("int", "horizon_sessions") | each("float", "level", "value")


class Forecasts(Answer):
    """Forecasts of an instrument by every model."""

    symbol: str
    volatility: Series
    quantiles: Series


class Horizon(Record):
    """A volatility per year over the sessions to come."""

    horizon_sessions: int
    volatility: float


class VolatilityModel(Record):
    """What one model expects."""

    model: str
    model_version: str
    horizons: tuple[Horizon, ...]


class Level(Record):
    """A quantile or an expected shortfall at a level."""

    level: float
    value: float


class QuantileModel(Record):
    """The distribution that one model expects."""

    model: str
    model_version: str
    horizon_sessions: int
    quantiles: tuple[Level, ...]
    expected_shortfalls: tuple[Level, ...]


class PortfolioForecast(Answer):
    """What is expected of a portfolio's present holdings."""

    portfolio_id: int
    as_of: date
    first_session: date
    returns: int
    volatility: tuple[VolatilityModel, ...]
    quantiles: tuple[QuantileModel, ...]
    unavailable: dict[str, str]

    def to_df(self) -> pd.DataFrame:
        """Volatilities by model: a row a horizon."""
        rows = [{"model": each_.model, **found.model_dump()} for each_ in self.volatility for found in each_.horizons]
        return frame(rows, OWN_VOLATILITY, self.told).set_index("model")

    def quantiles_to_df(self) -> pd.DataFrame:
        """Quantiles by model: a row a level."""
        rows = [
            {"model": each_.model, "horizon_sessions": each_.horizon_sessions, **found.model_dump()}
            for each_ in self.quantiles
            for found in each_.quantiles
        ]
        return frame(rows, LEVELS, self.told).set_index("model")


class OwnVolatility(Record):
    """A volatility per year that a model expects of own returns."""

    model: str
    version: str
    horizon_sessions: int
    volatility: float


class OwnLongerQuantile(Record):
    """A quantile that a model expects of own returns over several sessions."""

    model: str
    version: str
    horizon_sessions: int
    level: float
    quantile: float


class OwnLongerShortfall(Record):
    """A loss beyond the quantile that a model expects of own returns over several sessions."""

    model: str
    version: str
    horizon_sessions: int
    level: float
    expected_shortfall: float


class OwnForecast(Answer):
    """What is expected of own returns; a model that needs more of them is `left_out`."""

    as_of: date | None
    returns: int
    volatility: tuple[OwnVolatility, ...]
    quantiles: tuple[dict[str, Any], ...]
    expected_shortfalls: tuple[dict[str, Any], ...]
    longer_quantiles: tuple[OwnLongerQuantile, ...] = ()
    longer_expected_shortfalls: tuple[OwnLongerShortfall, ...] = ()
    left_out: tuple[dict[str, str], ...]

    def to_df(self) -> pd.DataFrame:
        """Volatilities by model: a row a horizon."""
        return table(self.volatility, OWN_VOLATILITY, self.told)


class Champion(Record):
    """The model that forecasts of a target are taken from, since a moment."""

    id: int
    target: str
    name: str
    version: str
    reason: str
    actor: str
    note: str
    relative_loss: float | None
    scored_through: date | None
    at: datetime


class ChampionAnswer(Champion, Answer):
    """The model that was made champion."""


class Model(Record):
    """A version of a forecast model."""

    target: str
    name: str
    version: str
    is_champion: bool
    hyperparameters: dict[str, Any]
    trained_from: date | None
    trained_through: date | None
    scores: dict[str, Any]
    relative_loss: float | None
    scored_through: date | None
    registered_at: datetime


class ModelAnswer(Model, Answer):
    """One model, with the champions that it was."""

    champions: tuple[Champion, ...]


class Score(Record):
    """How a model's forecasts have done beside the naive ones."""

    model: str
    kind: str
    horizon_sessions: int
    baseline: str
    instruments: int
    forecasts: int
    first_month: date
    last_month: date
    regime: str | None = None
    loss: float
    baseline_loss: float
    relative_loss: float | None
    undefined: str | None
