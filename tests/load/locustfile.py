"""Users of the API for Locust: 100 of them arrive within 2 minutes, stay for 5 and leave within 2.

``make load`` runs it for a shorter time against a service that is up; by itself, with the whole profile:
``locust -f tests/load/locustfile.py --headless --host http://127.0.0.1:3000``. Where a login is asked,
``FINTECH_API_KEY`` names a key that may read.
"""

from __future__ import annotations

from dataclasses import dataclass

from locust import HttpUser, LoadTestShape, constant, events, task
from locust.env import Environment

from pipeline.base.settings import load_settings

SLOWEST_SECONDS = 0.5
"""An answer that takes longer is a failure."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the profile: how many users there are at its end."""

    seconds: float
    users: int


PROFILE = (Stage(120, 100), Stage(300, 100), Stage(120, 0))


def users_at(seconds: float, profile: tuple[Stage, ...] = PROFILE) -> int | None:
    """Users at a moment, rising and falling evenly within a stage; None after the last."""
    before = 0
    for stage in profile:
        if seconds < stage.seconds:
            return round(before + (stage.users - before) * seconds / stage.seconds)
        seconds -= stage.seconds
        before = stage.users
    return None


@events.init_command_line_parser.add_listener
def _add_options(parser) -> None:
    parser.add_argument("--scale", type=float, default=1.0, help="the profile's length: 0.1 takes a tenth of the time")


class Profile(LoadTestShape):
    """The profile, as long as ``--scale`` makes it."""

    def tick(self) -> tuple[int, float] | None:
        """Users and how many of them may come in a second; None ends the test."""
        assert self.runner is not None
        scale = self.runner.environment.parsed_options.scale
        users = users_at(self.get_run_time() / scale)
        return None if users is None else (users, 100.0)


class Reader(HttpUser):
    """Somebody who looks at something each second."""

    wait_time = constant(1)

    def on_start(self) -> None:
        """Take the key, and see what there is."""
        key = load_settings().api_key
        if key is not None:
            self.client.headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        found = self.client.get("/api/v1/instruments").json()["data"]
        self.symbols = [instrument["symbol"] for instrument in found]

    def _get(self, path: str, name: str | None = None) -> None:
        with self.client.get(path, name=name, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            elif answer.elapsed.total_seconds() >= SLOWEST_SECONDS:
                answer.failure(f"slower than {SLOWEST_SECONDS} s")

    @task(4)
    def health(self) -> None:
        """What the guide's profile asks."""
        self._get("/health")

    @task(2)
    def instruments(self) -> None:
        """A kept list."""
        self._get("/api/v1/instruments")

    @task(2)
    def prices(self) -> None:
        """A year of somebody's prices."""
        symbol = self.symbols[self.environment.runner.user_count % len(self.symbols)]
        self._get(f"/api/v1/instruments/{symbol}/prices", "/api/v1/instruments/{symbol}/prices")


@events.quitting.add_listener
def _fail_on_any_failure(environment: Environment, **_: object) -> None:
    if environment.stats.total.num_failures or not environment.stats.total.num_requests:
        environment.process_exit_code = 1
