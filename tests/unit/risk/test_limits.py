"""Limits: where a value stands, one event an episode, and the concentration that limits are set on."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.risk.measures.concentration import (
    concentration,
    effective_positions,
    herfindahl_index,
    largest_weight,
    top_weight,
)
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.limits import Episode, Limit, LimitEvent, LimitState, check_limits, watch_limits
from tests.unit.risk.series import PROPERTY, same

VAR = Limit("var_99_1d", 0.03, 0.04, "above")
DRAWDOWN = Limit("max_drawdown", -0.15, -0.25, "below")
MONDAY = date(2022, 3, 7)


@pytest.mark.parametrize(
    ("limit", "value", "status", "headroom"),
    [
        (VAR, 0.02, "OK", 0.02),
        (VAR, np.nextafter(0.03, 0.0), "OK", 0.01),
        (VAR, 0.03, "WARN", 0.01),
        (VAR, np.nextafter(0.04, 0.0), "WARN", 0.0),
        (VAR, 0.04, "BREACH", 0.0),
        (VAR, 0.05, "BREACH", -0.01),
        (VAR, -0.05, "OK", 0.09),
        (DRAWDOWN, 0.0, "OK", 0.25),
        (DRAWDOWN, -0.14, "OK", 0.11),
        (DRAWDOWN, -0.15, "WARN", 0.10),
        (DRAWDOWN, -0.25, "BREACH", 0.0),
        (DRAWDOWN, -0.30, "BREACH", -0.05),
        (Limit("volatility", 0.2, 0.2, "above"), 0.2, "BREACH", 0.0),
        (Limit("effective_positions", 12.0, 8.0, "below"), 10.0, "WARN", 2.0),
    ],
)
def test_a_value_stands_where_its_limit_puts_it(limit: Limit, value: float, status: str, headroom: float) -> None:
    (state,) = check_limits({limit.measure: value}, (limit,))
    assert state.status == status
    assert state.value == value
    assert state.headroom == pytest.approx(headroom, abs=1e-15)
    assert state.reason == ""


@PROPERTY
@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_a_limit_below_is_the_mirror_of_one_above(value: float, one: float, other: float) -> None:
    warn, breach = sorted((one, other))
    (above,) = check_limits({"m": value}, (Limit("m", warn, breach, "above"),))
    (below,) = check_limits({"m": -value}, (Limit("m", -warn, -breach, "below"),))
    assert (above.status, above.headroom) == (below.status, below.headroom)
    assert above.headroom is not None
    assert (above.status == "BREACH") == (above.headroom <= 0.0) == (value >= breach)


@pytest.mark.parametrize(
    ("values", "reasons", "reason"),
    [
        ({}, None, "var_99_1d: not measured"),
        ({"var_99_1d": None}, None, "var_99_1d: no value"),
        ({"var_99_1d": math.nan}, None, "var_99_1d: no finite value (nan)"),
        ({"var_99_1d": math.inf}, None, "var_99_1d: no finite value (inf)"),
        ({"var_99_1d": -math.inf}, None, "var_99_1d: no finite value (-inf)"),
        (
            {"var_99_1d": math.nan},
            {"var_99_1d": "short_window: 99 of 252 sessions"},
            "var_99_1d: short_window: 99 of 252 sessions",
        ),
    ],
)
def test_a_measure_without_a_value_is_unknown_and_never_fine(
    values: dict[str, float | None], reasons: dict[str, str] | None, reason: str
) -> None:
    assert check_limits(values, (VAR,), reasons) == (LimitState(VAR, "UNKNOWN", None, None, reason),)


def test_states_come_in_the_order_of_the_limits() -> None:
    states = check_limits({"max_drawdown": -0.2, "var_99_1d": 0.01, "other": 9.0}, (DRAWDOWN, VAR))
    assert [(state.limit.measure, state.status) for state in states] == [("max_drawdown", "WARN"), ("var_99_1d", "OK")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", 0.1, 0.2, "above"), r"^measure: empty; name what the limit is on, such as var_99_1d$"),
        (("x", 0.1, 0.2, "over"), r"^direction='over': give 'above' or 'below', the side not allowed$"),
        (("x", math.nan, 0.2, "above"), r"^warn=nan, breach=0.2: give finite numbers$"),
        (("x", 0.1, math.inf, "above"), r"^warn=0.1, breach=inf: give finite numbers$"),
        (("x", 0.3, 0.2, "above"), r"^warn=0.3: beyond breach=0.2 of x; a warning comes first$"),
        (("x", -0.3, -0.2, "below"), r"^warn=-0.3: beyond breach=-0.2 of x; a warning comes first$"),
    ],
)
def test_limits_that_are_none_are_refused(arguments: tuple[str, float, float, str], message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        Limit(*arguments)  # type: ignore[arg-type]


def test_two_limits_on_one_side_of_a_measure_are_refused() -> None:
    corridor = (Limit("beta", 1.2, 1.5, "above"), Limit("beta", 0.5, 0.2, "below"))
    assert [state.status for state in check_limits({"beta": 0.1}, corridor)] == ["OK", "BREACH"]
    with pytest.raises(MeasureInputError, match=r"^limits: two on var_99_1d \(above\); keep one$"):
        check_limits({}, (VAR, DRAWDOWN, Limit("var_99_1d", 0.01, 0.02, "above")))


# Watching: O, W, B and U are the states of consecutive sessions.

VALUE_OF = {"O": 0.01, "W": 0.035, "B": 0.05, "U": math.nan}


def followed(states: str) -> list[LimitEvent]:
    """Every event of a row of sessions, each judged with what the one before left open."""
    episodes: tuple[Episode, ...] = ()
    events: list[LimitEvent] = []
    for day, letter in enumerate(states):
        session = MONDAY + timedelta(days=day)
        watch = watch_limits("portfolio 7", session, episodes, check_limits({"var_99_1d": VALUE_OF[letter]}, (VAR,)))
        events += watch.events
        episodes = watch.episodes
    return events


def told(states: str) -> str:
    """The same as a word: position and kind of each event."""
    return " ".join(f"{(event.session - MONDAY).days}{event.kind[0]}" for event in followed(states))


@pytest.mark.parametrize(
    ("states", "events"),
    [
        ("OOO", ""),
        ("UUU", ""),
        ("OWWWO", "1W 4C"),
        ("OBBBO", "1B 4C"),
        ("OWWBBO", "1W 3B 5C"),
        ("OBWBWBO", "1B 6C"),
        ("OWBWBWO", "1W 2B 6C"),
        ("BUUBO", "0B 4C"),
        ("WUBUO", "0W 2B 4C"),
        ("BUO", "0B 2C"),
        ("UBO", "1B 2C"),
        ("BOBO", "0B 1C 2B 3C"),
        ("WOWO", "0W 1C 2W 3C"),
        ("OUO", ""),
    ],
)
def test_each_level_of_an_episode_is_told_once_and_its_end_once(states: str, events: str) -> None:
    assert told(states) == events


@PROPERTY
@given(st.text("OWBU", max_size=30))
def test_no_key_is_told_twice_and_every_episode_that_opens_ends(states: str) -> None:
    events = followed(states)
    assert len({event.key for event in events}) == len(events)
    by_episode: dict[date, list[str]] = {}
    for event in events:
        by_episode.setdefault(event.opened, []).append(event.kind)
    kinds = {("WARN", "CLEAR"), ("BREACH", "CLEAR"), ("WARN", "BREACH", "CLEAR")}
    closed = list(by_episode.values())
    last_known = states.replace("U", "")[-1:]
    if last_known in ("W", "B"):
        assert (*closed.pop(), "CLEAR") in kinds
    assert all(tuple(told_kinds) in kinds for told_kinds in closed)


@PROPERTY
@given(st.text("OWBU", min_size=1, max_size=12), st.data())
def test_judging_a_session_again_gives_the_same_events_and_adds_none_after_it(states: str, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(states) - 1))
    episodes: tuple[Episode, ...] = ()
    for day, letter in enumerate(states[: row + 1]):
        session, before = MONDAY + timedelta(days=day), episodes
        judged = check_limits({"var_99_1d": VALUE_OF[letter]}, (VAR,))
        watch = watch_limits("portfolio 7", session, before, judged)
        episodes = watch.episodes
    assert watch_limits("portfolio 7", session, before, judged) == watch
    after = watch_limits("portfolio 7", session, watch.episodes, judged)
    assert after.events == ()
    assert after.episodes == watch.episodes


def test_the_next_episode_of_a_session_is_another() -> None:
    """A limit that is moved away and back on one session breaches twice."""
    breached, kept = (check_limits({"var_99_1d": VALUE_OF[letter]}, (VAR,)) for letter in "BO")
    first = watch_limits("p", MONDAY, (), breached)
    cleared = watch_limits("p", MONDAY, first.episodes, kept)
    ended = {VAR.key: 1}
    again = watch_limits("p", MONDAY, (), breached, ended)
    assert again == watch_limits("p", MONDAY, (), breached, ended)
    over = watch_limits("p", MONDAY + timedelta(days=1), again.episodes, kept)
    events = [*first.events, *cleared.events, *again.events, *over.events]
    assert [(event.key, event.ordinal) for event in events] == [
        ("p:var_99_1d:above:2022-03-07:BREACH", 1),
        ("p:var_99_1d:above:2022-03-07:CLEAR", 1),
        ("p:var_99_1d:above:2022-03-07#2:BREACH", 2),
        ("p:var_99_1d:above:2022-03-07#2:CLEAR", 2),
    ]
    other = watch_limits("p", MONDAY, (), breached, {("beta", "above"): 4})
    assert [event.ordinal for event in other.events] == [1]


def test_an_event_names_its_subject_limit_session_and_value() -> None:
    warned, breached, cleared = followed("OWBO")
    assert warned == LimitEvent(
        "portfolio 7:var_99_1d:above:2022-03-08:WARN",
        "portfolio 7",
        "WARN",
        "var_99_1d",
        "above",
        date(2022, 3, 8),
        date(2022, 3, 8),
        0.035,
    )
    assert (breached.kind, breached.session, breached.opened, breached.value) == (
        "BREACH",
        date(2022, 3, 9),
        date(2022, 3, 8),
        0.05,
    )
    assert cleared.key == "portfolio 7:var_99_1d:above:2022-03-08:CLEAR"
    assert (cleared.kind, cleared.session, cleared.opened, cleared.value) == (
        "CLEAR",
        date(2022, 3, 10),
        date(2022, 3, 8),
        0.01,
    )


def test_limits_are_watched_side_by_side() -> None:
    states = check_limits({"var_99_1d": 0.05, "max_drawdown": -0.2}, (VAR, DRAWDOWN))
    watch = watch_limits("p", MONDAY, (), states)
    assert [(event.measure, event.kind) for event in watch.events] == [
        ("var_99_1d", "BREACH"),
        ("max_drawdown", "WARN"),
    ]
    calm = watch_limits(
        "p", MONDAY + timedelta(days=1), watch.episodes, check_limits({"var_99_1d": 0.01}, (VAR, DRAWDOWN))
    )
    assert [(event.measure, event.kind) for event in calm.events] == [("var_99_1d", "CLEAR")]
    assert [episode.measure for episode in calm.episodes] == ["max_drawdown"]


def test_the_episode_of_a_limit_that_was_taken_away_ends() -> None:
    watch = watch_limits("p", MONDAY, (Episode("beta", "above", date(2022, 3, 1), "BREACH"),), ())
    assert watch.episodes == ()
    assert [(event.kind, event.measure, event.value) for event in watch.events] == [("CLEAR", "beta", None)]


def test_a_session_before_an_open_episode_is_refused() -> None:
    message = r"^session=2022-03-07: before 2022-03-08, when the episode of beta began; give the episodes that were"
    with pytest.raises(MeasureInputError, match=message):
        watch_limits("p", MONDAY, (Episode("beta", "above", date(2022, 3, 8), "WARN"),), ())


# Concentration.

SHARES = st.lists(st.floats(0.001, 1.0), min_size=1, max_size=30)


def test_concentration_by_hand() -> None:
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    assert float(largest_weight(weights)) == 0.4
    assert float(top_weight(weights, 2)) == pytest.approx(0.7, rel=1e-15)
    assert float(top_weight(weights, 5)) == pytest.approx(1.0, rel=1e-15)
    assert float(herfindahl_index(weights)) == pytest.approx(0.30, rel=1e-14)
    assert float(effective_positions(weights)) == pytest.approx(1 / 0.30, rel=1e-14)


@pytest.mark.parametrize("positions", [1, 2, 7, 20])
def test_equal_positions_are_as_many_as_they_are(positions: int) -> None:
    assert float(effective_positions(np.full(positions, 1 / positions))) == pytest.approx(positions, rel=1e-12)


def test_shorts_count_and_leverage_and_cash_do_not_change_the_index() -> None:
    weights = np.array([0.5, -0.3, 0.2])
    for factor in (0.5, -1.0, 3.0):
        assert float(herfindahl_index(factor * weights)) == pytest.approx(0.38, rel=1e-13)
    assert float(largest_weight(np.array([0.2, -0.6]))) == 0.6
    assert float(largest_weight(3.0 * weights)) == 1.5


@PROPERTY
@given(SHARES, st.randoms(use_true_random=False))
def test_concentration_lies_in_its_bounds_whatever_the_order(shares: list[float], random: object) -> None:
    weights = np.array(shares) / math.fsum(shares)
    measured = {name: float(value) for name, value in concentration(weights).items()}
    n = len(shares)
    assert 1 / n - 1e-12 <= measured["herfindahl_index"] <= 1.0 + 1e-12
    assert 1.0 - 1e-9 <= measured["effective_positions"] <= n + 1e-9
    assert measured["largest_weight"] <= measured["top_5_weight"] <= 1.0 + 1e-12
    assert measured["largest_weight"] ** 2 <= measured["herfindahl_index"] <= measured["largest_weight"] + 1e-12
    random.shuffle(shares)  # type: ignore[attr-defined]
    again = concentration(np.array(shares) / math.fsum(shares))
    for name, value in measured.items():
        assert float(again[name]) == pytest.approx(value, rel=1e-12)


def test_sessions_are_measured_at_once_and_nothing_is_modified() -> None:
    weights = np.random.default_rng(2).normal(size=(50, 7))
    mine = weights.copy()
    together = concentration(mine)
    assert same(mine, weights)
    for row in range(50):
        for name, value in concentration(weights[row]).items():
            assert float(value) == pytest.approx(float(together[name][row]), rel=1e-14), name


def test_nothing_held_has_no_index_and_so_an_unknown_limit() -> None:
    measured = {name: float(value) for name, value in concentration(np.zeros(3)).items()}
    assert measured["largest_weight"] == measured["top_5_weight"] == 0.0
    (state,) = check_limits(measured, (Limit("herfindahl_index", 0.2, 0.3, "above"),))
    assert state.status == "UNKNOWN"


def test_weights_that_are_none_are_refused() -> None:
    for empty in (np.array([]), np.zeros((4, 0)), np.array(0.5)):
        with pytest.raises(MeasureInputError, match=r"^weights: none given; a portfolio needs at least one position$"):
            concentration(empty)
    with pytest.raises(MeasureInputError, match=r"^weights: NaN or infinite; give the fraction of the portfolio"):
        concentration(np.array([0.5, math.nan]))
    with pytest.raises(MeasureInputError, match=r"^positions=0: give at least 1$"):
        top_weight(np.array([1.0]), 0)
