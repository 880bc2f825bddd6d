"""Assets through Dagster, with events on Postgres: what is written, described, refused and left alone."""

from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import pytest

from fintech.samples import register_samples
from pipeline.base.types import MonthRange
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest, FetchResult
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.rules import Bars
from pipeline.orchestration.asset_page import INLINE_MARKDOWN_LIMIT
from pipeline.risk.report import RollingReport, rolling_report
from pipeline.store.covariances import read_newest_covariance
from pipeline.store.instruments import find_instruments, read_instruments
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from tests.integration.orchestration.conftest import AUTUMN, Platform

DERIVED = [
    ("risk", ["instrument_risk", "portfolio_risk", "covariance", "factor_exposure", "portfolio_contribution"]),
    ("simulation", ["portfolio_simulation"]),
    ("forecast", ["volatility_forecast", "quantile_forecast"]),
]


def materializations(result: dg.ExecuteInProcessResult, asset: str) -> list[dg.AssetMaterialization]:
    return result.asset_materializations_for_node(asset)


def test_all_locations_run_and_a_rerun_changes_nothing(priced: Platform) -> None:
    with priced.database.connect() as connection:
        assert register_samples(connection) is not None
        assert register_samples(connection) is None
    for location, assets in DERIVED:
        priced.materialize(location, assets, AUTUMN)
    assert priced.rows("SELECT count(*) FROM instrument_risk") == [(61 * 26,)]
    assert priced.rows("SELECT count(*), count(var_99_1d) FROM portfolio_risk") == [(61 * 3, 61 * 3)]
    models = dict(priced.rows("SELECT DISTINCT model, model_version FROM volatility_forecast"))
    assert models.pop("ewma") == "1"
    assert "har" not in models  # it needs 546 sessions; those that need as many have a stand-in, and say so
    assert set(models.values()) == {"1+ewma"}
    tables = ("price", "fx_rate", "instrument_risk", "portfolio_risk", "volatility_forecast", "quantile_forecast")
    before = {table: priced.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables}
    priced.materialize("market_data", ["prices", "fx_rates"], AUTUMN)
    for location, assets in DERIVED:
        priced.materialize(location, assets, AUTUMN)
    assert {table: priced.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables} == before


def test_one_month_alone_gives_the_rows_of_the_range(priced: Platform) -> None:
    query = "SELECT * FROM instrument_risk WHERE session >= '2022-11-01' AND session < '2022-12-01' ORDER BY 1, 2"
    november = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
    priced.materialize("risk", ["instrument_risk"], AUTUMN)
    before = priced.rows(query)
    priced.materialize("risk", ["instrument_risk"], november)
    assert len(before) == 21 * 26
    assert priced.rows(query) == before  # bit by bit, the writer's number included: nothing was rewritten


def test_every_partition_is_described(priced: Platform) -> None:
    result = priced.materialize("risk", ["instrument_risk"], AUTUMN)
    events = materializations(result, "instrument_risk")
    assert [event.partition for event in events] == ["2022-10-01", "2022-11-01", "2022-12-01"]
    for event in events:
        values = {key: value.value for key, value in event.metadata.items()}
        assert values["dagster/row_count"] == 61 * 26
        assert values["dagster/partition_row_count"] in (19 * 26, 21 * 26)
        assert 0.1 < values["mean_volatility_annual"] < 1.0
        figures = [key for key in values if key.startswith(("mean_", "worst_"))]
        assert len(figures) == 4
        assert all(float(f"{values[key]:.4g}") == values[key] for key in figures)
        assert "data:image/svg+xml" in values["trend"]
        assert len(values["trend"]) < INLINE_MARKDOWN_LIMIT
        assert "Demonstration data" in values["notice"]


def test_every_asset_shows_rows_four_figures_and_a_line(priced: Platform) -> None:
    with priced.database.connect() as connection:
        register_samples(connection)
    priced.materialize("market_data", ["prices", "fx_rates"], MonthRange(date(2016, 1, 1), AUTUMN.last))
    last = MonthRange(date(2022, 11, 1), AUTUMN.last)
    runs = [("market_data", ["instruments"]), ("market_data", ["prices", "fx_rates"]), *DERIVED]
    described = {"dagster/row_count", "dagster/partition_row_count", "seconds_in_asset"}
    for location, assets in runs:
        result = priced.materialize(location, assets, None if assets == ["instruments"] else last)
        for asset in assets:
            event = materializations(result, asset)[-1]
            numeric = {
                key
                for key, value in event.metadata.items()
                if isinstance(value.value, int | float) and not key.startswith("rows_")
            }
            assert event.metadata["dagster/row_count"].value > 0, asset
            assert len(numeric - described) == 4, (asset, numeric)
            assert "svg" in event.metadata["trend"].value, asset
            assert len(event.metadata["trend"].value) < INLINE_MARKDOWN_LIMIT, asset


def test_a_month_without_data_says_why(platform: Platform) -> None:
    platform.materialize("market_data", ["instruments"])
    month = MonthRange(date(2026, 11, 1), date(2026, 11, 1))
    result = platform.materialize("market_data", ["prices"], month)
    assert result.success
    [event] = materializations(result, "prices")
    assert event.metadata["dagster/partition_row_count"].value == 0
    assert event.metadata["reason"].value == "the provider has no bar in this month"


def test_a_month_without_data_tells_the_figures_of_the_last_one_that_has_some(platform: Platform) -> None:
    platform.materialize("market_data", ["instruments"])
    result = platform.materialize("market_data", ["prices"], MonthRange(date(2022, 12, 1), date(2023, 1, 1)))
    december, january = (event.metadata for event in materializations(result, "prices"))
    shown = january["last_figures"].value
    assert shown.startswith("2022-12: ")
    name, value = shown.removeprefix("2022-12: ").split(", ")[0].split(" ")
    assert float(value) == pytest.approx(december[name].value, rel=1e-5)
    assert name not in january


