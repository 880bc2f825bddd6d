"""Risk on request: every figure against its definition, and bad input."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.base.types import MonthRange
from pipeline.risk.measures import MEASURES
from pipeline.risk.measures.conventions import CONVENTIONS
from pipeline.risk.measures.liquidity import liquidation_factor
from pipeline.risk.measures.on_request import REPORTED
from pipeline.risk.measures.tail import historical_var
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.writing import open_write
from serving.app import MAXIMUM_BODY_BYTES
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import MONTHS, NOTICE, SESSIONS, SHORT_SESSIONS, Seeded
from tests.unit.properties import PROPERTY

CALCULATE = "/api/v1/calculate"
NOBODY = "postgresql://user:secret@127.0.0.1:1/none"
DAYS = [str(day) for day in SESSIONS[-300:]]


def drawn(count: int = 300, seed: int = 3) -> list[float]:
    return (0.0005 + 0.01 * np.random.default_rng(seed).standard_t(4, count)).tolist()


def calculated(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post(CALCULATE, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def values_of(found: dict[str, Any]) -> dict[str, float | None]:
    return {measure["name"]: measure["value"] for measure in found["measures"]}


def tail_of(found: dict[str, Any], method: str, confidence: float) -> dict[str, Any]:
    (row,) = [t for t in found["tails"] if (t["method"], t["confidence"]) == (method, confidence)]
    return dict(row)


def weighted(*amounts: tuple[str, float], **others: Any) -> dict[str, Any]:
    positions = [{"symbol": symbol, "target_weight": amount} for symbol, amount in amounts]
    return {"positions": positions, "rebalancing": "daily", **others}


def held(*amounts: tuple[str, float], **others: Any) -> dict[str, Any]:
    return {"positions": [{"symbol": symbol, "quantity": amount} for symbol, amount in amounts], **others}


def test_a_series_needs_no_database(serve: Serve) -> None:
    api = serve(NOBODY, "python-risk-engine").client
    values = drawn()
    found = calculated(api, returns={"values": values})
    assert found["window_sessions"] == 300
    assert (found["as_of"], found["window_start"], found["benchmark"], found["notice"]) == (None, None, None, None)
    assert (found["positions"], found["concentration"], found["liquidity"]) == (None, None, None)
    assert [m["name"] for m in found["measures"]] == [m.name for m in REPORTED]
    assert values_of(found)["volatility"] == pytest.approx(np.std(values, ddof=1) * np.sqrt(252), rel=1e-12)
    undefined = {m["name"]: m["undefined"] for m in found["measures"] if m["value"] is None}
    assert undefined == {m.name: m.undefined_because for m in REPORTED if "benchmark" in (m.undefined_because or "")}
    assert {(t["method"], t["confidence"]) for t in found["tails"]} == {
        (method, confidence) for method in VAR_METHODS for confidence in (0.95, 0.975, 0.99)
    }
    assert tail_of(found, "historical", 0.99)["var"] == np.sort(-np.array(values))[296]
    assert tail_of(found, "monte_carlo", 0.99)["var_standard_error"] > 0
    losses = np.sort(-np.array(values))
    for row in found["entropic"]:
        assert tail_of(found, "historical", row["confidence"])["es"] < row["evar"] < losses[-1]
    answer = api.get("/api/v1/measures")
    assert answer.status_code == 200
    assert [m["name"] for m in answer.json()["data"]] == [m.name for m in REPORTED]
    assert [m["name"] for m in answer.json()["data"] if m["stored"]] == [m.name for m in MEASURES]


def test_dates_name_the_drawdowns_and_the_window(api: httpx.Client) -> None:
    values = [0.01, -0.1, 0.05, 0.2, -0.01, 0.001]
    found = calculated(api, returns={"values": values, "dates": DAYS[:6]}, drawdowns=2)
    first, second = found["drawdowns"]
    assert first["depth"] == pytest.approx(-0.1, rel=1e-12)
    assert (first["start"], first["trough"], first["recovery"]) == (DAYS[0], DAYS[1], DAYS[3])
    assert (first["start_position"], first["trough_position"], first["recovery_position"]) == (1, 2, 4)
    assert (second["start"], second["recovery"], second["duration_sessions"]) == (DAYS[3], None, 2)
    assert (found["as_of"], found["window_start"]) == (DAYS[5], None)
    newest = calculated(api, returns={"values": values, "dates": DAYS[:6]}, window_sessions=2)
    assert newest["window_start"] == newest["drawdowns"][0]["start"] == DAYS[3]
    short = {t["method"]: t["undefined"] for t in found["tails"]}
    assert short["student_t"] == "short_window: 6 of 30 sessions"
    assert short["historical"] is None


def test_only_what_is_asked_for_is_answered(api: httpx.Client) -> None:
    asked = {"measures": ["sharpe_ratio", "cagr"], "var_methods": ["gaussian"], "confidence": [0.9, 0.9]}
    found = calculated(api, returns={"values": drawn()}, **asked)
    assert [m["name"] for m in found["measures"]] == ["sharpe_ratio", "cagr"]
    assert [(t["method"], t["confidence"]) for t in found["tails"]] == [("gaussian", 0.9)]
    assert [row["confidence"] for row in found["entropic"]] == [0.9]


def test_a_horizon_is_reached_as_asked(api: httpx.Client) -> None:
    values = np.array(drawn())
    found = calculated(api, returns={"values": values.tolist()}, horizon_sessions=10, confidence=[0.95])
    scalings = {t["method"]: t["scaling"] for t in found["tails"]}
    assert scalings["historical"] == "overlapping"
    assert scalings["ewma"] == scalings["monte_carlo"] == "simulation"
    windows = np.lib.stride_tricks.sliding_window_view(1 + values, 10).prod(axis=1) - 1
    assert tail_of(found, "historical", 0.95)["var"] == pytest.approx(float(historical_var(windows, 0.95)), rel=1e-12)
    rooted = calculated(
        api,
        returns={"values": values.tolist()},
        horizon_sessions=4,
        confidence=[0.95],
        scaling="square_root_of_time",
    )
    one = calculated(api, returns={"values": values.tolist()}, confidence=[0.95])
    assert tail_of(rooted, "ewma", 0.95)["var"] == pytest.approx(2 * tail_of(one, "ewma", 0.95)["var"], rel=1e-12)
    simulated = calculated(api, returns={"values": values.tolist()}, horizon_sessions=4, scaling="simulation")
    assert tail_of(simulated, "historical", 0.99)["undefined"] == (
        "scaling_not_offered: choose overlapping or square_root_of_time"
    )


def test_positions_are_measured_as_the_stored_portfolio(api: httpx.Client, seeded: Seeded) -> None:
    for reference, body in (
        ("held", held(("AAPL", 2.0), ("MSFT", 1.0))),
        ("quarterly", weighted(("AAPL", 0.25), ("MSFT", 0.75), rebalancing="quarterly")),
    ):
        stored = api.post(f"/api/v1/portfolios/{reference}/risk", json={}).json()
        found = calculated(api, **body, benchmark="SPX")
        assert [stored[measure.name] for measure in MEASURES] == list(values_of(found).values())[: len(MEASURES)]
        assert (found["as_of"], found["window_start"]) == (stored["as_of"], stored["window_start"])
        assert (found["benchmark"], found["notice"]) == ("SPX", NOTICE)
        assert tail_of(found, "historical", 0.99)["var"] == stored["var"]
        assert tail_of(found, "historical", 0.99)["es"] == stored["expected_shortfall"]
    assert [p["symbol"] for p in found["positions"]] == ["AAPL", "MSFT"]
    assert sum(p["weight"] for p in found["positions"]) == pytest.approx(1, rel=1e-12)
    assert found["concentration"]["largest_weight"] == found["positions"][1]["weight"]


def test_a_benchmark_by_symbol_is_that_of_its_prices(api: httpx.Client, seeded: Seeded) -> None:
    values, close = drawn(), seeded.close["SPX"][-301:]
    by_symbol = calculated(api, returns={"values": values, "dates": DAYS}, benchmark="SPX")
    market = close[1:] / close[:-1] - 1
    assert values_of(by_symbol)["beta"] == pytest.approx(np.polyfit(market, values, 1)[0], rel=1e-9)
    given = {"values": market.tolist(), "dates": DAYS}
    for subject in ({"values": values, "dates": DAYS}, {"values": values}):
        by_series = calculated(api, returns=subject, benchmark=given, window_sessions=100)
        assert by_series["benchmark"] == "given"
        assert values_of(by_series)["beta"] == pytest.approx(np.polyfit(market[-100:], values[-100:], 1)[0], rel=1e-9)
    of_positions = calculated(api, **weighted(("AAPL", 1.0)), benchmark=given)
    same = calculated(api, **weighted(("AAPL", 1.0)), benchmark="SPX")
    assert values_of(of_positions)["beta"] == pytest.approx(values_of(same)["beta"], rel=1e-12)


def test_without_volumes_every_position_is_named(api: httpx.Client) -> None:
    found = calculated(api, **held(("AAPL", 2.0), ("MSFT", 1.0)))["liquidity"]
    assert found["without_volume"] == ["AAPL", "MSFT"]
    assert found["undefined"].startswith("volume_unknown: ")
    assert [row["liquidity_adjusted_var"] for row in found["figures"]] == [None] * 3
    assumed = calculated(api, **held(("AAPL", 2.0), ("MSFT", 1.0)), liquidity={"days_if_unknown": 10})["liquidity"]
    factor = float(liquidation_factor(np.array([10.0]))[0])
    for row in assumed["figures"]:
        assert row["liquidity_adjusted_var"] == pytest.approx(factor * row["var"], rel=1e-9)


def test_volume_and_price_say_how_long_selling_takes(own_api: httpx.Client, own_seeded: Seeded) -> None:
    sessions, id_of = SESSIONS, own_seeded.instruments["AAPL"].id
    close, volume = own_seeded.close["AAPL"], np.full(len(sessions), 1_000.0)
    columns = price_rows(np.full(len(sessions), id_of, "i4"), sessions, 1, {"close_adjusted": close, "volume": volume})
    with open_write(own_seeded.database, "prices", "test", "1") as write:
        replace_prices(write, columns, MonthRange(MONTHS.first, MONTHS.last))
    turnover = float(np.mean(1_000.0 * close[sessions >= sessions[-1] + 1 - 31]))
    found = calculated(own_api, **held(("AAPL", 1_000.0)), liquidity={"participation": 0.1})
    days = 1_000.0 * close[-1] / (0.1 * turnover)
    (position,) = found["positions"]
    assert position["liquidation_sessions"] == pytest.approx(days, rel=1e-9)
    assert found["liquidity"]["without_volume"] == []
    factor = float(liquidation_factor(np.array([days]))[0])
    assert found["liquidity"]["figures"][0]["liquidity_adjusted_var"] == pytest.approx(
        factor * found["liquidity"]["figures"][0]["var"], rel=1e-9
    )
    unsaid = calculated(own_api, **weighted(("AAPL", 1.0)))
    assert unsaid["liquidity"]["undefined"].startswith("no_portfolio_value: ")
    assert unsaid["positions"][0]["liquidation_sessions"] is None
    said = calculated(own_api, **weighted(("AAPL", 1.0)), liquidity={"portfolio_value": 1e6})
    assert said["positions"][0]["liquidation_sessions"] == pytest.approx(1e6 / (0.2 * turnover), rel=1e-9)


def series(*values: Any, **others: Any) -> dict[str, Any]:
    return {"returns": {"values": list(values)}, **others}


def dated(days: list[str], **others: Any) -> dict[str, Any]:
    return {"returns": {"values": [0.01] * len(days), "dates": days}, **others}


TEXT = '{"returns": {"values": [0.01, %s]}}'
LONG = 8_401


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "exactly one of returns and positions"),
        (series(0.1, 0.2) | weighted(("AAPL", 1)), "exactly one of returns and positions"),
        (TEXT % "NaN", "body.returns.values.1"),
        (TEXT % "Infinity", "body.returns.values.1"),
        (TEXT % "1e999", "body.returns.values.1"),
        (TEXT % ("1" * 400), "body.returns.values.1"),
        (TEXT % '"0.1"', "body.returns.values.1"),
        (TEXT % "null", "body.returns.values.1"),
        (series(), "body.returns.values"),
        (series(0.1), "body.returns.values"),
        (series(*[0.0] * LONG), "body.returns.values"),
        (series(0.1, 1e308), "returns: 1e+308 at return 1 is above 1,000"),
        (series(0.1, -1), "returns: -1 at return 1 loses everything"),
        (series(0.1, -1.5), "returns: -1.5 at return 1 loses everything"),
        (series(*[900.0] * 500), "returns: compounded they leave the range of numbers"),
        (series(*[-0.999] * 500), "returns: compounded they leave the range of numbers"),
        (series(900.0, 900.0), "returns: cagr overflows"),
        (series(0.1, 0.2, window_sessions=3), "window_sessions: 3, but returns has 2"),
        (series(0.1, 0.2, window_sessions=1), "body.window_sessions"),
        (series(0.1, 0.2, rebalancing="daily"), "rebalancing: only positions have one"),
        (series(0.1, 0.2, measures=[]), "body.measures"),
        (series(0.1, 0.2, measures=["sharp"]), "measures: 'sharp' is unknown; choose among cagr, "),
        (series(0.1, 0.2, measures=["\ud800"]), "body.measures.0"),
        (series(0.1, 0.2, var_methods=["normal"]), "var_methods: 'normal' is unknown; choose among historical, "),
        (series(0.1, 0.2, convention="pandas"), "body.convention"),
        (series(0.1, 0.2, moments="sample"), "body.moments"),
        (series(0.1, 0.2, periods_per_year=0), "body.periods_per_year"),
        (series(0.1, 0.2, periods_per_year=52.0), "body.periods_per_year"),
        (weighted(("AAPL", 1), liquidity={"spreads": []}), "body.liquidity.spreads"),
        (
            weighted(("AAPL", 1), liquidity={"spreads": [{"symbol": "MSFT", "mean": 0.1}]}),
            "liquidity.spreads: MSFT is not among the positions; leave it out",
        ),
        (
            weighted(("AAPL", 1), liquidity={"spreads": [{"symbol": "AAPL", "mean": 0.1}] * 2}),
            "liquidity.spreads: a symbol comes twice",
        ),
        (series(0.1, 0.2, confidence=[]), "body.confidence"),
        (series(0.1, 0.2, confidence=[95]), "body.confidence.0"),
        (series(0.1, 0.2, confidence=[0.1]), "body.confidence.0"),
        (series(0.1, 0.2, confidence=[0.9, 0.91, 0.92, 0.93, 0.94, 0.95]), "body.confidence"),
        (series(0.1, 0.2, horizon_sessions=0), "body.horizon_sessions"),
        (series(0.1, 0.2, horizon_sessions=64), "body.horizon_sessions"),
        (series(0.1, 0.2, scaling="linear"), "body.scaling"),
        (series(0.1, 0.2, risk_free_rate_annual=-1), "body.risk_free_rate_annual"),
        (series(0.1, 0.2, drawdowns=0), "body.drawdowns"),
        (series(0.1, 0.2, unknown=1), "body.unknown"),
        (dated(["2022-12-28", "2022-12-28"]), "dates: 2022-12-28 at position 1 does not come after 2022-12-28"),
        (dated(["2022-12-28", "2022-12-27"]), "dates: 2022-12-27 at position 1 does not come after 2022-12-28"),
        (dated(["2022-12-28", "28.12.2022"]), "body.returns.dates.1"),
        ({"returns": {"values": [0.1, 0.2], "dates": ["2022-12-28"]}}, "dates: 1 for 2 values"),
        (series(0.1, 0.2, benchmark="SPX"), "benchmark: a symbol needs the dates"),
        (dated(["2022-12-27", "2022-12-28"], benchmark="NONE"), "benchmark: No instrument has the symbol 'NONE'"),
        (dated(["2022-12-24", "2022-12-28"], benchmark="SPX"), "benchmark: SPX has no price on 2022-12-24"),
        (dated(["2018-12-27", "2018-12-28"], benchmark="SPX"), "benchmark: SPX has no price shortly before"),
        (series(0.1, 0.2, benchmark={"values": [0.1, 0.2, 0.3]}), "benchmark: 3 returns for 2 of the subject"),
        (series(0.1, 0.2, benchmark={"values": [0.1, -1]}), "benchmark: -1 at return 1 loses everything"),
        (series(0.1, 0.2, benchmark=7), "body.benchmark"),
        (
            dated(DAYS[:2], benchmark={"values": [0.1, 0.2], "dates": DAYS[1:3]}),
            f"benchmark: no return on {DAYS[0]}",
        ),
        (weighted(), "body.positions"),
        (weighted(("AAPL", 0.5), ("MSFT", 0.4)), "target weights sum to 0.9"),
        (weighted(("AAPL", 1), rebalancing=None), "rebalancing: target weights need"),
        (weighted(("AAPL", 0.5), ("AAPL", 0.5)), "positions: a symbol is given twice"),
        (weighted(("NONE", 1)), "positions: no instrument has the symbol NONE"),
        (weighted(*((f"S{number}", 1 / 501) for number in range(501))), "body.positions"),
        (weighted(("AAPL", 1), base_currency="JPY"), "base_currency: JPY has no exchange rate, and AAPL is priced in"),
        (series(0.1, 0.2, base_currency="USD"), "base_currency: only positions have one"),
        (weighted(("AAPL", 0.5), ("NEW", 0.5)), f"positions: {SHORT_SESSIONS} sessions with a price of each"),
        (weighted(("AAPL", 1), window_sessions=2_000), "window_sessions=2000 needs 2001"),
        (held(("AAPL", 0)), "positions: no quantity is above 0"),
        (held(("AAPL", 1), ("MSFT", -1_000)), "portfolio value: -"),
        (held(("AAPL", 1), liquidity={"participation": 0}), "body.liquidity.participation"),
        (held(("AAPL", 1), liquidity={"days_if_unknown": -1}), "body.liquidity.days_if_unknown"),
        ([], "body"),
        ("{", "body"),
    ],
)
def test_bad_input_is_refused_by_name(api: httpx.Client, body: Any, named: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = api.post(CALCULATE, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]


def test_of_many_broken_values_the_first_is_named(api: httpx.Client) -> None:
    content = '{"returns": {"values": [' + ", ".join(["NaN"] * 8_000) + "]}}"
    answer = api.post(CALCULATE, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 1


def test_33_years_with_dates_and_a_benchmark_fit(api: httpx.Client) -> None:
    first = date(1990, 1, 1)
    days = [str(first + timedelta(days=number)) for number in range(8_400)]
    own = {"values": drawn(8_400), "dates": days}
    body = {"returns": own, "benchmark": {"values": drawn(8_400, seed=4), "dates": days}}
    assert len(json.dumps(body)) < MAXIMUM_BODY_BYTES
    assert calculated(api, **body)["window_sessions"] == 8_400


NUMBERS = st.one_of(
    st.floats(-0.3, 0.3),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, -1.0, 1e308, 5e-324, 1e-160, 999.0, -0.999999999]),
)
STEADY = st.one_of(st.floats(-0.3, 0.3), st.sampled_from([0.0, 1e-200, -1e-200, 0.01]))
DATES = st.lists(st.dates(date(2019, 1, 1), date(2023, 6, 1)).map(str), max_size=8)
SERIES = st.fixed_dictionaries(
    {"values": st.one_of(st.lists(NUMBERS, max_size=8), st.lists(STEADY, min_size=2, max_size=80))},
    optional={"dates": st.one_of(st.none(), DATES, DATES.map(lambda days: sorted(set(days))))},
)
SYMBOLS = st.sampled_from(["AAPL", "MSFT", "SAP", "NEW", "SPX", "NONE", "\x00"])
POSITION = st.fixed_dictionaries(
    {"symbol": SYMBOLS},
    optional={"quantity": NUMBERS, "target_weight": st.sampled_from([0.5, 1.0, -1.0, 2.0, -99.0, 100.0])},
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "returns": SERIES,
        "positions": st.lists(POSITION, max_size=3),
        "rebalancing": st.sampled_from(["daily", "monthly", "quarterly", "buy_and_hold", None, "never"]),
        "base_currency": st.sampled_from(["USD", "EUR", "JPY", None, "usd"]),
        "benchmark": st.one_of(SYMBOLS, SERIES, st.none(), NUMBERS),
        "window_sessions": st.integers(-1, 300),
        "measures": st.lists(st.sampled_from([*(m.name for m in REPORTED), "x"]), max_size=3),
        "moments": st.sampled_from(["population", "adjusted", "x"]),
        "periods_per_year": st.integers(0, 370),
        "convention": st.sampled_from(["platform", *CONVENTIONS, "x"]),
        "risk_free_rate_annual": NUMBERS,
        "confidence": st.lists(st.one_of(st.floats(0.5, 0.9999), NUMBERS), max_size=3),
        "var_methods": st.lists(st.sampled_from([*VAR_METHODS, "x"]), max_size=3),
        "horizon_sessions": st.integers(0, 12),
        "scaling": st.sampled_from(["overlapping", "square_root_of_time", "simulation", None]),
        "drawdowns": st.integers(0, 60),
        "liquidity": st.fixed_dictionaries(
            {}, optional={"participation": NUMBERS, "days_if_unknown": NUMBERS, "portfolio_value": NUMBERS}
        ),
    },
)
SOUND = st.one_of(
    st.fixed_dictionaries(
        {"returns": st.fixed_dictionaries({"values": st.lists(STEADY, min_size=2, max_size=80)})},
        optional={
            "convention": st.sampled_from(["platform", *CONVENTIONS]),
            "moments": st.sampled_from(["population", "adjusted"]),
            "periods_per_year": st.integers(1, 366),
            "horizon_sessions": st.integers(1, 12),
            "scaling": st.sampled_from(["overlapping", "square_root_of_time", "simulation"]),
        },
    ),
    st.builds(
        lambda amounts, policy: weighted(("AAPL", amounts), ("MSFT", 1 - amounts), rebalancing=policy),
        st.sampled_from([0.5, 2.0, -1.0, 40.0]),
        st.sampled_from(["daily", "monthly", "quarterly"]),
    ),
)


@settings(PROPERTY, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(BODIES, SOUND))
def test_no_body_makes_the_service_fail(api: httpx.Client, body: dict[str, Any]) -> None:
    """Refused by name or answered, and then each missing value with its reason."""
    answer = api.post(CALCULATE, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["detail"]
        return
    found = json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} in the answer"))
    for measure in found["measures"]:
        assert (measure["value"] is None) == (measure["undefined"] is not None)
    for row in found["tails"]:
        assert (row["var"] is None) == (row["undefined"] is not None) == (row["es"] is None)
