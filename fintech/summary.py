"""The tables that `fintech run` ends with."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from psycopg import Connection
from rich.table import Table

from pipeline.store.instrument_risk import read_instrument_risk
from pipeline.store.instruments import read_instruments
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolio_simulations import SimulationRow, read_portfolio_simulations
from pipeline.store.portfolios import read_portfolios
from pipeline.store.quantile_forecasts import QuantileForecastRow, read_quantile_forecasts
from pipeline.store.reading import LATEST, Window
from pipeline.store.risk_columns import RiskRow
from pipeline.store.volatility_forecasts import VolatilityForecastRow, read_volatility_forecasts

SHOWN_VOLATILITY_MODEL = "har"
MODELS_AT_MOST = Window(limit=8)
"""Newest rows of a subject, enough to hold every model of the newest session."""

_RISK_COLUMNS: tuple[tuple[str, Callable[[RiskRow], str]], ...] = (
    ("return", lambda row: percent(row.cagr)),
    ("vol", lambda row: percent(row.volatility)),
    ("Sharpe", lambda row: number(row.sharpe_ratio)),
    ("draw-\ndown", lambda row: percent(row.max_drawdown)),
    ("VaR\n95", lambda row: percent(row.var_95_1d)),
    ("VaR\n99", lambda row: percent(row.var_99_1d)),
    ("ES\n97.5", lambda row: percent(row.es_975_1d)),
)
_TEXT_COLUMNS = ("symbol", "portfolio", "rebalancing", "model", "to")


def summary_tables(connection: Connection) -> list[Table]:
    """Every table, fit for a terminal of 80 columns; figures are in percent but for the Sharpe ratio."""
    return [_instrument_table(connection), _portfolio_table(connection), _simulation_table(connection)]


def _instrument_table(connection: Connection) -> Table:
    table = _table(
        "Instruments, in %: last 252 sessions | forecast vol and quantiles",
        ["symbol", *(name for name, _ in _RISK_COLUMNS), "vol\n1d", "vol\n21d", "q1\n1d", "q5\n1d", "q95\n1d"],
    )
    for instrument in read_instruments(connection):
        for row in read_instrument_risk(connection, instrument.id, LATEST):
            forecasts = read_volatility_forecasts(connection, instrument.id, MODELS_AT_MOST)
            quantiles = read_quantile_forecasts(connection, instrument.id, LATEST)
            cells = [*_risk_cells(row), *_volatility_cells(forecasts), *_quantile_cells(quantiles)]
            table.add_row(instrument.symbol, *cells)
    return table


def _portfolio_table(connection: Connection) -> Table:
    table = _table(
        "Portfolios, in %: last 252 sessions", ["portfolio", "rebalancing", "to", *(name for name, _ in _RISK_COLUMNS)]
    )
    for portfolio in read_portfolios(connection):
        for row in read_portfolio_risk(connection, portfolio.id, LATEST):
            name = portfolio.slug or str(portfolio.id)
            table.add_row(name, portfolio.rebalancing.replace("_", " "), str(row.session), *_risk_cells(row))
    return table


def _simulation_table(connection: Connection) -> Table:
    table = _table(
        "Portfolios, in %: return over one simulated year",
        ["portfolio", "model", "5 %", "50 %", "95 %", "VaR\n99", "ES\n97.5", "P(loss)"],
    )
    for portfolio in read_portfolios(connection):
        for row in _newest(read_portfolio_simulations(connection, portfolio.id, MODELS_AT_MOST)):
            figures = (row.return_05, row.return_50, row.return_95, row.var_99, row.es_975, row.probability_of_loss)
            name = portfolio.slug or str(portfolio.id)
            table.add_row(name, row.model.replace("_", " "), *(percent(figure) for figure in figures))
    return table


def _newest(rows: list[SimulationRow]) -> Iterable[SimulationRow]:
    return (row for row in rows if row.session == rows[-1].session)


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, justify="left" if column in _TEXT_COLUMNS else "right", no_wrap=True)
    return table


def _risk_cells(row: RiskRow) -> list[str]:
    return [cell(row) for _, cell in _RISK_COLUMNS]


def _volatility_cells(rows: list[VolatilityForecastRow]) -> list[str]:
    newest = [row for row in rows if row.model == SHOWN_VOLATILITY_MODEL and row.as_of == rows[-1].as_of]
    return [percent(newest[0].volatility_1d), percent(newest[0].volatility_21d)] if newest else ["–", "–"]


def _quantile_cells(rows: list[QuantileForecastRow]) -> list[str]:
    if not rows:
        return ["–"] * 3
    return [percent(value) for value in (rows[0].quantile_0010, rows[0].quantile_0050, rows[0].quantile_0950)]


def percent(value: float | None) -> str:
    """A fraction in percent with one decimal; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"


def number(value: float | None) -> str:
    """A plain number with two decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"
