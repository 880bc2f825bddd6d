"""What an analyst sees in the Dagster UI, over real Postgres storage and the real workspace."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fintech.samples import register_samples
from pipeline.base.settings import PROJECT_ROOT, inherited_environment
from pipeline.base.types import MonthRange
from pipeline.store.engine import Database, sqlalchemy_url
from tests.integration.orchestration.conftest import Platform, postgres_instance

START_SECONDS = 90
LOCATIONS = 4

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dagster_ui")]


@pytest.fixture(scope="module")
def platform(
    new_database: Callable[[], Database],
    new_empty_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Platform, dict[str, str]]]:
    """Four months of results, and the environment in which Dagster's processes find them."""
    storage = new_empty_database()
    with postgres_instance(storage) as instance:
        filled = Platform(new_database(), instance)
        year = MonthRange(date(2021, 1, 1), date(2022, 12, 1))
        filled.materialize("market_data", ["instruments"])
        filled.materialize("market_data", ["prices", "fx_rates"], year)
        with filled.database.connect() as connection:
            register_samples(connection)
        filled.materialize("risk", ["instrument_risk", "portfolio_risk"], MonthRange(date(2022, 9, 1), year.last))
        home = tmp_path_factory.mktemp("dagster-home")
        (home / "dagster.yaml").write_text((PROJECT_ROOT / "dagster.yaml").read_text())
        yield (
            filled,
            {
                "DATABASE_URL": filled.database.url,
                "DAGSTER_DATABASE_URL": sqlalchemy_url(storage, "psycopg2"),
                "DAGSTER_HOME": str(home),
            },
        )


@pytest.fixture(scope="module")
def webserver(platform: tuple[Platform, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a webserver on the repository's own workspace."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("webserver") / "log"
    command = [sys.executable, "-m", "dagster_webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=PROJECT_ROOT, env=inherited_environment() | platform[1], stdout=output, stderr=output
        ) as process,
    ):
        try:
            _wait(f"http://127.0.0.1:{port}/server_info", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(log.read_text())


def test_every_location_loads(page: Page, webserver: str) -> None:
    page.goto(f"{webserver}/deployment/locations")
    expect(page.get_by_text("Loaded", exact=True)).to_have_count(LOCATIONS, timeout=60_000)
    expect(page.get_by_text("Failed", exact=True)).to_have_count(0)


def test_the_graph_shows_every_slice(page: Page, webserver: str) -> None:
    page.goto(f"{webserver}/asset-groups")
    for location in ("market_data", "risk", "simulation", "forecast"):
        expect(page.get_by_text(location, exact=True).first).to_be_visible(timeout=30_000)


def test_an_asset_page_explains_itself(page: Page, webserver: str) -> None:
    page.goto(f"{webserver}/assets/instrument_risk")
    expect(page.get_by_text("Rolling 252-session risk measures of every instrument", exact=False)).to_be_visible(
        timeout=30_000
    )
    for shown in ("team:risk", "mean_volatility_annual", "Demonstration data", "fraction per year"):
        name = shown.removeprefix("team:")
        expect(page.get_by_text(name, exact=False).first).to_be_attached(timeout=30_000)
    line = page.locator("img[alt*='mean volatility']").first
    line.scroll_into_view_if_needed(timeout=30_000)
    assert line.evaluate("picture => picture.naturalWidth") > 0


def test_no_check_has_failed(page: Page, webserver: str) -> None:
    page.goto(f"{webserver}/assets/instrument_risk?view=checks")
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(2, timeout=30_000)
    expect(page.get_by_text("Failed", exact=True)).to_have_count(0)
