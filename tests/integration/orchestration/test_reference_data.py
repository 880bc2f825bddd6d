"""Instruments and rates: what a silent provider leaves in place, what is refused before it is written, what is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import dagster as dg
import numpy as np
import pytest

from pipeline.base.settings import env_name
from pipeline.base.types import MonthRange
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.definitions import build_definitions
from pipeline.market_data.providers import FetchRequest, FetchResult, Offer, Payload, Security
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.providers.protocol import FxRates, InterestRates
from pipeline.orchestration.resources import DatabaseResource
from tests.integration.orchestration.conftest import Platform

MONTH = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
DAYS = np.array(["2022-11-02", "2022-11-03"], dtype="datetime64[D]")
NOTICE = "Rates of a test."


@dataclass
class RateVendor:
    """Two days of two series and of two currencies, without those that it has lost."""

    lost: tuple[str, ...] = ()
    name: str = "rate vendor"
    notice: str | None = NOTICE
    offers: frozenset[Offer] = frozenset({"fx_rates", "interest_rates"})

    def fetch(self, request: FetchRequest) -> FetchResult:
        names = {"interest_rates": ("DGS3MO", "DTB3"), "fx_rates": ("GBP", "USD")}[request.what]
        subjects = np.array([name for name in names if name not in self.lost], dtype="S").repeat(2)
        sessions, values = np.tile(DAYS, len(subjects) // 2), np.full(len(subjects), 0.04)
        return FetchResult(
            payloads=(Payload(request.what, "text/csv", request.what.encode()),),
            fx_rates=FxRates(subjects, sessions, values) if request.what == "fx_rates" else None,
            interest_rates=InterestRates(subjects, sessions, values) if request.what == "interest_rates" else None,
            missing=dict.fromkeys(self.lost, "404 Not Found"),
        )


class RateResource(ProviderResource):
    lost: str = ""

    @property
    def provider(self) -> RateVendor:
        return RateVendor(tuple(self.lost.split()))


RATES = pytest.mark.parametrize(
    ("asset", "key", "table", "lost"),
    [
        ("interest_rates", "interest_provider", "interest_rate", "DTB3"),
        ("fx_rates", "fx_provider", "fx_rate", "USD"),
    ],
)


@pytest.fixture
def rated(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A platform whose settings choose a provider of interest rates."""
    monkeypatch.setenv(env_name("interest_provider"), "fred")
    return platform


@RATES
def test_rates_of_what_a_provider_no_longer_answers_for_stay(
    rated: Platform, asset: str, key: str, table: str, lost: str
) -> None:
    rated.materialize("market_data", [asset], MONTH, **{key: RateResource(name="bundled")})
    before = rated.rows(f"SELECT * FROM {table} ORDER BY 1, 2")
    assert len(before) == 4
    for names in (lost, "DGS3MO DTB3 GBP USD"):
        rated.materialize("market_data", [asset], MONTH, **{key: RateResource(name="bundled", lost=names)})
        assert rated.rows(f"SELECT * FROM {table} ORDER BY 1, 2") == before


@RATES
def test_notice_and_payloads_of_a_provider_of_rates_are_kept(
    rated: Platform, asset: str, key: str, table: str, lost: str
) -> None:
    rated.materialize("market_data", [asset], MONTH, **{key: RateResource(name="bundled")})
    assert rated.rows("SELECT provider, name FROM raw_payload") == [("rate vendor", asset)]
    assert rated.rows("SELECT name, notice FROM provider") == [("rate vendor", NOTICE)]


class Listing(BundledProvider):
    """The bundled instruments, and one in pence."""

    def securities(self) -> tuple[Security, ...]:
        return (*super().securities(), Security("VOD", "Vodafone", "stock", currency="GBX"))


class PenceResource(ProviderResource):
    @property
    def provider(self) -> Listing:
        return Listing()


def test_instruments_in_no_known_currency_are_refused_before_anything_is_written(platform: Platform) -> None:
    result = platform.materialize("market_data", ["instruments"], may_fail=True, provider=PenceResource(name="bundled"))
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "Nothing was written: currencies_known failed" in str(failure.event_specific_data.user_failure_data)
    assert "VOD in 'GBX'" in str(failure.event_specific_data.user_failure_data)
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("currencies_known", False)
    assert platform.rows("SELECT count(*) FROM instrument") == [(0,)]
    assert not result.asset_materializations_for_node("instruments")


def test_the_data_version_of_instruments_changes_with_them(platform: Platform) -> None:
    class Renamed(BundledProvider):
        def securities(self) -> tuple[Security, ...]:
            first, *others = super().securities()
            return (replace(first, name="Apple"), *others)

    class RenamedResource(ProviderResource):
        @property
        def provider(self) -> Renamed:
            return Renamed()

    def version(resource: ProviderResource) -> str:
        result = platform.materialize("market_data", ["instruments"], provider=resource)
        [event] = result.asset_materializations_for_node("instruments")
        return event.tags["dagster/data_version"]

    bundled = ProviderResource(name="bundled")
    assert version(bundled) == version(bundled)
    assert version(bundled) != version(RenamedResource(name="bundled"))


def test_old_payloads_are_forgotten_every_night(platform: Platform) -> None:
    platform.materialize("market_data", ["fx_rates"], MONTH, fx_provider=RateResource(name="bundled"))
    definitions = build_definitions({"database": DatabaseResource(url=platform.database.url)})
    schedule = next(schedule for schedule in definitions.schedules if schedule.name == "every_night")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * *", "America/New_York")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    job = definitions.resolve_job_def("prune")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    assert job.execute_in_process(instance=platform.instance, run_config=quiet).success
    assert platform.rows("SELECT count(*) FROM raw_payload") == [(1,)]
    with platform.database.connect() as connection:
        connection.execute("UPDATE raw_payload SET last_seen_at = last_seen_at - interval '91 days'")
    assert job.execute_in_process(instance=platform.instance, run_config=quiet).success
    assert platform.rows("SELECT count(*) FROM raw_payload") == [(0,)]
