"""Forecasts of models that look at all instruments follow from the parts that their explanations give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.forecast.assets.probabilities import read_closes
from pipeline.forecast.assets.series import InstrumentSeries, read_all_series
from pipeline.forecast.assets.volatility import volatility_columns
from pipeline.forecast.models import logistic
from pipeline.forecast.models.panel_features import FEATURES
from pipeline.forecast.models.probability_registry import PROBABILITY_MODELS, probability_columns
from pipeline.store.engine import Database
from pipeline.store.instruments import Listing, read_instruments, replace_instruments
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST
from pipeline.store.providers import record_provider
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import Write, concatenated, open_write
from serving.pages.explained_inputs import SUMS
from tests.integration.serving.explained import TOLERANCE, explained, get, require_again
from tests.integration.serving.running import local_settings, running_service

pytestmark = pytest.mark.xdist_group("explained_panels")

HELD = 15
"""So many that a regression of 21 sessions has 2,000 targets in 2006, and weights of 2007 are by scores."""
SESSIONS = np.arange("2001-01-01", "2007-04-01", dtype="datetime64[D]")
SESSIONS = SESSIONS[np.is_busday(SESSIONS)]
MONTHS = MonthRange(date(2001, 1, 1), date(2007, 3, 1))
LATE = 700
"""Sessions before the last instrument is listed."""


@pytest.fixture(scope="module")
def stored(new_database: Callable[[], Database]) -> Database:
    """The forecasts that the asset makes of drawn prices."""
    database = new_database()
    with open_write(database, "instruments", "run", "1") as write:
        listings = [Listing(f"S{n:02d}", f"Stock {n}", "stock", "", "USD", "XNYS", "bundled") for n in range(HELD)]
        replace_instruments(write, listings)
        record_provider(write.connection, "bundled", "Drawn prices.")
    with open_write(database, "prices", "run-of-prices", "1") as write:
        _write_prices(write)
    with open_write(database, "volatility_forecast", "run-of-volatility_forecast", "1") as write:
        every: list[InstrumentSeries] = list(read_all_series(write, MONTHS))
        write.replace(VOLATILITY_FORECAST, concatenated(VOLATILITY_FORECAST, volatility_columns(every)), MONTHS)
    with open_write(database, "probability_forecast", "run-of-probability_forecast", "1") as write:
        _write_chances(write)
    return database


@pytest.fixture(scope="module")
def panels(stored: Database) -> Iterator[httpx.Client]:
    """A client of a gateway over them."""
    with running_service("backend-api", local_settings(stored.url)) as service:
        yield service.client


@pytest.fixture
def of_older_version(stored: Database) -> Iterator[str]:
    """A model that others build on, whose rows are all by the version before today's."""
    older = "UPDATE volatility_forecast SET model_version = '0.' || model_version WHERE model = %s"
    newer = "UPDATE volatility_forecast SET model_version = substr(model_version, 3) WHERE model = %s"
    model = "gjr_garch"
    with stored.connect() as connection:
        connection.execute(older, [model])
    yield model
    with stored.connect() as connection:
        connection.execute(newer, [model])


def _write_prices(write: Write) -> None:
    draw = np.random.default_rng(5)
    level = np.zeros(len(SESSIONS))
    for t in range(1, len(SESSIONS)):
        level[t] = 0.97 * level[t - 1] + 0.15 * draw.standard_normal()
    market = 0.008 * np.exp(level) * draw.standard_t(5, len(SESSIONS))
    ids, days, closes = [], [], []
    for number, instrument in enumerate(read_instruments(write.connection)):
        since = LATE if number == HELD - 1 else 0
        own = 0.01 * np.exp(0.7 * level) * draw.standard_t(5, len(SESSIONS))
        ids.append(np.full(len(SESSIONS) - since, instrument.id, "i4"))
        days.append(SESSIONS[since:])
        closes.append(100.0 * np.exp(np.cumsum(0.7 * market + own))[since:])
    prices = {"close_adjusted": np.concatenate(closes)}
    replace_prices(write, price_rows(np.concatenate(ids), np.concatenate(days), 1, prices), MONTHS)


def _write_chances(write: Write) -> None:
    closes, ids = read_closes(write, MONTHS)
    rows = range(LATE, len(closes.sessions))
    made = [probability_columns(model, closes, ids, rows) for model in PROBABILITY_MODELS]
    write.replace(PROBABILITY_FORECAST, concatenated(PROBABILITY_FORECAST, made), MONTHS)


