"""When things run without being asked: after the New York close, then as inputs change."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from pipeline.base.calendars import NEW_YORK_TIME_ZONE

AFTER_CLOSE_CRON = "0 18 * * 1-5"
"""Two hours after the close, when end-of-day prices have settled."""

# A blocking check only holds back its own run; the condition holds back the runs of other locations.
AS_INPUTS_CHANGE = (
    dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()
).with_label("eager, once blocking checks of the inputs have passed")

FRESH_EVERY_SESSION = dg.FreshnessPolicy.cron(
    deadline_cron="0 21 * * 1-5", lower_bound_delta=timedelta(hours=6), timezone=NEW_YORK_TIME_ZONE
)
"""Materialised between 15:00 and 21:00 New York time on every weekday."""


def automation_sensor(location: str) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates a location's conditions; running, where Dagster's default is stopped."""
    return dg.AutomationConditionSensorDefinition(
        f"{location}_automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )
