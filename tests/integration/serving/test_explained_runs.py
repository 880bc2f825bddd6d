"""Simulations in the background, strategies and scores follow from the payloads of their explanations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest

from pipeline.risk.measures.holdings import scenario_returns
from pipeline.risk.measures.windows import simple_returns
from pipeline.simulation.assets import strategy_weights as asset
from pipeline.simulation.assets.strategy_nav import follow_all, nav_rows
from pipeline.simulation.run import SimulationSpec, begin, probability_of_goal, probability_of_ruin
from pipeline.simulation.strategies.catalogue import EQUAL_WEIGHT, INVERSE_VOLATILITY, MIN_VARIANCE
from pipeline.simulation.strategies.walking import walk_forward
from pipeline.simulation.strategies.weighing import weigh
from pipeline.store.engine import Database
from pipeline.store.instruments import benchmark_of, read_instruments
from pipeline.store.portfolios import read_portfolio
from pipeline.store.prices import read_price_panel
from pipeline.store.strategies import STRATEGY_NAV, STRATEGY_WEIGHT, read_all_weights
from pipeline.store.writing import concatenated, open_write
from serving.routes.explaining import strategies as explaining
from serving.routes.explaining.scores import SCORE_FIGURES
from serving.routes.explaining.simulation_jobs import JOB_FIGURES, MOST_PATH_SESSIONS
from serving.routes.simulating.engine import SYNC_PATH_SESSIONS
from tests.integration.serving.explained import TOLERANCE, closes, explained, get, held, require_again, sessions_of
from tests.integration.serving.gateways import serving_all
from tests.integration.serving.running import Serve, wait_until
from tests.integration.serving.seeding import DOLLARS_PER_EURO, MONTHS, SESSIONS, Seeded, seed
from tests.integration.serving.test_explanations import write_prices, write_rates
from tests.integration.serving.test_models import register

COSTLY_SINCE = date(2022, 12, 1)
NO_JOB = UUID(int=7)
WINDOW = 252
JOB: dict[str, Any] = {
    "portfolio": "quarterly",
    "model": "student_t",
    "paths": 400,
    "horizon_sessions": 21,
    "fit_window_sessions": WINDOW,
    "goal_return": 0.01,
    "ruin_drawdown": 0.05,
}
POSITIONS: dict[str, Any] = {
    **{name: value for name, value in JOB.items() if name != "portfolio"},
    "positions": [{"symbol": "AAPL", "quantity": 2.0}, {"symbol": "SAP", "quantity": 1.0}],
    "base_currency": "USD",
}


def write_strategies(seeded: Seeded) -> None:
    """The rows that the assets would write."""
    with open_write(seeded.database, "strategy_weights", "run-of-strategy_weights", "code-3") as write:
        instruments = read_instruments(write.connection)
        stocks, benchmark = asset.stocks_of(instruments), benchmark_of(instruments)
        assert benchmark is not None
        ids = [*stocks, benchmark.id]
        panel = read_price_panel(write.connection, ids, None, MONTHS.end, currency=asset.CURRENCY)
        rows = asset.weight_rows(panel, stocks, benchmark, MONTHS, COSTLY_SINCE)
        write.replace(STRATEGY_WEIGHT, concatenated(STRATEGY_WEIGHT, rows), MONTHS)
    with open_write(seeded.database, "strategy_nav", "run-of-strategy_nav", "code-3") as write:
        followed = follow_all(write, read_all_weights(write.connection, MONTHS.end), MONTHS.end)
        write.replace(STRATEGY_NAV, concatenated(STRATEGY_NAV, nav_rows(followed, MONTHS)), MONTHS)


@pytest.fixture(scope="module")
def place(new_database: Callable[[], Database]) -> Seeded:
    seeded = seed(new_database())
    write_prices(seeded, "run-of-prices", {symbol: 2.0 * close for symbol, close in seeded.close.items()})
    write_rates(seeded, 1.01 * DOLLARS_PER_EURO)
    write_strategies(seeded)
    register(seeded.database)
    return seeded


@pytest.fixture(scope="module", params=["in_process", "over_http"])
def client(place: Seeded, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving_all(place.database.url, over_http=request.param == "over_http") as found:
        yield found


def done(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """A job, once it has its result."""
    answer = client.post("/api/v1/simulate", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    address = answer.headers["location"].removeprefix("/api/v1/")
    wait_until(lambda: get(client, address)["state"] == "done", seconds=60.0)
    return get(client, address)


@pytest.mark.parametrize("body", [JOB, POSITIONS], ids=["portfolio", "positions"])
def test_simulations_in_the_background(client: httpx.Client, body: dict[str, Any]) -> None:
    job = done(client, body)
    for measure in JOB_FIGURES:
        payload = explained(client, f"simulations/{job['id']}", measure=measure)
        served = job["result"][measure]
        served = served["value"] if isinstance(served, dict) else served
        require_again(payload, served, simulated(payload)[measure])
    inputs = payload["inputs"]
    window = scenario_returns(held(payload).held, len(sessions_of(payload)) - 1, WINDOW)
    assert window.tolist() == pytest.approx(inputs["scenarios"], rel=TOLERANCE)
    assert len(inputs["scenarios"]) == WINDOW
    assert set(inputs["amounts"]) == ({"AAPL", "MSFT"} if body is JOB else {"AAPL", "SAP"})
    assert list(inputs["exchange_rates"]) == ([] if body is JOB else ["EUR"])


@pytest.mark.parametrize("body", [JOB, POSITIONS], ids=["portfolio", "positions"])
def test_positions_that_were_simulated_together_are_again(client: httpx.Client, body: dict[str, Any]) -> None:
    job = done(client, {**body, "fit_on": "positions", "cost_bps": 20.0, "monthly_flow": 0.1})
    for measure in JOB_FIGURES:
        payload = explained(client, f"simulations/{job['id']}", measure=measure)
        served = job["result"][measure]
        served = served["value"] if isinstance(served, dict) else served
        require_again(payload, served, served)
    assert (payload["parameters"]["fit_on"], payload["parameters"]["cost_bps"]) == ("positions", 20.0)
    assert len(payload["inputs"]["scenarios"]) == WINDOW


def simulated(payload: dict[str, Any]) -> dict[str, float]:
    """Every figure from nothing but the answer."""
    given = payload["parameters"]
    names = ("model", "horizon_sessions", "paths", "seed", "fit_window_sessions")
    begun = begin(
        np.array(payload["inputs"]["scenarios"]),
        SimulationSpec(**{name: given[name] for name in names}),
        given["subject"],
    )
    outcomes = begun.empty_outcomes()
    begun.walk(outcomes, 0)
    result = begun.describe(outcomes)
    figures = {name: getattr(result, name) for name in JOB_FIGURES if hasattr(result, name)}
    return figures | {
        "probability_of_goal": probability_of_goal(outcomes, given["goal_return"]).value,
        "probability_of_ruin": probability_of_ruin(outcomes, given["ruin_drawdown"]).value,
    }


def test_what_was_not_asked_of_a_simulation_has_no_value(client: httpx.Client) -> None:
    job = done(client, {**JOB, "goal_return": None})
    payload = get(client, f"simulations/{job['id']}/explain", measure="probability_of_goal")
    assert payload["value"] is payload["recomputed"] is None
    assert payload["undefined_because"] == "probability_of_goal was not asked for"


def test_changed_holdings_are_told(client: httpx.Client, place: Seeded) -> None:
    new = {"name": "Passing", "rebalancing": "daily", "positions": [{"symbol": "AAPL", "target_weight": 1.0}]}
    reference = client.post("/api/v1/portfolios", json=new).json()["id"]
    job = done(client, {**JOB, "portfolio": str(reference)})
    changed = {"positions": [{"symbol": "MSFT", "target_weight": 1.0}]}
    assert client.put(f"/api/v1/portfolios/{reference}/positions", json=changed).status_code == 200
    payload = get(client, f"simulations/{job['id']}/explain", measure="var_99")
    assert payload["value"] == payload["recomputed"] == job["result"]["var_99"]  # the job keeps its returns
    assert [doubt.split(":")[0] for doubt in payload["doubts"]] == ["inputs"]
    assert client.delete(f"/api/v1/portfolios/{reference}").status_code == 204
    with place.database.connect() as connection, pytest.raises(Exception, match=str(reference)):
        read_portfolio(connection, str(reference))
    payload = get(client, f"simulations/{job['id']}/explain", measure="var_99")
    assert payload["difference"] == 0.0
    assert "not known any more" in payload["doubts"][0]


def test_a_large_simulation_is_not_walked_again(client: httpx.Client) -> None:
    assert MOST_PATH_SESSIONS == SYNC_PATH_SESSIONS
    job = done(client, {**JOB, "paths": 40_000, "horizon_sessions": 640})
    payload = get(client, f"simulations/{job['id']}/explain", measure="var_99")
    assert payload["value"] == job["result"]["var_99"]
    assert payload["recomputed"] is payload["difference"] is None
    assert "POST /api/v1/simulate" in payload["doubts"][0]


def test_the_constants_are_those_of_the_assets() -> None:
    for name in ("CURRENCY", "STOCK_KIND", "MOST_STOCKS", "LOOK_BACK_MONTHS", "SPEC"):
        assert getattr(explaining, name) == getattr(asset, name)


@pytest.mark.parametrize("strategy", [EQUAL_WEIGHT, INVERSE_VOLATILITY])
def test_values_of_strategies(client: httpx.Client, strategy: str) -> None:
    rows = get(client, f"strategies/{strategy}/nav", limit=1_000)["data"]
    traded = next(row for row in reversed(rows) if row["turnover"] > 0.0)
    for row in (rows[-1], rows[0], rows[30], traded):
        for measure in explaining.WALKED:
            asked = {"measure": measure, "session": row["session"]}
            payload = explained(client, f"strategies/{strategy}", "strategy_nav", **asked)
            require_again(payload, row[measure], walked(payload)[measure])
            assert {write["run_id"] for write in payload["inputs_written_by"]} == {"run-of-strategy_weights"}
            assert payload["partitions"]["strategy_weights"]


def walked(payload: dict[str, Any]) -> dict[str, float]:
    """The figures of the last session, from nothing but the answer."""
    given, symbols = payload["inputs"]["strategy"], list(payload["inputs"]["close"])
    sets = given["set_weights"]
    weights = np.array([[one["weights"].get(symbol, 0.0) for symbol in symbols] for one in sets])
    set_on = np.array([one["session"] for one in sets], dtype="datetime64[D]")
    walk = walk_forward(closes(payload), sessions_of(payload), set_on, weights, given["cost_fraction"])
    days = sessions_of(payload)[walk.rows]
    since = days > set_on[-1]
    return {
        "nav": given["nav_before"] * float(np.prod(1.0 + walk.returns[since])),
        "daily_return": float(walk.returns[-1]),
        "turnover": float(walk.turnover[-1]),
        "cost": float(walk.cost[-1]),
    }


def test_prices_that_are_not_kept_are_told(own_seeded: Seeded, serve: Serve) -> None:
    """The first month's closes of a stock are gone, of which the weights were set at its end."""
    write_prices(own_seeded, "run-of-prices", {symbol: 2.0 * close for symbol, close in own_seeded.close.items()})
    write_rates(own_seeded, 1.01 * DOLLARS_PER_EURO)
    write_strategies(own_seeded)
    with own_seeded.database.connect() as connection:
        for table in ("price", "price_history"):
            connection.execute(
                f"DELETE FROM {table} WHERE instrument_id = %s AND session < '2022-12-15'",
                [own_seeded.instruments["AAPL"].id],
            )
        connection.commit()
    client = serve(own_seeded.database.url).client
    answer = client.get(f"/api/v1/strategies/{EQUAL_WEIGHT}/explain", params={"measure": "nav"})
    assert answer.status_code == 404, answer.text[:300]
    assert answer.json()["detail"] == f"The prices that strategy_nav read for {SESSIONS[-1]} are not kept"