@pytest.mark.parametrize("model", ["pooled_panel", "combination"])
@pytest.mark.parametrize(("symbol", "session"), [("S03", "2007-03-30"), ("S00", "2006-06-01"), ("S14", "2007-01-02")])
def test_parts_add_up_to_what_is_served(panels: httpx.Client, model: str, symbol: str, session: str) -> None:
    rows = get(panels, f"instruments/{symbol}/forecasts", start=session, end=session)["volatility"]
    (row,) = (row for row in rows if row["model"] == model)
    assert row["model_version"] == "1"
    for measure in ("volatility_1d", "volatility_5d", "volatility_21d"):
        asked = {"model": model, "measure": measure, "session": session}
        payload = explained(panels, f"instruments/{symbol}/forecasts/volatility", "volatility_forecast", **asked)
        parts, years = payload["inputs"]["parts"], payload["parameters"]["periods_per_year"]
        again = np.sqrt(years) * np.exp(sum(parts["contributions"].values()) / 2.0)
        require_again(payload, row[measure], float(again))
        assert parts["instruments"] == HELD
        assert [write["asset"] for write in payload["inputs_written_by"]] == ["volatility_forecast"]
        if model == "pooled_panel":
            assert set(parts["features"]) == set(FEATURES)
            assert set(parts["contributions"]) == {*FEATURES, "gjr_garch", "level_of_all"}
        else:
            assert sum(parts["features"].values()) == pytest.approx(1.0)
            assert set(parts["contributions"]) == {"pooled_panel", "gjr_garch", "har"}
            is_scored = session >= "2007" or measure == "volatility_1d"  # whose first regression is of 2005
            assert (len({round(weight, 12) for weight in parts["features"].values()}) == 1) != is_scored


def test_a_stand_in_is_explained_by_its_own_closes(panels: httpx.Client) -> None:
    payload = explained(
        panels,
        "instruments/S02/forecasts/volatility",
        "volatility_forecast",
        model="combination",
        measure="volatility_5d",
        session="2003-06-02",
    )
    assert payload["parameters"]["model_version"] == "1+ewma"
    assert payload["inputs"]["parts"] is None
    assert payload["recomputed"] == pytest.approx(payload["value"], rel=TOLERANCE)
    beside = get(panels, "instruments/S02/forecasts", start="2003-06-02", end="2003-06-02")["volatility"]
    assert payload["value"] == next(row["volatility_5d"] for row in beside if row["model"] == "ewma")


@pytest.mark.parametrize("model", ["pooled_panel", "combination"])
def test_a_forecast_whose_inputs_are_of_an_older_version_is_doubted(
    panels: httpx.Client, of_older_version: str, model: str
) -> None:
    session = "2007-03-28"  # of which no other test asks: answers are kept until the next write
    asked = {"model": model, "measure": "volatility_5d", "session": session}
    payload = get(panels, "instruments/S03/forecasts/volatility/explain", **asked)
    rows = get(panels, "instruments/S03/forecasts", start=session, end=session)["volatility"]
    assert payload["value"] == next(row["volatility_5d"] for row in rows if row["model"] == model)
    assert payload["recomputed"] is None
    assert payload["difference"] is None
    assert payload["inputs"]["parts"] is None
    (doubt,) = payload["doubts"]
    assert doubt.startswith("inputs: ")
    assert f"{of_older_version} 1" in doubt
    assert panels.get("/instruments/S03/forecasts/volatility/explain", params=asked).status_code == 200


def test_sessions_of_a_year_share_the_fit_and_not_the_features(panels: httpx.Client) -> None:
    """The guard of the tests above: parts are computed, not taken from the row."""
    one, other = (
        explained(
            panels,
            "instruments/S03/forecasts/volatility",
            model="pooled_panel",
            measure="volatility_1d",
            session=session,
        )["inputs"]["parts"]["contributions"]
        for session in ("2007-03-29", "2007-03-30")
    )
    assert one["level_of_all"] == other["level_of_all"]
    assert one["surprise"] != other["surprise"]


