"""Scenarios, as the pipeline stored them or computed on request."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from fintech.answers.records import Answer, Record, each, table
from fintech.series import Columns

if TYPE_CHECKING:
    import pandas as pd

STRESS: Columns = {
    "session": "date",
    **each("text", "scenario", "kind"),
    **each("float", "total", "worst_total", "var_99_1d_before", "var_99_1d_after"),
}
SCENARIOS: Columns = each("text", "scenario", "kind") | each("float", "total", "total_amount", "worst_total")


class StressedPosition(Record):
    """A position under a scenario; profit and loss as fractions of the portfolio's value."""

    symbol: str
    weight: float | None
    shock: float | None
    pnl: float | None
    shocked_by: str


class StoredScenario(Record):
    """A portfolio under a scenario, as the pipeline stored it."""

    session: date
    scenario: str
    kind: str
    parameters: dict[str, Any]
    source: str
    total: float | None
    worst_total: float | None
    mahalanobis_distance: float | None
    gaussian_probability: float | None
    var_99_1d_before: float | None
    var_99_1d_after: float | None
    es_99_1d_before: float | None
    es_99_1d_after: float | None
    reason: str | None
    positions: tuple[StressedPosition, ...]


class Scenario(Record):
    """A portfolio under a scenario, computed on request."""

    scenario: str
    kind: str
    method: str
    total: float
    total_amount: float | None
    worst_total: float | None
    positions: tuple[StressedPosition, ...]


class StressReport(Answer):
    """Stress of the holdings at their newest close."""

    portfolio_id: int
    as_of: date
    currency: str
    value: float | None
    method: str
    scenarios: tuple[Scenario, ...]
    unavailable: dict[str, str]

    def to_df(self) -> pd.DataFrame:
        """The scenarios by name."""
        return table(self.scenarios, SCENARIOS, self.told)
