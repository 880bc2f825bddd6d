"""Covariances, factors and contributions: as stored, and computed on request, by the risk service over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf, oas

from pipeline.risk.assets.covariance import covariance_rows
from pipeline.risk.assets.factor_exposure import exposure_rows
from pipeline.risk.assets.portfolio_contribution import contribution_rows
from pipeline.store.covariances import COVARIANCE
from pipeline.store.engine import Database
from pipeline.store.factor_exposures import FACTOR_EXPOSURE
from pipeline.store.instruments import Listing, benchmark_of, read_instruments, replace_instruments
from pipeline.store.portfolio_contributions import PORTFOLIO_CONTRIBUTION
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio, read_portfolio
from pipeline.store.prices import price_rows, read_price_panel, replace_prices
from pipeline.store.writing import concatenated, open_write
from tests.integration.serving.running import Serve, local_settings, running_service
from tests.integration.serving.seeding import MONTHS, NOTICE, SESSIONS, SHORT_SESSIONS, Seeded, seed

FUNDS = ("GROW", "MOVE")
WINDOW = 252


@pytest.fixture(scope="module")
def filled(new_database: Callable[[], Database]) -> Seeded:
    """The seeded database with two factor funds, a portfolio that holds one of them, and the results of all months."""
    seeded = seed(new_database())
    close = seeded.close | _fund_prices(seeded.close["SPX"])
    with open_write(seeded.database, "instruments", "test", "1") as write:
        replace_instruments(write, [Listing(fund, fund, "etf", "", "USD", "XNYS", "bundled") for fund in FUNDS])
    with open_write(seeded.database, "prices", "test", "1") as write:
        instruments = {instrument.symbol: instrument for instrument in read_instruments(write.connection)}
        columns = price_rows(
            np.concatenate([np.full(len(prices), instruments[symbol].id, "i4") for symbol, prices in close.items()]),
            np.concatenate([SESSIONS[-len(prices) :] for prices in close.values()]),
            1,
            {"close_adjusted": np.concatenate(list(close.values()))},
        )
        replace_prices(write, columns, MONTHS)
        weights = {"AAPL": 0.5, "MOVE": 0.3, "SPX": 0.2}
        positions = tuple(Position(instruments[s].id, s, target_weight=w) for s, w in weights.items())
        mixed = create_portfolio(write.connection, NewPortfolio("Mixed", "monthly", positions, slug="mixed"))
    seeded = replace(seeded, instruments=instruments, close=close, portfolios=seeded.portfolios | {"mixed": mixed})
    _store_results(seeded)
    return seeded


def _fund_prices(index: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    draws = np.random.default_rng(11)
    moves = np.r_[0.0, index[1:] / index[:-1] - 1.0]
    return {fund: 50 * np.cumprod(1 + 0.7 * moves + draws.normal(0, 0.004, len(moves))) for fund in FUNDS}


def _store_results(seeded: Seeded) -> None:
    for table in (COVARIANCE, FACTOR_EXPOSURE, PORTFOLIO_CONTRIBUTION):
        with open_write(seeded.database, table.name, "test", "1") as write:
            instruments = read_instruments(write.connection)
            panel = read_price_panel(write.connection, sorted(i.id for i in instruments), None, MONTHS.end)
            portfolios = [read_portfolio(write.connection, slug) for slug in seeded.portfolios]
            blocks = {
                COVARIANCE: lambda p=panel, i=instruments: covariance_rows(p, benchmark_of(i), MONTHS),
                FACTOR_EXPOSURE: lambda p=panel, i=instruments: exposure_rows(p, i, MONTHS),
                PORTFOLIO_CONTRIBUTION: lambda p=panel, all_=portfolios: (
                    block for portfolio in all_ for block in contribution_rows(p, portfolio, MONTHS, [])
                ),
            }[table]
            write.replace(table, concatenated(table, blocks()), MONTHS)


@pytest.fixture(scope="module")
def risk_api(filled: Seeded) -> Iterator[httpx.Client]:
    with running_service("python-risk-engine", local_settings(filled.database.url)) as service:
        yield service.client


def got(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.json()["notice"] == NOTICE
    return answer.json()


def returns_of(filled: Seeded, *symbols: str, window: int = WINDOW) -> NDArray[np.float64]:
    close = np.column_stack([filled.close[symbol][-window - 1 :] for symbol in symbols])
    return close[1:] / close[:-1] - 1.0


def test_the_stored_covariance_is_a_matrix(risk_api: httpx.Client, filled: Seeded) -> None:
    found = got(risk_api.get("/api/v1/covariance"))
    known = sorted((i.id, s) for s, i in filled.instruments.items() if s != "NEW")
    assert found["symbols"] == [symbol for _, symbol in known]
    assert (found["session"], found["window_sessions"]) == ("2022-12-28", WINDOW)
    assert (found["estimator"], found["computed"]) == ("ledoit_wolf", False)
    assert found["materialization_id"] > 0
    expected, _ = ledoit_wolf(returns_of(filled, *found["symbols"]))
    np.testing.assert_allclose(found["covariance"], expected, rtol=1e-10)
    deviations = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found["correlation"], expected / np.outer(deviations, deviations), rtol=1e-10)


def test_a_part_of_the_covariance_in_the_order_asked_for(risk_api: httpx.Client) -> None:
    whole = got(risk_api.get("/api/v1/covariance"))
    part = got(risk_api.get("/api/v1/covariance", params={"symbols": ["MSFT", "AAPL", "MSFT"]}))
    assert part["symbols"] == ["MSFT", "AAPL"]
    rows = [whole["symbols"].index(symbol) for symbol in part["symbols"]]
    np.testing.assert_array_equal(part["covariance"], np.array(whole["covariance"])[np.ix_(rows, rows)])
    older = got(risk_api.get("/api/v1/covariance", params={"session": "2022-07-15", "symbols": "AAPL"}))
    assert older["session"] == "2022-06-30"
    assert older["correlation"] == [[1.0]]


def test_other_estimators_are_computed_over_the_same_returns(risk_api: httpx.Client, filled: Seeded) -> None:
    symbols = got(risk_api.get("/api/v1/covariance"))["symbols"]
    returns = returns_of(filled, *symbols)
    decays = 0.94 ** np.arange(WINDOW - 1, -1, -1)
    expected = {
        "sample": np.cov(returns.T),
        "oas": oas(returns)[0],
        "ewma": (returns * decays[:, None]).T @ returns / decays.sum(),
    }
    for estimator, matrix in expected.items():
        found = got(risk_api.get("/api/v1/covariance", params={"estimator": estimator}))
        assert (found["symbols"], found["computed"], found["materialization_id"]) == (symbols, True, None)
        np.testing.assert_allclose(found["covariance"], matrix, rtol=1e-9)


def test_factor_exposures_are_a_row_a_month_and_fund(risk_api: httpx.Client, filled: Seeded) -> None:
    rows = got(risk_api.get("/api/v1/instruments/AAPL/factors", params={"limit": 4}))["data"]
    assert [(row["session"], row["factor"]) for row in rows] == [
        ("2022-11-30", "GROW"),
        ("2022-11-30", "MOVE"),
        ("2022-12-28", "GROW"),
        ("2022-12-28", "MOVE"),
    ]
    design = np.column_stack([np.ones(WINDOW), returns_of(filled, *FUNDS)])
    slopes = np.linalg.lstsq(design, returns_of(filled, "AAPL")[:, 0], rcond=None)[0][1:]
    assert [row["exposure_ols"] for row in rows[2:]] == pytest.approx(slopes.tolist(), rel=1e-8)
    young = got(risk_api.get("/api/v1/instruments/NEW/factors", params={"limit": 1}))["data"][0]
    assert young["reason"] == f"short_window: {SHORT_SESSIONS - 1} of 252 sessions"
    assert young["exposure_ridge"] is None
    own = got(risk_api.get("/api/v1/instruments/GROW/factors"))["data"]
    assert {row["factor"] for row in own} == {"MOVE"}


def test_contributions_are_a_row_a_month_and_position(risk_api: httpx.Client, filled: Seeded) -> None:
    rows = got(risk_api.get("/api/v1/portfolios/mixed/contributions", params={"limit": 3}))["data"]
    assert [row["symbol"] for row in rows] == [
        symbol for _, symbol in sorted((filled.instruments[s].id, s) for s in ("AAPL", "MOVE", "SPX"))
    ]
    assert {row["session"] for row in rows} == {"2022-12-28"}
    computed = {
        "volatility": decomposed(risk_api, "mixed"),
        "var_99_1d": decomposed(risk_api, "mixed", measure="var"),
        "es_975_1d": decomposed(risk_api, "mixed", measure="es", confidence=0.975),
    }
    for name, answer in computed.items():
        parts = {part["name"]: part for part in answer["parts"]}
        for row in rows:
            for kind in ("component", "marginal", "incremental"):
                assert row[f"{name}_{kind}"] == pytest.approx(parts[row["symbol"]][kind], rel=1e-9, abs=1e-15)
            assert row["weight"] == pytest.approx(parts[row["symbol"]]["size"], rel=1e-12)
    first = got(risk_api.get("/api/v1/portfolios/mixed/contributions", params={"end": "2020-02-01"}))["data"][0]
    assert first["reason"].startswith("short_window: ")
    assert first["volatility_component"] is None


def decomposed(api: httpx.Client, reference: str, **body: Any) -> Any:
    return got(api.post(f"/api/v1/portfolios/{reference}/decomposition", json=body))


@pytest.mark.parametrize("by", ["position", "sector", "factor"])
@pytest.mark.parametrize(
    "body",
    [
        {"covariance": "ledoit_wolf"},
        {"covariance": "sample"},
        {"covariance": "ewma"},
        {"covariance": "oas", "window_sessions": 60},
        {"measure": "var", "confidence": 0.95},
        {"measure": "var", "method": "kernel"},
        {"measure": "es", "confidence": 0.975, "as_of": "2022-06-05"},
    ],
)
def test_parts_sum_to_the_total(risk_api: httpx.Client, by: str, body: dict[str, Any]) -> None:
    found = decomposed(risk_api, "mixed", by=by, **body)
    assert sum(part["component"] for part in found["parts"]) == pytest.approx(found["total"], abs=1e-12)
    assert sum(part["share"] for part in found["parts"]) == pytest.approx(1.0)
    assert found["total"] > 0.0
    assert found["by"] == by
    assert found["window_sessions"] == body.get("window_sessions", WINDOW)
    assert found["as_of"] == ("2022-06-03" if "as_of" in body else "2022-12-28")
    names = {
        "position": ["AAPL", "MOVE", "SPX"],
        "sector": ["Information Technology", "no sector (etf)", "no sector (index)"],
        "factor": ["GROW", "MOVE", "specific"],
    }
    assert [part["name"] for part in found["parts"]] == names[by]


def test_a_decomposition_is_what_its_definition_gives(risk_api: httpx.Client, filled: Seeded) -> None:
    assert risk_api.post("/api/v1/portfolios/quarterly/decomposition").json() == decomposed(risk_api, "quarterly")
    found = decomposed(risk_api, "held", measure="var")
    last = np.array([filled.close["AAPL"][-1] * 2.0, filled.close["MSFT"][-1]])
    weights, returns = last / last.sum(), returns_of(filled, "AAPL", "MSFT")
    losses = -(returns @ weights)
    at_var = np.argsort(losses)[249]
    assert found["total"] == pytest.approx(losses[at_var], rel=1e-12)
    components = [part["component"] for part in found["parts"]]
    assert components == pytest.approx((-weights * returns[at_var]).tolist(), rel=1e-9)
    alone = np.sort(-returns[:, 1] * weights[1])[249]
    assert found["parts"][0]["incremental"] == pytest.approx(losses[at_var] - alone, rel=1e-9)
    assert (found["confidence"], found["method"], found["covariance"]) == (0.99, "historical", None)
    risk = risk_api.post("/api/v1/portfolios/held/risk", json={}).json()
    assert found["total"] == pytest.approx(risk["var_99_1d"], rel=1e-12)
    factors = decomposed(risk_api, "held", by="factor", covariance="sample")
    assert factors["total"] == pytest.approx(np.std(returns @ weights, ddof=1), rel=1e-9)
    assert factors["parts"][-1]["size"] is None


def test_what_is_read_does_not_change_the_decomposition(
    risk_api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = decomposed(risk_api, "quarterly", window_sessions=100)
    monkeypatch.setattr("serving.routes.decomposition.reaches_back", lambda *_: False)
    assert decomposed(risk_api, "quarterly", window_sessions=100) == found


def test_principal_factors_are_eigenvectors(risk_api: httpx.Client, filled: Seeded) -> None:
    found = got(risk_api.get("/api/v1/principal-factors", params={"count": 2}))
    assert (found["symbols"], found["left_out"]) == (["AAPL", "MSFT", "SAP"], ["NEW"])
    assert (found["as_of"], found["window_start"]) == ("2022-12-28", str(SESSIONS[-WINDOW - 1]))
    covariance = np.cov(returns_of(filled, "AAPL", "MSFT", "SAP").T)
    values = np.linalg.eigvalsh(covariance)[::-1]
    explained = [factor["explained"] for factor in found["factors"]]
    assert explained == pytest.approx((values[:2] / values.sum()).tolist(), rel=1e-9)
    assert found["factors"][0]["volatility"] == pytest.approx(np.sqrt(values[0] * 252), rel=1e-9)
    for factor, value in zip(found["factors"], values, strict=False):
        loadings = np.array(list(factor["loadings"].values()))
        np.testing.assert_allclose(covariance @ loadings, value * loadings, atol=1e-12)
    named = got(risk_api.get("/api/v1/principal-factors", params={"symbols": ["SPX", "AAPL"], "count": 1}))
    assert named["symbols"] == ["SPX", "AAPL"]
    short = got(risk_api.get("/api/v1/principal-factors", params={"window_sessions": SHORT_SESSIONS - 1, "count": 4}))
    assert short["left_out"] == []


@pytest.mark.parametrize(
    ("path", "query", "status", "named"),
    [
        ("covariance", {"symbols": "NONE"}, 404, "NONE"),
        ("covariance", {"symbols": ["AAPL", "NEW"]}, 422, "symbols: NEW not in the matrix of 2022-12-28"),
        ("covariance", {"symbols": ""}, 422, "query.symbols"),
        ("covariance", {"session": "2020-06-01"}, 404, "No covariance is stored up to 2020-06-01"),
        ("covariance", {"session": "yesterday"}, 422, "query.session"),
        ("covariance", {"estimator": "best"}, 422, "query.estimator"),
        ("covariance", {"estimators": "oas"}, 422, "query.estimators"),
        ("instruments/NONE/factors", {}, 404, "NONE"),
        ("instruments/AAPL/factors", {"limit": 0}, 422, "query.limit"),
        ("portfolios/none/contributions", {}, 404, "none"),
        ("principal-factors", {"count": 0}, 422, "query.count"),
        ("principal-factors", {"count": 4}, 422, "count=4: give 1 to 3"),
        ("principal-factors", {"window_sessions": 1}, 422, "query.window_sessions"),
        ("principal-factors", {"window_sessions": 5000}, 422, "window_sessions: no instrument has 5000 returns"),
        (
            "principal-factors",
            {"as_of": "1950-01-01"},
            422,
            "window_sessions: no instrument has 252 returns up to 1950",
        ),
        ("principal-factors", {"symbols": ["AAPL", "NEW"], "count": 1}, 422, "symbols: NEW without 252 returns"),
        ("principal-factors", {"symbols": "NONE"}, 404, "NONE"),
    ],
)
def test_a_bad_question_is_refused_by_name(
    risk_api: httpx.Client, path: str, query: dict[str, Any], status: int, named: str
) -> None:
    answer = risk_api.get(f"/api/v1/{path}", params=query)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]


@pytest.mark.parametrize(
    ("reference", "body", "status", "named"),
    [
        ("none", {}, 404, "none"),
        ("mixed", {"measure": "beta"}, 422, "body.measure"),
        ("mixed", {"by": "country"}, 422, "body.by"),
        ("mixed", {"unknown": 1}, 422, "body.unknown"),
        ("mixed", {"confidence": 0.99}, 422, "confidence: volatility has none; leave it out"),
        ("mixed", {"measure": "var", "covariance": "oas"}, 422, "covariance: var has none"),
        ("mixed", {"method": "kernel"}, 422, "method: volatility has none"),
        ("mixed", {"measure": "es", "method": "kernel"}, 422, "method: kernel smooths var alone"),
        ("mixed", {"measure": "var", "confidence": 0.9}, 422, "body.confidence"),
        ("mixed", {"window_sessions": 1}, 422, "body.window_sessions"),
        ("mixed", {"window_sessions": 2.5}, 422, "body.window_sessions"),
        (
            "mixed",
            {"window_sessions": 2, "covariance": "sample"},
            422,
            "covariance=sample: singular, for 2 returns of 3",
        ),
        ("mixed", {"window_sessions": 3, "by": "factor"}, 422, "window_sessions: 3 returns for 2 factors"),
        ("mixed", {"window_sessions": 8000}, 422, "window_sessions: 8000 asked for, and 780 returns up to 2022-12-28"),
        ("young", {}, 422, "window_sessions: 252 asked for, and 29 returns"),
        ("mixed", {"as_of": "1950-01-01"}, 422, "positions"),
        ("mixed", {"as_of": 0}, 422, "body.as_of"),
    ],
)
def test_a_bad_decomposition_is_refused_by_name(
    risk_api: httpx.Client, reference: str, body: dict[str, Any], status: int, named: str
) -> None:
    answer = risk_api.post(f"/api/v1/portfolios/{reference}/decomposition", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]


def test_without_a_factor_fund_factors_are_refused_with_the_way_out(api: httpx.Client) -> None:
    answer = api.post("/api/v1/portfolios/held/decomposition", json={"by": "factor"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "by: there is no factor fund"
    assert "etf" in answer.json()["remedy"]
    assert api.get("/api/v1/covariance").status_code == 404


def test_without_prices_there_is_nothing_to_answer(database: Database, serve: Serve) -> None:
    client = serve(database.url).client
    assert client.get("/api/v1/covariance").status_code == 404
    assert client.get("/api/v1/principal-factors").status_code == 404
