"""What a tear sheet says, part by part, as texts and charts: a report of the API as it is read, in HTML and in PDF.

Everything follows from the report but for what the caller adds: no part reads the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np

from pipeline.store.provenance import Materialization
from serving.pages import portfolio_charts as charts
from serving.pages.charts import Layer, Line, TimeChart
from serving.pages.drawing import ChartTable, number
from serving.pages.formats import MISSING, by_unit, count, moment, money, percent, policy_words, ratio, words
from serving.pages.links import portfolio_at, why
from serving.pages.row_charts import Bar, BarChart, Interval, IntervalChart
from serving.routes.report_forms import CurveOut, PortfolioReport, Section

FIGURES = (
    ("cagr", "Growth, 252 sessions"),
    ("volatility", "Volatility a year"),
    ("sharpe_ratio", "Sharpe ratio"),
    ("max_drawdown", "Deepest drawdown"),
    ("var_99_1d", "VaR 99 %, 1 session"),
    ("es_975_1d", "ES 97.5 %, 1 session"),
    ("beta", "Beta"),
)
"""Measures that stand on top, and in words."""
TAILS = ((0.95, "var", "VaR 95 %"), (0.99, "var", "VaR 99 %"), (0.975, "es", "ES 97.5 %"))
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MOST_YEARS, MOST_POSITIONS = 8, 10
HEAT = (0.01, 0.03, 0.06)
"""From where on a monthly return is coloured lightly, more and most."""
EMPTY = "Nothing is stored yet."
BOX = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of the quantiles that a chart of a forecast shows."""


@dataclass(frozen=True, slots=True)
class Part:
    """A section.

    Parameters
    ----------
    charts
        SVG texts.
    heat
        For each row and column of the first table what colour a cell has: ``p3`` to ``n3``, or empty.
    note
        What else there is to say.
    anchor
        Section of the portfolio's page where its numbers lead to their explanations; empty if there is none.
    """

    title: str
    charts: Sequence[str] = ()
    tables: Sequence[ChartTable] = ()
    heat: Sequence[Sequence[str]] = ()
    note: str = ""
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A tear sheet.

    Parameters
    ----------
    figures
        Label, text and explaining address of what stands on top.
    notice
        Of the data; empty without any.
    """

    title: str
    subtitle: str
    notice: str
    as_of: date
    figures: Sequence[tuple[str, str, str]]
    parts: Sequence[Part] = field(default=())


def sheet_of(
    report: PortfolioReport, exceptions: str | None, fan: str | None, writes: Sequence[Materialization]
) -> Sheet:
    """The sheet of a report.

    Parameters
    ----------
    exceptions, fan
        Charts that the report does not have the values of; None where there is none.
    writes
        That stored what the report took from the database.
    """
    portfolio = report.portfolio
    held = f"{len(portfolio.positions)} position{'' if len(portfolio.positions) == 1 else 's'}"
    parts = [
        _performance(report),
        _drawdowns(report),
        _monthly_returns(report),
        _tails(report, exceptions),
        _stress(report),
        _contributions(report),
        _simulations(report, fan),
        _forecasts(report),
        _limits(report),
        _data(report, writes),
    ]
    return Sheet(
        portfolio.name,
        f"{held} in {portfolio.base_currency}, {policy_words(portfolio.rebalancing, portfolio.drift_band).lower()}",
        report.notice or "",
        report.as_of,
        _figures(report),
        parts,
    )


def _figures(report: PortfolioReport) -> list[tuple[str, str, str]]:
    told, subject = [], _subject(report)
    if report.performance is not None and report.performance.value is not None:
        worth = money(report.performance.value, report.portfolio.base_currency)
        told.append(("Worth", worth, why(f"{subject}/value", measure="value")))
    known = {m.name: by_unit(m.value, m.unit) for m in report.measures.measures} if report.measures else {}
    measured = [(label, known.get(name, MISSING), why(subject, measure=name)) for name, label in FIGURES]
    return told + [(label, text, "" if text == MISSING else address) for label, text, address in measured]


def _part(
    title: str,
    drawn: Sequence[str | None],
    tables: Sequence[ChartTable],
    empty: str = EMPTY,
    anchor: str = "",
) -> Part:
    known = [table for table in tables if table.rows]
    shown = [svg for svg in drawn if svg is not None]
    return Part(title, shown, known, note="" if known else empty, anchor=anchor if known else "")


def _missing(report: PortfolioReport, title: str, section: str) -> Part:
    return Part(title, note=f"Not available: {report.unavailable.get(section, 'nothing is stored yet')}")


def _performance(report: PortfolioReport) -> Part:
    found = report.performance
    if found is None:
        return _missing(report, "Performance", "performance")
    rows = [
        [words(row.name), percent(row.total_return), percent(row.annual_return), percent(row.benchmark_return)]
        for row in found.trailing
    ]
    links = []
    for row in found.trailing:
        earned = _earned(report, "total_return", row.start, found.as_of)
        against = _earned(report, "benchmark_return", row.start, found.as_of)
        known = (row.total_return, row.annual_return, row.benchmark_return)
        addresses = zip(known, (earned, earned, against), strict=True)
        links.append(["", *("" if value is None else address for value, address in addresses)])
    heads = ("Period", "Return", "A year", "Benchmark")
    table = ChartTable(f"Up to {found.as_of}", heads, rows, links=links)
    return _part("Performance", [_wealth(found.curve)], [table])


def _subject(report: PortfolioReport) -> str:
    """Address of the portfolio's page."""
    return portfolio_at(report.portfolio.slug or str(report.portfolio.id))


