"""The integration test of the client's guide (section 13.2), against a gateway that runs as in production."""

from __future__ import annotations

import httpx


def test_full_risk_calculation_flow(own_api: httpx.Client) -> None:
    portfolio = {"name": "Test Portfolio", "positions": [{"symbol": "AAPL", "quantity": 100}]}
    response = own_api.post("/api/v1/portfolios", json=portfolio)
    assert response.status_code == 201
    portfolio_id = response.json()["id"]

    response = own_api.post(f"/api/v1/portfolios/{portfolio_id}/risk")
    assert response.status_code == 200
    assert "var" in response.json()
    assert "sharpe_ratio" in response.json()
