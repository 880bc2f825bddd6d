"""Failed runs and stale assets from the event to the receiver: an incident is told when it opens and when it ends."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).

import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from pipeline.base.due_times import ASSETS_DUE
from pipeline.orchestration import alerts_sensors
from pipeline.orchestration.alerts_formats import Sender
from pipeline.orchestration.alerts_incidents import OUTBOX
from pipeline.orchestration.alerts_resource import AlertsResource
from pipeline.orchestration.alerts_sending import Receiver, RetryPolicy, deliver
from pipeline.orchestration.partitions import MONTHLY
from pipeline.orchestration.resources import DatabaseResource
from pipeline.risk.assets.webhook import deliver_events
from pipeline.store import incidents as store
from pipeline.store.data_health import DataHealth, read_data_health
from pipeline.store.engine import Database
from pipeline.store.incidents import NewIncident
from pipeline.store.limits import NewEvent, record_events
from pipeline.store.materializations import begin, finish, record_partitions
from pipeline.store.portfolios import NewPortfolio, create_portfolio
from tests.integration.orchestration.conftest import Platform
from tests.integration.orchestration.webhook_server import receiver

OCTOBER, NOVEMBER = date(2022, 10, 1), date(2022, 11, 1)
QUICK = RetryPolicy(attempts=2, first_wait_seconds=0.01, timeout_seconds=5)


@dg.asset(partitions_def=MONTHLY, backfill_policy=dg.BackfillPolicy.single_run())
def prices() -> None:
    raise dg.Failure("the vendor is away")


@dg.asset(partitions_def=MONTHLY, backfill_policy=dg.BackfillPolicy.single_run(), deps=[prices])
def volatility() -> None:
    pass


@dg.op
def sweep(context: dg.OpExecutionContext) -> None:
    if context.run.tags["outcome"] == "failure":
        raise dg.Failure("no room")


@dg.job
def sweeping() -> None:
    sweep()


class Watch:
    """The sensors as the daemon calls them, one tick after the other."""

    def __init__(self, platform: Platform, url: str) -> None:
        self.platform, self.url = platform, url
        self.cursor: str | None = None

    def failures(self) -> str:
        return self._tick(alerts_sensors.run_failures)

    def staleness(self) -> str:
        return self._tick(alerts_sensors.stale_assets)

    def _tick(self, sensor: dg.SensorDefinition) -> str:
        context = dg.build_sensor_context(
            instance=self.platform.instance,
            cursor=self.cursor,
            resources={
                "database": DatabaseResource(url=self.platform.database.url),
                "alerts": AlertsResource(url=self.url),
            },
        )
        done = sensor.evaluate_tick(context)
        self.cursor = done.cursor or self.cursor
        return str(done.skip_message)


def fail(platform: Platform, first: date = OCTOBER, last: date = NOVEMBER, tags: dict[str, str] | None = None) -> str:
    """A run of two assets that fails at the first; its id."""
    definitions = dg.Definitions([prices, volatility])
    months = {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=platform.instance,
        asset_selection=[dg.AssetKey("prices"), dg.AssetKey("volatility")],
        tags=months | (tags or {}),
        raise_on_error=False,
    )
    assert not result.success
    return result.run_id


def run_job(platform: Platform, outcome: str) -> str:
    return sweeping.execute_in_process(
        instance=platform.instance, tags={"outcome": outcome}, raise_on_error=False
    ).run_id


def write(database: Database, asset: str, months: Sequence[date], at: datetime | None = None) -> None:
    """What an asset's own write leaves in the store."""
    with database.connect() as connection:
        number = begin(connection, asset, "run", "code")
        record_partitions(connection, number, asset, dict.fromkeys(months, 1), months)
        finish(connection, number)
        if at is not None:
            connection.execute("UPDATE materialization SET finished_at = %s WHERE id = %s", [at, number])


def health(database: Database) -> DataHealth:
    with database.connect() as connection:
        return read_data_health(connection)


def incident(database: Database, key: str = "run-failure:1") -> None:
    with database.connect() as connection:
        assert store.open_incident(connection, NewIncident(key, "run_failure", key, "A run failed.", {"job": "x"}))


# Failed runs -----------------------------------------------------------------------------------------------