def test_strategies_over_all_their_history(client: httpx.Client) -> None:
    one = get(client, f"strategies/{EQUAL_WEIGHT}")
    for measure in explaining.OVER_ALL:
        payload = get(client, f"strategies/{EQUAL_WEIGHT}/explain", measure=measure)
        assert payload["value"] == pytest.approx(one[measure], rel=TOLERANCE)
        assert abs(payload["difference"]) <= TOLERANCE
        assert payload["doubts"] == []
    given = payload["inputs"]["strategy"]
    years = len(payload["inputs"]["sessions"]) / 252
    assert sum(given["cost"]) / years == pytest.approx(one["cost_annual"], rel=TOLERANCE)
    assert given["nav"][-1] ** (1.0 / years) - 1.0 == pytest.approx(one["growth_annual"], rel=TOLERANCE)


@pytest.mark.parametrize("strategy", [INVERSE_VOLATILITY, MIN_VARIANCE])
def test_weights_of_strategies(client: httpx.Client, strategy: str) -> None:
    rows = get(client, f"strategies/{strategy}/weights")["data"]
    for row in {row["session"]: row for row in (rows[0], rows[-1])}.values():
        for stock in row["stocks"]:
            asked = {"measure": "weight", "symbol": stock["symbol"], "session": row["session"]}
            payload = explained(client, f"strategies/{strategy}", "strategy_weights", **asked)
            weights = weigh(strategy, np.ascontiguousarray(simple_returns(closes(payload))), asset.SPEC).weights
            again = float(weights[list(payload["inputs"]["close"]).index(stock["symbol"])])
            require_again(payload, stock["weight"], again)
            assert len(payload["inputs"]["sessions"]) == payload["parameters"]["window_sessions"] + 1


