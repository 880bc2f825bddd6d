"""Risk on request by other definitions: libraries' conventions, moments without bias, other periods, and spreads."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.risk.measures.convention_meanings import MEANINGS, libraries_with, peer_name
from pipeline.risk.measures.conventions import CONVENTIONS, ConventionSpec, Library
from pipeline.risk.measures.on_request import ON_REQUEST, REPORTED
from tests.integration.serving.test_calculate import DAYS, calculated, drawn, held, values_of, weighted
from tests.unit.risk.peers import PEERS


def named(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {measure["name"]: measure for measure in found["measures"]}


@pytest.mark.parametrize("library", CONVENTIONS)
def test_a_convention_gives_the_librarys_own_number(api: httpx.Client, library: Library) -> None:
    returns, benchmark = pd.Series(drawn(), index=pd.DatetimeIndex(DAYS)), drawn(seed=4)
    found = calculated(
        api,
        returns={"values": returns.tolist(), "dates": DAYS},
        benchmark={"values": benchmark, "dates": DAYS},
        convention=library,
    )
    assert found["convention"] == library
    made = named(found)
    for measure in REPORTED:
        if library not in libraries_with(measure):
            assert made[measure.name]["convention"] == "platform"
            continue
        spec = ConventionSpec(measure.parameters.get("confidence", 0.95), benchmark=np.array(benchmark))
        theirs = float(PEERS[library][peer_name(measure)](returns, spec))
        assert made[measure.name]["value"] == pytest.approx(theirs, rel=1e-9), measure.name
        assert made[measure.name]["convention"] == library
    (own,) = [t for t in found["tails"] if (t["method"], t["confidence"]) == (library, 0.99)]
    assert own["var"] == made["var_99_1d"]["value"]
    assert own["unit"] == made["var_99_1d"]["unit"]
    assert (own["var"] < 0) == own["unit"].endswith("negative for a loss")


@pytest.mark.parametrize("library", CONVENTIONS)
def test_a_library_without_the_horizon_keeps_its_rows_and_says_so(api: httpx.Client, library: str) -> None:
    found = calculated(api, returns={"values": drawn()}, convention=library, horizon_sessions=10)
    rows = [tail for tail in found["tails"] if tail["method"] == library]
    assert [row["confidence"] for row in rows] == [0.95, 0.975, 0.99]
    assert {(row["var"], row["horizon_sessions"], row["scaling"]) for row in rows} == {(None, 10, None)}
    assert all(row["undefined"].startswith("one_session_only: ") for row in rows)


def test_the_page_of_measures_tells_what_each_library_means(api: httpx.Client) -> None:
    listed = {measure["name"]: measure for measure in api.get("/api/v1/measures").json()["data"]}
    for measure in REPORTED:
        peers = {peer["library"]: peer for peer in listed[measure.name]["peers"]}
        assert tuple(peers) == libraries_with(measure)
        for library, peer in peers.items():
            meaning = MEANINGS[library].get(peer_name(measure))
            assert peer["formula"] == (measure.formula if meaning is None else meaning.formula)
        assert listed[measure.name]["unit"]
        assert listed[measure.name]["meaning"].endswith((".", ")."))


def test_measures_that_no_table_stores_are_computed_by_their_definitions(api: httpx.Client) -> None:
    values, index = np.array(drawn()), np.array(drawn(seed=4))
    rate = 1.02 ** (1 / 252) - 1
    names = [measure.name for measure in ON_REQUEST]
    found = calculated(
        api,
        returns={"values": values.tolist()},
        benchmark={"values": index.tolist()},
        measures=names,
        risk_free_rate_annual=0.02,
    )
    below, mean = np.maximum(rate - values, 0.0), values.mean()
    expected = {
        "total_return": np.prod(1 + values) - 1,
        "hit_rate": np.mean(values > 0),
        "gain_loss_ratio": values[values > 0].mean() / -values[values < 0].mean(),
        "omega_ratio": np.maximum(values - rate, 0.0).sum() / below.sum(),
        "mean_absolute_deviation": np.abs(values - mean).mean(),
        "semi_deviation": np.sqrt((np.minimum(values - mean, 0.0) ** 2).mean() * 252),
        "downside_deviation": np.sqrt((below**2).mean() * 252),
        "lower_partial_moment_0": np.mean(values < rate),
        "lower_partial_moment_1": below.mean(),
        "lower_partial_moment_2": (below**2).mean(),
        "correlation": np.corrcoef(values, index)[0, 1],
    }
    assert values_of(found) == pytest.approx(expected, rel=1e-9)
    assert [measure["unit"] for measure in found["measures"]] == [measure.unit for measure in ON_REQUEST]


def test_moments_are_corrected_for_bias_where_asked_and_the_answer_says_which(api: httpx.Client) -> None:
    values = drawn(20)
    for method, is_biased in (("population", True), ("adjusted", False)):
        found = calculated(api, returns={"values": values}, moments=method)
        made = values_of(found)
        assert found["moments"] == method
        assert made["skewness"] == pytest.approx(stats.skew(values, bias=is_biased), rel=1e-9)
        assert made["excess_kurtosis"] == pytest.approx(stats.kurtosis(values, bias=is_biased), rel=1e-9)
    assert calculated(api, returns={"values": values})["moments"] == "population"


def test_returns_of_weeks_are_annualised_by_their_number_in_a_year(api: httpx.Client) -> None:
    values = np.array(drawn(104))
    found = calculated(api, returns={"values": values.tolist()}, periods_per_year=52, risk_free_rate_annual=0.02)
    made = values_of(found)
    excess = values - (1.02 ** (1 / 52) - 1)
    assert found["periods_per_year"] == 52
    assert made["volatility"] == pytest.approx(np.std(values, ddof=1) * np.sqrt(52), rel=1e-9)
    assert made["cagr"] == pytest.approx(np.prod(1 + values) ** 0.5 - 1, rel=1e-9)
    assert made["sharpe_ratio"] == pytest.approx(excess.mean() / np.std(values, ddof=1) * np.sqrt(52), rel=1e-9)
    assert calculated(api, returns={"values": values.tolist()})["periods_per_year"] == 252


def test_spreads_tell_what_selling_costs(api: httpx.Client) -> None:
    spreads = [{"symbol": "AAPL", "mean": 0.001, "deviation": 0.0005}, {"symbol": "MSFT", "mean": 0.01}]
    body = weighted(("AAPL", 0.6), ("MSFT", 0.4))
    found = calculated(api, **body, liquidity={"spreads": spreads, "spread_deviations": 2.0})
    weights = {position["symbol"]: position["weight"] for position in found["positions"]}
    cost = {"AAPL": weights["AAPL"] * 0.002 / 2, "MSFT": weights["MSFT"] * 0.01 / 2}
    assert {p["symbol"]: p["spread_cost"] for p in found["positions"]} == pytest.approx(cost, rel=1e-12)
    assert found["liquidity"]["spread_cost"] == pytest.approx(sum(cost.values()), rel=1e-12)
    assert found["liquidity"]["without_spread"] == []
    partly = calculated(api, **held(("AAPL", 2.0), ("MSFT", 1.0)), liquidity={"spreads": spreads[:1]})
    assert (partly["liquidity"]["spread_cost"], partly["liquidity"]["without_spread"]) == (None, ["MSFT"])
    assert partly["positions"][1]["spread_cost"] is None
    assert partly["positions"][0]["spread_cost"] > 0
