"""The registered measures: what each number means."""

from __future__ import annotations

from typing import ClassVar

from fastapi import APIRouter
from pydantic import Field

from pipeline.risk.measures import MEASURES, Measure
from pipeline.risk.measures.convention_meanings import MEANINGS, libraries_with, peer_name
from pipeline.store.risk_columns import MEASURE_COLUMNS
from serving.answers import Collection, Row
from serving.inputs import Tabular
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/measures", tags=["risk"])

_COLUMNS = {name: (unit.name, meaning) for name, unit, meaning in MEASURE_COLUMNS}


class PeerOut(Row):
    """What another library means by the name."""

    library: str
    unit: str
    formula: str


class MeasureOut(Row):
    """A registered measure."""

    is_timeless: ClassVar[bool] = True

    name: str
    unit: str
    meaning: str
    formula: str = Field(
        description="Of the n returns r of the window, the benchmark's b, the daily rate f and the p periods of a year."
    )
    source: str
    parameters: dict[str, float] = Field(description="Fixed arguments of the definition.")
    undefined_because: str | None = Field(description="Why there may be no value; null if there always is one.")
    scaling: str = Field(description="What multiplying every return does: linear, invariant or compounded (neither).")
    peers: list[PeerOut] = Field(description="Libraries whose figure POST /api/v1/calculate gives by convention.")


@router.get("")
def list_measures(query: Tabular) -> Collection[MeasureOut]:  # noqa: ARG001 - its format is for `serving.finishing`
    """Every measure, in the order of the stored columns."""
    return Collection[MeasureOut].of([_described(measure) for measure in MEASURES], None)


def _described(measure: Measure) -> MeasureOut:
    unit, meaning = _COLUMNS[measure.name]
    return MeasureOut(
        name=measure.name,
        unit=unit,
        meaning=meaning,
        formula=measure.formula,
        source=measure.source,
        parameters=measure.parameters,
        undefined_because=measure.undefined_because,
        scaling=measure.scaling,
        peers=_peers(measure, unit),
    )


def _peers(measure: Measure, unit: str) -> list[PeerOut]:
    found = []
    for library in libraries_with(measure):
        meaning = MEANINGS[library].get(peer_name(measure))
        own = (unit, measure.formula) if meaning is None else (meaning.unit, meaning.formula)
        found.append(PeerOut(library=library, unit=own[0], formula=own[1]))
    return found