def _earned(report: PortfolioReport, measure: str, start: date, end: date | None) -> str:
    """What explains a return from the last close up to one day to that of another."""
    return why(f"{_subject(report)}/history", measure=measure, start=start, session=end or report.as_of)


def _wealth(curve: CurveOut) -> str:
    lines: list[Layer] = [Line("portfolio", np.array(curve.wealth))]
    if curve.benchmark is not None:
        lines.append(Line("benchmark", np.array(curve.benchmark), "b"))
    sessions = np.array(curve.sessions, dtype="datetime64[D]")
    return TimeChart(f"Wealth of 1 invested on {curve.sessions[0]}", sessions, lines, number).svg()


def _drawdowns(report: PortfolioReport) -> Part:
    found = report.performance
    if found is None:
        return _missing(report, "Drawdowns", "performance")
    wealth = np.array(found.curve.wealth)
    sessions = np.array(found.curve.sessions, dtype="datetime64[D]")
    drawn = charts.falls_chart(wealth[1:] / wealth[:-1] - 1.0, sessions, _subject(report))
    return _part("Drawdowns", [drawn.svg], [drawn.table] if drawn.table else [], "It never fell.")


def _monthly_returns(report: PortfolioReport) -> Part:
    found = report.performance
    if found is None:
        return _missing(report, "Monthly returns", "performance")
    earned = {month.start: month.total_return for month in found.months}
    rows, heat, links = [], [], []
    for year in found.years[: -MOST_YEARS - 1 : -1]:
        values = [earned.get(date(year.start.year, month, 1)) for month in range(1, 13)]
        rows.append([str(year.start.year), *(percent(value) for value in values), percent(year.total_return)])
        heat.append(["", *(_heat(value) for value in values), ""])
        starts = [date(year.start.year, month, 1) for month in range(1, 13)]
        ends = [*starts[1:], date(year.start.year + 1, 1, 1)]
        links.append([""])
        for first, end, value in zip(
            [*starts, starts[0]], [*ends, ends[-1]], [*values, year.total_return], strict=True
        ):
            links[-1].append("" if value is None else _of_days(report, first, end))
    heads = ("Year", *MONTHS, "Year's")
    table = ChartTable("The first and the last may be incomplete", heads, rows, links=links)
    return replace(_part("Monthly returns", [], [table]), heat=heat)


def _of_days(report: PortfolioReport, first: date, end: date) -> str:
    """What explains the return of the days before `end`."""
    last = min(end - timedelta(days=1), report.as_of)
    return _earned(report, "total_return", first - timedelta(days=1), last)


def _heat(value: float | None) -> str:
    level = 0 if value is None else sum(abs(value) >= bound for bound in HEAT)
    return f"{'p' if (value or 0.0) > 0.0 else 'n'}{level}" if level else ""


def _tails(report: PortfolioReport, exceptions: str | None) -> Part:
    title = "Value at risk and expected shortfall"
    if report.tails is None:
        return _missing(report, title, "tails")
    of_session = [row for row in report.tails.tails if row.horizon_sessions == 1]
    figures = {(row.method, row.confidence): row for row in of_session}
    judged = {b.method: b for b in report.backtests.backtests if b.measure == "var_99_1d"} if report.backtests else {}
    rows = []
    for method in dict.fromkeys(row.method for row in of_session):
        known = [figures.get((method, level)) for level, _, _ in TAILS]
        values = [None if row is None else getattr(row, kind) for row, (_, kind, _) in zip(known, TAILS, strict=True)]
        verdict = [MISSING] * 4
        if method in judged:
            test = judged[method]
            hits = f"{count(test.exceptions)} of {count(test.observations)}"
            chances = [ratio(test.kupiec_p_value, 3), ratio(test.independence_p_value, 3)]
            verdict = [hits, *chances, test.traffic_light or MISSING]
        rows.append([words(method), *(percent(value, 2) for value in values), *verdict])
    heads = ("Method", *(label for _, _, label in TAILS), "Exceptions", "Kupiec p", "Indep. p", "Basel")
    caption = f"Of the session after {report.tails.as_of}; backtests of the published VaR 99 %"
    return _part(title, [exceptions], [ChartTable(caption, heads, rows)], anchor="tail")


