"""Answers of forecasts say what they do not hold, and why: what a model needs, and what the instrument has."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.forecast.backtest import ForecastSpec, quantile_needs
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import open_write
from tests.integration.serving.seeding import MONTHS, SESSIONS, SHORT_SESSIONS, Seeded, filled

MODELS = ("ewma", "gjr_garch", "pooled_panel", "combination")
"""Those of the volatility that a listing of 30 sessions has, if by their stand-in."""
FIRST = quantile_needs(ForecastSpec())["filtered_historical"][1]
"""Row of the first quantiles: a row has seen as many returns as its place says."""


def told(api: httpx.Client, path: str, **query: Any) -> list[tuple[str, str]]:
    """Warnings that are not of all data."""
    answer = api.get(f"/api/v1/instruments/{path}", params=query)
    assert answer.status_code == 200, answer.text
    found = [(warning["code"], warning["message"]) for warning in answer.json()["warnings"]]
    return [one for one in found if one[0] not in {"sample_data", "stale", "partial_window"}]


def write_volatility(seeded: Seeded, symbol: str, models: tuple[str, ...]) -> None:
    rows = filled(
        VOLATILITY_FORECAST,
        len(models),
        instrument_id=np.full(len(models), seeded.instruments[symbol].id, "i4"),
        as_of=np.full(len(models), SESSIONS[-1]),
        model=np.array([model.encode() for model in models]),
    )
    with open_write(seeded.database, "volatility_forecast", "test", "1") as write:
        write.replace(VOLATILITY_FORECAST, rows, MONTHS)


def write_first_quantiles(seeded: Seeded) -> None:
    """The first six rows of MSFT by two models, as the pipeline stores them: four have the next session's alone."""
    models = np.repeat([b"conformal", b"filtered_historical"], 6)
    names = [column.name for column in QUANTILE_FORECAST.columns if column.name.endswith("_5d")]
    rows = filled(
        QUANTILE_FORECAST,
        12,
        instrument_id=np.full(12, seeded.instruments["MSFT"].id, "i4"),
        as_of=np.tile(SESSIONS[FIRST : FIRST + 6], 2),
        model=models,
        **{name: np.tile([np.nan] * 4 + [0.01] * 2, 2) for name in names},
    )
    with open_write(seeded.database, "quantile_forecast", "test", "1") as write:
        write.replace(QUANTILE_FORECAST, rows, MONTHS)


def test_a_new_listing_is_told_what_each_model_needs(own_seeded: Seeded, own_api: httpx.Client) -> None:
    write_volatility(own_seeded, "NEW", MODELS)
    [(code, message)] = told(own_api, "NEW/forecasts/volatility")
    assert code == "too_few_returns"
    assert message == (
        f"volatility: NEW has {SHORT_SESSIONS - 1} returns up to {SESSIONS[-1]}, and har needs 546;"
        " wait for more sessions, or give POST /api/v1/forecast a longer series."
    )
    [(code, message)] = told(own_api, "NEW/forecasts/quantiles")
    assert code == "too_few_returns"
    assert "NEW has 29 returns, and filtered_historical needs 522, conformal needs 522; wait" in message
    assert [text.partition(":")[0] for _, text in told(own_api, "NEW/forecasts")] == ["volatility", "quantiles"]


@pytest.mark.parametrize("seen", [14, 21, 22])
def test_needs_are_compared_with_what_was_there_then(seen: int, own_api: httpx.Client) -> None:
    day = str(SESSIONS[-SHORT_SESSIONS:][seen])
    (code, message), *others = told(own_api, "NEW/forecasts/volatility", end=day)
    assert code == "too_few_returns"
    assert [other for other, _ in others] == ["not_stored"] * (seen >= 22)
    assert f"NEW has {seen} returns up to {day}, and " in message
    assert ("ewma needs 22" in message) == (seen < 22)
    assert "har needs 546" in message


def test_forecasts_that_were_not_made_are_told_from_those_that_cannot_be(own_api: httpx.Client) -> None:
    for kind in ("volatility", "quantiles", "probabilities"):
        [(code, message)] = told(own_api, f"MSFT/forecasts/{kind}")
        assert code == "not_stored"
        assert f"{kind}: none is stored for these days, MSFT has {len(SESSIONS) - 1} returns" in message
        assert "_forecast has run." in message
    assert told(own_api, "AAPL/forecasts/quantiles") == []


def test_the_first_rows_say_why_they_have_no_longer_quantiles(own_seeded: Seeded, own_api: httpx.Client) -> None:
    write_first_quantiles(own_seeded)
    last = SESSIONS[FIRST + 3]
    found = told(own_api, "MSFT/forecasts/quantiles")
    assert [code for code, _ in found] == ["too_few_returns"] * 2
    assert [message for _, message in found] == [
        f"quantiles of {model} over 5 sessions: null in 4 of the rows up to {last}: MSFT has {FIRST + 3} returns up to"
        f" {last}, and it needs {FIRST + 4}; use later sessions."
        for model in ("filtered_historical", "conformal")
    ]
    assert told(own_api, "MSFT/forecasts/quantiles", start=str(SESSIONS[FIRST + 4])) == []
    assert "null in 1 of the rows" in told(own_api, "MSFT/forecasts/quantiles", limit=6)[0][1]


def test_a_null_that_needs_no_more_returns_was_stored_so(own_api: httpx.Client) -> None:
    [(code, message)] = told(own_api, "AAPL/forecasts/volatility")
    assert code == "not_stored"
    assert message.startswith(f"volatility of har over 21 sessions: null in 2 of the rows up to {SESSIONS[-1]}; run")


def test_tables_carry_the_warnings_too(own_api: httpx.Client) -> None:
    answer = own_api.get("/api/v1/instruments/NEW/forecasts/quantiles", params={"format": "csv"})
    assert "too_few_returns" in answer.headers["X-Answer-Metadata"]
