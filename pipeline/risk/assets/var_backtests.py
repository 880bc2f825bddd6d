"""Asset ``var_backtests``: whether every published value at risk was right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from pipeline.base.types import DateArray, FloatArray, IntArray, MonthRange, SetUnits
from pipeline.orchestration.checks import CheckOutcome, Columns
from pipeline.orchestration.each_portfolio import COMPUTED_SPEC, MOST_SAMPLES, each_portfolio
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.assets.month_ends import month_end_rows
from pipeline.risk.assets.reach import reach_starts
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.rolling_backtests import MOST_OBSERVATIONS, JudgedForecasts, rolling_backtests
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import RiskSpec, simple_returns
from pipeline.risk.report import held_series
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.instrument_risk import read_instrument_tails
from pipeline.store.instruments import Instrument, read_instruments
from pipeline.store.packed_series import Series
from pipeline.store.portfolio_risk import read_portfolio_risk_tails
from pipeline.store.portfolio_tails import read_tail_history
from pipeline.store.portfolio_units import PORTFOLIO_UNITS, read_set_units
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.var_backtests import VAR_BACKTEST
from pipeline.store.writing import Write, concatenated

LOOK_BACK_MONTHS = 50
"""1,000 sessions are 48 months; a forecast is judged by the session after it."""

PRICE_MONTHS = LOOK_BACK_MONTHS + 4
"""What was earned first was earned with weights that were set up to three months before."""

INSTRUMENT_METHOD = "historical"
"""Of `instrument_risk`."""

WINDOW_METHOD = f"historical_{RiskSpec().window_sessions}"
"""Of `portfolio_risk`, whose window is shorter than that of ``historical`` in `portfolio_tail`."""

REJECTED_BELOW = 0.01

JUDGED_METHOD = "filtered_historical"
"""The method that readers are pointed to: its failure is an alarm. That a Gaussian tail is too thin is known, and is
listed beside it."""

LIGHT_SPEC = (
    "traffic_light_not_red",
    f"No series by {JUDGED_METHOD} is in Basel's red zone at its newest session.",
)
COVERAGE_SPEC = (
    "coverage_not_rejected",
    f"Kupiec's test rejects no series by {JUDGED_METHOD} at 1 % at its newest session.",
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A published value at risk, and the expected shortfall at the same confidence; None where none is published."""

    var: str
    es: str | None
    confidence: float


PORTFOLIO_MEASURES = (
    Measure("var_95_1d", "es_95_1d", 0.95),
    Measure("var_975_1d", "es_975_1d", 0.975),
    Measure("var_99_1d", "es_99_1d", 0.99),
)
RISK_MEASURES = (Measure("var_95_1d", None, 0.95), Measure("var_99_1d", "es_99_1d", 0.99))


@dataclass(frozen=True, slots=True)
class Earned:
    """What a subject earned.

    Parameters
    ----------
    sessions
        (t,) on which it has a value.
    returns
        (t-1,) from each session to the next.
    """

    sessions: DateArray
    returns: FloatArray


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose figures are tested, and by which method they were made."""

    kind: str
    id: int
    method: str


def backtest_figures(rows: Columns) -> dict[str, float]:
    """Over the series of a month's end; left out while none is long enough."""
    kupiec, independence = rows["kupiec_p_value"], rows["independence_p_value"]
    tested = np.isfinite(kupiec)
    if not tested.any():
        return {}
    return {
        "mean_exceptions_over_expected_ratio": float(
            np.mean(rows["exceptions"][tested] / rows["expected_exceptions"][tested])
        ),
        "coverage_rejected_fraction": float(np.mean(kupiec[tested] < REJECTED_BELOW)),
        "independence_rejected_fraction": float(np.mean(independence[tested] < REJECTED_BELOW)),
        "red_series_count": float((rows["traffic_light"] == b"red").sum()),
    }


