"""What can be explained of a portfolio, and a measure that is explained under the portfolio's own address."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from pipeline.risk.measures import MEASURES
from serving.routes.explaining.backtests import BACKTEST_FIGURES
from serving.routes.explaining.simulations import SIMULATION_FIGURES
from serving.routes.explaining.stress import WHOLE_FIGURES
from serving.routes.explaining.tails import ERROR_FIGURES, TAIL_FIGURES
from tests.integration.serving.explained import get
from tests.integration.serving.seeding import NOTICE, SESSIONS, Seeded

FIGURES = {
    "risk": [measure.name for measure in MEASURES],
    "tail": (*TAIL_FIGURES, *ERROR_FIGURES),
    "backtests": BACKTEST_FIGURES,
    "stress": WHOLE_FIGURES,
    "simulations": SIMULATION_FIGURES,
}


@pytest.fixture(scope="module")
def listed_figures(explained_api: httpx.Client) -> dict[str, Any]:
    return get(explained_api, "portfolios/held/explain")


def test_every_newest_stored_figure_is_listed(
    explained_api: httpx.Client, explained_seed: Seeded, listed_figures: dict[str, Any]
) -> None:
    assert (listed_figures["portfolio_id"], listed_figures["notice"]) == (explained_seed.portfolios["held"], NOTICE)
    counts = Counter(figure["kind"] for figure in listed_figures["figures"])
    for kind, figures in FIGURES.items():
        rows = get(explained_api, f"portfolios/held/{kind}", **({} if kind == "stress" else {"limit": 1_000}))["data"]
        newest = [row for row in rows if row["session"] == max(row["session"] for row in rows)]
        may_lack = WHOLE_FIGURES if kind == "stress" else ERROR_FIGURES
        expected = [(row, name) for row in newest for name in figures if name not in may_lack or row[name] is not None]
        assert counts[kind] == len(expected) > 0, kind
        listed = [figure for figure in listed_figures["figures"] if figure["kind"] == kind]
        assert {figure["session"] for figure in listed} == {newest[0]["session"]}
        for figure in listed:
            named = dict(figure["query"])
            name = named.pop("figure" if kind == "backtests" else "measure")
            row = next(row for row in newest if all(row[key] == value for key, value in named.items()))
            assert figure["value"] == row[name]


def test_each_figure_leads_to_its_explanation(explained_api: httpx.Client, listed_figures: dict[str, Any]) -> None:
    asked = []
    for kind in FIGURES:
        asked += [figure for figure in listed_figures["figures"] if figure["kind"] == kind][::13]
    assert len(asked) > 20
    for figure in asked:
        answer = explained_api.get(figure["explain"])
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["value"], found["session"]) == (figure["value"], figure["session"]), figure
        assert found["subject"] == "held"


def test_a_measure_is_explained_under_the_own_address(explained_api: httpx.Client) -> None:
    for query in ({"measure": "var_99_1d"}, {"measure": "cagr", "session": str(SESSIONS[-2])}):
        short = get(explained_api, "portfolios/held/explain", **query)
        assert short == get(explained_api, "portfolios/held/risk/explain", **query)
        assert short["definition"]["name"] == query["measure"]
    unknown = explained_api.get("/api/v1/portfolios/held/explain", params={"measure": "luck"})
    assert unknown.status_code == 404
    assert "var_99_1d" in unknown.json()["remedy"]


def test_the_figures_of_a_session_are_asked_for(explained_api: httpx.Client) -> None:
    then = str(SESSIONS[-30])
    found = get(explained_api, "portfolios/held/explain", session=then)["figures"]
    assert {figure["session"] for figure in found} == {then}
    assert {"risk", "tail"} <= {figure["kind"] for figure in found}
    assert get(explained_api, "portfolios/held/explain", session="1990-01-02")["figures"] == []


def test_the_templates_name_what_there_is_one_of_each(
    explained_api: httpx.Client, listed_figures: dict[str, Any]
) -> None:
    filled = {
        "contributions": {"symbol": "AAPL", "measure": "var_99_1d_component"},
        "stress": {"scenario": "equity_down_20", "symbol": "AAPL", "measure": "pnl"},
        "limits": {"measure": "var_99_1d", "direction": "above", "figure": "value"},
        "value": {"measure": "value"},
        "history": {"measure": "total_return", "start": str(SESSIONS[-60])},
    }
    assert set(listed_figures["templates"]) == set(filled)
    for kind, template in listed_figures["templates"].items():
        address, names = template.rstrip("}").split("{?")
        assert set(filled[kind]) <= set(names.split(","))
        answer = explained_api.get(address, params=filled[kind])
        assert answer.status_code == 200, f"{kind}: {answer.text}"


def test_who_is_not_there_has_nothing_to_explain(explained_api: httpx.Client) -> None:
    assert explained_api.get("/api/v1/portfolios/nobody/explain").status_code == 404
    assert explained_api.get("/api/v1/portfolios/held/explain", params={"figure": "cagr"}).status_code == 422
