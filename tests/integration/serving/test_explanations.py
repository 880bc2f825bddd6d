"""Explained numbers: the payload alone gives the stored value again, also after the prices were revised."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.assets.instrument_risk import instrument_reports
from pipeline.risk.assets.portfolio_risk import portfolio_report
from pipeline.risk.assets.rates import read_rates
from pipeline.risk.measures import MEASURES, RiskSpec
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.risk_free import RiskFree
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import held_series, latest_report
from pipeline.store.fx_rates import FX_RATE
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import benchmark_of, read_instruments
from pipeline.store.interest_rates import INTEREST_RATE
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio, read_portfolios
from pipeline.store.prices import price_rows, read_price_panel, replace_prices
from pipeline.store.writing import concatenated, open_write
from tests.integration.serving.running import Serve, wait_until
from tests.integration.serving.seeding import DOLLARS_PER_EURO, MONTHS, SESSIONS, SHORT_SESSIONS, Seeded

TOLERANCE = 1e-9
SUBJECTS = ("instruments/AAPL", "portfolios/held", "portfolios/quarterly")


def write_prices(seeded: Seeded, run_id: str, close: dict[str, FloatArray]) -> None:
    with open_write(seeded.database, "prices", run_id, "code-0") as write:
        columns = price_rows(
            np.concatenate([np.full(len(own), seeded.instruments[symbol].id, "i4") for symbol, own in close.items()]),
            np.concatenate([SESSIONS[-len(own) :] for own in close.values()]),
            1,
            {
                "close_adjusted": np.concatenate(list(close.values())),
                "volume": np.concatenate(
                    [np.full(len(own), np.nan if symbol == "SAP" else 500.0) for symbol, own in close.items()]
                ),
            },
        )
        replace_prices(write, columns, MONTHS)


def write_risk(seeded: Seeded) -> None:
    """The rows that the assets would write; the prices are twice those of the seeding, which no load wrote."""
    write_prices(seeded, "run-of-prices", {symbol: 2.0 * close for symbol, close in seeded.close.items()})
    with open_write(seeded.database, "instrument_risk", "run-of-instruments", "code-1") as write:
        instruments = read_instruments(write.connection)
        panel = read_price_panel(write.connection, [i.id for i in instruments], None, MONTHS.end)
        rates = read_rates(write.connection, MONTHS, 0)
        rows = concatenated(INSTRUMENT_RISK, instrument_reports(panel, instruments, MONTHS, rates))
        write.replace(INSTRUMENT_RISK, rows, MONTHS)
    with open_write(seeded.database, "portfolio_risk", "run-of-portfolios", "code-2") as write:
        benchmark = benchmark_of(instruments)
        blocks = [
            block
            for portfolio in read_portfolios(write.connection)
            for block in portfolio_report(panel, benchmark, portfolio, MONTHS, rates)
        ]
        write.replace(PORTFOLIO_RISK, concatenated(PORTFOLIO_RISK, blocks), MONTHS)


@pytest.fixture
def explained(own_seeded: Seeded, serve: Serve) -> httpx.Client:
    write_risk(own_seeded)
    return serve(own_seeded.database.url).client


def explanation(client: httpx.Client, subject: str, measure: str, **query: str) -> dict[str, Any]:
    answer = client.get(f"/api/v1/{subject}/risk/explain", params={"measure": measure, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


def from_payload(payload: dict[str, Any]) -> float:
    """Measure the inputs of an answer with nothing else at hand."""
    inputs = payload["inputs"]
    spec = RiskSpec(
        window_sessions=int(payload["parameters"]["window_sessions"]),
        periods_per_year=int(payload["parameters"]["periods_per_year"]),
        risk_free_rate_annual=payload["parameters"]["risk_free_rate_annual"],
    )
    close = np.column_stack(list(inputs["close"].values()))
    benchmark = None if inputs["benchmark_close"] is None else np.array(inputs["benchmark_close"])
    name, given = payload["definition"]["name"], inputs["risk_free"]
    risk_free = None if given is None else RiskFree(given["series"], np.array(given["daily"], dtype=np.float64))
    if inputs["amounts"] is None:
        index = None if benchmark is None else simple_returns(benchmark)
        return latest_report(simple_returns(close[:, 0]), index, spec, None, risk_free)[name]
    holdings = Holdings(np.array(list(inputs["amounts"].values())), inputs["rebalancing"])
    series = held_series(close, np.array(inputs["sessions"], dtype="datetime64[D]"), benchmark, holdings)
    return latest_report(series.held.returns, series.benchmark, spec, series.held, risk_free)[name]


def write_rates(seeded: Seeded, dollars_per_euro: FloatArray) -> None:
    with open_write(seeded.database, "fx_rates", "run-of-rates", "code-0") as write:
        currency = np.full(len(SESSIONS), b"USD")
        write.replace(FX_RATE, {"currency": currency, "session": SESSIONS, "units_per_euro": dollars_per_euro}, MONTHS)


def test_converted_closes_give_every_measure_again_and_tell_by_what(own_seeded: Seeded, serve: Serve) -> None:
    held = {"AAPL": 2.0, "SAP": 3.0}
    positions = tuple(Position(own_seeded.instruments[s].id, s, quantity=amount) for s, amount in held.items())
    with own_seeded.database.connect() as connection:
        create_portfolio(connection, NewPortfolio("Mixed", "buy_and_hold", positions, slug="mixed"))
    rates = 1.01 * DOLLARS_PER_EURO
    write_rates(own_seeded, rates)
    write_risk(own_seeded)
    write_rates(own_seeded, DOLLARS_PER_EURO)  # what is known later changes no explanation
    client = serve(own_seeded.database.url).client
    for measure in MEASURES:
        payload = explanation(client, "portfolios/mixed", measure.name, session="2022-12-15")
        assert from_payload(payload) == pytest.approx(payload["value"], rel=TOLERANCE, abs=TOLERANCE)
        assert abs(payload["difference"]) <= TOLERANCE
    inputs = payload["inputs"]
    rows = np.searchsorted(SESSIONS, np.array(inputs["sessions"], dtype="datetime64[D]"))
    assert list(inputs["exchange_rates"]) == ["EUR"]
    np.testing.assert_array_equal(inputs["exchange_rates"]["EUR"], rates[rows])
    sap = 2.0 * own_seeded.close["SAP"][rows] * rates[rows]
    np.testing.assert_allclose(inputs["close"]["SAP"], sap, rtol=1e-15)
    assert payload["partitions"]["fx_rates"] == payload["partitions"]["prices"]


def write_interest(seeded: Seeded, run_id: str, annual: float) -> None:
    days = SESSIONS[::3]
    with open_write(seeded.database, "interest_rates", run_id, "code-0") as write:
        rates = {"series": np.full(len(days), b"DTB3"), "session": days, "annual_rate": np.full(len(days), annual)}
        write.replace(INTEREST_RATE, rates, MONTHS)


@pytest.mark.parametrize("subject", ["instruments/AAPL", "portfolios/quarterly"])
def test_a_measure_against_the_risk_free_rate_tells_its_rates(own_seeded: Seeded, serve: Serve, subject: str) -> None:
    write_interest(own_seeded, "run-of-interest", 0.03)
    write_risk(own_seeded)
    write_interest(own_seeded, "later", 0.05)  # what is known later changes no explanation
    client = serve(own_seeded.database.url).client
    for measure in MEASURES:
        payload = explanation(client, subject, measure.name)
        assert from_payload(payload) == pytest.approx(payload["value"], rel=TOLERANCE, abs=TOLERANCE)
        assert abs(payload["difference"]) <= TOLERANCE
        assert payload["doubts"] == []
        used = payload["inputs"]["risk_free"]
        assert (used is not None) == measure.reads_risk_free == ("interest_rates" in payload["partitions"])
        if used is not None:
            assert used["series"] == "DTB3"
            assert used["daily"] == pytest.approx([(1 - 0.03 * 91 / 360) ** (-365 / 91 / 252) - 1] * len(used["daily"]))


def test_nothing_is_converted_in_one_currency(explained: httpx.Client) -> None:
    payload = explanation(explained, "portfolios/held", "volatility")
    assert payload["inputs"]["exchange_rates"] == {}
    assert "fx_rates" not in payload["partitions"]


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("session", ["2022-12-28", "2021-08-11"])
def test_the_payload_gives_every_served_measure_again(explained: httpx.Client, subject: str, session: str) -> None:
    rows = explained.get(f"/api/v1/{subject}/risk", params={"start": session, "end": session}).json()["data"]
    for measure in MEASURES:
        payload = explanation(explained, subject, measure.name, session=session)
        assert payload["value"] == rows[0][measure.name] is not None
        assert from_payload(payload) == pytest.approx(payload["value"], rel=TOLERANCE, abs=TOLERANCE)
        assert abs(payload["difference"]) <= TOLERANCE


def test_it_names_formula_write_and_partitions(explained: httpx.Client) -> None:
    payload = explanation(explained, "portfolios/quarterly", "es_975_1d")
    assert payload["session"] == str(SESSIONS[-1])
    assert payload["definition"]["function"] == "pipeline.risk.measures.tail.historical_es"
    assert payload["definition"]["parameters"] == {"confidence": 0.975}
    assert "Rockafellar" in payload["definition"]["source"]
    assert (payload["written_by"]["asset"], payload["written_by"]["run_id"]) == ("portfolio_risk", "run-of-portfolios")
    assert payload["written_by"]["code_version"] == "code-2"
    assert [write["run_id"] for write in payload["prices_written_by"]] == ["run-of-prices"]
    assert payload["partitions"]["portfolio_risk"] == ["2022-12-01"]
    assert payload["partitions"]["prices"][-1] == "2022-12-01"
    assert sum(payload["inputs"]["weights"].values()) == pytest.approx(1.0)
    assert len(payload["inputs"]["scenarios"]) == 252


def test_no_more_closes_are_given_than_are_needed(explained: httpx.Client) -> None:
    held = explanation(explained, "portfolios/held", "volatility")["inputs"]
    assert len(held["sessions"]) == 253
    quarterly = explanation(explained, "portfolios/quarterly", "volatility", session="2022-12-28")["inputs"]
    assert quarterly["sessions"][0] == "2021-12-31"  # the rebalancing before the window's first close, 2022-01-07


def test_a_later_revision_of_the_prices_changes_no_explanation(own_seeded: Seeded, explained: httpx.Client) -> None:
    before = explanation(explained, "instruments/AAPL", "volatility")
    wild = np.where(np.arange(len(SESSIONS)) % 2 == 0, 1.5, 1.0)
    write_prices(
        own_seeded, "correction", {symbol: close * wild[-len(close) :] for symbol, close in own_seeded.close.items()}
    )
    # An answer kept from before the revision would pass as well; a new one tells that it knows of it.
    wait_until(lambda: explanation(explained, "instruments/AAPL", "volatility")["staleness"] != before["staleness"], 5)
    after = explanation(explained, "instruments/AAPL", "volatility")
    assert {**after, "staleness": before["staleness"]} == before


def test_a_row_without_a_value_says_why(explained: httpx.Client) -> None:
    payload = explanation(explained, "portfolios/young", "volatility")
    assert payload["value"] is payload["recomputed"] is payload["difference"] is None
    assert payload["undefined_because"].startswith("short_window: ")
    assert payload["inputs"]["returns"] == []
    assert len(payload["inputs"]["sessions"]) == SHORT_SESSIONS


@pytest.mark.parametrize(
    ("path", "query", "status", "words"),
    [
        ("portfolios/held", {"measure": "vollatility"}, 404, "Choose one of cagr"),
        ("portfolios/held", {"measure": "NOT A NAME"}, 422, "measure"),
        ("portfolios/held", {}, 422, "measure"),
        ("portfolios/held", {"measure": "cagr", "session": "2022-12-25"}, 404, "no stored risk on 2022-12-25"),
        ("portfolios/nobody", {"measure": "cagr"}, 404, "nobody"),
        ("instruments/NOBODY", {"measure": "cagr"}, 404, "NOBODY"),
    ],
)
def test_what_cannot_be_explained_is_named(
    explained: httpx.Client, path: str, query: dict[str, str], status: int, words: str
) -> None:
    answer = explained.get(f"/api/v1/{path}/risk/explain", params=query)
    assert answer.status_code == status
    assert words in answer.text
