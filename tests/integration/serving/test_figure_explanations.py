"""Explained tails, contributions and stress: the payload alone gives the stored figure again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import Table

from pipeline.base.types import FloatArray
from pipeline.risk.assets.portfolio_contribution import contribution_rows
from pipeline.risk.assets.portfolio_tail import tail_rows
from pipeline.risk.assets.stress_results import Crises, stressed_rows
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.report import held_series
from pipeline.store.engine import Database
from pipeline.store.instruments import read_instruments
from pipeline.store.portfolio_contributions import PORTFOLIO_CONTRIBUTION
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.portfolios import Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.stress_results import STRESS_RESULT
from pipeline.store.writing import Columns, Write, concatenated, open_write
from tests.integration.serving.running import local_settings, running_service
from tests.integration.serving.seeding import MONTHS, Seeded, seed
from tests.integration.serving.test_explanations import write_prices

TOLERANCE = 1e-9

pytestmark = pytest.mark.xdist_group("figure_explanations")


def write_figures(seeded: Seeded) -> None:
    """The rows that the three assets would write."""
    write_prices(seeded, "run-of-prices", {symbol: 2.0 * close for symbol, close in seeded.close.items()})

    def rows(table: Table, panel: PricePanel, portfolio: Portfolio, index: int) -> Iterable[Columns]:
        if table is PORTFOLIO_TAIL:
            return tail_rows(panel, portfolio, MONTHS)
        if table is PORTFOLIO_CONTRIBUTION:
            return contribution_rows(panel, portfolio, MONTHS, [])
        return stressed_rows(Crises.of(panel, index, MONTHS.end, portfolio.base_currency), portfolio, MONTHS)

    def replace(write: Write, table: Table) -> None:
        instruments = {instrument.symbol: instrument.id for instrument in read_instruments(write.connection)}
        panel = read_price_panel(write.connection, list(instruments.values()), None, MONTHS.end)
        portfolios = read_portfolios(write.connection)
        blocks = [block for p in portfolios for block in rows(table, panel, p, instruments["SPX"])]
        write.replace(table, concatenated(table, blocks), MONTHS)

    for table in (PORTFOLIO_TAIL, PORTFOLIO_CONTRIBUTION, STRESS_RESULT):
        with open_write(seeded.database, table.name, f"run-of-{table.name}", "code") as write:
            replace(write, table)


@pytest.fixture(scope="module")
def explained(new_database: Callable[[], Database]) -> Iterator[httpx.Client]:
    seeded = seed(new_database())
    write_figures(seeded)
    with running_service("backend-api", local_settings(seeded.database.url)) as service:
        yield service.client


def explanation(client: httpx.Client, path: str, **query: str) -> dict[str, Any]:
    answer = client.get(f"/api/v1/portfolios/{path}/explain", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def scenarios(payload: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    """(n, k) returns of the positions in the window and (k,) weights, made of nothing but the payload's closes."""
    inputs = payload["inputs"]
    sessions = np.array(inputs["sessions"], dtype="datetime64[D]")
    close = np.column_stack(list(inputs["close"].values()))
    holdings = Holdings(np.array(list(inputs["amounts"].values())), inputs["rebalancing"])
    held = held_series(close, sessions, None, holdings).held
    return held.asset_returns[-int(payload["parameters"]["window_sessions"]) :], held.weights[-1]


@pytest.mark.parametrize("portfolio", ["held", "quarterly"])
@pytest.mark.parametrize("method", sorted(VAR_METHODS))
def test_a_tail_follows_from_its_payload(explained: httpx.Client, portfolio: str, method: str) -> None:
    for measure, confidence in (("var_99_1d", 0.99), ("es_975_1d", 0.975)):
        payload = explanation(explained, f"{portfolio}/tail", method=method, measure=measure)
        returns, weights = scenarios(payload)
        estimate = VAR_METHODS[method].estimate(returns @ weights, TailSpec(confidence))
        again = float(estimate.var if measure.startswith("var") else estimate.es)
        if payload["value"] is None:
            assert payload["undefined_because"] == VAR_METHODS[method].undefined_because
            continue
        assert again == pytest.approx(payload["value"], rel=TOLERANCE)
        assert abs(payload["difference"]) <= TOLERANCE
        assert payload["written_by"]["run_id"] == "run-of-portfolio_tail"
        assert payload["definition"]["source"]


@pytest.mark.parametrize("session", ["2022-12-28", "2021-12-31"])
def test_components_sum_to_what_the_scenarios_say(explained: httpx.Client, session: str) -> None:
    parts = [
        explanation(explained, "quarterly/contributions", symbol=symbol, measure="var_99_1d_component", session=session)
        for symbol in ("AAPL", "MSFT")
    ]
    assert all(abs(payload["difference"]) <= TOLERANCE for payload in parts)
    returns, weights = scenarios(parts[0])
    losses = np.sort(-(returns @ weights))
    assert sum(payload["value"] for payload in parts) == pytest.approx(losses[int(np.ceil(0.99 * 252)) - 1], abs=1e-12)


def test_a_loss_in_a_crisis_is_weight_times_move(explained: httpx.Client) -> None:
    payload = explanation(explained, "held/stress", scenario="covid_2020", symbol="AAPL")
    close = payload["inputs"]["close"]["AAPL"]
    assert (payload["inputs"]["sessions"][0], payload["inputs"]["sessions"][-1]) == ("2020-02-19", "2020-03-23")
    assert payload["value"] == pytest.approx(payload["parameters"]["weight"] * (close[-1] / close[0] - 1), rel=1e-12)
    assert abs(payload["difference"]) <= TOLERANCE


@pytest.mark.parametrize(
    ("path", "query", "status", "words"),
    [
        ("held/tail", {"method": "guess", "measure": "var_99_1d"}, 404, "no stored tail by 'guess'"),
        ("held/tail", {"method": "ewma", "measure": "cagr"}, 422, "measure"),
        ("held/contributions", {"symbol": "SAP", "measure": "var_99_1d_component"}, 404, "does not hold 'SAP'"),
        ("held/stress", {"scenario": "y2k", "symbol": "AAPL"}, 422, "lehman_2008"),
        ("held/stress", {"scenario": "lehman_2008", "symbol": "AAPL", "session": "2021-12-31"}, 404, "lehman_2008"),
    ],
)
def test_what_cannot_be_explained_is_named(
    explained: httpx.Client, path: str, query: dict[str, str], status: int, words: str
) -> None:
    answer = explained.get(f"/api/v1/portfolios/{path}/explain", params=query)
    assert answer.status_code == status, answer.text
    assert words in answer.text
