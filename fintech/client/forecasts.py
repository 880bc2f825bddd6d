"""Methods of the client for forecasts, the models that make them, and how they have done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fintech.answers.forecasts import (
    MODELS,
    PROBABILITIES,
    QUANTILES,
    SCORES,
    VOLATILITY,
    ChampionAnswer,
    Forecasts,
    Model,
    ModelAnswer,
    OwnForecast,
    PortfolioForecast,
    Score,
)
from fintech.answers.market_data import SYMBOL
from fintech.answers.records import Listing
from fintech.asking import bytes_of, success_of
from fintech.client.requests import Day, Limit, Requests, part, window
from fintech.series import Series, Told


class Forecasting(Requests):
    """What is expected."""

    def forecasts(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: int | None = None
    ) -> Forecasts:
        """Every model's latest forecasts of an instrument; with a window, the newest inside it."""
        body = self._get(f"/instruments/{part(symbol)}/forecasts", window(start, end, limit))
        told = Told.of(body)
        series = {
            "volatility": Series.of(body["volatility"], VOLATILITY, told),
            "quantiles": Series.of(body["quantiles"], QUANTILES, told),
        }
        return Forecasts.model_validate(body | series)

    def volatility_forecasts(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Volatilities that models expected of an instrument: a row a session and model."""
        return self._series(f"/instruments/{part(symbol)}/forecasts/volatility", VOLATILITY, window(start, end, limit))

    def quantile_forecasts(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Distributions that models expected of an instrument: a row a session, model and horizon."""
        return self._series(f"/instruments/{part(symbol)}/forecasts/quantiles", QUANTILES, window(start, end, limit))

    def probability_forecasts(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Chances of a positive return and of its rank, each with its record: a row a session and model."""
        path = f"/instruments/{part(symbol)}/forecasts/probabilities"
        return self._series(path, PROBABILITIES, window(start, end, limit))

    def volatility_forecasts_of(
        self, symbols: Sequence[str], *, start: Day | None = None, end: Day | None = None
    ) -> Series:
        """Expected volatilities of up to 500 instruments, one after the other; the newest year without `start`."""
        query = window(start, end, "all") | {"symbols": ",".join(symbols)}
        return self._series("/volatility-forecasts", {**SYMBOL, **VOLATILITY}, query, is_forward=True)

    def quantile_forecasts_of(
        self, symbols: Sequence[str], *, start: Day | None = None, end: Day | None = None
    ) -> Series:
        """Expected distributions of up to 500 instruments, one after the other; the newest year without `start`."""
        query = window(start, end, "all") | {"symbols": ",".join(symbols)}
        return self._series("/quantile-forecasts", {**SYMBOL, **QUANTILES}, query, is_forward=True)

    def probability_forecasts_of(
        self, symbols: Sequence[str], *, start: Day | None = None, end: Day | None = None
    ) -> Series:
        """Chances of up to 500 instruments, one after the other; the newest year without `start`."""
        query = window(start, end, "all") | {"symbols": ",".join(symbols)}
        return self._series("/probability-forecasts", {**SYMBOL, **PROBABILITIES}, query, is_forward=True)

    def portfolio_forecast(self, portfolio: str | int, *, as_of: Day | None = None) -> PortfolioForecast:
        """What is expected of a portfolio's present holdings."""
        return PortfolioForecast.model_validate(self._get(f"/portfolios/{part(portfolio)}/forecast", {"as_of": as_of}))

    def compute_forecast(self, portfolio: str | int, **how: Any) -> PortfolioForecast:
        """The same over other horizons and at other levels: ``horizons_sessions=[1, 5, 21]``."""
        return self._computed(f"/portfolios/{part(portfolio)}/forecast", how, PortfolioForecast)

    def forecast(self, **what: Any) -> OwnForecast:
        """What is expected of ``returns`` or ``prices`` of your own, as ``POST /api/v1/forecast`` takes them."""
        return self._computed("/forecast", what, OwnForecast)

    # Models ------------------------------------------------------------------------------------------------

    def models(self) -> Listing[Model]:
        """Every version of every forecast model."""
        return self._listing("/models", Model, MODELS, limit=None)

    def model(self, name: str) -> ModelAnswer:
        """The newest version of a model, with the champions that it was."""
        return ModelAnswer.model_validate(self._get(f"/models/{part(name)}"))

    def model_card(self, name: str) -> str:
        """The card of a model, as Markdown."""
        query = {"form": "markdown"}
        return bytes_of(self._ask("GET", f"/models/{part(name)}/card", query=query, headers={"Accept": "*/*"})).decode()

    def promote_model(self, name: str, note: str) -> ChampionAnswer:
        """Make a model the champion of its target; `note` says why, and is kept."""
        return ChampionAnswer.model_validate(success_of(self._posted(f"/models/{part(name)}/promote", {"note": note})))

    def roll_model_back(self, name: str, note: str) -> ChampionAnswer:
        """Make the champion before this one champion again."""
        return ChampionAnswer.model_validate(success_of(self._posted(f"/models/{part(name)}/rollback", {"note": note})))

    def scores(
        self,
        *,
        symbol: str | None = None,
        model: str | None = None,
        kind: str | None = None,
        horizon_sessions: int | None = None,
        start: Day | None = None,
        end: Day | None = None,
        by: str | None = None,
    ) -> Listing[Score]:
        """How forecasts have done beside the naive ones, over all instruments or one."""
        query = {
            "symbol": symbol,
            "model": model,
            "kind": kind,
            "horizon_sessions": horizon_sessions,
            "start": start,
            "end": end,
            "by": by,
        }
        return self._listing("/scores", Score, SCORES, query, limit=None)
