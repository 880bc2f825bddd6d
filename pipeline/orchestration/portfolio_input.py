"""``portfolios``: what users hold. No asset makes it; a sensor tells Dagster when it has changed.

It is here because risk and simulation both read it, and the command line reports it.
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
import dagster as dg
from psycopg import Connection

from pipeline.orchestration.asset_page import sparkline
from pipeline.orchestration.resources import DatabaseResource
from pipeline.orchestration.table_assets import asset_attributes
from pipeline.store.materializations import UNPARTITIONED, read_partition_states
from pipeline.store.portfolios import PORTFOLIO, PORTFOLIOS_INPUT, read_portfolios

WRITE_METADATA = "fintech/write"

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
    """Report a change of the portfolios once: the newest event names the write that it tells of."""
    database: DatabaseResource = context.resources.database
    with database.database.connect() as connection:
        state = read_partition_states(connection, PORTFOLIOS_INPUT).get(UNPARTITIONED)
        known = context.instance.get_latest_materialization_event(dg.AssetKey(PORTFOLIOS_INPUT))
        if state is None or _is_of(known, state.changed_by):
            return dg.SkipReason("no portfolio was stored since the last look")
        return dg.SensorResult(asset_events=[portfolios_event(connection, state.changed_by)])


def _is_of(entry: dg.EventLogEntry | None, write: int) -> bool:
    """Whether the newest event tells of that write."""
    materialization = entry.asset_materialization if entry else None
    told = materialization.metadata.get(WRITE_METADATA) if materialization else None
    return told is not None and told.value == write


def portfolios_event(connection: Connection, write: int) -> dg.AssetMaterialization:
    """The portfolios as they stand after a write, for the asset page."""
    known = read_portfolios(connection)
    positions = [float(len(portfolio.positions)) for portfolio in known]
    return dg.AssetMaterialization(
        PORTFOLIOS_INPUT,
        metadata={
            "dagster/row_count": len(known),
            WRITE_METADATA: write,
            "positions_count": sum(positions),
            "largest_positions_count": max(positions, default=0.0),
            "with_quantities_count": sum(portfolio.rebalancing == "buy_and_hold" for portfolio in known),
            "with_target_weights_count": sum(portfolio.rebalancing != "buy_and_hold" for portfolio in known),
            "trend": sparkline(positions, "positions by portfolio"),
        },
    )
