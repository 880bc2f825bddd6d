"""Code location ``forecast``: expected volatility, return quantiles and probabilities, and their scores."""

from __future__ import annotations

import dagster as dg

from pipeline.forecast.assets import probabilities, quantiles, scores, volatility
from pipeline.orchestration.locations import assemble
from pipeline.orchestration.resources import Overrides, production_database


def build_definitions(overrides: Overrides | None = None) -> dg.Definitions:
    """The location as production runs it, or with a test's resources in place of production's."""
    assets = [volatility, quantiles, probabilities, scores]
    return assemble("forecast", assets, {"database": production_database()}, overrides)


defs = build_definitions()