@pytest.mark.parametrize(
    ("address", "model", "measure", "part", "caption"),
    [
        ("volatility", "pooled_panel", "volatility_21d", "level_of_all", "What the logarithm of its variance adds up"),
        ("probabilities", "frequency", "probability_positive", "own_returns", "What the probability adds up"),
        (
            "probabilities",
            "logistic",
            "probability_positive",
            "volatility_state",
            "What the logarithm of its odds adds up",
        ),
        ("probabilities", "logistic", "rank_quintile_1", "volatility_state", "What the score of its fifth adds up"),
    ],
)
def test_a_page_shows_the_parts(
    panels: httpx.Client, address: str, model: str, measure: str, part: str, caption: str
) -> None:
    asked = {"model": model, "measure": measure}
    page = panels.get(f"/instruments/S03/forecasts/{address}/explain", params=asked)
    assert page.status_code == 200
    assert part in page.text
    assert [words for words in SUMS.values() if words in page.text] == [caption]


# Probabilities ------------------------------------------------------------------------------------------

CHANCES = ("probability_positive", *(f"rank_quintile_{number}" for number in range(1, 6)))


def chance_of(parts: dict[str, Any]) -> float:
    """The probability, as the words of the field `sum_is` have it."""
    total = sum(parts["contributions"].values())
    if parts["sum_is"] == "probability":
        return float(total)
    if parts["sum_is"] == "log_odds":
        return float(1.0 / (1.0 + np.exp(-total)))
    return float(np.exp(total) / sum(np.exp(sum(own.values())) for own in parts["fifths"].values()))


def chances(panels: httpx.Client, symbol: str, session: str) -> dict[str, dict[str, Any]]:
    found = get(panels, f"instruments/{symbol}/forecasts/probabilities", start=session, end=session)["data"]
    return {row["model"]: row for row in found}


@pytest.mark.parametrize("model", ["frequency", "logistic"])
@pytest.mark.parametrize(("symbol", "session"), [("S03", "2007-03-30"), ("S14", "2006-06-01")])
def test_parts_make_a_probability(panels: httpx.Client, model: str, symbol: str, session: str) -> None:
    row = chances(panels, symbol, session)[model]
    for measure in CHANCES:
        asked = {"model": model, "measure": measure, "session": session}
        payload = explained(panels, f"instruments/{symbol}/forecasts/probabilities", "probability_forecast", **asked)
        parts = payload["inputs"]["parts"]
        require_again(payload, row[measure], chance_of(parts))
        assert parts["instruments"] == HELD
        assert payload["definition"]["unit"] == "probability"
        if model == "logistic":
            assert set(logistic.FEATURES) <= set(parts["contributions"])
            assert (parts["fifths"] is None) == (measure == "probability_positive")


def test_a_refused_probability_says_why(panels: httpx.Client) -> None:
    asked = {"model": "frequency", "measure": "probability_positive", "session": "2003-12-01"}
    payload = explained(panels, "instruments/S14/forecasts/probabilities", "probability_forecast", **asked)
    assert payload["undefined_because"] == "fewer_than_252_past_returns"
    assert payload["inputs"]["parts"] is None
    require_again(payload, None, None)


def test_several_instruments_in_one_answer(panels: httpx.Client) -> None:
    query = {"symbols": "S03,S14", "start": "2007-03-29", "end": "2007-03-30"}
    rows = get(panels, "probability-forecasts", **query)["data"]
    assert [(row["symbol"], row["as_of"], row["model"]) for row in rows] == [
        (symbol, session, model)
        for symbol in ("S03", "S14")
        for session in ("2007-03-29", "2007-03-30")
        for model in ("frequency", "logistic")
    ]
    alone = chances(panels, "S14", "2007-03-30")
    assert {name: rows[-1][name] for name in alone["logistic"]} == alone["logistic"]
    pages = [get(panels, "probability-forecasts", limit=3, **query)]
    while pages[-1]["next_cursor"]:
        pages.append(get(panels, "probability-forecasts", limit=3, cursor=pages[-1]["next_cursor"], **query))
    assert [row for page in pages for row in page["data"]] == rows


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"model": "oracle", "measure": "probability_positive"}, "frequency, logistic"),
        ({"model": "logistic", "measure": "rank"}, "rank_quintile_5"),
        ({"model": "logistic", "measure": "rank_quintile_1", "session": "2001-06-01"}, "forecasts/probabilities"),
    ],
)
def test_what_is_not_forecast_is_told_with_what_is(panels: httpx.Client, query: dict[str, str], words: str) -> None:
    answer = panels.get("/api/v1/instruments/S03/forecasts/probabilities/explain", params=query)
    assert answer.status_code == 404
    assert words in answer.json()["remedy"]
