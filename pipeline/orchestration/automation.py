"""When things run without being asked: after the New York close, then as inputs change."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from pipeline.base.calendars import NEW_YORK_TIME_ZONE

AFTER_CLOSE_CRON = "0 18 * * 1-5"
"""Two hours after the close, when end-of-day prices have settled."""

# Made again and seldom different: instruments every day, of which every month depends on them; units of drift bands
# after every price, for all months from it on. Here only a change counts, which the asset tells by its data version.
# Other inputs count with every materialisation.
_UNITS = dg.AssetSelection.assets("portfolio_units")
_SELDOM_DIFFERENT = dg.AssetSelection.assets("instruments") | _UNITS
_INPUTS_CHANGED = dg.AutomationCondition.any_deps_updated().ignore(
    _SELDOM_DIFFERENT
) | dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()).allow(_SELDOM_DIFFERENT)

# Risk-free rates are optional, and those of old months may never be read; without a drift band no units are needed,
# and with one they are named as missing. What is not there holds nothing back.
_INPUTS_MISSING = dg.AutomationCondition.any_deps_missing().ignore(dg.AssetSelection.assets("interest_rates") | _UNITS)

# Dagster's `eager` looks at the latest month alone; released rows, late corrections and new portfolios change others.
# What is missing when a condition is first evaluated counts as handled, so a first deployment asks for nothing. The
# sensor turns all months that one tick asks for into one backfill, and `BackfillPolicy.single_run` that into a run for
# each contiguous range of months, so a change of all 396 months is one run an asset.
# A blocking check only holds back its own run; the condition holds back the runs of other locations.
AS_INPUTS_CHANGE = (
    dg.AutomationCondition.eager()
    .without(dg.AutomationCondition.in_latest_time_window())
    .replace("any_deps_updated", _INPUTS_CHANGED)
    .replace("any_deps_missing", _INPUTS_MISSING)
    & dg.AutomationCondition.all_deps_blocking_checks_passed().ignore(_UNITS)
).with_label("eager for every month, once blocking checks of the inputs have passed")

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
        emit_backfills=True,
    )
