"""Explanations of what a report on a subject says: its inputs, the figure from them, and where they are from."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
from psycopg import Connection

from pipeline.base.types import FloatArray
from pipeline.risk.measures.full_report import ReportSpec
from pipeline.risk.measures.risk_free import MOST_DAYS_OLD, QUOTATIONS
from pipeline.store.instruments import Instrument
from pipeline.store.interest_rates import INTEREST_RATES
from serving.routes.explaining.envelope import ExplanationOut, InputsOut, RiskFreeOut
from serving.routes.explaining.figures import Figure, Months, explained, explanation
from serving.routes.explaining.prices import Recomputed, days_of, holdings_inputs, inputs_out
from serving.routes.explaining.reported import MEASURE_FIGURES, ChosenFigure, Measured, told
from serving.routes.explaining.reported_words import reported_definition, reported_parameters
from serving.routes.subjects import Held, Subject

UNDATED = date.min
"""In the figure of returns without dates; the answer has null."""


def explained_report(
    connection: Connection,
    name: str,
    subject: Subject,
    benchmark: Instrument | None,
    spec: ReportSpec,
    chosen: ChosenFigure,
    notice: str | None,
) -> ExplanationOut:
    """Explain a figure of a report on what was read for this request.

    Parameters
    ----------
    name
        What callers call the subject.
    benchmark
        Whose stored prices it is compared with, if it is.
    """
    figure = reported_figure(name, subject, benchmark, spec, chosen)
    inputs = subject_inputs(subject, benchmark, chosen)
    again = told(Measured.again(inputs, len(subject.windows.returns)), spec, chosen)
    return answered(connection, figure, inputs, again.value, notice)


def reported_figure(
    name: str, subject: Subject, benchmark: Instrument | None, spec: ReportSpec, chosen: ChosenFigure
) -> Figure:
    """The figure as the report has it."""
    served = told(Measured.of(subject), spec, chosen)
    held = subject.held
    ids = [*(held.ids if held else ()), *([benchmark.id] if benchmark else [])]
    return Figure(
        name,
        ids,
        UNDATED if subject.sessions is None else subject.sessions[-1].astype(date),
        served.value,
        served.undefined,
        None,
        reported_definition(served, spec, chosen),
        reported_parameters(subject, spec, chosen, served),
        _months_of_rates(subject) if chosen.figure in MEASURE_FIGURES else {},
    )


def answered(
    connection: Connection, figure: Figure, inputs: InputsOut, recomputed: float | str | None, notice: str | None
) -> ExplanationOut:
    """The answer; a caller's own returns have no writes, and perhaps no dates."""
    if figure.instrument_ids:
        return explanation(connection, figure, inputs, recomputed, notice)
    found = explained(figure, inputs, recomputed, notice)
    return found.model_copy(update={"session": None}) if figure.session == UNDATED else found


def subject_inputs(subject: Subject, benchmark: Instrument | None, chosen: ChosenFigure) -> InputsOut:
    """All that a report was made of: closes since the rebalancing before the window, or the caller's returns."""
    windows, held = subject.windows, subject.held
    if held is None:
        sessions = [] if subject.sessions is None else days_of(subject.sessions[1:])
        inputs = InputsOut(sessions=sessions, close={}, exchange_rates={}, returns=windows.returns.tolist())
    else:
        inputs = _of_held(held, subject, benchmark)
    if windows.benchmark is not None and inputs.benchmark_close is None:
        compared = {"benchmark": subject.benchmark, "benchmark_returns": windows.benchmark.tolist()}
        inputs = inputs.model_copy(update=compared)
    if windows.risk_free is not None and chosen.figure in MEASURE_FIGURES:
        inputs = inputs.model_copy(update={"risk_free": _rates_out(subject.risk_free or "", windows.risk_free)})
    return inputs


def _of_held(held: Held, subject: Subject, benchmark: Instrument | None) -> InputsOut:
    window = len(subject.windows.returns)
    own = dict(zip(held.symbols, held.ids, strict=True))
    index = benchmark if subject.benchmark is not None else None
    inputs = holdings_inputs(held.panel, own, held.holdings, held.currency, index, window)
    windows = subject.windows
    return inputs_out(inputs, Recomputed({}, windows.returns, windows.scenarios, held.weights))


def _rates_out(series: str, daily: FloatArray) -> RiskFreeOut:
    quotation = QUOTATIONS[series]
    known = [rate if math.isfinite(rate) else None for rate in daily.tolist()]
    return RiskFreeOut(series=series, daily=known, formula=quotation.formula, source=quotation.source)


def _months_of_rates(subject: Subject) -> dict[str, Months]:
    """Days whose published rates may be among the inputs."""
    if subject.risk_free is None or subject.sessions is None:
        return {}
    known = subject.sessions[~np.isnat(subject.sessions)]
    first, last = known[0].astype(date), known[-1].astype(date)
    return {INTEREST_RATES: (first - timedelta(days=MOST_DAYS_OLD), last)}
