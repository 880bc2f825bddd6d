"""Checks that follow from a table's declaration."""

from __future__ import annotations

import math

import dagster as dg
import numpy as np
import pytest
from sqlalchemy import Double, Integer, MetaData, SmallInteger, Table, Text

from pipeline.orchestration.checks import (
    BOUND_TOLERANCE,
    BOUNDS,
    EXPLAINED,
    CheckOutcome,
    declared_checks,
    run_declared_checks,
)
from pipeline.store.schema import (
    DRAWDOWN,
    PROBABILITY,
    RATIO,
    SESSIONS,
    STANDARD_ERROR,
    column,
    key,
    session_key,
    writer,
)

MEASURES = Table(
    "measure",
    MetaData(),
    key("subject_id", Integer(), "Subject."),
    session_key(),
    column("sessions_in_window", SmallInteger(), "Returns.", SESSIONS, nullable=False),
    column("chance", Double(), "Chance.", PROBABILITY, nullable=False),
    column("fall", Double(), "Fall.", DRAWDOWN),
    column("ratio", Double(), "Ratio.", RATIO),
    column("reason", Text(), "Why values are missing."),
    writer(),
)
SIMULATED = Table(
    "simulated",
    MetaData(),
    session_key(),
    column("ratio", Double(), "Ratio.", RATIO),
    column("ratio_error", Double(), "Error.", STANDARD_ERROR),
    column("reason", Text(), "Why values are missing."),
    writer(),
)
CERTAIN = Table("certain", MetaData(), session_key(), column("chance", Double(), "Chance.", PROBABILITY), writer())


def rows(**changed: list[object]) -> dict[str, np.ndarray]:
    """Three good rows, with some columns changed."""
    good = {
        "subject_id": np.array([1, 2, 3], dtype=np.int32),
        "session": np.array(["2022-05-02"] * 3, dtype="datetime64[D]"),
        "sessions_in_window": np.array([252, 0, 1], dtype=np.int16),
        "chance": np.array([0.0, 0.5, 1.0]),
        "fall": np.array([-1.0, -0.5, 0.0]),
        "ratio": np.array([-1e9, 0.0, 1e9]),
        "reason": np.array([b"", b"", b""], dtype="S20"),
    }
    return good | {name: np.array(values, dtype=good[name].dtype) for name, values in changed.items()}


def outcomes(**changed: list[object]) -> dict[str, CheckOutcome]:
    return {outcome.name: outcome for outcome in run_declared_checks(MEASURES, rows(**changed))}


def test_good_rows_pass() -> None:
    assert [(o.name, o.passed, o.blocking) for o in outcomes().values()] == [
        (BOUNDS, True, True),
        (EXPLAINED, True, True),
    ]
    assert outcomes()[BOUNDS].metadata == {"rows_outside": 0}
    assert outcomes()[EXPLAINED].metadata == {"rows_unexplained": 0, "rows_missing": 0}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chance", -1e-9),
        ("chance", 1 + 1e-9),
        ("chance", math.nan),
        ("chance", math.inf),
        ("fall", -1.1),
        ("fall", 0.1),
        ("fall", -math.inf),
        ("ratio", math.inf),
        ("ratio", -math.inf),
        ("sessions_in_window", -1),
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_number_that_cannot_be_is_counted_under_its_column(name: str, value: float, position: int) -> None:
    values = rows()[name].tolist()
    values[position] = value
    outcome = outcomes(**{name: values})[BOUNDS]
    assert not outcome.passed
    assert outcome.metadata == {"rows_outside": 1, name: 1}


def test_several_columns_are_counted_each() -> None:
    outcome = outcomes(chance=[2.0, -2.0, 0.5], fall=[0.5, 0.0, 0.0])[BOUNDS]
    assert outcome.metadata == {"rows_outside": 3, "chance": 2, "fall": 1}


@pytest.mark.parametrize(("beyond", "passed"), [(0.5, True), (2.0, False)])
def test_a_bound_has_room_for_rounding(beyond: float, passed: bool) -> None:
    step = beyond * BOUND_TOLERANCE
    assert outcomes(fall=[step, -1 - step, 0.0])[BOUNDS].passed is passed


def test_a_missing_value_is_within_bounds_where_it_may_be_missing() -> None:
    assert outcomes(fall=[math.nan] * 3, ratio=[math.nan] * 3)[BOUNDS].passed


def test_a_missing_value_needs_a_reason() -> None:
    outcome = outcomes(fall=[math.nan, math.nan, 0.0], reason=[b"too short", b"", b""])[EXPLAINED]
    assert not outcome.passed
    assert outcome.metadata == {"rows_unexplained": 1, "rows_missing": 2}


def test_a_row_with_several_missing_values_counts_once() -> None:
    outcome = outcomes(fall=[math.nan, 0.0, 0.0], ratio=[math.nan, 0.0, 0.0], reason=[b"too short", b"", b""])
    assert outcome[EXPLAINED].passed
    assert outcome[EXPLAINED].metadata["rows_missing"] == 1


def test_a_reason_without_a_missing_value_is_allowed() -> None:
    assert outcomes(reason=[b"short window", b"", b""])[EXPLAINED].passed


def test_no_rows_pass() -> None:
    nothing = {name: values[:0] for name, values in rows().items()}
    assert all(outcome.passed for outcome in run_declared_checks(MEASURES, nothing))


def test_a_table_without_reasons_has_no_check_of_them() -> None:
    assert [spec.name for spec in declared_checks(CERTAIN, "certain")] == [BOUNDS]
    assert [spec.name for spec in declared_checks(MEASURES, "measure")] == [BOUNDS, EXPLAINED]
    assert all(spec.blocking and spec.description for spec in declared_checks(MEASURES, "measure"))
    chances = {"session": np.array(["2022-05-02"], dtype="datetime64[D]"), "chance": np.array([0.5])}
    assert [outcome.name for outcome in run_declared_checks(CERTAIN, chances)] == [BOUNDS]


@pytest.mark.parametrize(
    ("blocking", "severity"), [(True, dg.AssetCheckSeverity.ERROR), (False, dg.AssetCheckSeverity.WARN)]
)
def test_an_outcome_becomes_dagsters_result(blocking: bool, severity: dg.AssetCheckSeverity) -> None:
    result = CheckOutcome("spike", passed=False, blocking=blocking, metadata={"count": 3}).result
    assert (result.check_name, result.passed, result.severity) == ("spike", False, severity)
    assert result.metadata["count"].value == 3


def test_a_missing_standard_error_needs_no_reason_and_a_missing_value_does() -> None:
    found = {"ratio": np.array([1.0, np.nan]), "ratio_error": np.array([np.nan, 0.1]), "reason": np.array([b"", b""])}
    bounds, explained = run_declared_checks(SIMULATED, found)
    assert bounds.passed
    assert explained.metadata == {"rows_unexplained": 1, "rows_missing": 1}
    bounds, _ = run_declared_checks(SIMULATED, found | {"ratio_error": np.array([-0.1, 0.1])})
    assert not bounds.passed
