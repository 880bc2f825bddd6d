"""The client against a real service, and against one that asks it to wait."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime

import pandas as pd
import pytest
from pydantic import SecretStr

import fintech
from fintech import answers, client
from fintech.answers import Position
from fintech.series import DTYPES, Columns
from pipeline.store.api_keys import create_key
from pipeline.store.engine import Database
from pipeline.store.risk_columns import MEASURE_COLUMNS
from pipeline.store.users import NewUser, create_user
from tests.integration.serving.gateways import Puppet, break_off, hang, running_puppet, say
from tests.integration.serving.running import Running, local_settings, running_service
from tests.integration.serving.seeding import NOTICE, SESSIONS, Seeded, seed
from tests.integration.serving.test_explanations import write_risk


@pytest.fixture(scope="module")
def seeded(new_database: Callable[[], Database]) -> Seeded:
    return seed(new_database())


@pytest.fixture(scope="module")
def service(seeded: Seeded) -> Iterator[Running]:
    with running_service("backend-api", local_settings(seeded.database.url)) as running:
        yield running


@pytest.fixture(scope="module")
def api(service: Running) -> Iterator[fintech.Client]:
    with fintech.Client(f"http://127.0.0.1:{service.port}") as made:
        yield made


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    made = Puppet()
    with running_puppet(made):
        yield made


# Series ----------------------------------------------------------------------------------------------------


def test_the_sentence_of_the_documentation(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.Client.__init__, "__defaults__", (f"http://127.0.0.1:{service.port}", None, 35.0))
    found = fintech.Client().risk("held").to_df()
    assert len(found) == 3
    assert found.index[-1] == pd.Timestamp("2022-12-28")


def kinds(columns: Columns) -> dict[str, str]:
    return {name: DTYPES[kind] for name, kind in columns.items()}


def test_risk(api: fintech.Client, seeded: Seeded) -> None:
    risk = api.risk("held", limit=2)
    assert risk.notice == NOTICE
    assert len(risk) == 2
    assert next(iter(risk))["session"] == date(2022, 12, 27)
    found = risk.to_df()
    assert found.attrs["notice"] == NOTICE
    assert found.index.name == "session"
    assert set(found.columns) >= {name for name, _, _ in MEASURE_COLUMNS}
    assert found["var_99_1d"].dtype == "float64"
    assert found["sessions_in_window"].dtype == "int64"
    assert api.risk(seeded.portfolios["held"], limit=2).rows == risk.rows


def test_missing_numbers_are_nan(api: fintech.Client) -> None:
    found = api.instrument_risk("AAPL").to_df()
    assert found["beta"].isna().all()
    assert found["beta"].dtype == "float64"
    assert found["var_95_1d"].notna().all()


def test_prices_are_those_of_the_window(api: fintech.Client, seeded: Seeded) -> None:
    found = api.prices("AAPL", start=date(2022, 12, 1), end="2022-12-28").to_df()
    assert list(found["close_adjusted"]) == list(seeded.close["AAPL"][-len(found) :])
    assert found.index.dtype == "datetime64[ns]"
    assert len(api.prices("AAPL")) == 252
    assert len(api.prices("AAPL", limit=len(SESSIONS))) == len(SESSIONS)
    assert len(api.prices("AAPL", known_at=datetime(2000, 1, 1, tzinfo=UTC))) == 0


@pytest.mark.parametrize(
    ("ask", "full"),
    [
        (lambda a, **w: a.risk("held", **w), answers.RISK),
        (lambda a, **w: a.instrument_risk("AAPL", **w), answers.RISK),
        (lambda a, **w: a.prices("AAPL", **w), answers.PRICES),
        (lambda a, **w: a.simulations("held", **w), answers.SIMULATIONS),
        (lambda a, **w: a.forecasts("AAPL", **w).volatility, answers.VOLATILITY),
        (lambda a, **w: a.forecasts("AAPL", **w).quantiles, answers.QUANTILES),
        (lambda a, **w: a.fx_rates("USD", **w), answers.FX_RATES),
        (lambda a, **w: a.prices_of(["AAPL", "MSFT"], **w), {**answers.SYMBOL, **answers.PRICES}),
        (lambda a, **w: a.risk_of(["AAPL"], **w), {**answers.SYMBOL, **answers.RISK}),
    ],
)
def test_an_answer_without_rows_has_the_same_types(api: fintech.Client, ask: Callable, full: Columns) -> None:
    filled, empty = ask(api).to_df(), ask(api, end="1999-12-31").to_df()
    assert len(filled) > 0
    assert len(empty) == 0
    assert filled.dtypes.to_dict() == empty.dtypes.to_dict()
    assert filled.index.dtype == empty.index.dtype == "datetime64[ns]"
    assert {name: str(dtype) for name, dtype in empty.reset_index().dtypes.items()} == kinds(full)


@pytest.mark.parametrize(
    "ask",
    [
        lambda a: a.tails("held"),
        lambda a: a.contributions("held"),
        lambda a: a.backtests("held"),
        lambda a: a.factor_exposures("AAPL"),
        lambda a: a.limit_events("held"),
    ],
)
def test_series_that_have_no_rows_yet(api: fintech.Client, ask: Callable) -> None:
    found = ask(api).to_df()
    assert len(found) == 0
    assert found.index.dtype == "datetime64[ns]"


def test_all_pages_are_fetched(api: fintech.Client, seeded: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = api.prices("AAPL", limit=len(SESSIONS)).to_df()
    monkeypatch.setattr(client, "PAGE_ROWS", 200)
    for limit in ("all", 10_000, len(SESSIONS)):
        pd.testing.assert_frame_equal(api.prices("AAPL", limit=limit).to_df(), whole)
    pd.testing.assert_frame_equal(api.prices("AAPL", limit=450).to_df(), whole.tail(450))
    both = api.prices_of(["MSFT", "AAPL"], start="2020-01-01").to_df()
    assert len(both) == 2 * len(SESSIONS)
    pd.testing.assert_frame_equal(both[both["symbol"] == "AAPL"].drop(columns="symbol"), whole)
    monkeypatch.setattr(client, "PAGE_ROWS", 2)
    assert [found.symbol for found in api.instruments()] == ["AAPL", "MSFT", "NEW", "SAP", "SPX"]
    assert len(api.portfolios()) == 3


def test_what_an_answer_tells_of_its_data(api: fintech.Client) -> None:
    risk = api.risk("held")
    assert [code for code, _ in risk.told.warnings] == ["sample_data", "stale"]
    assert risk.told.staleness["last_session"] == "2022-12-28"
    assert risk.to_df().attrs["staleness"] == risk.told.staleness
    assert api.portfolio("held").warnings[1]["code"] == "stale"


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        ("BarOut", answers.PRICES),
        ("RiskOut", answers.RISK),
        ("SimulationOut", answers.SIMULATIONS),
        ("VolatilityOut", answers.VOLATILITY),
        ("QuantilesOut", answers.QUANTILES),
        ("TailOut", answers.TAILS),
        ("BacktestOut", answers.BACKTESTS),
        ("FactorExposureOut", answers.EXPOSURES),
        ("ContributionOut", answers.CONTRIBUTIONS),
        ("FxRateOut", answers.FX_RATES),
        ("InterestRateOut", answers.INTEREST_RATES),
        ("LimitEventOut", answers.LIMIT_EVENTS),
        ("InstrumentOut", answers.INSTRUMENTS),
    ],
)
def test_columns_are_those_of_the_api(service: Running, schema: str, columns: Columns) -> None:
    fields = service.client.get("/openapi.json").json()["components"]["schemas"][schema]["properties"]
    assert {name: _kind(field) for name, field in fields.items()} == dict(columns)


def _kind(field: dict) -> str:
    [found] = [part for part in field.get("anyOf", [field]) if part["type"] != "null"]
    if found.get("format") in ("date", "date-time"):
        return {"date": "date", "date-time": "time"}[found["format"]]
    return {"number": "float", "integer": "int", "string": "text"}[found["type"]]


# Records ---------------------------------------------------------------------------------------------------


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


# Refusals --------------------------------------------------------------------------------------------------


def test_a_problem_is_raised_as_it_is(api: fintech.Client) -> None:
    with pytest.raises(fintech.ProblemError, match="no-such") as caught:
        api.risk("no-such")
    error = caught.value
    assert (error.status, error.title) == (404, "Not Found")
    assert "no-such" in error.detail
    assert error.remedy == "GET /api/v1/portfolios lists yours."
    assert error.request_id
    with pytest.raises(fintech.ProblemError) as caught:
        api.prices("AAPL", limit=0)
    assert caught.value.errors[0]["field"] == "query.limit"
    with pytest.raises(fintech.ProblemError, match="positions"):
        api.create_portfolio("P", [{"symbol": "NONE", "quantity": 1}])


@pytest.mark.parametrize("reference", ["../instruments", "a/b", "held?limit=1", "held#x"])
def test_a_reference_leads_nowhere_else(api: fintech.Client, reference: str) -> None:
    with pytest.raises(fintech.ProblemError) as caught:
        api.risk(reference)
    assert caught.value.status in (404, 422)


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b""])
def test_an_answer_that_is_no_problem_document_is_named_by_its_status(puppet: Puppet, body: bytes) -> None:
    puppet.answer = say(body, 502)
    with pytest.raises(fintech.ProblemError, match="status 502") as caught:
        fintech.Client(puppet.url).instruments()
    assert caught.value.status == 502


def test_nobody_there() -> None:
    with pytest.raises(fintech.UnreachableError, match=r"no API answers at http://127.0.0.1:1 \(ConnectError\)"):
        fintech.Client("http://127.0.0.1:1").instruments()


def test_a_time_out_is_not_repeated(puppet: Puppet) -> None:
    puppet.answer = hang
    with pytest.raises(fintech.UnreachableError, match="ReadTimeout"):
        fintech.Client(puppet.url, timeout=0.3).instruments()
    assert len(puppet.asked) == 1


# Retries ---------------------------------------------------------------------------------------------------

EMPTY = say(b'{"data": [], "notice": null}')


def refusing(puppet: Puppet, times: int, status: int, retry_after: bytes | None) -> None:
    headers = () if retry_after is None else ((b"retry-after", retry_after),)

    async def answer(scope, receive, send) -> None:
        refuses = len(puppet.asked) <= times
        await (say(b'{"status": 1}', status, headers) if refuses else EMPTY)(scope, receive, send)

    puppet.answer = answer


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(puppet: Puppet, status: int) -> None:
    refusing(puppet, 1, status, b"1")
    started = time.monotonic()
    assert len(fintech.Client(puppet.url).instruments()) == 0
    assert 1.0 <= time.monotonic() - started < 3.0
    assert len(puppet.asked) == 2


def test_retry_after_may_be_a_date(puppet: Puppet) -> None:
    refusing(puppet, 1, 503, format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True).encode())
    started = time.monotonic()
    fintech.Client(puppet.url).instruments()
    assert time.monotonic() - started > 0.5


def test_without_it_pauses_grow_and_end(puppet: Puppet) -> None:
    refusing(puppet, 99, 503, None)
    started = time.monotonic()
    with pytest.raises(fintech.ProblemError) as caught:
        fintech.Client(puppet.url).instruments()
    assert caught.value.status == 503
    assert len(puppet.asked) == client.TRIES
    assert 0.7 <= time.monotonic() - started < 4.0


def test_nobody_is_kept_waiting_for_long(puppet: Puppet) -> None:
    refusing(puppet, 99, 429, b"900")
    with pytest.raises(fintech.ProblemError):
        fintech.Client(puppet.url).instruments()
    assert len(puppet.asked) == 1


def test_what_stores_is_not_repeated(puppet: Puppet) -> None:
    refusing(puppet, 1, 503, b"0")
    with pytest.raises(fintech.ProblemError):
        fintech.Client(puppet.url).create_portfolio("P", [])
    assert len(puppet.asked) == 1
    puppet.answer = break_off
    with pytest.raises(fintech.UnreachableError):
        fintech.Client(puppet.url).create_portfolio("P", [])
    assert len(puppet.asked) == 2


def test_a_lost_connection_is_tried_again(puppet: Puppet) -> None:
    async def once_broken(scope, receive, send) -> None:
        await (break_off if len(puppet.asked) == 1 else EMPTY)(scope, receive, send)

    puppet.answer = once_broken
    assert len(fintech.Client(puppet.url).instruments()) == 0


# The key, and what is loaded -------------------------------------------------------------------------------


def key_of(database: Database) -> str:
    """A new API key that reads."""
    with database.connect() as connection:
        user = create_user(connection, NewUser("program@example.com", "Program", "no password", "viewer"))
        return create_key(connection, user.id, "test", ["read"], None)[1]


def test_the_key_comes_from_the_environment(seeded: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"environment": "production", "jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("key")}
    with running_service("backend-api", local_settings(seeded.database.url, **secrets)) as running:
        url = f"http://127.0.0.1:{running.port}"
        monkeypatch.delenv("FINTECH_API_KEY", raising=False)
        with pytest.raises(fintech.ProblemError) as caught:
            fintech.Client(url).instruments()
        assert caught.value.status == 401
        key = key_of(seeded.database)
        assert len(fintech.Client(url, key).instruments()) == 5
        with pytest.raises(fintech.ProblemError):  # what services send each other is no key of a program
            fintech.Client(url, "key").instruments()
        monkeypatch.setenv("FINTECH_API_KEY", key)
        assert len(fintech.Client(url).instruments()) == 5


def test_the_command_line_loads_no_client() -> None:
    program = (
        "import sys, fintech, fintech.entry; print([m for m in sys.modules if m in ('httpx', 'pandas', 'sqlalchemy')])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        fintech.Klient  # noqa: B018
