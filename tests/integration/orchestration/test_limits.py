"""Limits from the row to the receiver: checks on the asset, one event a level, one post an event."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from pipeline.base.errors import ConfigurationError
from pipeline.base.types import MonthRange
from pipeline.orchestration.alerts_resource import AlertsResource
from pipeline.orchestration.alerts_sending import Receiver, RetryPolicy
from pipeline.orchestration.resources import DatabaseResource
from pipeline.risk.assets.limit_alerts import limit_alerts
from pipeline.risk.assets.limit_watch import BELOW_WARNING, NOT_BREACHED, judge_limits
from pipeline.risk.assets.webhook import deliver_events
from pipeline.risk.definitions import build_definitions
from pipeline.store.engine import Database
from pipeline.store.instruments import find_instruments
from pipeline.store.limits import NewEvent, NewLimit, read_events, record_events, replace_limits
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from pipeline.store.reading import Window
from tests.integration.orchestration.conftest import AUTUMN, Platform
from tests.integration.orchestration.webhook_server import receiver
from tests.ports import free_port_offset

QUICK = RetryPolicy(attempts=2, first_wait_seconds=0.01, timeout_seconds=5)
NOVEMBER = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
DECEMBER = MonthRange(date(2022, 12, 1), date(2022, 12, 1))
BREACHED = NewLimit("largest_weight", "above", 0.5, 0.6)
WARNED = NewLimit("effective_positions", "below", 1.9, 1.0)
KEPT = NewLimit("var_99_1d", "above", 0.5, 0.6)
BREACH_KEY = "portfolio-1:largest_weight:above:2022-12-28:BREACH"
WARN_KEY = "portfolio-1:effective_positions:below:2022-12-28:WARN"


def limit(database: Database, *limits: NewLimit) -> None:
    with database.connect() as connection:
        replace_limits(connection, 1, limits)


def events(database: Database) -> list[tuple[str, bool, int]]:
    """Key, whether delivered, and attempts of every event."""
    with database.connect() as connection:
        return [(e.key, e.delivered_at is not None, e.attempts) for e in read_events(connection, 1, Window())]


def ticked(platform: Platform, url: str) -> str:
    """What the sensor says after a tick."""
    return str(tick(platform, url).skip_message)


def tick(platform: Platform, url: str = "") -> SensorExecutionData:
    """A tick, with what the daemon does of it: the events of assets are kept."""
    context = dg.build_sensor_context(
        resources={"database": DatabaseResource(url=platform.database.url), "alerts": AlertsResource(url=url)},
        instance=platform.instance,
        definitions=build_definitions(),
    )
    done = limit_alerts.evaluate_tick(context)
    for event in done.asset_events:
        platform.instance.report_runless_asset_event(event)
    return done


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    found = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    return {name: found[name] for name in (BELOW_WARNING, NOT_BREACHED)}


@pytest.fixture
def held(priced: Platform) -> Platform:
    """Two years of prices, and a portfolio that holds seven tenths in one stock."""
    with priced.database.connect() as connection:
        known = find_instruments(connection, ["AAPL", "MSFT"])
        positions = (
            Position(known["AAPL"].id, "AAPL", target_weight=0.7),
            Position(known["MSFT"].id, "MSFT", target_weight=0.3),
        )
        assert create_portfolio(connection, NewPortfolio("Two", "daily", positions, slug="two")) == 1
    return priced


def test_a_breach_is_a_failed_check_and_one_post_however_often_it_is_judged(held: Platform) -> None:
    result = held.materialize("risk", ["portfolio_risk"], AUTUMN)
    assert all(evaluation.passed for evaluation in checks(result).values())
    limit(held.database, BREACHED, WARNED, KEPT, NewLimit("beta", "above", 1.0, 0.9 + 9))
    result = held.materialize("risk", ["portfolio_risk"], DECEMBER)
    assert result.success  # the rows are there, whatever the limits say
    found = checks(result)
    assert not found[NOT_BREACHED].passed
    assert found[NOT_BREACHED].severity is dg.AssetCheckSeverity.ERROR
    assert found[NOT_BREACHED].metadata["breached"].value == [
        "two: largest_weight = 0.7, limit 0.6 (above), 2022-12-28"
    ]
    assert not found[BELOW_WARNING].passed
    assert found[BELOW_WARNING].severity is dg.AssetCheckSeverity.WARN
    warned = found[BELOW_WARNING].metadata["warned"].value
    assert "two: effective_positions = 1.72414, limit 1.9 (below), 2022-12-28" in warned
    told = [key for key, _, _ in events(held.database)]
    assert {BREACH_KEY, WARN_KEY} <= set(told)

    with receiver() as receiving:
        ticked(held, receiving.url)
        assert sorted(receiving.keys) == sorted(told)
        body = next(body for body in receiving.bodies if body["key"] == BREACH_KEY)
        assert body == {
            "key": BREACH_KEY,
            "kind": "BREACH",
            "text": "BREACH: Two, 2022-12-28: largest_weight is 0.7 (limit 0.6, above is not allowed)",
            "severity": "error",
            "opens": BREACH_KEY,
            "closes": [BREACH_KEY.replace("BREACH", "WARN")],
            "portfolio": {"id": 1, "slug": "two", "name": "Two"},
            "measure": "largest_weight",
            "direction": "above",
            "session": "2022-12-28",
            "opened": "2022-12-28",
            "value": 0.7,
            "warn": 0.5,
            "breach": 0.6,
        }
        for months in (DECEMBER, NOVEMBER, AUTUMN):  # the same month again, an older one, and all of them
            again = held.materialize("risk", ["portfolio_risk"], months)
            assert not checks(again)[NOT_BREACHED].passed
            assert "0 events delivered" in ticked(held, receiving.url)
        assert len(receiving.keys) == len(told)


def test_an_episode_is_told_at_each_level_and_when_it_ends(held: Platform) -> None:
    held.materialize("risk", ["portfolio_risk"], NOVEMBER)
    with receiver() as receiving:

        def kinds() -> list[str]:
            ticked(held, receiving.url)
            return [body["kind"] for body in receiving.bodies]

        limit(held.database, NewLimit("largest_weight", "above", 0.6, 0.8))
        assert kinds() == ["WARN"]  # the sensor judges what was set since the last run
        held.materialize("risk", ["portfolio_risk"], DECEMBER)
        assert kinds() == ["WARN"]  # a month later the episode goes on
        limit(held.database, NewLimit("largest_weight", "above", 0.6, 0.7))
        assert kinds() == ["WARN", "BREACH"]
        limit(held.database, NewLimit("largest_weight", "above", 0.6, 0.8))
        assert kinds() == ["WARN", "BREACH"]  # back to a warning is no news
        limit(held.database, NewLimit("largest_weight", "above", 0.8, 0.9))
        assert kinds() == ["WARN", "BREACH", "CLEAR"]
        assert {body["opened"] for body in receiving.bodies} == {"2022-11-30"}
        assert [body["session"] for body in receiving.bodies] == ["2022-11-30", "2022-12-28", "2022-12-28"]
        limit(held.database, BREACHED)
        assert kinds() == ["WARN", "BREACH", "CLEAR", "BREACH"]
        limit(held.database)
        assert kinds()[4:] == ["CLEAR"]
        assert receiving.bodies[-1]["value"] is None
        assert "its limit was taken away" in receiving.bodies[-1]["text"]
        assert kinds()[5:] == []
        limit(held.database, BREACHED)
        assert kinds()[5:] == ["BREACH"]  # the same breach of the same session, and news again
        assert kinds()[6:] == []
        limit(held.database, NewLimit("largest_weight", "above", 0.8, 0.9))
        assert kinds()[6:] == ["CLEAR"]
        limit(held.database, NewLimit("largest_weight", "above", 0.6, 0.8))
        limit(held.database, BREACHED)
        assert kinds()[7:] == ["BREACH"]
        assert len(set(receiving.keys)) == len(receiving.keys) == 8


def test_the_checks_follow_a_limit_that_is_changed_between_runs(
    held: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINTECH_ALERT_WEBHOOK_URL", "")
    held.materialize("risk", ["portfolio_risk"], DECEMBER)

    def shown() -> dict[str, tuple[bool, str]]:
        """Whether each check is passed by its newest result, and how grave a failure is."""
        found = {}
        for name in (BELOW_WARNING, NOT_BREACHED):
            key = dg.AssetCheckKey(dg.AssetKey("portfolio_risk"), name)
            newest = held.instance.get_latest_asset_check_evaluation_record(key)
            assert newest is not None
            assert newest.evaluation is not None
            found[name] = newest.evaluation.passed, newest.evaluation.severity.value
        return found

    calm = {BELOW_WARNING: (True, "WARN"), NOT_BREACHED: (True, "ERROR")}
    assert shown() == calm
    assert tick(held).asset_events == []  # the run has told it
    limit(held.database, BREACHED)
    assert len(tick(held).asset_events) == 2
    assert shown() == calm | {NOT_BREACHED: (False, "ERROR")}
    assert tick(held).asset_events == []
    held.materialize("risk", ["portfolio_risk"], DECEMBER)
    assert tick(held).asset_events == []
    limit(held.database, WARNED)
    tick(held)
    assert shown() == calm | {BELOW_WARNING: (False, "WARN")}
    limit(held.database)
    tick(held)
    assert shown() == calm
    assert tick(held).asset_events == []


def test_rows_that_are_withdrawn_take_back_nothing(held: Platform) -> None:
    held.materialize("risk", ["portfolio_risk"], AUTUMN)
    limit(held.database, BREACHED)
    with held.database.connect() as connection:
        judge_limits(connection)
        connection.execute("DELETE FROM portfolio_risk WHERE session > '2022-12-20'")
        judge_limits(connection)
    assert [key for key, _, _ in events(held.database)] == [BREACH_KEY]


def test_a_breach_before_an_episode_that_has_ended_is_told_once_and_ends(held: Platform) -> None:
    held.materialize("risk", ["portfolio_risk"], AUTUMN)
    earlier = BREACH_KEY.replace("12-28", "12-20")

    def judged(*limits: NewLimit) -> list[str]:
        limit(held.database, *limits)
        with held.database.connect() as connection:
            judge_limits(connection)
        return [key for key, _, _ in events(held.database)]

    assert judged(BREACHED) == [BREACH_KEY]
    cleared = BREACH_KEY.replace("BREACH", "CLEAR")
    assert sorted(judged()) == sorted([BREACH_KEY, cleared])
    with held.database.connect() as connection:
        connection.execute("DELETE FROM portfolio_risk WHERE session > '2022-12-20'")
    assert set(judged(BREACHED)) == set(judged(BREACHED)) == {BREACH_KEY, cleared, earlier}
    assert set(judged()) == {BREACH_KEY, cleared, earlier, earlier.replace("BREACH", "CLEAR")}
    assert f"{earlier[:-7]}#2:BREACH" in judged(BREACHED)


def test_a_limit_that_cannot_be_judged_is_no_limit_that_is_kept(held: Platform) -> None:
    limit(held.database, BREACHED, KEPT)
    result = held.materialize("risk", ["portfolio_risk"], MonthRange(date(2021, 3, 1), date(2021, 3, 1)))
    unknown = checks(result)[BELOW_WARNING]
    assert not unknown.passed
    (line,) = unknown.metadata["unknown"].value
    assert line.startswith("two: var_99_1d: short_window: 60 of 252 sessions")
    assert len(events(held.database)) == 1  # what is held is known; the value at risk is not, and says nothing


def waiting(key: str, session: date, kind: str = "BREACH") -> NewEvent:
    """An event as it is told."""
    return NewEvent(key, 1, kind, "largest_weight", "above", session, session, 0.7, 0.5, 0.6)


@pytest.fixture
def breached(platform: Platform) -> Platform:
    """One event that waits, of a portfolio without prices."""
    with platform.database.connect() as connection:
        assert create_portfolio(connection, NewPortfolio("Two", "daily", (), slug="two")) == 1
        assert record_events(connection, [waiting(BREACH_KEY, date(2022, 12, 28))]) == 1
        assert record_events(connection, [waiting(BREACH_KEY, date(2022, 12, 28))]) == 0
    assert events(platform.database) == [(BREACH_KEY, False, 0)]
    return platform


def test_deliverers_at_once_post_once(breached: Platform) -> None:
    posting, others_are_done = threading.Event(), threading.Event()

    def wait() -> None:
        posting.set()
        assert others_are_done.wait(20)

    with receiver() as receiving, ThreadPoolExecutor(5) as threads:
        receiving.before_answer = wait
        first = threads.submit(deliver_events, breached.database, Receiver(receiving.url), QUICK)
        assert posting.wait(20)
        others = [threads.submit(deliver_events, breached.database, Receiver(receiving.url), QUICK) for _ in range(4)]
        assert [other.result(20).delivered for other in others] == [0] * 4  # they pass it by, and do not wait
        others_are_done.set()
        assert first.result(20).delivered == 1
        assert receiving.keys == [BREACH_KEY]
    assert events(breached.database) == [(BREACH_KEY, True, 1)]


def test_judges_at_once_tell_once(held: Platform) -> None:
    held.materialize("risk", ["portfolio_risk"], DECEMBER)
    limit(held.database, BREACHED, WARNED)

    def judge(_: int) -> None:
        with held.database.connect() as connection:
            judge_limits(connection)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(judge, range(8)))
    assert sorted(key for key, _, _ in events(held.database)) == sorted([BREACH_KEY, WARN_KEY])


def test_a_receiver_that_is_down_gets_it_later_and_once(breached: Platform) -> None:
    port = 8000 + free_port_offset()
    url = f"http://127.0.0.1:{port}/hook?token=secret"
    assert "0 events delivered, 1 not" in ticked(breached, url)
    ((_, delivered, attempts),) = events(breached.database)
    assert (delivered, attempts) == (False, 3)
    (error,) = breached.rows("SELECT last_error FROM limit_event")
    assert "no answer (ConnectionRefusedError" in error[0]
    assert "secret" not in error[0]
    with receiver(port) as receiving:
        assert "1 events delivered, 0 not" in ticked(breached, url)
        assert "0 events delivered, 0 not" in ticked(breached, url)
        assert receiving.keys == [BREACH_KEY]
    assert events(breached.database) == [(BREACH_KEY, True, 4)]
    assert breached.rows("SELECT last_error FROM limit_event") == [(None,)]


@pytest.mark.parametrize(("status", "posts"), [(500, 2), (429, 2), (400, 1), (302, 1)])
def test_a_receiver_that_says_no_is_asked_again_with_the_next_round(
    breached: Platform, status: int, posts: int
) -> None:
    with receiver() as receiving:
        receiving.status = status
        round_ = deliver_events(breached.database, Receiver(receiving.url), QUICK)
        assert round_.delivered == 0
        assert f"the receiver answered {status}" in round_.failures[0]
        assert receiving.keys == [BREACH_KEY] * posts  # the same key: a receiver can drop what it knows
        receiving.status = 200
        assert deliver_events(breached.database, Receiver(receiving.url), QUICK).delivered == 1
        assert len(receiving.keys) == posts + 1


def test_an_event_that_is_refused_does_not_hold_back_the_others(breached: Platform) -> None:
    with breached.database.connect() as connection:
        record_events(connection, [waiting("later", date(2022, 12, 29), "CLEAR")])
    with receiver() as receiving:
        receiving.status = 410
        round_ = deliver_events(breached.database, Receiver(receiving.url), QUICK)
        assert len(round_.failures) == len(receiving.keys) == 2
        receiving.status = 503  # nobody is reached: the second need not be tried
        round_ = deliver_events(breached.database, Receiver(receiving.url), QUICK)
        assert len(round_.failures) == 1


def test_a_crash_between_post_and_note_repeats_the_key(breached: Platform) -> None:
    """Rather told twice, with a key by which the receiver can tell, than never."""
    name = breached.database.url.split("/")[3].partition("?")[0]

    def lose_the_database() -> None:
        with psycopg.connect(breached.database.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND state = 'idle in transaction'",
                [name],
            )

    with receiver() as receiving:
        receiving.before_answer = lose_the_database
        with pytest.raises(Exception, match=r"terminat|closed|No Postgres"):
            deliver_events(breached.database, Receiver(receiving.url), QUICK)
        assert events(breached.database) == [(BREACH_KEY, False, 0)]
        receiving.before_answer = lambda: None
        assert deliver_events(breached.database, Receiver(receiving.url), QUICK).delivered == 1
        assert receiving.keys == [BREACH_KEY, BREACH_KEY]


def test_without_a_receiver_events_wait(breached: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINTECH_ALERT_WEBHOOK_URL", "")
    assert "FINTECH_ALERT_WEBHOOK_URL is not set" in ticked(breached, "")
    assert events(breached.database) == [(BREACH_KEY, False, 0)]
    with receiver() as receiving:
        monkeypatch.setenv("FINTECH_ALERT_WEBHOOK_URL", receiving.url)
        assert "1 events delivered" in ticked(breached, "")


@pytest.mark.parametrize("url", ["ftp://h/x", "h/x", "http://", "http://h:port/", "http://h/a b", "http://h/\r\nX: y"])
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="FINTECH_ALERT_WEBHOOK_URL is no http or https address") as error:
        Receiver(url)
    assert url not in str(error.value)
