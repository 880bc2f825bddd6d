"""Records of the client, and what it computes on request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

import fintech
from fintech.answers import Position
from pipeline.store.engine import Database
from tests.integration.serving.running import local_settings, running_service
from tests.integration.serving.seeding import NOTICE, seed
from tests.integration.serving.test_explanations import write_risk


def test_instruments(api: fintech.Client) -> None:
    listed = api.instruments()
    assert listed.notice == NOTICE
    assert [found.symbol for found in listed] == ["AAPL", "MSFT", "NEW", "SAP", "SPX"]
    assert listed[0].listed_from is None
    found = listed.to_df()
    assert found.loc["SAP", "currency"] == "EUR"
    assert found["listed_from"].dtype == "datetime64[ns]"


def test_a_portfolio_is_stored_and_measured(new_database: Callable[[], Database]) -> None:
    database = seed(new_database()).database
    with (
        running_service("backend-api", local_settings(database.url)) as running,
        fintech.Client(f"http://127.0.0.1:{running.port}") as api,
    ):
        mine = api.create_portfolio("Mine", [{"symbol": "AAPL", "quantity": 100}], slug="mine")
        assert (mine.slug, mine.rebalancing, mine.notice) == ("mine", "buy_and_hold", NOTICE)
        assert mine.positions == (Position(symbol="AAPL", quantity=100),)
        assert api.portfolio("mine") == api.portfolio(mine.id) == mine
        assert [found.slug for found in api.portfolios()] == ["held", "quarterly", "young", "mine"]
        assert list(api.portfolios().to_df()["slug"])[-1] == "mine"
        assert len(api.risk("mine").to_df()) == 0
        report = api.compute_risk("mine", confidence=0.95, as_of=date(2022, 6, 30))
        assert report.as_of == date(2022, 6, 30)
        assert report.var == report.measures["var_95_1d"]
        assert report.measures["sharpe_ratio"] is not None
        weights = [Position(symbol="AAPL", target_weight=0.5), Position(symbol="MSFT", target_weight=0.5)]
        assert api.create_portfolio("Two", weights, rebalancing="monthly").slug is None


def test_calculate(api: fintech.Client) -> None:
    found = api.calculate(positions=[{"symbol": "AAPL", "quantity": 1}], confidence=[0.99])
    assert found.as_of == date(2022, 12, 28)
    assert {tail.confidence for tail in found.tails} == {0.99}
    table = found.to_df()
    assert table.loc["var_99_1d", "value"] > 0
    assert table["value"].dtype == "float64"
    short = api.calculate(returns={"values": [0.01, -0.02, 0.03]}, measures=["volatility"])
    assert [measured.name for measured in short.measures] == ["volatility"]
    assert short.notice is None


def test_forecasts_and_simulations(api: fintech.Client) -> None:
    forecasts = api.forecasts("AAPL")
    assert (forecasts.symbol, forecasts.notice) == ("AAPL", NOTICE)
    assert list(forecasts.volatility.to_df()["model"]) == ["ewma", "har"]
    assert forecasts.volatility.to_df()["trained_through"].dtype == "datetime64[ns]"
    assert set(api.simulations("held").to_df()["model"]) == {"student_t"}


def test_stress(api: fintech.Client) -> None:
    stored = api.stress("held")
    assert (len(stored), stored.notice) == (0, NOTICE)
    assert str(stored.to_df()["total"].dtype) == "float64"
    report = api.compute_stress("held", hypothetical={"market": -0.2})
    [scenario] = report.scenarios
    assert scenario.total == pytest.approx(-0.2)
    assert {position.symbol for position in scenario.positions} == {"AAPL", "MSFT"}


def test_explain(new_database: Callable[[], Database]) -> None:
    seeded = seed(new_database())
    write_risk(seeded)
    with running_service("backend-api", local_settings(seeded.database.url)) as running:
        api = fintech.Client(f"http://127.0.0.1:{running.port}")
        found = api.explain("held", "volatility", session="2022-12-15")
        assert (found.subject, found.session, found.notice) == ("held", date(2022, 12, 15), NOTICE)
        assert found.definition["name"] == "volatility"
        assert found.value == pytest.approx(found.recomputed)
        assert found.partitions["prices"][-1] == date(2022, 12, 1)
        assert api.explain_instrument("AAPL", "var_99_1d").subject == "AAPL"
