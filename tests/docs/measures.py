"""``docs/measures.md``: every measure as the code defines it, and as other libraries do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.base.settings import PROJECT_ROOT
from pipeline.base.types import FloatArray
from pipeline.risk.measures import MEASURES, Measure, RiskSpec, Windows
from pipeline.risk.measures.convention_meanings import MEANINGS, libraries_with, peer_name
from pipeline.risk.measures.conventions import CONVENTIONS
from pipeline.risk.measures.covariance import COVARIANCES, DEFAULT_COVARIANCE
from pipeline.risk.measures.full_report import Convention, MeasuredValue, ReportSpec, full_report
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.risk_columns import MEASURE_COLUMNS
from tests.bundled import bundled_bars

PAGE = PROJECT_ROOT / "docs" / "measures.md"
SUBJECT, BENCHMARK = "AAPL", "SP500"
OTHERS = (
    "growth",
    "dispersion",
    "moments",
    "drawdown",
    "entropic",
    "relative",
    "concentration",
    "liquidity",
    "currency",
    "decomposition",
)
"""Modules whose measures are on the page although no table stores them."""

_HEAD = """\
# Measures

Made from the code by `make docs`; do not edit. What each number of a table, an answer or a page means, where its
definition is from, and what other libraries mean by the same name. `GET /api/v1/measures` lists the same, and
`POST /api/v1/calculate` computes all of it for any returns or positions.