def test_a_failed_run_is_one_incident_that_ends_when_all_of_it_is_made_good(platform: Platform) -> None:
    fail(platform)  # before anybody watched
    with receiver() as receiving:
        watch = Watch(platform, receiving.url)
        assert "0 incidents opened" in watch.failures()
        run = fail(platform)
        assert "1 incidents opened, 0 closed; 1 messages delivered" in watch.failures()
        assert "0 incidents opened, 0 closed; 0 messages delivered" in watch.failures()
        (told,) = receiving.bodies
        assert (told["key"], told["opens"], told["severity"]) == (f"run-failure:{run}", f"run-failure:{run}", "error")
        assert told["text"] == "A run failed and left 4 partitions undone: prices, volatility."
        assert told["left_undone"] == "prices (2), volatility (2)"
        assert told["cause"].endswith("Failure: the vendor is away")
        assert health(platform.database).failed_partitions == {"prices": 2, "volatility": 2}

        fail(platform)  # the same again tells nothing new
        assert "0 incidents opened, 0 closed" in watch.failures()
        write(platform.database, "prices", [OCTOBER, NOVEMBER])
        write(platform.database, "volatility", [OCTOBER])
        assert "0 incidents opened, 0 closed" in watch.failures()
        assert health(platform.database).failed_partitions == {"volatility": 1}
        write(platform.database, "volatility", [NOVEMBER])
        assert "0 incidents opened, 1 closed; 1 messages delivered" in watch.failures()
        assert receiving.bodies[1]["closes"] == [told["key"]]
        assert receiving.keys == [told["key"], f"{told['key']}:RESOLVED"]
        assert health(platform.database).failed_partitions == {}

        again = fail(platform)
        assert "1 incidents opened, 0 closed; 1 messages delivered" in watch.failures()
        assert receiving.keys[2:] == [f"run-failure:{again}"]


def test_a_run_that_dagster_repeats_is_no_incident(platform: Platform) -> None:
    with receiver() as receiving:
        watch = Watch(platform, receiving.url)
        watch.failures()
        fail(platform, tags={"dagster/will_retry": "true"})
        assert "0 incidents opened" in watch.failures()
        assert receiving.keys == []


def test_what_was_made_good_before_it_was_noticed_is_no_incident(platform: Platform) -> None:
    watch = Watch(platform, "http://127.0.0.1:9/")
    watch.failures()
    fail(platform)
    for asset in ("prices", "volatility"):
        write(platform.database, asset, [OCTOBER, NOVEMBER])
    assert "0 incidents opened" in watch.failures()


def test_a_job_without_assets_is_over_when_it_succeeds(platform: Platform) -> None:
    with receiver() as receiving:
        watch = Watch(platform, receiving.url)
        watch.failures()
        run = run_job(platform, "failure")
        assert "1 incidents opened, 0 closed" in watch.failures()
        assert receiving.bodies[0]["text"] == "The job sweeping failed."
        assert health(platform.database).failed_partitions == {}
        run_job(platform, "failure")
        assert "0 incidents opened, 0 closed" in watch.failures()
        run_job(platform, "success")
        assert "0 incidents opened, 1 closed" in watch.failures()
        assert receiving.keys == [f"run-failure:{run}", f"run-failure:{run}:RESOLVED"]


def test_a_tick_that_is_lost_is_made_up_for_and_one_that_is_repeated_adds_nothing(platform: Platform) -> None:
    with receiver() as receiving:
        watch = Watch(platform, receiving.url)
        watch.failures()
        before = watch.cursor
        fail(platform)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "record_failed_run", lambda *_: 1 / 0)
            with pytest.raises(Exception, match="division"):
                watch.failures()
        assert watch.cursor == before  # Dagster's own sensor would have gone on
        assert "1 incidents opened" in watch.failures()
        watch.cursor = before  # the daemon was killed before it kept the cursor
        assert "0 incidents opened, 0 closed; 0 messages" in watch.failures()
        assert len(receiving.keys) == 1


def test_schedules_and_ticks_say_when_they_last_succeeded(platform: Platform) -> None:
    watch = Watch(platform, "http://127.0.0.1:9/")
    began = datetime.now(UTC)
    sweeping.execute_in_process(
        instance=platform.instance, tags={"outcome": "success", "dagster/schedule_name": "every_night"}
    )
    watch.failures()
    watch.staleness()
    found = health(platform.database)
    assert found.schedules.keys() == {"every_night"}
    assert found.sensors.keys() == {"run_failures", "stale_assets"}
    clock = timedelta(seconds=1)
    for at in (*found.schedules.values(), *found.sensors.values()):
        assert began - clock <= at <= datetime.now(UTC) + clock


# Stale assets ----------------------------------------------------------------------------------------------


def test_a_stale_asset_is_one_incident_until_it_is_written(platform: Platform) -> None:
    since = ASSETS_DUE.since(datetime.now(UTC))
    write(platform.database, "prices", [OCTOBER], since - timedelta(hours=1))
    write(platform.database, "fx_rates", [OCTOBER], since + timedelta(minutes=1))
    write(platform.database, "portfolios", [OCTOBER], since - timedelta(days=90))  # users make them, no run does
    with receiver() as receiving:
        watch = Watch(platform, receiving.url)
        assert "1 assets are stale; 1 messages delivered" in watch.staleness()
        assert "1 assets are stale; 0 messages delivered" in watch.staleness()
        (told,) = receiving.bodies
        assert told["asset"] == "prices"
        assert told["text"].startswith("prices is stale: last written ")
        assert health(platform.database).open_incidents == {"stale_asset": 1}
        write(platform.database, "prices", [OCTOBER])
        assert "0 assets are stale; 1 messages delivered" in watch.staleness()
        assert receiving.bodies[1]["closes"] == [told["key"]]
        assert health(platform.database).open_incidents == {}


