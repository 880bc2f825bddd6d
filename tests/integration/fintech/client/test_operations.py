"""Every operation of the API by the client, and what it answers as an object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pandas as pd
import pytest

import fintech
from fintech.answers import Limit, NewTransaction
from pipeline.store.engine import Database
from tests.docs.answer_rows import ADMIN, BOOK, EXAMPLE, fill_for_answers
from tests.integration.serving.accounts import PASSWORD, SECURED, log_in
from tests.integration.serving.running import local_settings, running_service
from tests.openapi_documents import body_examples, document_of, operations, parameter_example

pytestmark = pytest.mark.xdist_group("client_operations")  # a promotion comes before its rollback

API = "/api/v1"
LEFT_OUT = {"post_login", "post_refresh", "post_logout"}
"""Of browsers: a program has an API key."""
Call = Callable[[fintech.Client], Any]
HOW = {"model": "student_t", "paths": 200, "horizon_sessions": 5, "fit_window_sessions": 252}
HELD = [{"symbol": "AAPL", "quantity": 10}]
WEIGHTS = [{"symbol": "AAPL", "target_weight": 0.5}, {"symbol": "MSFT", "target_weight": 0.5}]
SHIFT = [{"symbol": "AAPL", "target_weight": 0.1}, {"symbol": "MSFT", "target_weight": -0.1}]
RETURNS = {"values": [0.01, -0.02, 0.005] * 8}

TABLES: dict[str, Call] = {
    "list_instruments": lambda a: a.instruments(),
    "list_prices": lambda a: a.prices("AAPL"),
    "list_prices_of_several": lambda a: a.prices_of(["AAPL", "MSFT"]),
    "list_fx_currencies": lambda a: a.fx_currencies(),
    "list_fx_rates": lambda a: a.fx_rates("USD"),
    "list_interest_rate_series": lambda a: a.interest_rate_series(),
    "list_interest_rates": lambda a: a.interest_rates("DTB3"),
    "list_quarantine": lambda a: a.quarantine("held"),
    "release": lambda a: a.release("AAPL", "2022-11-10", decided_by="an analyst", note="checked"),
    "reject": lambda a: a.reject("AAPL", "2022-11-09", decided_by="an analyst", note="checked"),
    "list_portfolio_risk": lambda a: a.risk(EXAMPLE),
    "list_instrument_risk": lambda a: a.instrument_risk("AAPL"),
    "list_risk_of_several": lambda a: a.risk_of(["AAPL"]),
    "list_portfolio_tails": lambda a: a.tails(EXAMPLE),
    "list_contributions": lambda a: a.contributions(EXAMPLE),
    "list_portfolio_backtests": lambda a: a.backtests(EXAMPLE),
    "list_instrument_backtests": lambda a: a.instrument_backtests("AAPL"),
    "list_factor_exposures": lambda a: a.factor_exposures("AAPL"),
    "list_stress": lambda a: a.stress(EXAMPLE, "historical"),
    "list_measures": lambda a: a.measures(),
    "get_portfolio_report": lambda a: a.report(EXAMPLE),
    "compute_portfolio_backtest": lambda a: a.compute_backtest(EXAMPLE, observations=250),
    "compute_stress": lambda a: a.compute_stress(EXAMPLE, hypothetical={"market": -0.2}),
    "compute_decomposition": lambda a: a.decompose(EXAMPLE, measure="es", by="sector"),
    "compute_what_if": lambda a: a.what_if("held", trades=[{"symbol": "AAPL", "quantity": -1}]),
    "calculate": lambda a: a.calculate(returns=RETURNS),
    "split_by_currency": lambda a: a.currency_split("mixed"),
    "get_covariance": lambda a: a.covariance(["AAPL", "MSFT"], estimator="ledoit_wolf"),
    "get_principal_factors": lambda a: a.principal_factors(["AAPL", "MSFT", "SAP"], count=2),
    "list_portfolios": lambda a: a.portfolios(),
    "list_transactions": lambda a: a.transactions(BOOK),
    "get_portfolio_value": lambda a: a.value(BOOK),
    "list_portfolio_value": lambda a: a.value_history(BOOK),
    "list_limits": lambda a: a.limits(EXAMPLE),
    "put_limits": lambda a: a.set_limits("held", [Limit(measure="var_99_1d", direction="above", warn=0.3, breach=0.4)]),
    "list_limit_events": lambda a: a.limit_events(EXAMPLE),
    "list_simulations": lambda a: a.simulations(EXAMPLE),
    "read_fan": lambda a: a.fan(EXAMPLE, "student_t"),
    "simulate": lambda a: a.simulate(positions=HELD, **HOW),
    "simulate_portfolio": lambda a: a.simulate(EXAMPLE, **HOW),
    "list_simulation_jobs": lambda a: [a.start_simulation(EXAMPLE, **HOW).wait(timeout=120), a.jobs("done")][1],
    "list_strategies": lambda a: a.strategies(),
    "list_strategy_nav": lambda a: a.strategy_nav("min_variance"),
    "list_strategy_weights": lambda a: a.strategy_weights("min_variance"),
    "list_forecasts": lambda a: a.forecasts("AAPL").quantiles,
    "list_volatility_forecasts": lambda a: a.volatility_forecasts("AAPL", limit=10),
    "list_quantile_forecasts": lambda a: a.quantile_forecasts("AAPL", limit=10),
    "list_probability_forecasts": lambda a: a.probability_forecasts("AAPL", limit=10),
    "list_volatilities_of_several": lambda a: a.volatility_forecasts_of(["AAPL"]),
    "list_quantiles_of_several": lambda a: a.quantile_forecasts_of(["AAPL"]),
    "list_probabilities_of_several": lambda a: a.probability_forecasts_of(["AAPL"]),
    "get_portfolio_forecast": lambda a: a.portfolio_forecast(EXAMPLE),
    "compute_portfolio_forecast": lambda a: a.compute_forecast(EXAMPLE, horizons_sessions=[1, 5]),
    "forecast_series": lambda a: a.forecast(returns=RETURNS, horizons_sessions=[1]),
    "list_models": lambda a: a.models(),
    "list_scores": lambda a: a.scores(kind="variance"),
    "explain_portfolio": lambda a: a.explainables(EXAMPLE),
    "list_users": lambda a: a.users(),
    "list_keys": lambda a: [a.create_api_key("listed"), a.api_keys()][1],
    "list_audit": lambda a: a.audit(limit="all"),
}
"""Operations whose answers become DataFrames."""

RECORDS: dict[str, Call] = {
    "get_instrument": lambda a: a.instrument("AAPL").name == "Apple",
    "compute_portfolio_risk": lambda a: a.compute_risk(EXAMPLE).var > 0,
    "compute_portfolio_tail": lambda a: a.compute_tail(EXAMPLE, method="student_t").var > 0,
    "get_strategy": lambda a: a.strategy("min_variance").weights.to_df()["weight"].sum() == pytest.approx(1),
    "get_model": lambda a: a.model("har").champions,
    "get_model_card": lambda a: a.model_card("har").startswith("# "),
    "promote_model": lambda a: a.promote_model("har", "better").name == "har",
    "roll_model_back": lambda a: a.roll_model_back("har", "worse after all").reason == "rolled_back",
    "get_portfolio": lambda a: a.portfolio(EXAMPLE).slug == EXAMPLE,
    "get_me": lambda a: a.me().role == "admin",
}
"""Operations that answer with one record, and something that is true of it."""


@dataclass
class Known:
    """Operations that were asked, by the requests of a client."""

    patterns: list[tuple[str, re.Pattern[str], str]] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def __call__(self, request: httpx.Request) -> None:
        """Note a request."""
        self.asked.add(
            next(n for m, pattern, n in self.patterns if m == request.method and pattern.fullmatch(request.url.path))
        )


def known_operations() -> Known:
    found = [
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operation["operationId"])
        for method, path, operation in operations(document_of())
        if path.startswith(API)
    ]
    return Known(sorted(found, key=lambda each: "[" in each[1].pattern))  # what is fixed goes before what varies


@pytest.fixture(scope="module")
def known() -> Known:
    return known_operations()


@pytest.fixture(scope="module")
def everything(new_database: Callable[[], Database], known: Known) -> Iterator[fintech.Client]:
    """A client of a service that has rows of everything, as somebody who may do everything."""
    database = new_database()
    fill_for_answers(database)
    with running_service("backend-api", local_settings(database.url, **SECURED)) as service:
        token = log_in(service.client, ADMIN)["access_token"]
        with fintech.Client(f"http://127.0.0.1:{service.port}", token, timeout=120) as made:
            made._http.event_hooks["request"].append(known)
            yield made


@pytest.mark.parametrize("name", TABLES)
def test_a_table(everything: fintech.Client, known: Known, name: str) -> None:
    known.asked.clear()
    found = TABLES[name](everything)
    assert name in known.asked
    table = found.to_df()
    assert len(table) > 0
    assert table.attrs["notice"] == found.told.notice
    assert "object" not in {str(dtype) for dtype in table.dtypes}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record(everything: fintech.Client, known: Known, name: str) -> None:
    known.asked.clear()
    assert RECORDS[name](everything)
    assert name in known.asked


OTHERS = {
    "explain_value": {"reference": BOOK},
    "explain_currency_split": {"reference": "mixed"},
    "explain_stress": {"scenario": "covid_2020"},
    "explain_history": {"measure": "wealth"},
}
"""Of explanations, what differs from the examples of the documentation."""
OTHER_BODIES = {
    "explain_liquidity": {"measures": None, "returns": None, "positions": [{"symbol": "AAPL", "quantity": 1_000}]},
    "explain_what_if": {
        "trades": [{"symbol": "AAPL", "target_weight": 0.1}, {"symbol": "MSFT", "target_weight": -0.1}]
    },
}
EXPLANATIONS = {
    operation["operationId"]: (path, operation)
    for _, path, operation in operations(document_of())
    if path.endswith("/explain") and operation["operationId"] != "explain_portfolio"
}


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_an_explanation(everything: fintech.Client, known: Known, name: str) -> None:
    path, operation = EXPLANATIONS[name]
    needed = [parameter for parameter in operation["parameters"] if parameter.get("required")]
    values = {each["name"]: parameter_example(each) for each in needed} | OTHERS.get(name, {})
    if "job_id" in values:
        done = everything.start_simulation(EXAMPLE, **HOW)
        done.wait(timeout=120)
        values["job_id"] = done.id
    known.asked.clear()
    if "requestBody" in operation:
        [body, *_] = body_examples(document_of(), operation["requestBody"]["content"]["application/json"])
        found = everything.explain_computed(path.format(**values), **{**body, **OTHER_BODIES.get(name, {})})
    else:
        query = {key: value for key, value in values.items() if f"{{{key}}}" not in path}
        found = everything.explanation(path.format(**values), **query)
    assert known.asked == {name}
    assert found.definition["name"]


def test_explanations_by_their_addresses(everything: fintech.Client) -> None:
    figures = everything.explainables(EXAMPLE).figures
    for kind in {figure.kind for figure in figures}:
        figure = next(figure for figure in figures if figure.kind == kind)
        assert everything.explanation(figure.explain).value == figure.value
    report = everything.report(EXAMPLE)
    found = everything.explanation(report.simulations.explain, model="student_t", measure="var_99")
    assert (found.subject, found.definition["name"]) == (EXAMPLE, "var_99")


def test_a_portfolio_is_made_changed_and_deleted(everything: fintech.Client, known: Known) -> None:
    known.asked.clear()
    made = everything.create_portfolio("Mine", WEIGHTS, slug="changed", rebalancing="monthly", benchmark="SPX")
    assert (made.benchmark, made.keeps_book) == ("SPX", False)
    changed = everything.change_portfolio("changed", known=made, name="Ours", benchmark=None)
    assert (changed.name, changed.benchmark, changed.slug) == ("Ours", None, "changed")
    with pytest.raises(fintech.ProblemError) as caught:
        everything.delete_portfolio("changed", known=made)
    assert caught.value.status == 412
    banded = everything.change_portfolio("changed", known=changed, rebalancing="drift_band", drift_band=0.1)
    assert (banded.rebalancing, banded.drift_band) == ("drift_band", 0.1)
    narrow = everything.replace_positions("changed", WEIGHTS, drift_band=0.05, known=banded)
    assert (narrow.rebalancing, narrow.drift_band) == ("drift_band", 0.05)
    assert everything.portfolios().to_df().set_index("slug").loc["changed", "drift_band"] == 0.05
    held = everything.replace_positions("changed", HELD, known=narrow)
    assert (held.rebalancing, held.positions[0].quantity) == ("buy_and_hold", 10)
    everything.delete_limits("changed")
    everything.delete_portfolio("changed", known=held)
    with pytest.raises(fintech.ProblemError, match="changed"):
        everything.delete_portfolio("changed")
    changing = {"post_portfolio", "patch_portfolio", "put_positions", "delete_limits", "remove_portfolio"}
    assert known.asked == {*changing, "list_portfolios"}


def test_a_book_is_kept(everything: fintech.Client, known: Known) -> None:
    known.asked.clear()
    book = everything.create_portfolio("Mine", slug="mine")
    assert book.keeps_book
    given = [
        NewTransaction(kind="deposit", trade_date="2022-03-01", amount=5_000),
        {"kind": "buy", "trade_date": pd.Timestamp("2022-03-01").date(), "symbol": "MSFT", "quantity": 3},
    ]
    recorded = everything.record_transactions("mine", given)
    assert len(recorded.recorded) == 2
    assert [(held.symbol, held.quantity) for held in recorded.positions] == [("MSFT", 3)]
    everything.delete_transaction("mine", recorded.recorded[1])
    assert list(everything.transactions("mine").to_df()["kind"]) == ["deposit"]
    assert len(everything.value("mine").to_df()) == 0
    assert everything.value("mine").cash == 5_000
    assert known.asked >= {"post_transactions", "delete_transaction"}


def test_users_and_keys(everything: fintech.Client, known: Known) -> None:
    known.asked.clear()
    made = everything.create_user(email="new@example.com", name="New", role="viewer", password=PASSWORD)
    assert everything.change_user(made.id, role="analyst").role == "analyst"
    assert everything.user(made.id).role == "analyst"
    key = everything.create_api_key("nightly", scopes=["read"])
    with fintech.Client(str(everything._http.base_url), key.key) as program:
        assert program.me().permissions
        everything.revoke_api_key(key.id)
        with pytest.raises(fintech.ProblemError) as caught:
            program.change_password("anything else", "a longer pass phrase")
        assert caught.value.status in (401, 403)
    assert known.asked == {"post_user", "patch_user", "get_user", "post_key", "delete_key"}


def test_no_operation_is_left_out() -> None:
    documented = {name for _, _, name in known_operations().patterns}
    others = {"post_portfolio", "patch_portfolio", "put_positions", "delete_limits", "remove_portfolio"}
    others |= {
        "post_transactions",
        "delete_transaction",
        "post_user",
        "patch_user",
        "get_user",
        "post_key",
        "delete_key",
    }
    others |= {"put_password", "get_simulation_job", "cancel_simulation_job", "get_terminal_values"}
    others |= {"get_simulated_paths"}
    assert documented == LEFT_OUT | others | TABLES.keys() | RECORDS.keys() | EXPLANATIONS.keys()
