"""Forecast models, one a file, and the registries that backtests are made from.

A new model is a frozen dataclass with the methods of its protocol and a line in its registry; it inherits the tests
of ``tests/unit/forecast``.
"""

from __future__ import annotations

from pipeline.forecast.models.combination import Combination
from pipeline.forecast.models.conformal import Conformal
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.filtered_historical import FilteredHistorical
from pipeline.forecast.models.gjr_garch import GjrGarchT
from pipeline.forecast.models.har import Har
from pipeline.forecast.models.panel import PanelModel
from pipeline.forecast.models.pooled_panel import PooledPanel
from pipeline.forecast.models.protocol import QuantileModel, VolatilityModel

__all__ = [
    "PANEL_MODELS",
    "QUANTILE_MODELS",
    "VOLATILITY_MODELS",
    "ForecastInputError",
    "PanelModel",
    "QuantileModel",
    "VolatilityModel",
]

VOLATILITY_MODELS: tuple[VolatilityModel, ...] = (Ewma(), Har(), GjrGarchT())
"""Of single series."""

PANEL_MODELS: tuple[PanelModel, ...] = (PooledPanel(), Combination())
"""Of volatility too, but they look at all instruments; each after those that it builds on."""

QUANTILE_MODELS: tuple[QuantileModel, ...] = (FilteredHistorical(), Conformal())
