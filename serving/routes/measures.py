"""The measures: what each number means."""

from __future__ import annotations

from typing import ClassVar

from fastapi import APIRouter
from pydantic import Field

from pipeline.risk.measures import MEASURES, Measure, Shift, Sign
from pipeline.risk.measures.convention_meanings import MEANINGS, libraries_with, peer_name
from pipeline.risk.measures.on_request import REPORTED
from serving.answers import Collection, Row
from serving.inputs import Tabular
from serving.measures import UNITS, WORDS
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/measures", tags=["risk"])


class PeerOut(Row):
    """What another library means by the name."""

    library: str
    unit: str
    formula: str


class MeasureOut(Row):
    """A measure of a window."""

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
    shift: Shift = Field(
        description="What adding c to every return does: leaves it (invariant), takes c away (opposite), adds c p"
        " (annual), or neither."
    )
    sign: Sign = Field(
        description="What the negative of every return does: leaves it (even), its negative (odd), neither."
    )
    ordered: bool = Field(description="Whether the order of the sessions matters.")
    stored: bool = Field(description="Whether tables hold it; otherwise POST /api/v1/calculate alone computes it.")
    peers: list[PeerOut] = Field(description="Libraries whose figure POST /api/v1/calculate gives by convention.")


@router.get("")
def list_measures(query: Tabular) -> Collection[MeasureOut]:  # noqa: ARG001 - its format is for `serving.finishing`
    """Every measure: the stored ones in the order of their columns, then those that are computed on request."""
    return Collection[MeasureOut].of([_described(measure) for measure in REPORTED], None)


def _described(measure: Measure) -> MeasureOut:
    return MeasureOut(
        name=measure.name,
        unit=UNITS[measure.name],
        meaning=WORDS[measure.name],
        formula=measure.formula,
        source=measure.source,
        parameters=measure.parameters,
        undefined_because=measure.undefined_because,
        scaling=measure.scaling,
        shift=measure.shift,
        sign=measure.sign,
        ordered=measure.ordered,
        stored=measure in MEASURES,
        peers=_peers(measure),
    )


def _peers(measure: Measure) -> list[PeerOut]:
    found = []
    for library in libraries_with(measure):
        meaning = MEANINGS[library].get(peer_name(measure))
        own = (UNITS[measure.name], measure.formula) if meaning is None else (meaning.unit, meaning.formula)
        found.append(PeerOut(library=library, unit=own[0], formula=own[1]))
    return found
