"""Covariance of 500 instruments: what is stored, what it takes, and how a part of it is asked for."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import ledoit_wolf

from pipeline.base.types import MonthRange
from pipeline.orchestration.table_assets import SECONDS_METADATA
from pipeline.risk.assets import covariance
from pipeline.store.covariances import read_newest_covariance
from pipeline.store.instruments import Listing, read_instruments, replace_instruments
from pipeline.store.prices import price_rows, read_price_panel, replace_prices
from pipeline.store.writing import open_write
from tests.integration.orchestration.conftest import Platform
from tests.integration.serving.running import local_settings, running_service
from tests.load.universe import UniverseSpec, make_universe

INSTRUMENTS = 500
LAST_MONTHS = MonthRange(date(2024, 10, 1), date(2024, 12, 1))
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def close() -> pd.DataFrame:
    """Adjusted closes, a column a symbol. Halts and what lies outside a listing are filled by the nearest close.

    Otherwise the halts of 500, each on days of its own, would leave no window of sessions in common.
    """
    bars = make_universe(UniverseSpec(INSTRUMENTS, 420, seed=4)).bars
    columns = {"session": bars.sessions, "symbol": np.array(bars.symbols)[bars.symbol_index], "x": bars.close_adjusted}
    found = pd.DataFrame(columns).pivot(index="session", columns="symbol", values="x").ffill().bfill()
    assert found.shape == (420, INSTRUMENTS)
    return found


@pytest.fixture
def market(platform: Platform, close: pd.DataFrame) -> Platform:
    """A platform with the universe's instruments and adjusted closes."""
    months = MonthRange(close.index[0].date().replace(day=1), LAST_MONTHS.last)
    with open_write(platform.database, "instruments", "test", "1") as write:
        replace_instruments(write, [Listing(s, s, "stock", "", "USD", "XNYS", "synthetic") for s in close.columns])
        ids = {instrument.symbol: instrument.id for instrument in read_instruments(write.connection)}
    with open_write(platform.database, "prices", "test", "1") as write:
        numbers = np.tile(np.array([ids[symbol] for symbol in close.columns], dtype=np.int32), len(close))
        sessions = close.index.to_numpy().astype("datetime64[D]").repeat(INSTRUMENTS)
        rows = price_rows(numbers, sessions, 1, {"close_adjusted": close.to_numpy().ravel()})
        replace_prices(write, rows, months)
    return platform


def test_500_instruments_are_a_row_of_a_megabyte_a_month(market: Platform) -> None:
    result = market.materialize("risk", ["covariance"], LAST_MONTHS)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    page = result.asset_materializations_for_node("covariance")[0].metadata
    print("SECONDS", page[SECONDS_METADATA].value)
    assert page[SECONDS_METADATA].value < 20, "three months take about half a second"
    rows = market.rows(
        "SELECT session, instrument_count, length(covariance), mean_correlation, largest_correlation, reason"
        " FROM covariance ORDER BY session"
    )
    assert [row[0].month for row in rows] == [10, 11, 12]
    for _, count, size, mean, largest, reason in rows:
        assert count == INSTRUMENTS
        assert size == count * (count + 1) / 2 * 8 + 1 <= 1.01 * MEGABYTE
        assert 0.0 < mean < largest <= 1.0
        assert reason is None
    with market.database.connect() as connection:
        stored = read_newest_covariance(connection, "ledoit_wolf", None)
        assert stored is not None
        panel = read_price_panel(connection, stored.ids, date(2023, 1, 1), date(2025, 1, 1))
    complete = np.flatnonzero(np.isfinite(panel.close).all(axis=1))[-253:]
    returns = panel.close[complete][1:] / panel.close[complete][:-1] - 1.0
    expected, _ = ledoit_wolf(returns)
    np.testing.assert_allclose(stored.matrix, expected, rtol=1e-9, atol=1e-15)
    assert rows[-1][3] == pytest.approx(mean_correlation(expected), rel=1e-9)
    # The same months alone, and nothing is written.
    again = market.materialize("risk", ["covariance"], MonthRange(date(2024, 11, 1), date(2024, 11, 1)))
    (page,) = (event.metadata for event in again.asset_materializations_for_node("covariance"))
    assert [page[f"rows_{what}"].value for what in ("inserted", "revised", "deleted")] == [0, 0, 0]


def mean_correlation(matrix: Any) -> float:
    deviations = np.sqrt(np.diag(matrix))
    return float((matrix / np.outer(deviations, deviations))[np.tril_indices(len(matrix), -1)].mean())


def test_a_part_of_a_large_matrix_is_named_by_its_symbols(market: Platform) -> None:
    market.materialize("risk", ["covariance"], MonthRange(LAST_MONTHS.last, LAST_MONTHS.last))
    with market.database.connect() as connection:
        stored = read_newest_covariance(connection, "ledoit_wolf", None)
        names = {instrument.id: instrument.symbol for instrument in read_instruments(connection)}
    assert stored is not None
    places = [7, 3, 400]
    symbols = [names[stored.ids[place]] for place in places]
    with running_service("python-risk-engine", local_settings(market.database.url)) as service:

        def ask(**query: Any) -> Any:
            return service.client.get("/api/v1/covariance", params=query)

        part = ask(symbols=symbols).json()
        assert part["symbols"] == symbols
        np.testing.assert_array_equal(part["covariance"], stored.matrix[np.ix_(places, places)])
        sample = ask(symbols=symbols, estimator="sample").json()
        np.testing.assert_allclose(np.diag(sample["covariance"]), np.diag(part["covariance"]), rtol=0.3)
        for refused in (ask(), ask(estimator="oas")):
            assert refused.status_code == 422
            assert f"symbols: the matrix has {len(stored.ids)} instruments, and an answer at most 200" in refused.text
            assert "Name those you need" in refused.text
        most = ask(symbols=[names[number] for number in stored.ids[:200]])
        assert most.status_code == 200
        assert len(most.content) < 2 * MEGABYTE
        too_many = ask(symbols=[names[number] for number in stored.ids[:201]])
        assert too_many.status_code == 422
        assert "at most 200" in too_many.text


def test_beyond_the_limit_some_are_left_out_and_a_check_says_so(
    market: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(covariance, "MOST_INSTRUMENTS", INSTRUMENTS - 10)
    result = market.materialize("risk", ["covariance"], MonthRange(LAST_MONTHS.last, LAST_MONTHS.last))
    [failed] = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert (failed.check_name, failed.metadata["instruments_left_out"].value) == ("instruments_covered", 10)