@TableAsset(
    table=VAR_BACKTEST,
    location="risk",
    inputs={
        "instruments": None,
        PORTFOLIOS_INPUT: None,
        PORTFOLIO_UNITS: PRICE_MONTHS,
        "prices": PRICE_MONTHS,
        FX_RATES: PRICE_MONTHS + 1,
        "instrument_risk": LOOK_BACK_MONTHS,
        "portfolio_risk": LOOK_BACK_MONTHS,
        "portfolio_tail": LOOK_BACK_MONTHS,
    },
    figures=backtest_figures,
    headline="kupiec_p_value",
    headline_subject={"measure": "var_99_1d"},
    check_specs=(COMPUTED_SPEC, LIGHT_SPEC, COVERAGE_SPEC),
)
def var_backtests(write: Write, months: MonthRange) -> Produced:
    """Backtests of every published value at risk, at the last session of each month."""
    instruments = read_instruments(write.connection)
    portfolios = read_portfolios(write.connection)
    ids = [instrument.id for instrument in instruments]
    panel = read_price_panel(write.connection, ids, months.back(PRICE_MONTHS), months.end)
    units = read_set_units(write.connection, portfolios, months.back(PRICE_MONTHS), months.end)
    since = months.back(LOOK_BACK_MONTHS)
    tails = read_portfolio_forecasts(write.connection, since, months.end)
    blocks, computed = each_portfolio(
        portfolios, lambda portfolio: portfolio_rows(panel, portfolio, tails, months, units), MeasureInputError
    )
    forecasts = read_instrument_tails(write.connection, since, months.end)
    for instrument in instruments:
        if (instrument.id,) in forecasts:
            blocks += list(instrument_rows(panel, instrument, forecasts[instrument.id,], months))
    rows = concatenated(VAR_BACKTEST, blocks)
    names = _names(portfolios, instruments)
    return Produced(
        rows,
        checks=[computed, light_outcome(rows, names), coverage_outcome(rows, names)],
        empty_because="no forecast could be judged by the end of this month",
    )


def read_portfolio_forecasts(connection: Connection, start: date, end: date) -> dict[tuple[int, str], Series]:
    """(portfolio_id, method) → what was forecast in ``[start, end)``, by `WINDOW_METHOD` and those of `VAR_METHODS`."""
    risk = read_portfolio_risk_tails(connection, start, end)
    of_window = {(portfolio_id, WINDOW_METHOD): series for (portfolio_id,), series in risk.items()}
    return read_tail_history(connection, start, end) | of_window


def portfolio_rows(
    panel: PricePanel,
    portfolio: Portfolio,
    tails: Mapping[tuple[int, str], Series],
    months: MonthRange,
    units: Mapping[int, SetUnits] = MappingProxyType({}),
) -> Iterator[Columns]:
    """The backtests of a portfolio: what it earned under its rebalancing against each method that forecast it.

    Parameters
    ----------
    tails
        Of `read_portfolio_forecasts`.
    units
        Portfolio with a drift band → what it holds; none for a panel from its first session on.

    Raises
    ------
    MeasureInputError
        If the portfolio is worth nothing or less on a session.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    close = panel.columns([position.instrument_id for position in portfolio.positions], portfolio.base_currency)
    if not np.isfinite(close).all(axis=1).any():
        return
    holdings = Holdings(portfolio.amounts, *portfolio.policy, units.get(portfolio.id))
    series = held_series(close, panel.sessions, None, holdings)
    earned = Earned(series.sessions, series.held.returns)
    for method in (*VAR_METHODS, WINDOW_METHOD):
        if (portfolio.id, method) in tails:
            yield from backtest_rows(
                Subject("portfolio", portfolio.id, method),
                earned,
                tails[portfolio.id, method],
                RISK_MEASURES if method == WINDOW_METHOD else PORTFOLIO_MEASURES,
                months,
            )


def instrument_rows(
    panel: PricePanel, instrument: Instrument, forecasts: Series, months: MonthRange
) -> Iterator[Columns]:
    """The backtests of an instrument against `instrument_risk`."""
    close = panel.column(instrument.id)
    priced = np.isfinite(close)
    if not priced.any():
        return
    earned = Earned(panel.sessions[priced], simple_returns(close[priced]))
    subject = Subject("instrument", instrument.id, INSTRUMENT_METHOD)
    yield from backtest_rows(subject, earned, forecasts, RISK_MEASURES, months)


def backtest_rows(
    subject: Subject,
    earned: Earned,
    forecasts: Series,
    measures: tuple[Measure, ...],
    months: MonthRange,
) -> Iterator[Columns]:
    """A row a month's end on which a forecast had been judged, and measure.

    The forecast of a session is judged by the return of the next: at a month's end the forecasts up to the session
    before it are known to have been right or wrong.

    Parameters
    ----------
    forecasts
        With the columns of the measures.
    """
    ends = earned.sessions[month_end_rows(earned.sessions, months)]
    for measure in measures:
        var, es = forecasts.values[measure.var], None if measure.es is None else forecasts.values[measure.es]
        known = np.isfinite(var) if es is None else np.isfinite(var) & np.isfinite(es)
        at, place = _judged_at(earned.sessions, forecasts.sessions, known)
        es = None if es is None else es[place]
        judged = JudgedForecasts(earned.returns[at], var[place], es, measure.confidence)
        stops = np.searchsorted(earned.sessions[at + 1], ends, side="right")
        in_reach = np.searchsorted(forecasts.sessions[place], reach_starts(ends, LOOK_BACK_MONTHS))
        starts = np.maximum(in_reach, stops - MOST_OBSERVATIONS)
        some = stops > starts
        yield _columns(subject, measure, ends[some], judged, (starts[some], stops[some]))


def _judged_at(sessions: DateArray, forecast_on: DateArray, known: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Of the known forecasts that a return followed: the return's position, and the forecast's."""
    at = np.searchsorted(sessions, forecast_on)
    is_followed = known & (at < len(sessions) - 1)
    is_followed &= sessions[np.minimum(at, len(sessions) - 1)] == forecast_on
    return at[is_followed], np.flatnonzero(is_followed)


