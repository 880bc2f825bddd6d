"""The report on one window: figures or reasons, nothing between."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import FloatArray
from pipeline.risk.measures import MEASURES, MeasureInputError, RiskSpec, Windows
from pipeline.risk.measures.convention_meanings import MEANINGS, libraries_with, peer_name
from pipeline.risk.measures.conventions import CONVENTIONS, ConventionSpec, by_convention
from pipeline.risk.measures.drawdown import drawdown_spells, entropic_drawdown_at_risk
from pipeline.risk.measures.entropic import entropic_var
from pipeline.risk.measures.full_report import (
    LARGEST_LOG_WEALTH,
    LARGEST_RETURN,
    ONE_SESSION_ONLY,
    FullReport,
    ReportSpec,
    TailFigure,
    full_report,
)
from pipeline.risk.measures.moments import excess_kurtosis, skewness
from pipeline.risk.measures.on_request import REPORTED
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from tests.unit.risk.series import PROPERTY, drawn_returns, drawn_windows, return_lists

SPEC = ReportSpec(RiskSpec(risk_free_rate_annual=0.02))
EVERY = replace(SPEC, measures=tuple(measure.name for measure in REPORTED))


def of(returns: FloatArray) -> Windows:
    return Windows(returns, returns)


def values(report: FullReport) -> dict[str, float | None]:
    return {measured.name: measured.value for measured in report.measures}


def test_every_measure_is_that_of_its_definition() -> None:
    windows = drawn_windows(252)
    report = full_report(windows, SPEC)
    assert values(report) == {m.name: float(m.compute(windows, SPEC.risk)) for m in MEASURES}
    assert {m.convention for m in report.measures} == {"platform"}
    assert report.drawdowns == drawdown_spells(windows.returns, 5)


def test_tails_are_those_of_their_methods_on_the_scenarios() -> None:
    windows = drawn_windows(252)
    tails = full_report(windows, SPEC).tails
    assert [(t.method, t.confidence) for t in tails] == [(m, c) for m in VAR_METHODS for c in SPEC.confidences]
    for tail in tails:
        made = VAR_METHODS[tail.method].estimate(windows.scenarios, TailSpec(tail.confidence))
        if tail.undefined:
            assert (tail.method, math.isnan(made.var)) == ("cornish_fisher", True)
        else:
            assert (tail.var, tail.es) == (pytest.approx(float(made.var), rel=1e-12), pytest.approx(float(made.es)))


def test_entropic_figures_are_those_of_scenarios_and_drawdowns() -> None:
    windows = drawn_windows(252)
    for figure in full_report(windows, SPEC).entropic:
        evar = float(entropic_var(windows.scenarios, figure.confidence))
        edar = float(entropic_drawdown_at_risk(windows.returns, figure.confidence))
        assert (figure.evar, figure.edar) == (pytest.approx(evar, rel=1e-9), pytest.approx(edar, rel=1e-9))


@pytest.mark.parametrize("library", CONVENTIONS)
def test_a_convention_takes_the_platforms_place_where_it_has_a_figure(library: str) -> None:
    windows = drawn_windows(300)
    report = full_report(windows, replace(EVERY, convention=library))  # type: ignore[arg-type]
    platform = values(full_report(windows, EVERY))
    for measure, measured in zip(REPORTED, report.measures, strict=True):
        if library not in libraries_with(measure):
            assert (measured.convention, measured.value) == ("platform", platform[measure.name])
            continue
        asked = ConventionSpec(
            measure.parameters.get("confidence", 0.95), 252, SPEC.risk.risk_free_rate_daily, windows.benchmark
        )
        returns = windows.scenarios if measure.reads_scenarios else windows.returns
        theirs = float(by_convention(library, peer_name(measure), returns, asked))  # type: ignore[arg-type]
        assert (measured.convention, measured.value) == (library, theirs)
    assert report.tails[0].method == library
    assert len(report.tails) == len(SPEC.confidences) * (1 + len(VAR_METHODS))


@pytest.mark.parametrize("library", CONVENTIONS)
def test_a_meaning_is_given_exactly_where_the_number_differs(library: str) -> None:
    windows = drawn_windows(310)
    own = values(full_report(windows, EVERY))
    report = full_report(windows, replace(EVERY, convention=library))  # type: ignore[arg-type]
    named = {peer_name(m) for m in REPORTED if library in libraries_with(m)}
    assert named == set(CONVENTIONS[library])  # type: ignore[index]
    assert set(MEANINGS[library]) <= named  # type: ignore[index]
    for measure, measured in zip(REPORTED, report.measures, strict=True):
        if measured.convention == "platform":
            continue
        differs = measured.value != pytest.approx(own[measure.name], rel=1e-12)
        # Both names of a rank can be the same loss: a tail of 3.1 returns ends with the fourth worst in each.
        if measure.name.startswith("var_") and library in ("skfolio", "riskfolio"):
            continue
        assert differs == (peer_name(measure) in MEANINGS[library]), measure.name  # type: ignore[index]
        assert (measured.unit is None) == (not differs)


@pytest.mark.parametrize("library", CONVENTIONS)
def test_a_library_without_the_horizon_says_so_at_every_confidence(library: str) -> None:
    report = full_report(drawn_windows(300), replace(SPEC, convention=library, horizon_sessions=10))  # type: ignore[arg-type]
    said = [TailFigure(library, alpha, 10, None, undefined=ONE_SESSION_ONLY) for alpha in SPEC.confidences]
    assert list(report.tails[: len(said)]) == said
    assert len(report.tails) == len(SPEC.confidences) * (1 + len(VAR_METHODS))


def test_moments_are_bias_corrected_where_asked() -> None:
    windows = drawn_windows(12)
    report = full_report(windows, replace(SPEC, moments="adjusted"))
    made = {measured.name: measured for measured in report.measures}
    plain = values(full_report(windows, SPEC))
    assert made["skewness"].value == float(skewness(windows.returns, "adjusted")) != plain["skewness"]
    assert made["excess_kurtosis"].value == float(excess_kurtosis(windows.returns, "adjusted"))
    assert made["skewness"].formula.startswith("√(n(n − 1))/(n − 2)")
    assert {name for name, value in values(report).items() if value != plain[name]} == {"skewness", "excess_kurtosis"}


@pytest.mark.parametrize(("spec", "sessions"), [({"moments": "adjusted"}, 2), ({"convention": "quantstats"}, 2)])
def test_too_few_returns_for_the_correction_are_named(spec: dict[str, object], sessions: int) -> None:
    report = full_report(drawn_windows(sessions), replace(SPEC, **spec))  # type: ignore[arg-type]
    made = {measured.name: measured.undefined for measured in report.measures}
    assert made["skewness"] == "no_variation_or_fewer_than_3_returns"
    assert made["excess_kurtosis"] == "no_variation_or_fewer_than_4_returns"


def test_the_periods_of_a_year_annualise_returns_of_weeks() -> None:
    windows = drawn_windows(104)
    weekly = replace(SPEC, risk=RiskSpec(periods_per_year=52))
    made = values(full_report(windows, weekly))
    assert made["volatility"] == pytest.approx(np.std(windows.returns, ddof=1) * math.sqrt(52), rel=1e-12)
    assert made["cagr"] == pytest.approx(np.prod(1 + windows.returns) ** 0.5 - 1, rel=1e-12)


def test_a_window_too_short_for_a_method_says_how_short() -> None:
    tails = {t.method: t for t in full_report(of(drawn_returns(29)), SPEC).tails}
    assert tails["student_t"] == TailFigure("student_t", 0.99, 1, None, undefined="short_window: 29 of 30 sessions")
    assert tails["historical"].undefined is None


@pytest.mark.parametrize(
    ("returns", "named"),
    [
        ([0.1, math.nan], "returns: NaN"),
        ([0.1, math.inf], "returns: NaN or infinite"),
        ([0.1], "returns: 1 given, at least 2"),
        ([0.1, -1.0], "returns: -1 at return 1 loses everything"),
        ([0.1, 1e308], r"returns: 1e\+308 at return 1 is above 1,000"),
        ([LARGEST_RETURN] * 100, "returns: compounded they leave the range"),
        ([-0.9999] * 100, "returns: compounded they leave the range"),
        ([LARGEST_RETURN] * 2, "returns: cagr overflows"),
    ],
)
def test_what_no_number_comes_from_is_refused(returns: list[float], named: str) -> None:
    with pytest.raises(MeasureInputError, match=f"^{named}"):
        full_report(of(np.array(returns)), SPEC)


def test_a_scenario_that_loses_everything_is_refused_as_the_positions() -> None:
    returns = drawn_returns(252)
    scenarios = np.where(np.arange(252) == 7, -1.2, returns)
    with pytest.raises(MeasureInputError, match=r"^positions: -1\.2 at return 7 loses everything"):
        full_report(Windows(returns, scenarios), SPEC)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"measures": ("x",)}, "measures: 'x' is unknown; choose among cagr"),
        ({"methods": ("x",)}, "var_methods: 'x' is unknown; choose among historical"),
        ({"convention": "x"}, "convention: 'x' is unknown; choose among platform"),
        ({"moments": "x"}, "moments: 'x' is unknown; choose among population, adjusted"),
        ({"measures": ()}, "measures: none given"),
        ({"confidences": ()}, "confidence: none given"),
        ({"confidences": (95.0,)}, r"confidence=95\.0"),
        ({"horizon_sessions": 0}, "horizon_sessions=0"),
    ],
)
def test_what_is_not_offered_is_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(MeasureInputError, match=f"^{named}"):
        replace(SPEC, **changes)  # type: ignore[arg-type]


@PROPERTY
@given(
    returns=return_lists(2, 80),
    library=st.sampled_from(["platform", *CONVENTIONS]),
    horizon=st.integers(1, 5),
    moments=st.sampled_from(["population", "adjusted"]),
)
def test_a_value_is_a_number_or_has_a_reason(returns: list[float], library: str, horizon: int, moments: str) -> None:
    spec = replace(EVERY, convention=library, horizon_sessions=horizon, moments=moments)  # type: ignore[arg-type]
    try:
        report = full_report(of(np.array(returns)), spec)
    except MeasureInputError:
        # A few sessions of +120 % are more than a number holds once they are annualised.
        assert np.abs(np.cumsum(np.log1p(returns))).max() > LARGEST_LOG_WEALTH / 252
        return
    for measured in report.measures:
        assert (measured.value is None) == (measured.undefined is not None)
        assert measured.value is None or math.isfinite(measured.value)
    for tail in report.tails:
        assert (tail.var is None) == (tail.es is None) == (tail.undefined is not None)
        assert tail.var is None or (math.isfinite(tail.var) and tail.es is not None and math.isfinite(tail.es))
    for figure in report.entropic:
        assert math.isfinite(figure.evar)
        assert math.isfinite(figure.edar)
