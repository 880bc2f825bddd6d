"""From recorded shapes of answers to bars, actions and rates, without a network."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError
from pipeline.market_data.providers import Payload, PayloadRefusedError
from pipeline.market_data.providers.ecb import ECB, read_rates
from pipeline.market_data.providers.fred import FRED_API, FRED_GRAPH, read_api, read_graph
from pipeline.market_data.providers.histories import History, actions_of, bars_of, split_ratio
from pipeline.market_data.providers.http import retry_after_seconds
from pipeline.market_data.providers.tiingo import TIINGO, read_history, read_security, says_limit
from pipeline.market_data.providers.vendors import Answer, Vendor, key_of

DAY = {
    "date": "2024-06-10T00:00:00.000Z",
    "open": 120.4,
    "high": None,
    "low": 117,
    "close": 121.79,
    "volume": 314_162_700,
    "adjClose": 12.1,
    "divCash": 0.0,
    "splitFactor": 10.0,
}


def answered(content: object, name: str = "AAPL") -> Payload:
    return Payload(name, "application/json", json.dumps(content).encode())


def table(text: str, name: str) -> Payload:
    return Payload(name, "text/csv", text.encode())


# Splits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "ratio"),
    [
        (4.0, (4, 1)),
        (0.1, (1, 10)),
        (1.5, (3, 2)),
        (1 / 3, (1, 3)),
        (0.3333, (1, 3)),
        (0.33333333, (1, 3)),
        (1.33333, (4, 3)),
        (0.0666667, (1, 15)),
        (1.05, (21, 20)),
        (0.05, (1, 20)),
        (20.0, (20, 1)),
        (1.281, (1281, 1000)),
        (0.002, (1, 500)),
        (1.0, (1, 1)),
    ],
)
def test_a_split_is_a_ratio_of_whole_numbers(factor: float, ratio: tuple[int, int]) -> None:
    assert split_ratio(factor) == ratio


@given(st.integers(1, 200), st.integers(1, 200), st.integers(6, 15))
def test_a_ratio_survives_the_vendors_rounding(new: int, old: int, digits: int) -> None:
    divisor = np.gcd(new, old)
    found = split_ratio(float(f"{new / old:.{digits}g}"))
    assert found == (new // divisor, old // divisor)


# Tiingo ----------------------------------------------------------------------------------------------------


def test_null_is_no_number_of_a_bar() -> None:
    bars = bars_of([read_history(answered([DAY]))])
    assert np.isnan(bars.high[0])
    assert (bars.open[0], bars.low[0], bars.close[0], bars.volume[0], bars.close_adjusted[0]) == (
        120.4,
        117.0,
        121.79,
        314_162_700.0,
        12.1,
    )
    assert bars.sessions.astype(str).tolist() == ["2024-06-10"]


def test_a_row_without_any_number_is_no_bar_but_its_action_counts() -> None:
    empty = dict.fromkeys(("open", "high", "low", "close", "volume", "adjClose"))
    history = read_history(answered([{**DAY, **empty}]))
    assert len(bars_of([history])) == 0
    assert actions_of([history]).split_numerator.tolist() == [10]


def test_no_day_is_no_bar() -> None:
    history = read_history(answered([]))
    assert len(bars_of([history])) == len(actions_of([history])) == 0


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ({"detail": "…"}, "schema_drift"),
        ([1], "schema_drift"),
        ([{**DAY, "close": "12"}], "schema_drift"),
        ([{**DAY, "close": True}], "schema_drift"),
        ([DAY, {key: DAY[key] for key in list(DAY)[:-1]}], "schema_drift"),
        ([{**DAY, "splitFactor": 0}], "unparsable_payload"),
        ([{**DAY, "splitFactor": None}], "unparsable_payload"),
        ([{**DAY, "divCash": None}], "unparsable_payload"),
        ([{**DAY, "date": "10 June"}], "unparsable_payload"),
        ([{**DAY, "date": None}], "unparsable_payload"),
    ],
)
def test_another_shape_of_tiingo_is_refused(content: object, rule: str) -> None:
    with pytest.raises(PayloadRefusedError) as caught:
        read_history(answered(content))
    assert caught.value.rule == rule


def test_a_description_without_a_name_keeps_the_symbol() -> None:
    described = read_security(answered({"ticker": "X", "name": None, "exchangeCode": "OTC"}, "X"))
    assert (described.name, described.exchange, described.kind) == ("X", "XNYS", "stock")


@pytest.mark.parametrize(
    ("text", "is_limit"),
    [
        (b"You have run over your hourly request allocation.", True),
        (b"Error: Too many requests", True),
        (b"Maintenance", False),
        (b'[{"name": "limit"}]', False),
        (b"<html>limit</html>", False),
        (b"", False),
    ],
)
def test_the_sentence_of_a_limit_is_known(text: bytes, is_limit: bool) -> None:
    assert says_limit(Answer(200, "application/json", text, is_framed=True)) == is_limit


# FRED and ECB ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["observation_date", "DATE"])
@pytest.mark.parametrize("missing", [".", ""])
def test_a_missing_rate_is_left_out(header: str, missing: str) -> None:
    rates = read_graph(table(f"{header},DTB3\n2024-06-03,5.25\n2024-06-04,{missing}\n2024-06-05,-0.01\n", "DTB3"))
    assert rates.sessions.astype(str).tolist() == ["2024-06-03", "2024-06-05"]
    assert rates.annual_rate.tolist() == pytest.approx([0.0525, -0.0001])
    assert rates.series.tolist() == [b"DTB3", b"DTB3"]


def test_a_series_without_rates_is_empty() -> None:
    assert len(read_graph(table("observation_date,DTB3\n", "DTB3")).sessions) == 0


def test_a_column_of_another_series_is_refused() -> None:
    with pytest.raises(PayloadRefusedError, match="lacks DTB3"):
        read_graph(table("observation_date,DGS3MO\n2024-06-03,5.25\n", "DTB3"))
    with pytest.raises(PayloadRefusedError, match="no column observation_date or DATE"):
        read_graph(table("day,DTB3\n2024-06-03,5.25\n", "DTB3"))


@pytest.mark.parametrize("cell", ["1_0", "inf", "nan", "0x5", "5 %", "１.５x"])
def test_what_only_python_reads_as_a_number_is_refused(cell: str) -> None:
    with pytest.raises(PayloadRefusedError) as caught:
        read_graph(table(f"observation_date,DTB3\n2024-06-03,{cell}\n", "DTB3"))
    assert caught.value.rule == "unparsable_payload"


def test_fewer_observations_than_are_counted_are_refused() -> None:
    whole = {"realtime_start": "2024-07-01", "count": 2, "observations": [{"date": "2024-06-03", "value": "5.25"}]}
    with pytest.raises(PayloadRefusedError, match="counts 2 observations and holds 1"):
        read_api(answered(whole, "DTB3"))
    assert read_api(answered({**whole, "count": 1}, "DTB3")).known_on == date(2024, 7, 1)


def test_ecb_columns_are_found_by_name_and_holidays_left_out() -> None:
    rates = read_rates(
        table(
            "KEY,OBS_VALUE,TIME_PERIOD,CURRENCY,CURRENCY_DENOM,TITLE\r\n"
            'x,1.0812,2024-06-03,USD,EUR,"US dollar, spot"\r\nx,,2024-06-04,USD,EUR,\r\nx,NaN,2024-06-05,USD,EUR,\r\n',
            "EXR USD",
        )
    )
    assert rates.currencies.tolist() == [b"USD"]
    assert rates.units_per_euro.tolist() == [1.0812]


def test_rates_against_another_currency_are_refused() -> None:
    with pytest.raises(PayloadRefusedError, match="not against the euro"):
        read_rates(table("CURRENCY,CURRENCY_DENOM,TIME_PERIOD,OBS_VALUE\nUSD,GBP,2024-06-03,1.2\n", "EXR USD"))


# Bars of several instruments -------------------------------------------------------------------------------


def test_histories_become_bars_in_their_order() -> None:
    days = np.array(["2024-06-03", "2024-06-04"], dtype="datetime64[D]")
    one, none = np.ones(2), np.zeros(2)
    histories = [
        History("B", days, np.full((2, 6), 2.0), one, none),
        History("A", days, np.full((2, 6), 1.0), one, none),
    ]
    bars = bars_of(histories)
    assert bars.symbols == ("B", "A")
    assert bars.symbol_index.tolist() == [0, 0, 1, 1]
    assert bars.close.tolist() == [2.0, 2.0, 1.0, 1.0]
    assert len(bars_of([])) == len(actions_of([])) == 0
    assert histories[0].inside(date(2024, 6, 4), date(2024, 6, 9)).sessions.astype(str).tolist() == ["2024-06-04"]


# Keys and waits --------------------------------------------------------------------------------------------

NOW = datetime(2024, 6, 3, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Mon, 03 Jun 2024 12:00:30 GMT", 30.0),
        ("Mon, 03 Jun 2024 11:00:00 GMT", 0.0),
        ("Mon, 03 Jun 2024 14:00:10 +0200", 10.0),
        ("Mon, 03 Jun 2024 12:00:30 -0000", 30.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("٣", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_makes_it_fail(value: str) -> None:
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or seconds >= 0


def test_a_key_is_taken_without_the_space_around_it_and_not_shown() -> None:
    key = key_of(SecretStr(" abc\n"), "TIINGO_API_KEY", "authorization", "Token")
    assert key.secret.get_secret_value() == "abc"
    assert "abc" not in repr(key)


@pytest.mark.parametrize("text", [None, "", "  ", "a b", "ключ", "a\x00b"])
def test_a_key_that_is_none_is_named_by_its_setting(text: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"^TIINGO_API_KEY ") as caught:
        key_of(None if text is None else SecretStr(text), "TIINGO_API_KEY", "authorization", "Token")
    assert caught.value.exit_code == 2
    assert "ключ" not in str(caught.value)


@pytest.mark.parametrize("vendor", [TIINGO, FRED_GRAPH, FRED_API, ECB], ids=lambda vendor: vendor.base_url)
def test_vendors_are_reached_over_tls_and_at_a_pace(vendor: Vendor) -> None:
    assert vendor.base_url.startswith("https://")
    assert vendor.spacing_seconds > 0
