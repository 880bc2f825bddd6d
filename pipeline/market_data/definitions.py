"""Code location ``market_data``: instruments, prices and exchange rates, refreshed after the New York close."""

from __future__ import annotations

from datetime import date

import dagster as dg

from pipeline.base.calendars import NEW_YORK_TIME_ZONE
from pipeline.base.settings import Settings, env_name, load_settings
from pipeline.base.types import MonthRange, add_months
from pipeline.market_data.assets import fx, instruments, interest_rates, no_interest_rates, prices
from pipeline.market_data.assets.decisions import quarantine_decided
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.assets.retention import every_night
from pipeline.orchestration.alerts_resource import AlertsResource
from pipeline.orchestration.alerts_sensors import SENSORS
from pipeline.orchestration.automation import AFTER_CLOSE_CRON
from pipeline.orchestration.locations import assemble
from pipeline.orchestration.partitions import range_tags
from pipeline.orchestration.resources import Overrides, production_database

LATE_CORRECTION_DAYS = 7
"""In the first days of a month the month before is read again: providers still correct its last bars."""

REFRESH_JOB = dg.define_asset_job(
    "refresh_market_data",
    selection=dg.AssetSelection.groups("market_data"),
    description="Read the provider again and write what has changed.",
)


@dg.schedule(
    name="after_new_york_close",
    job=REFRESH_JOB,
    cron_schedule=AFTER_CLOSE_CRON,
    execution_timezone=NEW_YORK_TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Weekdays at 18:00 New York: the running month, and in its first days the month before too.",
)
def after_new_york_close(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the months that may have changed."""
    months = months_to_refresh(context.scheduled_execution_time.date())
    return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}", tags=range_tags(months))


def months_to_refresh(day: date) -> MonthRange:
    """The running month, and the one before it in the first days of a month."""
    running = day.replace(day=1)
    return MonthRange(add_months(running, -1) if day.day <= LATE_CORRECTION_DAYS else running, running)


def chosen_providers(settings: Settings) -> dict[str, ProviderResource]:
    """A resource for each setting that chooses a provider."""
    return {
        "provider": ProviderResource(name=settings.provider),
        **{
            field: ProviderResource(name=getattr(settings, field) or "", variable=env_name(field))
            for field in ("fx_provider", "interest_provider", "second_provider")
        },
    }


def build_definitions(overrides: Overrides | None = None) -> dg.Definitions:
    """The location as production runs it, or with a test's resources in place of production's."""
    settings = load_settings()
    return assemble(
        "market_data",
        [instruments, prices, fx, interest_rates if settings.interest_provider else no_interest_rates],
        {"database": production_database(), "alerts": AlertsResource(), **chosen_providers(settings)},
        overrides,
        schedules=[after_new_york_close, every_night],
        sensors=[quarantine_decided, *SENSORS],
    )


defs = build_definitions()
