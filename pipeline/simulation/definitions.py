"""Code location ``simulation``: simulated outcomes of portfolios, as prices and portfolios change."""

from __future__ import annotations

import dagster as dg

from pipeline.orchestration.locations import assemble
from pipeline.orchestration.resources import Overrides, production_database
from pipeline.simulation.assets import portfolio_simulation


def build_definitions(overrides: Overrides | None = None) -> dg.Definitions:
    """The location as production runs it, or with a test's resources in place of production's."""
    return assemble("simulation", [portfolio_simulation], {"database": production_database()}, overrides)


defs = build_definitions()
