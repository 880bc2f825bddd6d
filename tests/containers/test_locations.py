"""The code locations under Dagster's webserver and daemon, from an empty database to results in the API."""

from __future__ import annotations

from datetime import date

import httpx
import pytest

from pipeline.base.types import MonthRange
from tests.containers.conftest import ENVIRONMENT, Platform, as_options
from tests.containers.dagster_api import DagsterApi
from tests.containers.engine import HARDENED, Engine
from tests.containers.images import BACKEND_API, DAGSTER_HOST, DOMAIN_IMAGES, Image

ANALYST = "ann@example.com"
LAST_MONTH = date(2022, 12, 1)
HISTORY = MonthRange(date(2017, 6, 1), LAST_MONTH)
"""As much as a simulation looks back on."""

MARKET_DATA = DOMAIN_IMAGES[0]
GRPC_PORT = 4000
BROKEN = {**ENVIRONMENT, "FINTECH_PORT_OFFSET": "-1"}
"""The settings are read when market data's definitions are imported, and refuse this."""
PROBE = ("python", "-m", "deploy.probe", f"grpc:{GRPC_PORT}")


@pytest.mark.parametrize("image", DOMAIN_IMAGES, ids=lambda image: image.name)
def test_answers_grpc(platform: Platform, image: Image) -> None:
    done = platform.locations[image.name].execute(*PROBE)
    assert done.exit_code == 0, done.stderr


def test_the_webserver_has_loaded_all_four(platform: Platform) -> None:
    assert DagsterApi(platform.webserver.url(DAGSTER_HOST.port)).locations() == {
        image.location: None for image in DOMAIN_IMAGES
    }


def test_a_broken_location_ends_and_the_webserver_says_so(engine: Engine, network: str) -> None:
    with engine.container(MARKET_DATA.tag, network=network, alias="broken", environment=BROKEN) as broken:
        assert broken.wait_until_ended() == 1
        assert "FINTECH_PORT_OFFSET='-1' cannot be used" in broken.logs()
        assert "nreachable" in load_error(engine, network, "broken")


def test_a_broken_location_that_lives_is_healthy_over_grpc_but_not_over_graphql(engine: Engine, network: str) -> None:
    """Why a release asks GraphQL: started lazily, the same location passes every health check."""
    command = (*engine.command_of(MARKET_DATA.tag), "--lazy-load-user-code")
    with engine.container(MARKET_DATA.tag, *command, network=network, alias="lazy", environment=BROKEN) as broken:
        broken.wait_until_healthy()
        assert "FINTECH_PORT_OFFSET='-1' cannot be used" in load_error(engine, network, "lazy")


def test_from_nothing_to_results(engine: Engine, network: str, platform: Platform) -> None:
    dagster = DagsterApi(platform.webserver.url(DAGSTER_HOST.port))
    dagster.wait_for_success(dagster.materialize("market_data", ["instruments"]))
    dagster.wait_for_success(dagster.materialize("market_data", ["prices", "fx_rates"], HISTORY))
    with httpx.Client(base_url=platform.api.url(BACKEND_API.port), trust_env=False, timeout=120) as client:
        login = {"email": ANALYST, "password": password_of_new_user(engine, network)}
        tokens = client.post("/api/v1/auth/login", json=login)
        assert tokens.status_code == 200, tokens.text
        client.headers["Authorization"] = f"Bearer {tokens.json()['access_token']}"
        portfolio = {
            "name": "Two funds",
            "rebalancing": "monthly",
            "positions": [{"symbol": symbol, "target_weight": 0.5} for symbol in ("MTUM", "USMV")],
        }
        stored = client.post("/api/v1/portfolios", json=portfolio)
        assert stored.status_code == 201, stored.text
        last = MonthRange(LAST_MONTH, LAST_MONTH)
        runs = [
            dagster.materialize("risk", ["instrument_risk", "portfolio_risk"], last),
            dagster.materialize("simulation", ["portfolio_simulation", "strategy_weights"], last),
            dagster.materialize("forecast", ["volatility_forecast", "quantile_forecast"], last),
        ]
        for run in runs:
            dagster.wait_for_success(run)
        reference = stored.json()["id"]
        window = {"start": "2022-12-01", "end": "2022-12-31"}
        for path in (
            "instruments/MTUM/prices",
            "instruments/MTUM/risk",
            f"portfolios/{reference}/risk",
            f"portfolios/{reference}/simulations",
            "instruments/MTUM/forecasts/volatility",
            "instruments/MTUM/forecasts/quantiles",
            "strategies/min_variance/weights",
        ):
            answer = client.get(f"/api/v1/{path}", params=window)
            assert answer.status_code == 200, answer.text
            assert answer.json()["data"], path


def password_of_new_user(engine: Engine, network: str) -> str:
    """Make a user by the command that the images have for it; the password that it prints."""
    options = (*HARDENED, "--network", network, *as_options(ENVIRONMENT))
    command = ("fintech", "users", "add", ANALYST, "--role", "analyst", "--generate")
    made = engine.once(BACKEND_API.tag, *command, options=options)
    assert made.exit_code == 0, made.stderr
    return made.stdout.splitlines()[-1]


def load_error(engine: Engine, network: str, host: str) -> str:
    """What a webserver over this location alone reports of it."""
    port = DAGSTER_HOST.port
    command = (
        "dagster-webserver",
        "-h",
        "0.0.0.0",
        "-p",
        str(port),
        "--grpc-host",
        host,
        "--grpc-port",
        str(GRPC_PORT),
    )
    with engine.container(
        DAGSTER_HOST.tag, *command, network=network, alias=f"of-{host}", environment=ENVIRONMENT, publish=port
    ) as webserver:
        webserver.wait_until_healthy()
        [error] = DagsterApi(webserver.url(port)).locations().values()
    assert error is not None
    return error
