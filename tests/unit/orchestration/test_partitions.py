"""Monthly partitions, how runs ask for them, and how rows are told apart by them."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.orchestration.partitions import MONTHLY, known_months, months_back, months_of_run, range_tags
from pipeline.orchestration.table_assets import rows_by_month
from pipeline.store.instruments import INSTRUMENT
from pipeline.store.prices import PRICE

NEW_YORK = ZoneInfo("America/New_York")
AUTUMN = MonthRange(date(2022, 10, 1), date(2022, 12, 1))


def test_months_are_known_from_the_first_price_to_the_running_month() -> None:
    months = known_months()
    today = datetime.now(NEW_YORK).date()
    assert months[0] == date(1990, 1, 1)
    assert months[-1] == today.replace(day=1)
    assert months == list(MonthRange(months[0], months[-1]).months())


def test_the_running_month_is_a_partition_from_its_first_moment() -> None:
    keys = MONTHLY.get_partition_keys(current_time=datetime(2022, 12, 1, 0, 0, 1, tzinfo=NEW_YORK))
    assert keys[-1] == "2022-12-01"
    assert len(keys) == 396  # 33 years


def test_a_month_begins_in_new_york() -> None:
    still_november = datetime(2022, 12, 1, 3, tzinfo=ZoneInfo("UTC"))
    assert MONTHLY.get_partition_keys(current_time=still_november)[-1] == "2022-11-01"


def test_tags_ask_for_a_range_that_a_run_reads_back() -> None:
    tags = range_tags(AUTUMN)
    assert tags == {
        "dagster/asset_partition_range_start": "2022-10-01",
        "dagster/asset_partition_range_end": "2022-12-01",
    }
    keys = dg.PartitionKeyRange(*tags.values())
    with dg.build_asset_context(partition_key_range=keys) as context:
        assert months_of_run(context) == AUTUMN


def test_a_look_back_reaches_the_months_before() -> None:
    november = MONTHLY.subset_with_partition_keys(["2022-11-01"])
    upstream = months_back(3).get_upstream_mapped_partitions_result_for_partitions(november, MONTHLY, MONTHLY)
    assert list(upstream.partitions_subset.get_partition_keys()) == [
        "2022-08-01",
        "2022-09-01",
        "2022-10-01",
        "2022-11-01",
    ]


def test_a_look_back_beyond_the_first_month_is_allowed() -> None:
    january = MONTHLY.subset_with_partition_keys(["1990-01-01"])
    upstream = months_back(24).get_upstream_mapped_partitions_result_for_partitions(january, MONTHLY, MONTHLY)
    assert list(upstream.partitions_subset.get_partition_keys()) == ["1990-01-01"]
    assert not upstream.required_but_nonexistent_subset.get_partition_keys()


# Rows ------------------------------------------------------------------------------------------------------


def prices_on(*sessions: str) -> dict[str, np.ndarray]:
    return {
        "instrument_id": np.arange(len(sessions), dtype=np.int32),
        "session": np.array(sessions, dtype="datetime64[D]"),
        "close_adjusted": np.arange(len(sessions), dtype=np.float64) + 0.5,
    }


def test_each_month_of_a_range_gets_its_rows() -> None:
    rows = prices_on("2022-12-31", "2022-10-01", "2022-12-01", "2022-10-31")
    found = {month: of["instrument_id"].tolist() for month, of in rows_by_month(PRICE, rows, AUTUMN)}
    assert found == {date(2022, 10, 1): [1, 3], date(2022, 11, 1): [], date(2022, 12, 1): [2, 0]}


def test_the_columns_of_a_row_stay_together() -> None:
    rows = prices_on("2022-12-31", "2022-10-01", "2022-12-01")
    for _, of in rows_by_month(PRICE, rows, AUTUMN):
        assert (of["close_adjusted"] == of["instrument_id"] + 0.5).all()


def test_rows_outside_the_range_belong_to_no_month() -> None:
    rows = prices_on("2022-09-30", "2022-11-15", "2023-01-01")
    assert [len(of["session"]) for _, of in rows_by_month(PRICE, rows, AUTUMN)] == [0, 1, 0]


def test_a_table_without_sessions_has_no_months() -> None:
    with pytest.raises(AssertionError):
        list(rows_by_month(INSTRUMENT, {}, AUTUMN))