def _columns(
    subject: Subject,
    measure: Measure,
    sessions: DateArray,
    judged: JudgedForecasts,
    parts: tuple[IntArray, IntArray],
) -> Columns:
    made = rolling_backtests(judged, *parts)
    return {
        "subject_kind": np.full(len(sessions), subject.kind.encode()),
        "subject_id": np.full(len(sessions), subject.id, dtype=np.int32),
        "session": sessions,
        "method": np.full(len(sessions), subject.method.encode()),
        "measure": np.full(len(sessions), measure.var.encode()),
        "observations": made.observations.astype(np.int16),
        "exceptions": made.exceptions.astype(np.int16),
        "expected_exceptions": (1.0 - measure.confidence) * made.observations,
        **made.values,
        "traffic_light": made.zones,
        "reason": made.reasons,
    }


Names = Mapping[tuple[bytes, int], str]
"""(subject_kind, subject_id) → what people call it."""


def _names(portfolios: list[Portfolio], instruments: list[Instrument]) -> Names:
    slugs = {(b"portfolio", portfolio.id): portfolio.slug or str(portfolio.id) for portfolio in portfolios}
    return slugs | {(b"instrument", instrument.id): instrument.symbol for instrument in instruments}


def light_outcome(rows: Columns, names: Names) -> CheckOutcome:
    """Whether no judged series is red, a warning: it asks for a better method, and hides no figure."""
    return _outcome(LIGHT_SPEC[0], rows, rows["traffic_light"] == b"red", names)


def coverage_outcome(rows: Columns, names: Names) -> CheckOutcome:
    """Whether no judged series has far too many or too few exceptions."""
    with_too_many_or_few = rows["kupiec_p_value"] < REJECTED_BELOW
    return _outcome(COVERAGE_SPEC[0], rows, with_too_many_or_few, names)


def _outcome(check: str, rows: Columns, is_bad: NDArray[np.bool_], names: Names) -> CheckOutcome:
    """A check that names the bad series at the newest session of the rows."""
    newest = rows["session"].max() if len(rows["session"]) else np.datetime64("NaT", "D")
    found = np.flatnonzero(is_bad & (rows["session"] == newest))
    is_judged = rows["method"][found] == JUDGED_METHOD.encode()
    metadata: dict[str, object] = {"count": int(is_judged.sum()), "count_by_other_methods": int((~is_judged).sum())}
    for name, chosen in (("series", found[is_judged]), ("series_by_other_methods", found[~is_judged])):
        metadata[name] = [_series_name(rows, row, names) for row in chosen[:MOST_SAMPLES].tolist()]
    if len(rows["session"]):
        metadata["session"] = newest.astype(date).isoformat()
    return CheckOutcome(check, not is_judged.any(), blocking=False, metadata=metadata)


def _series_name(rows: Columns, row: int, names: Names) -> str:
    kind, number = bytes(rows["subject_kind"][row]), int(rows["subject_id"][row])
    series = f"{kind.decode()} {names.get((kind, number), number)}"
    return f"{series} {rows['method'][row].decode()} {rows['measure'][row].decode()}"
