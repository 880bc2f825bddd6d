"""Code location ``risk``: rolling measures of instruments and portfolios, as prices and portfolios change."""

from __future__ import annotations

import dagster as dg

from pipeline.orchestration import portfolio_input
from pipeline.orchestration.locations import assemble
from pipeline.orchestration.resources import Overrides, production_database
from pipeline.risk.assets import instrument_risk, portfolio_risk


def build_definitions(overrides: Overrides | None = None) -> dg.Definitions:
    """The location as production runs it, or with a test's resources in place of production's."""
    return assemble(
        "risk",
        [portfolio_input, instrument_risk, portfolio_risk],
        {"database": production_database()},
        overrides,
        sensors=[portfolio_input.portfolios_changed],
    )


defs = build_definitions()