@pytest.mark.parametrize("kind", ["variance", "quantile_0.05"])
@pytest.mark.parametrize("symbol", [None, "AAPL"])
def test_scores(client: httpx.Client, kind: str, symbol: str | None) -> None:
    wanted = {"kind": kind} | ({} if symbol is None else {"symbol": symbol})
    (row,) = get(client, "scores", **wanted)["data"]
    asked = wanted | {"model": row["model"], "horizon_sessions": row["horizon_sessions"]}
    for measure in SCORE_FIGURES:
        payload = get(client, "scores/explain", measure=measure, **asked)
        assert payload["value"] == payload["recomputed"] == row[measure]
        assert (payload["undefined_because"] is None) == (row[measure] is not None)
        assert payload["doubts"] == []
    given = payload["inputs"]["scores"]
    assert sum(given["loss"]) / sum(given["forecasts"]) == pytest.approx(row["loss"], rel=TOLERANCE)
    assert sum(given["baseline_loss"]) / sum(given["forecasts"]) == pytest.approx(row["baseline_loss"], rel=TOLERANCE)
    if kind != "variance":
        hits = [hit for series in given["hit_series"] for hit in series]
        assert sum(hits) / len(hits) == pytest.approx(row["coverage"], rel=TOLERANCE)
    assert [write["run_id"] for write in payload["inputs_written_by"]] == ["run-7"]
    assert payload["partitions"]["forecast_scores"][-1] == "2022-12-01"


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("strategies/none", {}, "min_variance"),
        ("strategies/hrp", {"measure": "sharpe"}, "growth_annual"),
        ("strategies/hrp", {"session": str(SESSIONS[0])}, "strategies/hrp/nav"),
        ("strategies/equal_weight", {"measure": "weight", "symbol": "NEW"}, "AAPL, MSFT"),
        ("scores", {"model": "har", "kind": "variance", "horizon_sessions": 5}, "GET /api/v1/scores"),
        ("scores", {"model": "har", "kind": "variance", "horizon_sessions": 21, "measure": "z"}, "kupiec_p_value"),
        (f"simulations/{NO_JOB}", {"measure": "var_99"}, "GET /api/v1/simulations"),
        (f"simulations/{NO_JOB}", {"measure": "z"}, "probability_of_goal"),
    ],
)
def test_what_cannot_be_explained_is_told_with_what_can(
    client: httpx.Client, path: str, query: dict[str, Any], words: str
) -> None:
    answer = client.get(f"/api/v1/{path}/explain", params=query)
    assert answer.status_code == 404, answer.text[:300]
    assert words in answer.json()["remedy"]


@pytest.mark.parametrize(
    "address",
    [
        "/strategies/equal_weight/explain?measure=nav",
        "/strategies/equal_weight/explain?measure=growth_annual",
        "/scores/explain?model=har&kind=variance&horizon_sessions=21",
        "/scores/explain?model=filtered_historical&kind=quantile_0.05&horizon_sessions=1&measure=coverage",
    ],
)
def test_each_has_a_page(client: httpx.Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    for told in ("Formula", "Source", "Computed now from its inputs", "Partitions", "Every"):
        assert told in answer.text
    for refused in ("<script", "style=", ">None<", ">nan<"):
        assert refused not in answer.text


def test_a_simulation_has_a_page(client: httpx.Client) -> None:
    job = done(client, JOB)
    page = client.get(f"/simulations/{job['id']}/explain?measure=var_99").text
    assert f"<dd>{job['result']['var_99']!r}</dd>" in page
