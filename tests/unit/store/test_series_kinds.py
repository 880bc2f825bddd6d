"""What a served series is made of, held against the answers' models and the definition of an adjusted close."""

from __future__ import annotations

from datetime import date, timedelta
from math import prod

import numpy as np
import pytest
from pydantic import BaseModel
from pydantic_core import to_json

from pipeline.store.corporate_actions import UNADJUSTED, CloseFactors
from pipeline.store.outdating import RESOURCES
from pipeline.store.series_kinds import KINDS, NAV_KIND, PRICES_KIND, RISK_KIND, Adjusting, SeriesKind
from pipeline.store.tables import all_tables
from serving.measures import RiskOut
from serving.routes.prices import BarOut
from serving.routes.strategies import NavOut

EX = (date(2019, 6, 3), date(2020, 1, 1), date(2020, 8, 31))
FACTORS = CloseFactors(EX, (0.5 * 0.9 * 0.25, 0.9 * 0.25, 0.25, 1.0))


@pytest.mark.parametrize(("kind", "model"), [(PRICES_KIND, BarOut), (RISK_KIND, RiskOut), (NAV_KIND, NavOut)])
def test_the_fields_of_a_row_are_those_of_the_answer(kind: SeriesKind, model: type[BaseModel]) -> None:
    assert kind.names == tuple(model.model_fields)


def test_every_kind_has_tables_that_outdate_it() -> None:
    assert {kind.resource for kind in KINDS} == set(RESOURCES.values())
    assert all(RESOURCES[kind.table.name] == kind.resource for kind in KINDS)
    assert RESOURCES.keys() <= all_tables().tables.keys()


@pytest.mark.parametrize("days", [-1, 0, 1])
@pytest.mark.parametrize("ex_session", EX)
def test_a_close_is_adjusted_for_the_actions_after_it(ex_session: date, days: int) -> None:
    session = ex_session + timedelta(days=days)
    own = [factor for day, factor in zip(EX, (0.5, 0.9, 0.25), strict=True) if day > session]
    assert FACTORS.at(session) == pytest.approx(prod(own), rel=1e-15)


def test_a_year_follows_from_its_own_actions_and_later_ones() -> None:
    before = Adjusting.of(FACTORS, None)
    other_first = CloseFactors(EX, (0.4 * 0.9 * 0.25, *FACTORS.factors[1:]))
    other_last = CloseFactors(EX, (0.5 * 0.9 * 0.2, 0.9 * 0.2, 0.2, 1.0))
    changed = {
        "first": [2018, 2019],
        "last": [2018, 2019, 2020],
        "scale": [2018, 2019, 2020, 2021],
    }
    after = {
        "first": Adjusting.of(other_first, None),
        "last": Adjusting.of(other_last, None),
        "scale": Adjusting.of(FACTORS, 0.01),
    }
    for what, years in changed.items():
        found = [year for year in range(2018, 2022) if before.basis_of(year) != after[what].basis_of(year)]
        assert found == years, what


def test_without_later_actions_a_year_follows_from_nothing_but_the_scale() -> None:
    assert Adjusting.of(FACTORS, None).basis_of(2021) == Adjusting.of(UNADJUSTED, None).basis_of(2021)


def test_a_number_is_written_as_the_answers_write_it() -> None:
    class Out(BaseModel):
        values: list[float]

    drawn = np.frombuffer(np.random.default_rng(5).bytes(80_000), dtype="f8")
    values = [*drawn[np.isfinite(drawn)].tolist(), 1e16, 1e-7, 5e-324, 0.1, 100.0, -0.0]
    assert b'{"values":' + to_json(values, inf_nan_mode="null") + b"}" == Out(values=values).model_dump_json().encode()
