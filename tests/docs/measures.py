"""``docs/measures.md``: every measure as the code defines it, and as other libraries do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from pipeline.base.settings import PROJECT_ROOT
from pipeline.base.types import FloatArray
from pipeline.risk.measures import MEASURES, Measure, RiskSpec, Shift, Sign, Windows
from pipeline.risk.measures.convention_meanings import MEANINGS, libraries_with, peer_name
from pipeline.risk.measures.conventions import CONVENTIONS
from pipeline.risk.measures.covariance import COVARIANCES, DEFAULT_COVARIANCE
from pipeline.risk.measures.full_report import Convention, MeasuredValue, ReportSpec, full_report
from pipeline.risk.measures.on_request import ADJUSTED, ON_REQUEST, REPORTED
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import simple_returns
from serving.measures import UNITS, WORDS
from serving.routes.explaining.documented import path_of, sources_of
from tests.bundled import bundled_bars

PAGE = PROJECT_ROOT / "docs" / "measures.md"
SUBJECT, BENCHMARK = "AAPL", "SP500"
_CALCULATED = "Served by `POST /api/v1/calculate`"
_SPLIT = "Served by `GET /api/v1/portfolios/{reference}/contributions` and `POST …/decomposition`"
_BACKTESTED = "Served by `GET` and `POST /api/v1/portfolios/{reference}/backtests`"
_STRESSED = "Served by `POST /api/v1/portfolios/{reference}/stress`"
OTHERS: Mapping[str, str] = MappingProxyType(
    {
        "dispersion": "Parts of the measures above.",
        "drawdown": f"{_CALCULATED}: `drawdowns`, and `entropic` for that of the drawdowns.",
        "entropic": f"{_CALCULATED}: `entropic`.",
        "concentration": f"{_CALCULATED}: `concentration`; limits may be set on them.",
        "liquidity": f"{_CALCULATED}: `positions` and `liquidity`.",
        "currency": "Served by `GET /api/v1/portfolios/{reference}/currency`.",
        "performance": "Served by `GET /api/v1/portfolios/{reference}/report`.",
        "books": "Served by `GET /api/v1/portfolios/{reference}/value`.",
        "decomposition": f"{_SPLIT}.",
        "splits": f"{_SPLIT}.",
        "factors": "Served by `GET /api/v1/instruments/{symbol}/factors` and `GET /api/v1/principal-factors`; over"
        " rolling windows by the library alone.",
        "backtests": f"{_BACKTESTED}.",
        "durations": f"{_BACKTESTED}.",
        "shortfall_backtests": f"{_BACKTESTED}.",
        "stress": f"{_STRESSED}, and by `GET` for the stored scenarios.",
        "stress_historical": f"{_STRESSED}.",
        "stress_hypothetical": f"{_STRESSED}.",
        "stress_shifts": f"{_STRESSED}.",
        "stress_reverse": f"{_STRESSED} by positions; by factors by the library alone.",
    }
)
"""Modules whose functions are on the page although they are no measure of a window, and who serves them."""

_HEAD = """\
# Measures

Made from the code by `make docs`; do not edit. What each number of a table, an answer or a page means, where its
definition is from, and what other libraries mean by the same name. `GET /api/v1/measures` lists the stored measures
and those on request, and `POST /api/v1/calculate` computes both, and the tails by every method, for any returns or
positions. Each section after them says what serves it.

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
            "## Measures on request\n",
            "Of any window, by `POST /api/v1/calculate`; no table holds them.\n",
            *(line for measure in ON_REQUEST for line in _measure(measure, reports["platform"][measure.name])),
            *_adjusted(windows),
            *_methods(windows),
            *_covariances(),
            *(
                line
                for name, served in OTHERS.items()
                for line in _module(import_module(f"pipeline.risk.measures.{name}"), served)
            ),
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
    names = tuple(measure.name for measure in REPORTED)
    spec = ReportSpec(RiskSpec(), names, convention, methods=("historical",))
    return {measured.name: measured for measured in full_report(windows, spec).measures}


