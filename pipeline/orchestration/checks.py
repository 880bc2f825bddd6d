"""Checks that follow from a table's own declaration; they run before the rows are committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Double, Table

from pipeline.store.schema import STANDARD_ERROR, unit_of

BOUNDS = "values_within_bounds"
EXPLAINED = "missing_values_explained"
BOUND_TOLERANCE = 1e-12
"""Room for rounding at a bound, such as a correlation of 1 + 2e-16."""

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """The result of one check, before Dagster's form is put on it.

    Parameters
    ----------
    name
        Check name on its asset.
    passed
        Whether the rows may be used.
    blocking
        Whether a failure refuses the write.
    metadata
        Counts and samples for the reader.
    is_error
        Whether a failure is shown as an error although it does not block.
    """

    name: str
    passed: bool
    blocking: bool
    metadata: Mapping[str, Any]
    is_error: bool = False

    @property
    def result(self) -> dg.AssetCheckResult:
        """The result for Dagster; a check that neither blocks nor is an error fails as a warning."""
        return dg.AssetCheckResult(
            passed=self.passed, check_name=self.name, severity=self._severity, metadata=dict(self.metadata)
        )

    def told_of(self, asset: str) -> dg.AssetCheckEvaluation:
        """The same for what is found outside a run of the asset."""
        return dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset),
            check_name=self.name,
            passed=self.passed,
            severity=self._severity,
            metadata=dict(self.metadata),
            blocking=self.blocking,
        )

    @property
    def _severity(self) -> dg.AssetCheckSeverity:
        is_error = self.blocking or self.is_error
        return dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN


def declared_checks(table: Table, asset: str) -> list[dg.AssetCheckSpec]:
    """The checks that every asset of a table carries."""
    specs = [
        dg.AssetCheckSpec(
            BOUNDS,
            asset=asset,
            blocking=True,
            description="Every number is finite and within the bounds of its column.",
        )
    ]
    if "reason" in table.columns:
        specs.append(
            dg.AssetCheckSpec(
                EXPLAINED, asset=asset, blocking=True, description="Every row with a missing value says why."
            )
        )
    return specs


def run_declared_checks(table: Table, rows: Columns) -> list[CheckOutcome]:
    """Evaluate the declared checks on rows that are about to be written."""
    outcomes = [_check_bounds(table, rows)]
    if "reason" in table.columns:
        outcomes.append(_check_explained(table, rows))
    return outcomes


def _check_bounds(table: Table, rows: Columns) -> CheckOutcome:
    outside: dict[str, int] = {}
    for column in table.columns:
        unit = unit_of(column)
        if unit is None or column.name not in rows:
            continue
        values = rows[column.name].astype(np.float64)
        low = -np.inf if unit.minimum is None else unit.minimum - BOUND_TOLERANCE
        high = np.inf if unit.maximum is None else unit.maximum + BOUND_TOLERANCE
        wrong = np.isinf(values) | (values < low) | (values > high)
        if not column.nullable:
            wrong |= np.isnan(values)
        if wrong.any():
            outside[column.name] = int(wrong.sum())
    return CheckOutcome(BOUNDS, not outside, blocking=True, metadata={"rows_outside": sum(outside.values()), **outside})


def _check_explained(table: Table, rows: Columns) -> CheckOutcome:
    # What was not simulated has no standard error, which needs no reason.
    measured = [
        c.name for c in table.columns if isinstance(c.type, Double) and c.nullable and unit_of(c) != STANDARD_ERROR
    ]
    missing = np.zeros(len(rows["reason"]), dtype=bool)
    for name in measured:
        missing |= np.isnan(rows[name])
    unexplained = int((missing & (rows["reason"] == b"")).sum())
    return CheckOutcome(
        EXPLAINED,
        unexplained == 0,
        blocking=True,
        metadata={"rows_unexplained": unexplained, "rows_missing": int(missing.sum())},
    )
