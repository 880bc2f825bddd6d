"""Forecast models, one a file, and the registries that backtests are made from.

A new model is a frozen dataclass with the methods of its protocol and a line in its registry; it inherits the tests
of ``tests/unit/forecast``.
"""

from __future__ import annotations

from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.filtered_historical import FilteredHistorical
from pipeline.forecast.models.har import Har
from pipeline.forecast.models.protocol import QuantileModel, VolatilityModel

__all__ = ["QUANTILE_MODELS", "VOLATILITY_MODELS", "ForecastInputError", "QuantileModel", "VolatilityModel"]

VOLATILITY_MODELS: tuple[VolatilityModel, ...] = (Ewma(), Har())

QUANTILE_MODELS: tuple[QuantileModel, ...] = (FilteredHistorical(),)
