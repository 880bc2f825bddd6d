"""What tests of explanations share: how they ask, and arrays of what a payload holds."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.report import HeldSeries, held_series

TOLERANCE = 1e-9


def get(client: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/api/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def explained(client: httpx.Client, path: str, asset: str | None = None, **query: Any) -> dict[str, Any]:
    """An explanation without a doubt, of what a write of an asset stored."""
    payload = get(client, f"{path}/explain", **query)
    assert payload["doubts"] == []
    assert payload["definition"]["formula"]
    assert payload["definition"]["source"]
    if asset is not None:
        assert payload["written_by"]["run_id"] == f"run-of-{asset}"
        assert payload["partitions"][asset]
    assert payload["prices_written_by"]
    return payload


def require_again(payload: dict[str, Any], served: float | None, again: float | None) -> None:
    """The served value is the explained one, and what was computed from the payload."""
    assert payload["value"] == served
    if served is None:
        assert payload["recomputed"] is None
        assert payload["undefined_because"]
        return
    assert payload["recomputed"] == pytest.approx(served, rel=TOLERANCE, abs=TOLERANCE)
    assert again == pytest.approx(served, rel=TOLERANCE, abs=TOLERANCE)
    assert abs(payload["difference"]) <= TOLERANCE * max(1.0, abs(served))


def closes(payload: dict[str, Any], *symbols: str) -> FloatArray:
    close = payload["inputs"]["close"]
    return np.column_stack([close[symbol] for symbol in symbols or close])


def sessions_of(payload: dict[str, Any]) -> DateArray:
    return np.array(payload["inputs"]["sessions"], dtype="datetime64[D]")


def holdings(payload: dict[str, Any]) -> Holdings:
    inputs = payload["inputs"]
    return Holdings(np.array(list(inputs["amounts"].values())), inputs["rebalancing"], inputs["drift_band"])


def held(payload: dict[str, Any]) -> HeldSeries:
    return held_series(closes(payload), sessions_of(payload), None, holdings(payload))
