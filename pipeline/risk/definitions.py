"""Code location ``risk``: rolling measures of instruments and portfolios, as prices and portfolios change."""

from __future__ import annotations

import dagster as dg

from pipeline.orchestration import portfolio_input
from pipeline.orchestration.alerts_resource import AlertsResource
from pipeline.orchestration.locations import assemble
from pipeline.orchestration.resources import Overrides, production_database
from pipeline.risk.assets import (
    covariance,
    factor_exposure,
    instrument_risk,
    limit_alerts,
    portfolio_contribution,
    portfolio_risk,
    portfolio_tail,
    portfolio_units,
    stress_results,
    var_backtests,
)


def build_definitions(overrides: Overrides | None = None) -> dg.Definitions:
    """The location as production runs it, or with a test's resources in place of production's."""
    return assemble(
        "risk",
        [
            portfolio_input,
            instrument_risk,
            portfolio_units,
            portfolio_risk,
            stress_results,
            covariance,
            factor_exposure,
            portfolio_contribution,
            portfolio_tail,
            var_backtests,
        ],
        {"database": production_database(), "alerts": AlertsResource()},
        overrides,
        sensors=[portfolio_input.portfolios_changed, limit_alerts.limit_alerts],
    )


defs = build_definitions()
