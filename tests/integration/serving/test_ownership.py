"""Portfolios that are somebody else's: every route that names one answers as if there were none."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx

from serving.auth.permissions import permission_for
from serving.callers import Permission
from tests.integration.serving.accounts import PORTFOLIOS, problem
from tests.integration.serving.documented_requests import Operation, documented_operations

WITHOUT_EFFECT = {Permission.READ, Permission.COMPUTE}


def test_another_users_portfolio_is_not_there(client: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    """Every route with the id or slug of a portfolio (OWASP API1:2023), as 404: nobody learns that there is one."""
    bobs = str(client.get(f"{PORTFOLIOS}/bobs", headers=tokens["bob"]).json()["id"])
    asked = 0
    for operation in portfolio_operations(client):
        # An operator sees every portfolio and may do everything, so that only the reference can be refused.
        missing = problem(operation.asked(client, tokens["otto"], reference="unknown"), 404)["detail"]
        status = 403 if permission_for(operation.method, operation.path) is Permission.LIMITS else 404
        nobodys = problem(operation.asked(client, tokens["alice"], reference="unknown"), status)["detail"]
        assert status == 403 or nobodys == missing
        for reference in ("bobs", bobs):
            refused = problem(operation.asked(client, tokens["alice"], reference=reference), status)["detail"]
            assert refused == str(nobodys).replace("unknown", reference), operation
            asked += 1
    assert asked > 60


def test_ones_own_portfolio_is_there(client: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    """The same requests by whom it belongs to, of which none is refused for its portfolio."""
    for operation in portfolio_operations(client):
        if permission_for(operation.method, operation.path) in WITHOUT_EFFECT:
            answer = operation.asked(client, tokens["bob"], reference="bobs")
            assert answer.status_code not in (401, 403), operation
            assert answer.status_code < 500, operation
            assert "No portfolio" not in answer.text, operation


def portfolio_operations(client: httpx.Client) -> Iterator[Operation]:
    """Each operation on a portfolio, about the only instrument that there is."""
    document = json.loads(client.get("/openapi.json").text.replace("AAPL", "ACME"))
    return documented_operations(document, f"{PORTFOLIOS}/{{reference}}")
