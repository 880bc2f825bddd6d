"""The models by which simulated years are stored: two as it comes, all five where they are chosen."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest

from fintech.samples import register_samples
from pipeline.base.types import MonthRange
from pipeline.simulation.assets.portfolio_simulation import LOOK_BACK_MONTHS
from pipeline.simulation.models import MODELS
from tests.integration.orchestration.conftest import Platform

ASSETS = ["portfolio_simulation"]
NOVEMBER, DECEMBER = (MonthRange(date(2022, month, 1), date(2022, month, 1)) for month in (11, 12))
WINTER = MonthRange(NOVEMBER.first, DECEMBER.last)
AS_IT_COMES = {"stationary_bootstrap", "student_t"}
PORTFOLIOS = 3
PARAMETERS = "SELECT model, parameters FROM portfolio_simulation WHERE session > '2022-12-01'"
FIGURES = """
    SELECT count(*), bool_and(var_95 < var_99 AND var_99 <= es_99 AND es_975 < es_99 AND es_99 <= 1),
        bool_and(0 < var_95_error AND 0 < var_99_error AND 0 < es_975_error AND 0 < es_99_error AND es_99_error < 0.1),
        bool_and(0 < probability_of_loss_error AND 0 < max_drawdown_mean_error AND max_drawdown_05 < max_drawdown_25
            AND max_drawdown_25 < max_drawdown_50 AND max_drawdown_50 < max_drawdown_75
            AND max_drawdown_75 < max_drawdown_95 AND max_drawdown_95 <= 0)
    FROM portfolio_simulation"""


def stored(platform: Platform, months: MonthRange) -> dict[str, list[tuple]]:
    """Model → its rows, as they were written."""
    where = f"session >= '{months.first}' AND session < '{months.end}'"
    found: dict[str, list[tuple]] = {}
    for row in platform.rows(f"SELECT model, * FROM portfolio_simulation WHERE {where} ORDER BY 1, 2, 3"):
        found.setdefault(row[0], []).append(row)
    return found


def rows_of(result: object) -> dict[str, int]:
    """What the last run did with its rows."""
    page = result.asset_materializations_for_node(ASSETS[0])[0].metadata  # type: ignore[attr-defined]
    return {kind: page[f"rows_{kind}"].value for kind in ("inserted", "revised", "deleted", "unchanged")}


def test_a_month_is_made_anew_by_the_models_that_are_chosen(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FINTECH_STORED_MODELS", raising=False)
    platform.materialize("market_data", ["instruments"])
    priced = MonthRange(NOVEMBER.back(LOOK_BACK_MONTHS), DECEMBER.last)
    platform.materialize("market_data", ["prices", "fx_rates"], priced)
    with platform.database.connect() as connection:
        register_samples(connection)
    page = platform.materialize("simulation", ASSETS, WINTER).asset_materializations_for_node(ASSETS[0])[-1].metadata
    assert re.match(r"!\[Wealth of \S+ from 2022-12-28 by stationary_bootstrap; .*\(data:image", page["fan"].value)
    before = stored(platform, WINTER)
    assert before.keys() == AS_IT_COMES
    assert {len(rows) for rows in before.values()} == {2 * PORTFOLIOS}
    assert platform.rows(FIGURES) == [(4 * PORTFOLIOS, True, True, True)]
    fitted = {name: set(json.loads(text)) for name, text in platform.rows(PARAMETERS)}
    assert fitted["stationary_bootstrap"] == {"mean_block_sessions"}
    assert len(fitted["student_t"]) == 3

    monkeypatch.setenv("FINTECH_STORED_MODELS", ",".join(MODELS))
    result = platform.materialize("simulation", ASSETS, DECEMBER)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert rows_of(result) == {"inserted": 3 * PORTFOLIOS, "revised": 0, "deleted": 0, "unchanged": 2 * PORTFOLIOS}
    assert stored(platform, DECEMBER).keys() == set(MODELS)
    assert stored(platform, NOVEMBER).keys() == AS_IT_COMES
    assert platform.rows(FIGURES) == [(7 * PORTFOLIOS, True, True, True)]
    assert {model: rows for model, rows in stored(platform, WINTER).items() if model in AS_IT_COMES} == before
    assert rows_of(platform.materialize("simulation", ASSETS, DECEMBER))["unchanged"] == 5 * PORTFOLIOS

    monkeypatch.setenv("FINTECH_STORED_MODELS", ",".join(AS_IT_COMES))
    assert rows_of(platform.materialize("simulation", ASSETS, DECEMBER))["deleted"] == 3 * PORTFOLIOS
    assert stored(platform, WINTER) == before
