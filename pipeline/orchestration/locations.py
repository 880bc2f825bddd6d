"""How a code location is put together; each `definitions` names only what is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import dagster as dg

from pipeline.orchestration.automation import automation_sensor
from pipeline.orchestration.resources import Overrides


def assemble(
    location: str,
    assets: Sequence[ModuleType],
    resources: Mapping[str, Any],
    overrides: Overrides | None,
    *,
    schedules: Sequence[dg.ScheduleDefinition] = (),
    sensors: Sequence[dg.SensorDefinition] = (),
) -> dg.Definitions:
    """The definitions of one code location.

    Parameters
    ----------
    assets
        Modules that hold its assets.
    resources
        Production's resources by key.
    overrides
        Resources that take their place, as tests pass them.
    """
    return dg.Definitions(
        assets=dg.load_assets_from_modules(assets, include_specs=True),
        resources={**resources, **(overrides or {})},
        schedules=schedules,
        sensors=[automation_sensor(location), *sensors],
        # One process a run: a process per step costs 17 s more, nearly all of it imports (ADR 0001).
        executor=dg.in_process_executor,
    )
