"""What every explanation does: find the figure, and tell who wrote it, of what, and by how much it differs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from psycopg import Connection

from pipeline.base.code_version import code_version
from pipeline.base.errors import NotFoundError
from pipeline.base.types import add_months
from pipeline.store.exchange import MOST_DAYS_OLD
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.point_in_time import NOW, Knowledge
from pipeline.store.provenance import Materialization, read_materialization, read_price_writes
from serving.routes.explaining.envelope import (
    DefinitionOut,
    ExplanationOut,
    InputsOut,
    Parameter,
    Value,
    WriteOut,
)

TOLERANCE = 1e-9
"""By which a value may differ from the same computed again: the contract of the numbers."""

ROWS_OF_A_SESSION = 10_000
"""More than the positions, scenarios, methods or measures of a subject."""

Months = tuple[date, date]
"""First and last day of what was read."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A served number that is asked about.

    Parameters
    ----------
    subject
        Symbol, or slug or id.
    instrument_ids
        Whose prices it was made of.
    session, value, reason
        Of the row; `reason` says why there is no value.
    write
        What wrote the row; None for what is computed for each request.
    definition
        What the number is.
    parameters
        What it was computed with.
    inputs
        Asset → days of its rows among the inputs, beside prices and exchange rates.
    input_writes
        Of those rows.
    warnings
        What the reader must know.
    asked_as
        Knowledge that was asked for, of what is computed for each request.
    """

    subject: str
    instrument_ids: list[int]
    session: date
    value: Value
    reason: str | None
    write: Materialization | None
    definition: DefinitionOut
    parameters: Mapping[str, Parameter]
    inputs: Mapping[str, Months] = field(default_factory=dict)
    input_writes: Sequence[int] = ()
    warnings: Sequence[str] = ()
    asked_as: Knowledge = NOW

    @property
    def known(self) -> Knowledge:
        """The moment that its inputs were read at."""
        return self.asked_as if self.write is None else Knowledge(self.write.finished_at)


def known_figure(name: str, figures: Collection[str], field: str = "measure") -> str:
    """A figure that can be explained.

    Raises
    ------
    NotFoundError
        Listing those that can.
    """
    if name not in figures:
        raise NotFoundError(f"{field}: {name[:64]!r} cannot be explained", f"Choose one of {', '.join(figures)}.")
    return name


def not_stored(subject: str, what: str, session: date | None, address: str) -> NotFoundError:
    """There is no such row; the address lists those that there are."""
    when = "" if session is None else f" on {session}"
    return NotFoundError(f"{subject} has no stored {what}{when}", f"GET /api/v1/{address} lists what there is.")


def require_inputs(figure: Figure, inputs: InputsOut) -> None:
    """Refuse to explain what was made of prices that are gone.

    Raises
    ------
    NotFoundError
        Naming the month.
    """
    if not inputs.sessions:
        asset = figure.write.asset if figure.write else figure.definition.function
        raise NotFoundError(
            f"The prices that {asset} read for {figure.session} are not kept",
            "Compute the month again: fintech backfill.",
        )


def explanation(
    connection: Connection, figure: Figure, inputs: InputsOut, recomputed: Value, notice: str | None
) -> ExplanationOut:
    """The answer, with the writes behind the prices.

    Raises
    ------
    NotFoundError
        If the prices are not kept.
    """
    require_inputs(figure, inputs)
    first, last = inputs.sessions[0], inputs.sessions[-1]
    prices = read_price_writes(connection, figure.instrument_ids, first, last, figure.known)
    others = [read_materialization(connection, number) for number in dict.fromkeys(figure.input_writes)]
    return explained(figure, inputs, recomputed, notice).model_copy(
        update={
            "prices_written_by": [WriteOut.model_validate(price) for price in prices],
            "inputs_written_by": [WriteOut.model_validate(other) for other in others],
            "partitions": _partitions(figure, inputs, first, last),
            "doubts": [*figure.warnings, *_doubts(figure, finite(figure.value), finite(recomputed), others)],
        }
    )


def explained(figure: Figure, inputs: InputsOut, recomputed: Value, notice: str | None) -> ExplanationOut:
    """The answer of what rests on nothing that is stored but its own row."""
    value, again = finite(figure.value), finite(recomputed)
    return ExplanationOut(
        subject=figure.subject,
        session=figure.session,
        value=value,
        recomputed=again,
        difference=_difference(value, again),
        undefined_because=None if value is not None else figure.reason,
        definition=figure.definition,
        parameters=dict(figure.parameters),
        inputs=inputs,
        code_version=code_version(_slice_of(figure.definition.function)),
        written_by=None if figure.write is None else WriteOut.model_validate(figure.write),
        prices_written_by=[],
        partitions={asset: _months(*days) for asset, days in figure.inputs.items()},
        doubts=[*figure.warnings, *_doubts(figure, value, again, ())],
        notice=notice,
    )


def _slice_of(function: str) -> str:
    """The part of the pipeline that a definition belongs to; what serving computes itself, it does by those of risk."""
    package, _, within = function.partition(".")
    return within.partition(".")[0] if package == "pipeline" else "risk"


def finite(value: Value) -> Value:
    """The value; None for what is no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Parameter]:
    """Nested parameters as one level, such as ``volatility.decay``."""
    found: dict[str, Parameter] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _difference(value: Value, again: Value) -> float | None:
    if isinstance(value, str) or isinstance(again, str) or value is None or again is None:
        return None
    return again - value


def _doubts(figure: Figure, value: Value, again: Value, others: Sequence[Materialization]) -> list[str]:
    """What speaks against the explanation."""
    found = []
    if value is not None and again is not None and _is_other(value, again):
        found.append(
            "difference: computed again the figure is another one: the code, or an input of which no history is kept,"
            " has changed since; the next run of the pipeline stores it anew"
        )
    if figure.write is not None and any(other.id > figure.write.id for other in others):
        newer = sorted({other.asset for other in others if other.id > figure.write.id})
        found.append(f"inputs: {', '.join(newer)} was written again since; the inputs are its newest rows")
    return found


def _is_other(value: float | str, again: float | str) -> bool:
    if isinstance(value, str) or isinstance(again, str):
        return value != again
    return abs(again - value) > TOLERANCE * max(1.0, abs(value))


def _partitions(figure: Figure, inputs: InputsOut, first: date, last: date) -> dict[str, list[date]]:
    found = {} if figure.write is None else {figure.write.asset: [figure.session.replace(day=1)]}
    found["prices"] = _months(first, last)
    if inputs.exchange_rates:
        # A session without a rate has the last one before it.
        found[FX_RATES] = _months(first - timedelta(days=MOST_DAYS_OLD), last)
    for asset, days in figure.inputs.items():
        found[asset] = sorted({*found.get(asset, ()), *_months(*days)})
    return found


def _months(first: date, last: date) -> list[date]:
    month, months = first.replace(day=1), []
    while month <= last:
        months.append(month)
        month = add_months(month, 1)
    return months