# Delivery --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "posts"), [(500, 2), (429, 2), (400, 1)])
def test_a_message_that_is_not_taken_waits(platform: Platform, status: int, posts: int) -> None:
    incident(platform.database)
    with receiver() as receiving:
        receiving.status = status
        round_ = deliver(platform.database, OUTBOX, Receiver(receiving.url), QUICK)
        assert (round_.delivered, len(round_.failures), len(receiving.keys)) == (0, 1, posts)
        assert health(platform.database).undelivered == 1
        receiving.status = 202
        assert deliver(platform.database, OUTBOX, Receiver(receiving.url), QUICK).delivered == 1
        assert set(receiving.keys) == {"run-failure:1"}
        assert health(platform.database).undelivered == 0


def test_a_receiver_that_says_nothing_is_given_up(platform: Platform) -> None:
    incident(platform.database)
    released = threading.Event()
    with receiver() as receiving:
        receiving.before_answer = lambda: released.wait(20) and None
        policy = RetryPolicy(attempts=1, timeout_seconds=0.2)
        round_ = deliver(platform.database, OUTBOX, Receiver(receiving.url), policy)
        released.set()
        assert "no answer (TimeoutError" in round_.failures[0]
        receiving.before_answer = lambda: None
        assert deliver(platform.database, OUTBOX, Receiver(receiving.url), QUICK).delivered == 1
        assert receiving.keys == ["run-failure:1"] * 2  # it may have been taken: the key says that it is the same


def test_a_crash_between_post_and_note_repeats_the_key(platform: Platform) -> None:
    incident(platform.database)

    def lose_the_database() -> None:
        with psycopg.connect(platform.database.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
            )

    pagerduty = {"form": "pagerduty", "sender": Sender("staging", "routing")}
    with receiver() as receiving:
        receiving.before_answer = lose_the_database
        with pytest.raises(Exception, match=r"terminat|closed|No Postgres"):
            deliver(platform.database, OUTBOX, Receiver(receiving.url, **pagerduty), QUICK)
        receiving.before_answer = lambda: None
        assert deliver(platform.database, OUTBOX, Receiver(receiving.url, **pagerduty), QUICK).delivered == 1
        assert [body["dedup_key"] for body in receiving.bodies] == ["staging/run-failure:1"] * 2
        assert [body["event_action"] for body in receiving.bodies] == ["trigger"] * 2


def test_of_several_events_those_that_were_taken_are_not_repeated_in_a_round(platform: Platform) -> None:
    day = date(2022, 12, 28)
    with platform.database.connect() as connection:
        portfolio = create_portfolio(connection, NewPortfolio("Two", "daily", (), slug="two"))
        assert portfolio is not None
        record_events(connection, [NewEvent("e:BREACH", portfolio, "BREACH", "beta", "above", day, day, 2.0, 1.0, 1.5)])
    with receiver() as receiving:

        def refuse_the_second() -> None:
            receiving.status = 503 if len(receiving.keys) == 2 else 202

        receiving.before_answer = refuse_the_second
        pagerduty = Receiver(receiving.url, "pagerduty", Sender("staging", "routing"))
        assert deliver_events(platform.database, pagerduty, QUICK).delivered == 1
        assert [(body["event_action"], body["dedup_key"]) for body in receiving.bodies] == [
            ("trigger", "staging/e:BREACH"),
            ("resolve", "staging/e:WARN"),
            ("resolve", "staging/e:WARN"),
        ]
        assert receiving.keys == ["e:BREACH", "e:BREACH#2", "e:BREACH#2"]


def test_what_was_over_for_a_day_before_anybody_listened_is_history(platform: Platform) -> None:
    for key in ("long over", "just over", "open"):
        incident(platform.database, key)
    with platform.database.connect() as connection:
        store.resolve_incidents(connection, "run_failure", ["long over", "just over"])
        connection.execute("UPDATE incident SET resolved_at = now() - interval '25 hours' WHERE key = 'long over'")
    with receiver() as receiving:
        assert deliver(platform.database, OUTBOX, Receiver(receiving.url), QUICK).delivered == 3
        assert sorted(receiving.keys) == ["just over", "just over:RESOLVED", "open"]


def test_the_settings_name_the_receiver_and_its_format(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINTECH_ALERT_WEBHOOK_URL", "")
    assert "FINTECH_ALERT_WEBHOOK_URL is not set: incidents wait" in Watch(platform, "").staleness()
    incident(platform.database)
    with receiver() as receiving:
        monkeypatch.setenv("FINTECH_ALERT_WEBHOOK_URL", receiving.url)
        monkeypatch.setenv("FINTECH_ALERT_FORMAT", "slack")
        assert "1 messages delivered" in Watch(platform, "").staleness()
        assert receiving.bodies[0]["blocks"][0]["type"] == "section"
