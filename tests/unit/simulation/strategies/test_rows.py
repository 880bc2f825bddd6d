"""From a panel of prices to the rows of both tables: who may be held, and that the future changes nothing."""

from __future__ import annotations

import base64
import re
from datetime import date
from xml.etree import ElementTree

import numpy as np
import pytest

from pipeline.base.types import MonthRange, add_months
from pipeline.orchestration.checks import Columns
from pipeline.simulation.assets.nav_picture import nav_picture
from pipeline.simulation.assets.strategy_nav import dense, nav_figures
from pipeline.simulation.assets.strategy_weights import LOOK_BACK_MONTHS, SPEC, weight_figures, weight_rows
from pipeline.simulation.strategies.catalogue import STRATEGIES
from pipeline.simulation.strategies.eligible import eligible_stocks
from pipeline.store.prices import PricePanel
from pipeline.store.strategies import STRATEGY_WEIGHT, AllWeights
from pipeline.store.writing import concatenated

SESSIONS = np.arange("2018-01-01", "2021-07-01", dtype="datetime64[D]")
SESSIONS = SESSIONS[np.is_busday(SESSIONS)]
IDS = np.array([3, 4, 8, 9])
CLOSE = 50.0 * np.exp(np.cumsum(np.random.default_rng(8).normal(0.0004, 0.012, (len(SESSIONS), 4)), axis=0))
LISTED, DELISTED = np.datetime64("2018-10-01"), np.datetime64("2021-03-10")
CLOSE[SESSIONS < LISTED, 2] = np.nan
CLOSE[SESSIONS >= DELISTED, 3] = np.nan
PANEL = PricePanel(SESSIONS, IDS, CLOSE)
MONTHS = MonthRange(date(2018, 1, 1), date(2021, 6, 1))
NEVER, COSTLY = date(2100, 1, 1), date(2021, 5, 15)


def rows_of(panel: PricePanel, months: MonthRange = MONTHS, since: date = NEVER) -> Columns:
    return concatenated(STRATEGY_WEIGHT, weight_rows(panel, IDS.tolist(), None, months, since))


def part(rows: Columns, first: np.datetime64, end: np.datetime64) -> dict[str, list]:
    inside = (rows["session"] >= first) & (rows["session"] < end)
    return {name: values[inside].tolist() for name, values in rows.items()}


def held_by_month(rows: Columns) -> dict[str, list[int]]:
    own = rows["strategy"] == b"equal_weight"
    found: dict[str, list[int]] = {}
    for session, stock in zip(rows["session"][own], rows["instrument_id"][own], strict=True):
        found.setdefault(str(session)[:7], []).append(int(stock))
    return found


def test_a_new_listing_enters_with_its_window_and_a_delisting_leaves_at_once() -> None:
    held = held_by_month(rows_of(PANEL))
    full = np.flatnonzero(SESSIONS >= LISTED)[0] + SPEC.window_sessions
    month = str(SESSIONS[full])[:7]
    before = str(np.datetime64(month) - 1)
    assert (held[before], held[month]) == ([3, 4, 9], [3, 4, 8, 9])
    assert (held["2021-02"], held["2021-03"]) == ([3, 4, 8, 9], [3, 4, 8])
    assert min(held) == str(SESSIONS[SPEC.window_sessions])[:7]


def test_a_price_that_never_moves_is_left_out() -> None:
    close = CLOSE[:, :2].copy()
    close[:, 1] = 7.0
    found = eligible_stocks(close, SPEC.window_sessions)
    assert found is not None
    assert found.columns.tolist() == [0]
    assert found.returns.shape == (SPEC.window_sessions, 1)
    assert eligible_stocks(close[:, 1:], SPEC.window_sessions) is None
    assert eligible_stocks(close[:100], SPEC.window_sessions) is None


@pytest.mark.parametrize("cut", ["2021-06-01", "2021-05-01", "2021-03-10", "2020-11-17"])
def test_what_comes_later_changes_no_weight(cut: str) -> None:
    """Of months that are over; the running month's weights are those of its last session so far."""
    end = np.datetime64(cut)
    known = end > SESSIONS
    whole, early = rows_of(PANEL), rows_of(PricePanel(SESSIONS[known], IDS, CLOSE[known]))
    over = end.astype("datetime64[M]").astype("datetime64[D]")
    assert part(early, SESSIONS[0], over) == part(whole, SESSIONS[0], over)
    assert early["session"].max() == SESSIONS[known][-1]


