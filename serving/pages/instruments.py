"""The list of instruments, and the page of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Response
from psycopg import Connection

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.factor_exposures import FactorExposureRow, read_factor_exposures
from pipeline.store.instrument_risk import read_instrument_risk
from pipeline.store.instruments import Instrument, read_instrument, read_instruments
from pipeline.store.prices import Bar as PriceBar
from pipeline.store.prices import read_bars
from pipeline.store.quantile_forecasts import QuantileForecastRow, read_quantile_forecasts
from pipeline.store.reading import Window
from pipeline.store.risk_columns import MEASURE_COLUMNS, RiskRow
from pipeline.store.volatility_forecasts import VolatilityForecastRow, read_volatility_forecasts
from serving.deps import Database
from serving.inputs import InstrumentPath
from serving.pages.chart_tables import over_time
from serving.pages.charts import Band, Bars, Layer, Line, TimeChart
from serving.pages.drawing import ChartTable, Drawn, Tone, number
from serving.pages.formats import percent, words
from serving.pages.links import Explained, instrument_at, why
from serving.pages.rendering import PageRoute, page
from serving.pages.results import newest_group
from serving.pages.row_charts import Bar, BarChart
from serving.references import references

SESSIONS = 504
"""Of prices and volatility: two years."""

FORECASTS = 252
"""Of the quantile band: one year."""

_TONES: tuple[Tone, ...] = ("c", "loss")

router = APIRouter(prefix="/instruments", route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Series:
    """What is stored of an instrument over time, oldest first.

    Parameters
    ----------
    subject
        Address of its page.
    """

    subject: str
    instrument: Instrument
    bars: list[PriceBar]
    risk: list[RiskRow]
    volatility: list[VolatilityForecastRow]
    quantiles: list[QuantileForecastRow]
    factors: list[FactorExposureRow]


@router.get("")
def instruments_page(database: Database) -> Response:
    """Every instrument."""
    with database.reading() as connection:
        instruments = read_instruments(connection)
        notice = database.notice(connection)
    return page("instruments.html", notice, instruments=instruments, references=references(instruments))


@router.get("/{symbol}")
def instrument_page(symbol: InstrumentPath, database: Database) -> Response:
    """An instrument: its price, how much it moves, what is expected of it, and what moves it."""
    with database.reading() as connection:
        found = read_of(connection, symbol)
        notice = database.notice(connection)
    drawn: dict[str, Any] = {f"{name}_chart": draw(found) for name, draw in CHARTS.items()}
    return page(
        "instrument.html",
        notice,
        instrument=found.instrument,
        reference=symbol,
        found=found,
        risk=found.risk[-1] if found.risk else None,
        measures=MEASURE_COLUMNS,
        forecasts=_newest_of_each(found.volatility),
        quantiles=found.quantiles[-1] if found.quantiles else None,
        **drawn,
    )


def read_of(connection: Connection, symbol: str) -> Series:
    """All that the page of an instrument shows."""
    instrument = read_instrument(connection, symbol)
    number_of, window = instrument.id, Window(limit=SESSIONS)
    return Series(
        instrument_at(symbol),
        instrument,
        read_bars(connection, number_of, window),
        read_instrument_risk(connection, number_of, window),
        # A row a session and model: two models leave a year.
        read_volatility_forecasts(connection, number_of, window),
        read_quantile_forecasts(connection, number_of, Window(limit=FORECASTS)),
        newest_group(read_factor_exposures, connection, number_of),
    )


def _price_chart(found: Series) -> Drawn:
    title = f"Adjusted close of {found.instrument.symbol} in {found.instrument.currency}"
    close = _column(found.bars, "close_adjusted")
    chart = TimeChart(title, _days(found.bars, "session"), [Line("adjusted close", close)], number)
    return over_time(chart, {"adjusted close": lambda day: why(f"{found.subject}/prices", session=day)})


def _volatility_chart(found: Series) -> Drawn:
    """Rolling volatility, and what each model forecast of the 21 sessions after."""
    days = _days(found.risk, "session")
    layers: list[Layer] = [
        Line("252 sessions", _column(found.risk, "volatility")),
        Line("EWMA", _column(found.risk, "volatility_ewma"), "b"),
    ]
    explained: dict[str, Explained] = {
        "252 sessions": lambda day: why(found.subject, measure="volatility", session=day),
        "EWMA": lambda day: why(found.subject, measure="volatility_ewma", session=day),
    }
    models = sorted({row.model for row in found.volatility})
    for model, tone in zip(models, _TONES, strict=False):
        rows = [row for row in found.volatility if row.model == model]
        values = _on(days, _days(rows, "as_of"), _column(rows, "volatility_21d"))
        layers.append(Line(f"21-session forecast, {words(model)}", values, tone))
        explained[layers[-1].name] = partial(_why_forecast, found.subject, model)
    return over_time(TimeChart("Annualised volatility and its forecasts", days, layers), explained)


def _why_forecast(subject: str, model: str, session: str) -> str:
    return why(f"{subject}/forecasts/volatility", model=model, measure="volatility_21d", session=session)


def _quantiles_chart(found: Series) -> Drawn:
    """Each return inside the band that was forecast of it one session before."""
    bars, rows = found.bars, found.quantiles[:-1] if found.quantiles else []
    title = "Daily returns against the quantiles forecast the session before"
    if len(bars) < 2 or not rows:
        return Drawn(TimeChart(title, np.empty(0, "datetime64[D]"), []).svg())
    sessions, returns = _days(bars, "session"), simple_returns(_column(bars, "close_adjusted"))
    made, places = _days(rows, "as_of"), np.searchsorted(_days(bars, "session"), _days(rows, "as_of"))
    known = places < len(returns)
    known[known] &= sessions[places[known]] == made[known]
    of = {level: _column(rows, f"quantile_{level}")[known] for level in ("0010", "0050", "0250", "0750", "0950")}
    came, judged = returns[places[known]], sessions[places[known] + 1]
    layers: list[Layer] = [
        Band("5 to 95 %", of["0050"], of["0950"]),
        Band("25 to 75 %", of["0250"], of["0750"], is_inner=True),
        Bars("daily return", came, "muted", came < of["0010"], "below the 1 % quantile"),
        Line("1 % quantile", of["0010"], "b"),
    ]
    forecast_by = [row for row, kept in zip(rows, known, strict=True) if kept]
    return Drawn(TimeChart(title, judged, layers).svg(), _misses(found.subject, judged, came, forecast_by))


def _misses(
    subject: str, sessions: DateArray, came: FloatArray, rows: Sequence[QuantileForecastRow]
) -> ChartTable | None:
    """The returns below the 1 % quantile of the row that was forecast of each."""
    outer = _column(rows, "quantile_0010")
    places = np.flatnonzero(came < outer).tolist()
    cells = [[str(sessions[i]), percent(came[i], 2), percent(outer[i], 2)] for i in places]
    links = [
        [
            "",
            why(f"{subject}/prices", measure="daily_return", session=sessions[i]),
            why(
                f"{subject}/forecasts/quantiles",
                model=rows[i].model,
                measure="quantile_0010",
                session=rows[i].as_of,
            ),
        ]
        for i in places
    ]
    caption = f"The {len(cells)} of {len(sessions)} returns below the 1 % quantile"
    return ChartTable(caption, ("Session", "Return", "1 % quantile"), cells, links=links) if cells else None


def _factors_chart(found: Series) -> Drawn:
    bars = [Bar(row.factor, row.exposure_ols) for row in found.factors]
    return Drawn(BarChart("Exposure to the factor funds (OLS)", bars, number, decimals=2).svg())


CHARTS: dict[str, Callable[[Series], Drawn]] = {
    "price": _price_chart,
    "volatility": _volatility_chart,
    "quantiles": _quantiles_chart,
    "factors": _factors_chart,
}


def _newest_of_each(rows: Sequence[VolatilityForecastRow]) -> list[VolatilityForecastRow]:
    """The last forecast of each model."""
    return [row for _, row in sorted({row.model: row for row in rows}.items())]


def _days(rows: Sequence[Any], name: str) -> DateArray:
    return np.array([getattr(row, name) for row in rows], dtype="datetime64[D]")


def _column(rows: Sequence[Any], name: str) -> FloatArray:
    """(n,) NaN where a row has no value."""
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)


def _on(days: DateArray, given: DateArray, values: FloatArray) -> FloatArray:
    """(n,) the values on other days, NaN where there is none."""
    found = np.full(len(days), np.nan)
    places = np.searchsorted(days, given)
    known = places < len(days)
    known[known] &= days[places[known]] == given[known]
    found[places[known]] = values[known]
    return found
