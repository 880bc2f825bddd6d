"""Series of the client: their windows, pages, and the types of their columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pandas as pd
import pytest

import fintech
from fintech.answers import access, forecasts, market_data, portfolios, risk, simulations, stress
from fintech.client import requests
from fintech.series import DTYPES, Columns
from pipeline.store.risk_columns import MEASURE_COLUMNS
from tests.integration.serving.running import Running
from tests.integration.serving.seeding import NOTICE, SESSIONS, Seeded
from tests.openapi_documents import document_of


def test_the_sentence_of_the_documentation(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fintech.Client.__init__, "__defaults__", (f"http://127.0.0.1:{service.port}", None, 35.0))
    found = fintech.Client().risk("held").to_df()
    assert len(found) == 3
    assert found.index[-1] == pd.Timestamp("2022-12-28")


def kinds(columns: Columns) -> dict[str, str]:
    return {name: DTYPES[kind] for name, kind in columns.items()}


def test_risk(api: fintech.Client, seeded: Seeded) -> None:
    stored = api.risk("held", limit=2)
    assert stored.notice == NOTICE
    assert len(stored) == 2
    assert next(iter(stored))["session"] == date(2022, 12, 27)
    found = stored.to_df()
    assert found.attrs["notice"] == NOTICE
    assert found.index.name == "session"
    assert set(found.columns) >= {name for name, _, _ in MEASURE_COLUMNS}
    assert found["var_99_1d"].dtype == "float64"
    assert found["sessions_in_window"].dtype == "int64"
    assert api.risk(seeded.portfolios["held"], limit=2).rows == stored.rows


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
        (lambda a, **w: a.risk("held", **w), risk.RISK),
        (lambda a, **w: a.instrument_risk("AAPL", **w), risk.RISK),
        (lambda a, **w: a.prices("AAPL", **w), market_data.PRICES),
        (lambda a, **w: a.simulations("held", **w), simulations.SIMULATIONS),
        (lambda a, **w: a.forecasts("AAPL", **w).volatility, forecasts.VOLATILITY),
        (lambda a, **w: a.forecasts("AAPL", **w).quantiles, forecasts.QUANTILES),
        (lambda a, **w: a.fx_rates("USD", **w), market_data.FX_RATES),
        (lambda a, **w: a.prices_of(["AAPL", "MSFT"], **w), {**market_data.SYMBOL, **market_data.PRICES}),
        (lambda a, **w: a.risk_of(["AAPL"], **w), {**market_data.SYMBOL, **risk.RISK}),
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
    monkeypatch.setattr(requests, "PAGE_ROWS", 200)
    for limit in ("all", 10_000, len(SESSIONS)):
        pd.testing.assert_frame_equal(api.prices("AAPL", limit=limit).to_df(), whole)
    pd.testing.assert_frame_equal(api.prices("AAPL", limit=450).to_df(), whole.tail(450))
    both = api.prices_of(["MSFT", "AAPL"], start="2020-01-01").to_df()
    assert len(both) == 2 * len(SESSIONS)
    pd.testing.assert_frame_equal(both[both["symbol"] == "AAPL"].drop(columns="symbol"), whole)
    monkeypatch.setattr(requests, "PAGE_ROWS", 2)
    assert [found.symbol for found in api.instruments()] == ["AAPL", "MSFT", "NEW", "SAP", "SPX"]
    assert len(api.portfolios()) == 3


def test_what_an_answer_tells_of_its_data(api: fintech.Client) -> None:
    stored = api.risk("held")
    assert [code for code, _ in stored.told.warnings] == ["sample_data", "stale"]
    assert stored.told.staleness["last_session"] == "2022-12-28"
    assert stored.to_df().attrs["staleness"] == stored.told.staleness
    assert api.portfolio("held").warnings[1]["code"] == "stale"


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        ("BarOut", market_data.PRICES),
        ("FxRateOut", market_data.FX_RATES),
        ("InterestRateOut", market_data.INTEREST_RATES),
        ("InstrumentOut", market_data.INSTRUMENTS),
        ("FxCurrencyOut", market_data.FX_CURRENCIES),
        ("RateSeriesOut", market_data.RATE_SERIES),
        ("DecisionOut", market_data.DECISIONS),
        ("RiskOut", risk.RISK),
        ("TailOut", risk.TAILS),
        ("BacktestOut", risk.BACKTESTS),
        ("FactorExposureOut", risk.EXPOSURES),
        ("ContributionOut", risk.CONTRIBUTIONS),
        ("PartOut", risk.PARTS),
        ("SplitSessionOut", risk.SPLIT),
        ("SimulationOut", simulations.SIMULATIONS),
        ("StrategyOut", simulations.STRATEGIES),
        ("NavOut", simulations.NAV),
        ("HeldOut", simulations.HELD),
        ("VolatilityOut", forecasts.VOLATILITY),
        ("QuantilesOut", forecasts.QUANTILES),
        ("TransactionOut", portfolios.TRANSACTIONS),
        ("ValueRow", portfolios.VALUES),
        ("BookPositionOut", portfolios.BOOK),
        ("LimitOut", portfolios.LIMITS),
        ("LimitEventOut", portfolios.LIMIT_EVENTS),
        ("UserOut", access.USERS),
    ],
)
def test_columns_are_those_of_the_api(schema: str, columns: Columns) -> None:
    assert kinds_of(schema) == dict(columns)


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        ("QuarantinedOut", market_data.QUARANTINED),
        ("MeasureOut", risk.MEASURES),
        ("MeasuredOut", risk.MEASURED),
        ("ExplainableOut", risk.EXPLAINABLES),
        ("StoredScenarioOut", stress.STRESS),
        ("ScenarioOut", stress.SCENARIOS),
        ("PortfolioOut", portfolios.PORTFOLIOS),
        ("JobRow", simulations.JOBS),
        ("WeightsOut", simulations.STRATEGY_WEIGHTS),
        ("ModelOut", forecasts.MODELS),
        ("ScoreOut", forecasts.SCORES),
        ("KeyOut", access.API_KEYS),
        ("AuditOut", access.AUDIT),
    ],
)
def test_columns_of_parts_are_those_of_the_api(schema: str, columns: Columns) -> None:
    """What is nested is in the records, and in no DataFrame."""
    assert kinds_of(schema).items() >= {name: NUMBERS.get(kind, kind) for name, kind in columns.items()}.items()


NUMBERS = {"count": "int"}


def kinds_of(schema: str) -> dict[str, str]:
    fields = document_of()["components"]["schemas"][schema]["properties"]
    return {name: kind for name, field in fields.items() if (kind := _kind(field)) is not None}


def _kind(field: dict) -> str | None:
    """None if it is nested."""
    parts = [part for part in field.get("anyOf", [field]) if part.get("type") != "null"]
    if len(parts) > 1 or "type" not in parts[0]:
        return None
    if parts[0].get("format") in ("date", "date-time"):
        return {"date": "date", "date-time": "time"}[parts[0]["format"]]
    return KINDS.get(parts[0]["type"])


KINDS = {"number": "float", "integer": "int", "string": "text", "boolean": "truth"}