@pytest.mark.parametrize("month", [date(2020, 12, 1), date(2021, 5, 1), date(2021, 6, 1)])
def test_a_month_alone_is_the_same_as_in_a_range(month: date) -> None:
    months = MonthRange(month, month)
    read = months.back(LOOK_BACK_MONTHS) <= SESSIONS
    alone = rows_of(PricePanel(SESSIONS[read], IDS, CLOSE[read]), months, COSTLY)
    whole = rows_of(PANEL, since=COSTLY)
    assert {name: values.tolist() for name, values in alone.items()} == part(
        whole, np.datetime64(month), np.datetime64(add_months(month, 1))
    )


def test_costly_strategies_begin_when_they_are_told_to() -> None:
    rows = rows_of(PANEL, since=COSTLY)
    late = rows["session"] >= np.datetime64(COSTLY)
    assert {name.decode() for name in rows["strategy"][late]} == set(STRATEGIES)
    assert {name.decode() for name in rows["strategy"][~late]} == {"equal_weight", "inverse_volatility"}
    assert (rows["weight"] > 0.0).all()
    may = part(rows, np.datetime64("2021-05-01"), np.datetime64("2021-06-01"))
    figures = weight_figures({name: np.array(values) for name, values in may.items()})
    assert (figures["strategies_count"], figures["fallbacks_count"]) == (7.0, 0.0)
    assert 0.0 < figures["largest_weight_fraction"] <= 1.0


def test_stored_weights_become_a_matrix() -> None:
    days = np.array(["2020-01-31", "2020-01-31", "2020-02-28"], dtype="datetime64[D]")
    set_on, matrix = dense(AllWeights(days, np.array([4, 9, 4]), np.array([0.25, 0.75, 1.0])), [3, 4, 9])
    assert set_on.tolist() == [date(2020, 1, 31), date(2020, 2, 28)]
    assert matrix.tolist() == [[0.0, 0.25, 0.75], [0.0, 1.0, 0.0]]


def test_figures_of_a_month() -> None:
    figures = nav_figures(
        {
            "strategy": np.array([b"a", b"a", b"b", b"b"]),
            "daily_return": np.array([0.1, 0.1, -0.1, 0.0]),
            "turnover": np.array([0.5, 0.0, 0.3, 0.0]),
        }
    )
    assert figures == {
        "best_month_return_fraction": pytest.approx(0.21),
        "mean_month_return_fraction": pytest.approx(0.055),
        "worst_month_return_fraction": pytest.approx(-0.1),
        "mean_turnover_fraction": pytest.approx(0.4),
    }


def test_the_picture_has_a_line_a_strategy_and_fits_the_page() -> None:
    growth = {name: (SESSIONS, np.linspace(1.0, 1.5 + number, len(SESSIONS))) for number, name in enumerate(STRATEGIES)}
    text = nav_picture(growth).value
    assert text is not None
    encoded = re.search(r"base64,([^)]+)\)", text)
    assert encoded is not None
    svg = ElementTree.fromstring(base64.b64decode(encoded[1]))
    space = "{http://www.w3.org/2000/svg}"
    assert float(svg.get("width", "inf")) <= 900
    lines = svg.findall(f"{space}polyline")
    assert len(lines) == 7
    assert len({line.get("stroke") for line in lines}) == 7
    assert {len(line.get("points", "").split()) for line in lines} == {42}
    names = [label.text or "" for label in svg.findall(f"{space}text")]
    assert all(any(text.startswith(name) for text in names) for name in STRATEGIES)
    places = sorted(float(label.get("y", "0")) for label in svg.findall(f"{space}text") if label.get("fill") != "#444")
    assert np.diff(places).min() >= 14


@pytest.mark.parametrize("sessions", [0, 1, 15])
def test_without_two_months_there_is_no_picture(sessions: int) -> None:
    values = (SESSIONS[:sessions], np.ones(sessions))
    assert nav_picture({"hrp": values}).value == "Not enough months for a picture"
    assert nav_picture({}).value == "Not enough months for a picture"