def test_a_portfolio_that_cannot_be_computed_stops_no_other(priced: Platform) -> None:
    with priced.database.connect() as connection:
        register_samples(connection)
        [apple] = find_instruments(connection, ["AAPL"]).values()
        nothing = (Position(apple.id, "AAPL", quantity=0.0),)
        create_portfolio(connection, NewPortfolio("Nothing", "buy_and_hold", nothing, slug="nothing"))
    for location, asset in (("risk", "portfolio_risk"), ("simulation", "portfolio_simulation")):
        result = priced.materialize(location, [asset], AUTUMN)
        assert result.success
        [failed] = [check for check in result.get_asset_check_evaluations() if not check.passed]
        assert (failed.check_name, failed.severity) == ("portfolios_computed", dg.AssetCheckSeverity.WARN)
        assert failed.metadata["count"].value == 1
        assert failed.metadata["left_out"].value[0].startswith("nothing: portfolio value: 0 at its lowest")
    assert priced.rows("SELECT count(*), count(DISTINCT portfolio_id) FROM portfolio_risk") == [(61 * 3, 3)]


class Spoilt(BundledProvider):
    """The bundled prices with one bar of each kind of error."""

    def fetch(self, request: FetchRequest) -> FetchResult:
        answer = super().fetch(request)
        return replace(answer, bars=self._spoilt(answer.bars))

    def _spoilt(self, bars: Bars) -> Bars:
        close = bars.close_adjusted.copy()
        inside = np.flatnonzero((bars.sessions >= np.datetime64("2022-11-07")) & (bars.symbol_index == 0))
        close[inside[0]] = -1.0
        close[inside[5]] *= 3.0
        sessions = bars.sessions.copy()
        sessions[inside[10]] = np.datetime64("2022-11-20")  # a Sunday
        return Bars.of_adjusted_closes(bars.symbols, bars.symbol_index, sessions, close)


class SpoiltResource(ProviderResource):
    @property
    def provider(self) -> Spoilt:
        return Spoilt()


def test_refused_rows_are_kept_as_they_came(platform: Platform) -> None:
    platform.materialize("market_data", ["instruments"])
    result = platform.materialize("market_data", ["prices"], AUTUMN, provider=SpoiltResource(name="bundled"))
    assert result.success
    refused = platform.rows(
        "SELECT rule, session::text, (payload->>'close_adjusted')::float8 > 0 FROM quarantine ORDER BY 1"
    )
    assert [row[0] for row in refused] == ["not_a_session", "not_positive", "spike"]
    assert [row[2] for row in refused] == [True, False, True]
    failed = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert failed >= {"not_positive", "not_a_session", "spike", "gap"}
    # Good data again: the quarantine empties, the bars come back.
    platform.materialize("market_data", ["prices"], AUTUMN)
    assert platform.rows("SELECT count(*) FROM quarantine") == [(0,)]
    assert platform.rows("SELECT count(*) FROM price") == [(61 * 26,)]


def test_a_blocking_check_leaves_the_table_as_it_was(priced: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    priced.materialize("risk", ["instrument_risk"], AUTUMN)
    before = priced.rows("SELECT * FROM instrument_risk ORDER BY 1, 2")

    def defective_report(*arguments: Any) -> RollingReport:
        report = rolling_report(*arguments)
        return replace(report, values=report.values | {"volatility": -report.values["volatility"]})

    monkeypatch.setattr("pipeline.risk.assets.instrument_risk.rolling_report", defective_report)
    result = priced.materialize("risk", ["instrument_risk"], AUTUMN, may_fail=True)
    assert not result.success
    assert materializations(result, "instrument_risk") == []
    assert [c.check_name for c in result.get_asset_check_evaluations() if not c.passed] == ["values_within_bounds"]
    assert priced.rows("SELECT * FROM instrument_risk ORDER BY 1, 2") == before


def test_a_failing_asset_writes_nothing_and_reports_nothing(platform: Platform) -> None:
    result = platform.materialize(
        "market_data", ["prices"], AUTUMN, may_fail=True
    )  # instruments are not registered yet
    assert not result.success
    assert materializations(result, "prices") == []
    assert platform.rows("SELECT (SELECT count(*) FROM price), (SELECT count(*) FROM asset_partition)") == [(0, 0)]


def test_every_result_row_refers_to_rows_that_exist(priced: Platform) -> None:
    """Bulk tables carry no foreign keys (ADR 0003); this test keeps the references whole."""
    with priced.database.connect() as connection:
        register_samples(connection)
    for location, assets in DERIVED:
        priced.materialize(location, assets, AUTUMN)
    subjects = {
        "price": "instrument",
        "instrument_risk": "instrument",
        "volatility_forecast": "instrument",
        "quantile_forecast": "instrument",
        "portfolio_risk": "portfolio",
        "factor_exposure": "instrument",
        "portfolio_contribution": "portfolio",
        "portfolio_simulation": "portfolio",
    }
    for table, subject in subjects.items():
        orphans = f"SELECT count(*) FROM {table} WHERE {subject}_id NOT IN (SELECT id FROM {subject})"
        unwritten = f"SELECT count(*) FROM {table} WHERE materialization_id NOT IN (SELECT id FROM materialization)"
        assert priced.rows(orphans) == [(0,)]
        assert priced.rows(unwritten) == [(0,)]
    with priced.database.connect() as connection:
        matrix = read_newest_covariance(connection, "ledoit_wolf", None)
        assert matrix is not None
        assert set(matrix.ids) <= {instrument.id for instrument in read_instruments(connection)}
