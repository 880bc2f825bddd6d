"""The integration test of the client's guide (section 13.2), word for word, against a gateway on its own port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from pipeline.base.errors import PlatformError
from tests.integration.serving.running import local_settings, running_service
from tests.integration.serving.seeding import Seeded
from tests.lacking import lacking


@pytest.fixture(autouse=True)
def gateway(own_seeded: Seeded, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The gateway as `fintech up` starts it: the configuration of production, local, on port 3000."""
    monkeypatch.setenv("NO_PROXY", "localhost")
    service = running_service("backend-api", local_settings(own_seeded.database.url), port=3000)
    try:
        service.__enter__()
    except PlatformError as error:  # somebody's own platform, which the test must not write to
        lacking("port-3000", error.cause, "The guide's test asks port 3000: stop what serves there, such as `make up`")
    try:
        yield
    finally:
        service.__exit__(None, None, None)


# From here on as in the guide.


@pytest.fixture
def api_base_url():
    return "http://localhost:3000"


def test_full_risk_calculation_flow(api_base_url):
    # 1. Create portfolio
    portfolio = {"name": "Test Portfolio", "positions": [{"symbol": "AAPL", "quantity": 100}]}
    response = requests.post(f"{api_base_url}/api/v1/portfolios", json=portfolio)
    assert response.status_code == 201
    portfolio_id = response.json()["id"]

    # 2. Calculate risk
    response = requests.post(f"{api_base_url}/api/v1/portfolios/{portfolio_id}/risk")
    assert response.status_code == 200
    assert "var" in response.json()
    assert "sharpe_ratio" in response.json()