def _stress(report: PortfolioReport) -> Part:
    crises = [row for row in report.stress.scenarios if row.kind == "historical"] if report.stress else []
    rows = [[words(row.scenario), percent(row.total), percent(row.worst_total)] for row in crises]
    caption = f"Holdings of {crises[0].session}" if crises else ""
    drawn = charts.stress_chart(crises).svg if crises else None
    return _part(
        "Past crises", [drawn], [ChartTable(caption, ("Scenario", "At the end", "Deepest"), rows)], anchor="stress"
    )


def _contributions(report: PortfolioReport) -> Part:
    title = "Contributions to risk"
    if report.contributions is None:
        return _missing(report, title, "contributions")
    shown = sorted(report.contributions.positions, key=lambda row: -row.volatility_component)[:MOST_POSITIONS]
    bars = [Bar(row.symbol, row.volatility_component) for row in shown]
    rows = [
        [
            row.symbol,
            percent(row.weight),
            *(percent(v, 2) for v in (row.volatility_component, row.var_99_1d_component, row.es_975_1d_component)),
        ]
        for row in shown
    ]
    heads = ("Position", "Weight", "Volatility", "VaR 99 %", "ES 97.5 %")
    caption = f"Parts of one session's risk at {report.contributions.as_of}; {len(shown)} of {count(_held(report))}"
    drawn = BarChart("Parts of the volatility by position", bars, decimals=2).svg()
    return _part(title, [drawn], [ChartTable(caption, heads, rows)], anchor="contributions")


def _held(report: PortfolioReport) -> int:
    return len(report.portfolio.positions)


def _simulations(report: PortfolioReport, fan: str | None) -> Part:
    found = report.simulations.simulations if report.simulations else []
    names = ("return_05", "return_50", "return_95", "probability_of_loss", "var_99", "es_975", "es_99")
    rows = [[words(row.model), *(percent(getattr(row, name)) for name in names)] for row in found]
    heads = ("Model", "5 %", "50 %", "95 %", "P(loss)", "VaR 99", "ES 97.5", "ES 99")
    caption = ""
    if found:
        first = found[0]
        caption = f"{first.horizon_sessions} sessions from {first.session}, {count(first.paths)} paths a model"
    return _part("One simulated year", [fan], [ChartTable(caption, heads, rows)], anchor="simulation")


def _forecasts(report: PortfolioReport) -> Part:
    if report.forecasts is None:
        return _missing(report, "Forecasts", "forecasts")
    found = report.forecasts.forecasts
    intervals, rows = [], []
    for model in found.quantiles:
        values = {level.level: level.value for level in model.quantiles}
        if all(level in values for level in BOX):
            intervals.append(Interval(words(model.model), *(values[level] for level in BOX)))
        rows += [[words(model.model), f"{level:.1%}".replace("%", " %"), percent(v, 2)] for level, v in values.items()]
    expected = [
        [words(model.model), str(horizon.horizon_sessions), percent(horizon.volatility)]
        for model in found.volatility
        for horizon in model.horizons
    ]
    drawn = IntervalChart("Return of the next session by model", intervals).svg() if intervals else None
    quantiles = ChartTable(f"Return of the session after {found.as_of}", ("Model", "Level", "Quantile"), rows)
    volatility = ChartTable(f"Volatility expected as of {found.as_of}", ("Model", "Sessions", "A year"), expected)
    return _part("Forecasts", [drawn], [volatility, quantiles])


def _limits(report: PortfolioReport) -> Part:
    if report.limits is None:
        return _missing(report, "Limits", "limits")
    units = {measure.name: measure.unit for measure in report.measures.measures} if report.measures else {}
    rows = []
    for limit in report.limits.limits:
        unit = units.get(limit.measure, "ratio")
        values = [by_unit(value, unit) for value in (limit.value, limit.warn, limit.breach)]
        rows.append([f"{limit.measure} ({limit.direction})", *values, limit.status.lower()])
    heads = ("Measure", "Value", "Warning", "Breach", "State")
    return _part("Limits", [], [ChartTable(f"At {report.limits.as_of}", heads, rows)], "None are set.", "limits")


def _data(report: PortfolioReport, writes: Sequence[Materialization]) -> Part:
    """Where everything comes from, and what each part stands on."""
    sections: Mapping[str, Section | None] = {
        name: value for name in type(report).model_fields if isinstance(value := getattr(report, name), Section)
    }
    computed = [name for name, section in sections.items() if section is not None and section.source == "computed"]
    rows = [[w.asset, str(w.id), moment(w.finished_at), w.code_version[:12] or MISSING, w.run_id[:36]] for w in writes]
    links = [["", f"/writes/{w.id}", "", "", ""] for w in writes]
    heads = ("Asset", "Write", "Finished", "Code", "Run")
    note = f"Computed for this sheet from the stored prices: {', '.join(computed) or 'nothing'}."
    if report.unavailable:
        note += " Not available: " + "; ".join(f"{name}: {why}" for name, why in report.unavailable.items()) + "."
    return replace(_part("Data", [], [ChartTable("Writes of what is stored", heads, rows, links=links)]), note=note)
