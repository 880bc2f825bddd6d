"""What every registered measure must satisfy; a new registry line is tested without a new test."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures import MEASURES, Measure, RiskSpec, Windows
from pipeline.risk.measures.on_request import ADJUSTED, REPORTED
from pipeline.risk.measures.windows import rolling
from pipeline.store.risk_columns import MEASURE_COLUMNS, RiskRow, measure_columns
from tests.unit.risk.series import drawn_returns, drawn_windows, same

SPEC = RiskSpec()
ADJUSTED_NAMES = [f"adjusted_{name}" for name in ADJUSTED]
EVERY_MEASURE = pytest.mark.parametrize(
    "measure", [*REPORTED, *ADJUSTED.values()], ids=[*(measure.name for measure in REPORTED), *ADJUSTED_NAMES]
)
SESSIONS = (2, 3, 7, 8, 9, 63, 128, 129, 252, 1_000)
"""Around the widths at which numpy changes how it sums, and the windows in use."""


def take(windows: Windows, rows: int | slice | IntArray) -> Windows:
    """Some of the windows of a panel, contiguous as the contract of `Windows` asks."""
    benchmark = None if windows.benchmark is None else np.ascontiguousarray(windows.benchmark[rows])
    return Windows(
        np.ascontiguousarray(windows.returns[rows]), np.ascontiguousarray(windows.scenarios[rows]), benchmark
    )


def parts_of(windows: Windows) -> tuple[FloatArray, FloatArray, FloatArray]:
    assert windows.benchmark is not None
    return windows.returns, windows.scenarios, windows.benchmark


def of(returns: FloatArray, benchmark: FloatArray | None = None) -> Windows:
    """Windows of an instrument, whose scenarios are its returns."""
    return Windows(returns, returns, benchmark)


def extreme_windows() -> dict[str, Windows]:
    """Windows on which a careless quotient, power or logarithm has no value."""
    ordinary = drawn_returns(252)
    one_loss = np.full(252, 0.001)
    one_loss[0] = -0.02
    total_loss = ordinary.copy()
    total_loss[100] = -1.0
    return {
        "stands still": of(np.zeros(252), ordinary),
        "rises by the same each session": of(np.full(252, 0.1), ordinary),
        "falls by the same each session": of(np.full(252, -0.1), ordinary),
        "never falls": of(np.abs(ordinary), ordinary),
        "never rises": of(-np.abs(ordinary), ordinary),
        "loses once, at first": of(one_loss, ordinary),
        "loses everything": of(total_loss, ordinary),
        "loses everything at first": of(np.r_[-1.0, np.zeros(251)], ordinary),
        "moves once": of(np.r_[np.zeros(251), 0.01], ordinary),
        "jumps by 30,000 %": of(np.r_[ordinary[:-1], 300.0], ordinary),
        "has two sessions": of(np.array([0.01, -0.02]), ordinary[:2]),
        "has no benchmark": of(ordinary),
        "has a benchmark that stands still": of(ordinary, np.zeros(252)),
    }


def test_names_are_unique_and_columns_of_the_store_in_the_same_order() -> None:
    names = [measure.name for measure in MEASURES]
    assert len({measure.name for measure in REPORTED}) == len(REPORTED)
    assert names == [name for name, _, _ in MEASURE_COLUMNS]
    assert names == [column.name for column in measure_columns()][1:-2]
    assert names == [field.name for field in fields(RiskRow)][2:-3]


@EVERY_MEASURE
@pytest.mark.parametrize("factor", [0.25, 0.7, 1.5])
def test_scaling_the_returns_scales_the_measure_as_registered(measure: Measure, factor: float) -> None:
    windows = drawn_windows(40, 252)
    scaled = Windows(windows.returns * factor, windows.scenarios * factor, windows.benchmark)
    before, after = measure.compute(windows, SPEC), measure.compute(scaled, SPEC)
    if measure.scaling == "compounded":
        # One of forty may come close by chance.
        assert np.isclose(after, before, rtol=1e-4).sum() <= 1
        assert np.isclose(after, before * factor, rtol=1e-4).sum() <= 1
    else:
        multiple = {"linear": factor, "invariant": 1.0}[measure.scaling]
        np.testing.assert_allclose(after, before * multiple, rtol=1e-9)


@EVERY_MEASURE
@pytest.mark.parametrize("move", [-0.002, 0.003])
def test_adding_to_every_return_shifts_the_measure_as_registered(measure: Measure, move: float) -> None:
    windows = drawn_windows(40, 252)
    moved = Windows(windows.returns + move, windows.scenarios + move, windows.benchmark)
    before, after = measure.compute(windows, SPEC), measure.compute(moved, SPEC)
    steps = {"invariant": 0.0, "opposite": -move, "annual": move * SPEC.periods_per_year}
    if measure.shift == "neither":
        for step in steps.values():
            assert np.isclose(after, before + step, rtol=1e-4, atol=0.0).sum() <= 1
    else:
        np.testing.assert_allclose(after, before + steps[measure.shift], rtol=1e-9, atol=1e-12)


@EVERY_MEASURE
def test_turning_gains_into_losses_turns_the_measure_as_registered(measure: Measure) -> None:
    windows = drawn_windows(40, 252)
    turned = Windows(-windows.returns, -windows.scenarios, windows.benchmark)
    before, after = measure.compute(windows, SPEC), measure.compute(turned, SPEC)
    if measure.sign == "neither":
        for same_size in (before, -before):
            assert np.isclose(after, same_size, rtol=1e-4, atol=0.0).sum() <= 1
    else:
        np.testing.assert_allclose(after, before if measure.sign == "even" else -before, rtol=1e-9)


@EVERY_MEASURE
def test_the_order_of_the_sessions_matters_as_registered(measure: Measure) -> None:
    windows = drawn_windows(40, 252)
    order = np.random.default_rng(6).permutation(252)
    mixed = Windows(*(np.ascontiguousarray(part[:, order]) for part in parts_of(windows)))
    before, after = measure.compute(windows, SPEC), measure.compute(mixed, SPEC)
    if measure.ordered:
        assert np.isclose(after, before, rtol=1e-4, atol=0.0).sum() <= 1
    else:
        np.testing.assert_allclose(after, before, rtol=1e-9)


@EVERY_MEASURE
@pytest.mark.parametrize("place", [0, 100, 251])
def test_one_missing_return_leaves_no_number_in_its_window_alone(measure: Measure, place: int) -> None:
    """NaN compares with nothing and sorts behind everything: a careless measure gives a number without it."""
    windows = drawn_windows(3, 252)
    whole = measure.compute(windows, SPEC)
    read = windows.scenarios if measure.reads_scenarios else windows.returns
    read[1, place] = np.nan
    made = measure.compute(windows, SPEC)
    assert np.isnan(made[1])
    assert same(made[[0, 2]], whole[[0, 2]])


@EVERY_MEASURE
def test_a_window_does_not_depend_on_how_many_are_computed_with_it(measure: Measure) -> None:
    for sessions in SESSIONS:
        panel = drawn_windows(33, sessions)
        together = measure.compute(panel, SPEC)
        for rows in (slice(0, 1), slice(32, 33), slice(3, 5), slice(0, 16), slice(1, 33)):
            assert same(measure.compute(take(panel, rows), SPEC), together[rows]), (sessions, rows)


@EVERY_MEASURE
def test_one_series_and_a_rolling_panel_agree(measure: Measure) -> None:
    for sessions in SESSIONS:
        series = drawn_windows(sessions + 20, seed=5)
        panel = measure.compute(Windows(*(rolling(part, sessions) for part in parts_of(series))), SPEC)
        for row in range(21):
            alone = measure.compute(Windows(*(part[row : row + sessions] for part in parts_of(series))), SPEC)
            assert same(alone, panel[row]), (sessions, row)


@EVERY_MEASURE
def test_values_come_in_the_order_of_the_windows(measure: Measure) -> None:
    panel = drawn_windows(50, 63)
    values = measure.compute(panel, SPEC)
    order = np.random.default_rng(2).permutation(50)
    assert len(set(values.tolist())) > 1
    assert same(measure.compute(take(panel, order), SPEC), values[order])


@EVERY_MEASURE
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 1, 3), (0,)], ids=str)
def test_the_last_axis_becomes_one_number(measure: Measure, shape: tuple[int, ...]) -> None:
    windows = drawn_windows(*shape, 63)
    values = np.asarray(measure.compute(windows, SPEC))
    assert values.shape == shape
    assert values.dtype == np.float64
    flat = Windows(*(part.reshape(-1, 63) for part in parts_of(windows)))
    assert same(measure.compute(flat, SPEC), values.reshape(-1))


@EVERY_MEASURE
def test_the_input_is_never_modified(measure: Measure) -> None:
    windows, untouched = drawn_windows(5, 63), drawn_windows(5, 63)
    measure.compute(windows, SPEC)
    for after, before in zip(parts_of(windows), parts_of(untouched), strict=True):
        assert same(after, before)


@EVERY_MEASURE
def test_there_is_a_number_for_every_window_unless_the_registry_says_why_not(measure: Measure) -> None:
    values = {what: float(measure.compute(window, SPEC)) for what, window in extreme_windows().items()}
    missing = [what for what, value in values.items() if np.isnan(value)]
    assert not [what for what, value in values.items() if np.isinf(value)]
    assert bool(missing) == (measure.undefined_because is not None), missing


@EVERY_MEASURE
def test_ordinary_windows_have_a_number_for_every_measure(measure: Measure) -> None:
    assert np.isfinite(measure.compute(drawn_windows(100, 63), SPEC)).all()


@EVERY_MEASURE
def test_tail_measures_read_the_scenarios_and_all_others_the_returns(measure: Measure) -> None:
    """Value at risk of positions is that of current holdings; what was earned is that of the past ones."""
    windows, other = drawn_windows(9, 252), drawn_windows(9, 252, seed=77)
    values = measure.compute(windows, SPEC)
    other_returns = measure.compute(Windows(other.returns, windows.scenarios, windows.benchmark), SPEC)
    other_scenarios = measure.compute(Windows(windows.returns, other.scenarios, windows.benchmark), SPEC)
    read, unread = other_returns, other_scenarios
    if measure.name.startswith(("var_", "es_")):
        read, unread = other_scenarios, other_returns
    assert same(unread, values)
    # A share of the sessions may be the same by chance.
    assert (read != values).sum() >= 8
