"""The load profile against a real server, for a few seconds, and its shape."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.settings import inherited_environment
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded

LOCUSTFILE = Path(__file__).parents[2] / "load" / "locustfile.py"
SCALE = 0.02


def locust(host: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--host", host]
    environment = {name: value for name, value in inherited_environment().items() if name != "FINTECH_API_KEY"}
    return subprocess.run(
        [*command, "--csv", str(folder / "found"), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )


def totals(folder: Path) -> dict[str, str]:
    with (folder / "found_stats.csv").open() as file:
        return next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")


def test_a_short_profile_has_no_failures(seeded: Seeded, serve: Serve, tmp_path: Path) -> None:
    client = serve(seeded.database.url).client
    ended = locust(str(client.base_url), tmp_path, "--scale", str(SCALE))
    found = totals(tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert found["Failure Count"] == "0"
    assert int(found["Request Count"]) > 100


def test_failures_are_told(seeded: Seeded, serve: Serve, tmp_path: Path) -> None:
    client = serve(seeded.database.url, "python-risk-engine").client  # it has no instruments
    assert locust(str(client.base_url), tmp_path, "--scale", "0.01").returncode == 1


@pytest.mark.parametrize(
    ("seconds", "users"), [(0, 0), (60, 50), (120, 100), (419, 100), (480, 50), (539.9, 0), (540, None)]
)
def test_users_come_and_go_evenly(seconds: float, users: int | None) -> None:
    program = f"from tests.load.locustfile import users_at; print(users_at({seconds}))"
    # Locust patches the sockets of the process that imports it.
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(users)