Formulas speak of the n simple returns r of a window, the benchmark's b, the risk-free rate f of one session, the
p = 252 sessions of a year, and the confidence α. Values are those of {subject}, {first} to {last}
({sessions:,} daily returns of adjusted closes, benchmark {benchmark}, rate 0), with five significant digits.
"""


def measures_page() -> str:
    """The page, ending with a newline."""
    dates, windows = _market()
    conventions: tuple[Convention, ...] = ("platform", *CONVENTIONS)
    reports: dict[str, dict[str, MeasuredValue]] = {name: _report(windows, name) for name in conventions}
    head = _HEAD.format(
        subject=SUBJECT, benchmark=BENCHMARK, first=dates[0], last=dates[1], sessions=len(windows.returns)
    )
    return "\n".join(
        [
            head,
            *_compared(reports),
            "## Stored measures\n",
            "Rolling, of instruments and portfolios.\n",
            *(line for measure in MEASURES for line in _measure(measure, reports["platform"][measure.name])),
            *_methods(windows),
            *_covariances(),
            *(line for name in OTHERS for line in _module(import_module(f"pipeline.risk.measures.{name}"))),
        ]
    )


def _market() -> tuple[tuple[str, str], Windows]:
    """First and last session, and the returns."""
    bars = bundled_bars().sorted()

    def of(symbol: str) -> tuple[FloatArray, Any]:
        chosen = bars.symbol_index == bars.symbols.index(symbol)
        return bars.close_adjusted[chosen], bars.sessions[chosen]

    (close, sessions), (index, index_sessions) = of(SUBJECT), of(BENCHMARK)
    assert np.array_equal(sessions, index_sessions)
    returns = simple_returns(close)
    return (str(sessions[0]), str(sessions[-1])), Windows(returns, returns, simple_returns(index))


def _report(windows: Windows, convention: Convention) -> dict[str, MeasuredValue]:
    spec = ReportSpec(RiskSpec(), convention=convention, methods=("historical",))
    return {measured.name: measured for measured in full_report(windows, spec).measures}


def _compared(reports: dict[str, dict[str, MeasuredValue]]) -> Iterator[str]:
    yield "## The same returns by five conventions\n"
    yield "Each library's own number by its defaults, sign and unit included; why it differs is said at the measure.\n"
    yield "| measure | platform | " + " | ".join(CONVENTIONS) + " |"
    yield "|---|" + "--:|" * len(reports)
    for measure in MEASURES:
        if libraries_with(measure):
            shown = [_value(found[measure.name]) if _has(name, measure) else "" for name, found in reports.items()]
            yield f"| `{measure.name}` | " + " | ".join(shown) + " |"
    yield ""


def _has(convention: str, measure: Measure) -> bool:
    return convention == "platform" or convention in libraries_with(measure)


def _value(measured: MeasuredValue) -> str:
    return "" if measured.value is None else _digits(measured.value)


def _digits(value: float) -> str:
    return f"{value:.5g}"


def _measure(measure: Measure, measured: MeasuredValue) -> Iterator[str]:
    ((unit, meaning),) = [(unit.name, meaning) for name, unit, meaning in MEASURE_COLUMNS if name == measure.name]
    yield f"### {measure.name}\n"
    yield f"{meaning} Unit: {unit}.\n"
    yield f"- Formula: {measure.formula}"
    yield f"- Source: {measure.source}"
    if measure.parameters:
        yield f"- Parameters: {', '.join(f'{name} {value:g}' for name, value in measure.parameters.items())}"
    yield f"- Undefined: {measure.undefined_because or 'never'}"
    yield f"- Multiplying every return: {_SCALING[measure.scaling]}"
    yield f"- {SUBJECT}: {_value(measured)}"
    for library in libraries_with(measure):
        other = MEANINGS[library].get(peer_name(measure))
        said = "as the platform" if other is None else f"{other.formula} ({other.unit})"
        yield f"- {library}: {said}"
    yield ""


_SCALING = {
    "linear": "multiplies it by the same",
    "invariant": "leaves it",
    "compounded": "changes it in no fixed proportion",
}


def _methods(windows: Windows) -> Iterator[str]:
    yield "## Value at risk and expected shortfall by method\n"
    yield "Positive losses as fractions of value. The values are of one session at 99 %.\n"
    tails = {tail.method: tail for tail in full_report(windows, ReportSpec(confidences=(0.99,))).tails}
    for method in VAR_METHODS.values():
        found = tails[method.name]
        yield f"### {method.name}\n"
        yield f"{method.description}\n"
        yield f"- Source: {method.source}"
        yield f"- Returns needed: {method.minimum_sessions}"
        yield f"- Several sessions by: {', '.join(method.scalings)}"
        yield f"- Undefined: {method.undefined_because or 'never'}"
        if found.var is not None and found.es is not None:
            yield f"- {SUBJECT}: value at risk {_digits(found.var)}, expected shortfall {_digits(found.es)}"
        else:
            yield f"- {SUBJECT}: {found.undefined}"
        yield ""


def _covariances() -> Iterator[str]:
    yield "## Covariance estimators\n"
    yield "Of one session, not annualised.\n"
    yield "| name | what it is |"
    yield "|---|---|"
    for name, estimator in COVARIANCES.items():
        default = " The default." if name == DEFAULT_COVARIANCE else ""
        yield f"| `{name}` | {_cell(_summary(estimator))}{default} |"
    yield ""


def _module(module: ModuleType) -> Iterator[str]:
    """The functions of a family that no column stores."""
    stored = {measure.definition for measure in MEASURES}
    functions = [
        function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
        and function not in stored
    ]
    if functions:
        yield f"## {_first_paragraph(module)}\n"
        yield f"On request, in `{module.__name__}`.\n"
        yield "| function | what it is | result |"
        yield "|---|---|---|"
        for function in functions:
            yield f"| `{function.__name__}` | {_cell(_summary(function))} | {_cell(_result(function))} |"
        yield ""


def _summary(function: Callable[..., Any]) -> str:
    return _first_paragraph(function)


def _first_paragraph(documented: object) -> str:
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


def _result(function: Callable[..., Any]) -> str:
    """What the docstring says is returned: shape, unit, and when there is none."""
    _, _, rest = (inspect.getdoc(function) or "").partition("Returns\n-------\n")
    lines = rest.partition("\n\n")[0].splitlines()
    return " ".join(line.strip() for line in lines[1:])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
