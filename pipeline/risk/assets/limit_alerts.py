"""Sensor ``limit_alerts``: limits are judged as they change, and what is to be told is delivered."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
import dagster as dg

from pipeline.base.settings import env_name, load_settings
from pipeline.orchestration.resources import DatabaseResource
from pipeline.risk.assets.limit_watch import judge_limits
from pipeline.risk.assets.webhook import Receiver, deliver_events


class AlertsResource(dg.ConfigurableResource["AlertsResource"]):
    """Where alerts go.

    Parameters
    ----------
    url
        Address; empty to read ``FINTECH_ALERT_WEBHOOK_URL`` when a tick asks, so that Dagster, which keeps and shows
        what a resource is configured with, never sees a secret in it.
    """

    url: str = ""

    @property
    def receiver(self) -> Receiver | None:
        """The receiver, if one is set."""
        if self.url:
            return Receiver(self.url)
        secret = load_settings().alert_webhook_url
        return None if secret is None else Receiver(secret.get_secret_value())


@dg.sensor(
    name="limit_alerts",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"database", "alerts"},
    description="Judges limits that were set or changed, and posts each event of a limit once to the webhook.",
)
def limit_alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Judge and deliver; no run is asked for.

    The state is the stored events alone, so a tick that is lost or repeated changes nothing.
    """
    database: DatabaseResource = context.resources.database
    alerts: AlertsResource = context.resources.alerts
    with database.database.connect() as connection:
        judge_limits(connection)
    receiver = alerts.receiver
    if receiver is None:
        return dg.SkipReason(f"{env_name('alert_webhook_url')} is not set: events wait in limit_event")
    round_ = deliver_events(database.database, receiver)
    for failure in round_.failures:
        context.log.warning(f"not delivered, tried again with the next tick: {failure}")
    return dg.SkipReason(f"{round_.delivered} events delivered, {len(round_.failures)} not")
