"""``portfolios``: what users hold. No asset makes it; a sensor tells Dagster when it has changed."""

from __future__ import annotations

import dagster as dg
from psycopg import Connection

from pipeline.orchestration.asset_page import sparkline
from pipeline.orchestration.resources import DatabaseResource
from pipeline.orchestration.table_assets import asset_attributes
from pipeline.store.materializations import UNPARTITIONED, read_partition_states
from pipeline.store.portfolios import PORTFOLIO, PORTFOLIOS_INPUT, read_portfolios

_ATTRIBUTES = asset_attributes(PORTFOLIOS_INPUT, PORTFOLIO, "risk", frozenset({"postgres"}), {})

portfolios = dg.AssetSpec(
    PORTFOLIOS_INPUT,
    description="Portfolios that users and the API have stored, with their positions.",
    **{name: value for name, value in _ATTRIBUTES.items() if name not in ("name", "freshness_policy")},
)


@dg.sensor(
    name="portfolios_changed",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"database"},
    description="Tells Dagster when a portfolio was stored, so that what depends on it is computed.",
)
def portfolios_changed(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Report a change of the portfolios once; the cursor is the number of the write."""
    database: DatabaseResource = context.resources.database
    with database.database.connect() as connection:
        state = read_partition_states(connection, PORTFOLIOS_INPUT).get(UNPARTITIONED)
        if state is None or str(state.changed_by) == context.cursor:
            return dg.SkipReason("no portfolio was stored since the last look")
        event = portfolios_event(connection)
    return dg.SensorResult(asset_events=[event], cursor=str(state.changed_by))


def portfolios_event(connection: Connection) -> dg.AssetMaterialization:
    """The portfolios as they stand, for the asset page."""
    known = read_portfolios(connection)
    positions = [float(len(portfolio.positions)) for portfolio in known]
    return dg.AssetMaterialization(
        PORTFOLIOS_INPUT,
        metadata={
            "dagster/row_count": len(known),
            "positions_count": sum(positions),
            "largest_positions_count": max(positions, default=0.0),
            "with_quantities_count": sum(portfolio.rebalancing == "buy_and_hold" for portfolio in known),
            "with_target_weights_count": sum(portfolio.rebalancing != "buy_and_hold" for portfolio in known),
            "trend": sparkline(positions, "positions by portfolio"),
        },
    )
