"""Code location ``simulation``: simulated outcomes of portfolios, and strategies, as prices and portfolios change."""

from __future__ import annotations

import dagster as dg

from pipeline.orchestration.locations import assemble
from pipeline.orchestration.resources import Overrides, production_database
from pipeline.simulation.assets import portfolio_simulation, strategy_nav, strategy_weights


def build_definitions(overrides: Overrides | None = None) -> dg.Definitions:
    """The location as production runs it, or with a test's resources in place of production's."""
    assets = [portfolio_simulation, strategy_weights, strategy_nav]
    return assemble("simulation", assets, {"database": production_database()}, overrides)


defs = build_definitions()
