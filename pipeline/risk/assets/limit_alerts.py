"""Sensor ``limit_alerts``: limits are judged as they change, shown as checks, and what is to be told is delivered."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
import dagster as dg

from pipeline.base.settings import env_name
from pipeline.orchestration.alerts_resource import AlertsResource
from pipeline.orchestration.alerts_sending import Receiver
from pipeline.orchestration.resources import DatabaseResource
from pipeline.risk.assets.limit_watch import judge_limits, limit_checks
from pipeline.risk.assets.webhook import deliver_events
from pipeline.store.portfolio_risk import PORTFOLIO_RISK


@dg.sensor(
    name="limit_alerts",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"database", "alerts"},
    description="Judges limits that were set or changed, brings their checks up to date, and posts each event of a"
    " limit to the webhook: at least once, with a key by which the receiver can drop what it knows.",
)
def limit_alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Judge, show and deliver; no run is asked for.

    The state is the stored events and the last result of each check, so a tick that is lost or repeated changes
    nothing.
    """
    database: DatabaseResource = context.resources.database
    alerts: AlertsResource = context.resources.alerts
    with database.database.connect() as connection:
        judgements = judge_limits(connection)
    found = [check.told_of(PORTFOLIO_RISK.name) for check in limit_checks(judgements)]
    return dg.SensorResult(
        skip_reason=_delivered(context, database, alerts.receiver),
        asset_events=[evaluation for evaluation in found if _is_news(context.instance, evaluation)],
    )


def _delivered(context: dg.SensorEvaluationContext, database: DatabaseResource, receiver: Receiver | None) -> str:
    """Deliver what waits, and say what came of it."""
    if receiver is None:
        return f"{env_name('alert_webhook_url')} is not set: events wait in limit_event"
    round_ = deliver_events(database.database, receiver)
    for failure in round_.failures:
        context.log.warning(f"not delivered, tried again with the next tick: {failure}")
    return f"{round_.delivered} events delivered, {len(round_.failures)} not"


def _is_news(instance: dg.DagsterInstance, found: dg.AssetCheckEvaluation) -> bool:
    """Whether the check shows something else. Only then is it told: a tick every 30 s would fill the event log."""
    last = instance.get_latest_asset_check_evaluation_record(found.asset_check_key)
    shown = None if last is None else last.evaluation
    return shown is None or (shown.passed, shown.metadata) != (found.passed, found.metadata)