def _compared(reports: dict[str, dict[str, MeasuredValue]]) -> Iterator[str]:
    yield "## The same returns by five conventions\n"
    yield "Each library's own number by its defaults, sign and unit included; why it differs is said at the measure.\n"
    yield "| measure | platform | " + " | ".join(CONVENTIONS) + " |"
    yield "|---|" + "--:|" * len(reports)
    for measure in REPORTED:
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
    yield f"### {measure.name}\n"
    yield f"{WORDS[measure.name]} Unit: {UNITS[measure.name]}.\n"
    yield f"- Formula: {measure.formula}"
    yield f"- Source: {measure.source}"
    if measure.parameters:
        yield f"- Parameters: {', '.join(f'{name} {value:g}' for name, value in measure.parameters.items())}"
    yield f"- Undefined: {measure.undefined_because or 'never'}"
    yield f"- Multiplying every return: {_SCALING[measure.scaling]}"
    yield f"- Adding c to every return: {_SHIFT[measure.shift]}"
    yield f"- Turning gains into losses: {_SIGN[measure.sign]}"
    yield f"- Order of the sessions: {'matters' if measure.ordered else 'does not matter'}"
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
_SHIFT: Mapping[Shift, str] = {
    "invariant": "leaves it",
    "opposite": "takes c away from it",
    "annual": "adds c p to it",
    "neither": "changes it in no fixed way",
}
_SIGN: Mapping[Sign, str] = {
    "even": "leaves it",
    "odd": "turns its sign",
    "neither": "changes it in no fixed way",
}


def _adjusted(windows: Windows) -> Iterator[str]:
    yield "## Moments corrected for bias\n"
    yield "By `moments: adjusted` of `POST /api/v1/calculate`, in place of those without a correction.\n"
    yield f"| measure | formula | source | undefined | {SUBJECT} |"
    yield "|---|---|---|---|--:|"
    for name, measure in ADJUSTED.items():
        value = _digits(float(measure.compute(windows, RiskSpec())))
        told = f"{_cell(measure.formula)} | {measure.source} | {measure.undefined_because}"
        yield f"| `{name}` | {told} | {value} |"
    yield ""


def _methods(windows: Windows) -> Iterator[str]:
    yield "## Value at risk and expected shortfall by method\n"
    yield "Positive losses as fractions of value. The values are of one session at 99 %.\n"
    tails = {tail.method: tail for tail in full_report(windows, ReportSpec(confidences=(0.99,))).tails}
    for method in VAR_METHODS.values():
        found = tails[method.name]
        yield f"### {method.name}\n"
        yield f"{method.description}\n"
        yield f"- Formula: {method.formula}"
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
    yield "Of one session, not annualised, by `estimator` of `GET /api/v1/covariance`.\n"
    yield "| name | what it is | source |"
    yield "|---|---|---|"
    for name, estimator in COVARIANCES.items():
        default = " The default." if name == DEFAULT_COVARIANCE else ""
        yield f"| `{name}` | {_cell(_summary(estimator))}{default} | {_cited(estimator)} |"
    yield ""


def _module(module: ModuleType, served: str) -> Iterator[str]:
    """The functions of a family that are no measure of a window."""
    measures = {measure.definition for measure in REPORTED}
    functions = [
        function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith(("_", "require_"))
        and function not in measures
    ]
    if functions:
        yield f"## {_first_paragraph(module)}\n"
        yield f"{served} In `{module.__name__}`.\n"
        yield "| function | what it is | result | source |"
        yield "|---|---|---|---|"
        for function in functions:
            told = (_summary(function), _result(function), _cited(function))
            yield f"| `{function.__name__}` | {' | '.join(_cell(text) for text in told)} |"
        yield ""


def _summary(function: Callable[..., Any]) -> str:
    return _first_paragraph(function)


def _first_paragraph(documented: object) -> str:
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


def _cited(function: Callable[..., Any]) -> str:
    """What its docstring cites, or its module does."""
    found = sources_of(function)
    return "" if found == path_of(function) else found


def _result(function: Callable[..., Any]) -> str:
    """What the docstring says is returned: shape, unit, and when there is none."""
    _, _, rest = (inspect.getdoc(function) or "").partition("Returns\n-------\n")
    lines = rest.partition("\n\n")[0].splitlines()
    return " ".join(line.strip() for line in lines[1:])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
