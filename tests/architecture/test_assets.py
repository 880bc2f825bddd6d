"""Every asset of every location says what it is; one that does not fails here."""

from collections.abc import Iterator
from importlib import import_module

import dagster as dg
import pytest
import yaml

from pipeline.base.settings import PROJECT_ROOT
from pipeline.orchestration.checks import BOUNDS
from pipeline.orchestration.portfolio_input import portfolios
from pipeline.store.tables import all_tables

WORKSPACE = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text())["load_from"]
LOCATIONS = {entry["python_module"]["location_name"]: entry["python_module"]["module_name"] for entry in WORKSPACE}


def assets_of(location: str) -> list[dg.AssetsDefinition]:
    definitions = import_module(LOCATIONS[location]).build_definitions()
    return [asset for asset in definitions.assets if isinstance(asset, dg.AssetsDefinition)]


def all_specs() -> Iterator[tuple[str, dg.AssetSpec]]:
    for location in LOCATIONS:
        for asset in assets_of(location):
            yield location, next(iter(asset.specs))
    yield "risk", portfolios


SPECS = list(all_specs())
BY_NAME = pytest.mark.parametrize(("location", "spec"), SPECS, ids=[spec.key.to_user_string() for _, spec in SPECS])
MADE = [(location, asset) for location in LOCATIONS for asset in assets_of(location)]
MADE_BY_NAME = pytest.mark.parametrize(
    ("location", "asset"), MADE, ids=[asset.key.to_user_string() for _, asset in MADE]
)


def test_the_workspace_names_the_four_locations() -> None:
    assert list(LOCATIONS) == ["market_data", "risk", "simulation", "forecast"]


@BY_NAME
def test_asset_has_owner_kind_tags_and_group(location: str, spec: dg.AssetSpec) -> None:
    assert list(spec.owners) == [f"team:{location.replace('_', '-')}"]
    assert {key.removeprefix("dagster/kind/") for key in spec.tags if key.startswith("dagster/kind/")} >= {"postgres"}
    assert spec.tags["domain"] == location
    assert spec.group_name == location
    assert spec.code_version


@BY_NAME
def test_asset_begins_with_one_plain_sentence(location: str, spec: dg.AssetSpec) -> None:
    first = (spec.description or "").strip().splitlines()[0]
    assert first.endswith(".")
    assert 20 <= len(first) <= 120


@BY_NAME
def test_asset_schema_is_its_tables(location: str, spec: dg.AssetSpec) -> None:
    table = all_tables().tables[spec.metadata["dagster/table_name"]]
    schema = spec.metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == list(table.columns.keys())
    assert all(column.description.strip().endswith(".") for column in schema.columns)


@MADE_BY_NAME
def test_asset_is_fresh_every_session(location: str, asset: dg.AssetsDefinition) -> None:
    assert next(iter(asset.specs)).freshness_policy is not None


@MADE_BY_NAME
def test_asset_carries_a_blocking_check(location: str, asset: dg.AssetsDefinition) -> None:
    blocking = {spec.name for spec in asset.check_specs if spec.blocking}
    assert blocking
    assert asset.partitions_def is None or BOUNDS in blocking


@MADE_BY_NAME
def test_time_series_are_monthly_and_run_once_a_range(location: str, asset: dg.AssetsDefinition) -> None:
    if asset.key.to_user_string() == "instruments":
        assert asset.partitions_def is None
        return
    assert isinstance(asset.partitions_def, dg.MonthlyPartitionsDefinition)
    assert asset.partitions_def.end_offset == 1
    assert str(asset.partitions_def.timezone) == "America/New_York"
    assert asset.backfill_policy == dg.BackfillPolicy.single_run()


@MADE_BY_NAME
def test_derived_assets_follow_their_inputs_once_checked(location: str, asset: dg.AssetsDefinition) -> None:
    condition = next(iter(asset.specs)).automation_condition
    if location == "market_data":
        assert condition is None
    else:
        assert "blocking" in condition.get_label()


@pytest.mark.parametrize("location", LOCATIONS)
def test_automation_and_schedules_are_on(location: str) -> None:
    definitions = import_module(LOCATIONS[location]).build_definitions()
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in definitions.sensors)
    schedules = list(definitions.schedules or [])
    assert all(schedule.default_status is dg.DefaultScheduleStatus.RUNNING for schedule in schedules)
    assert bool(schedules) == (location == "market_data")


@pytest.mark.parametrize("location", LOCATIONS)
def test_runs_stay_in_one_process(location: str) -> None:
    definitions = import_module(LOCATIONS[location]).build_definitions()
    assert definitions.executor is dg.in_process_executor


def test_overrides_take_the_place_of_resources() -> None:
    replaced = object()
    for module in LOCATIONS.values():
        definitions = import_module(module).build_definitions({"database": replaced})
        assert definitions.resources["database"] is replaced
