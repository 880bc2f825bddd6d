"""The tables that `fintech run` ends with."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import Connection
from rich.table import Table

from fintech.outlook import Outlook, read_outlooks
from pipeline.store.instrument_risk import read_instrument_risk
from pipeline.store.instruments import read_instruments
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolios import read_portfolios
from pipeline.store.reading import LATEST
from pipeline.store.risk_columns import RiskRow

_RISK_COLUMNS: tuple[tuple[str, Callable[[RiskRow], str]], ...] = (
    ("return", lambda row: percent(row.cagr)),
    ("volatility", lambda row: percent(row.volatility)),
    ("Sharpe", lambda row: number(row.sharpe_ratio)),
    ("drawdown", lambda row: percent(row.max_drawdown)),
    ("VaR\n95", lambda row: percent(row.var_95_1d)),
    ("VaR\n99", lambda row: percent(row.var_99_1d)),
    ("ES\n97.5", lambda row: percent(row.es_975_1d)),
)
_FORECAST_COLUMNS = ("vol\n1d", "vol\n21d", "1 %\n1d", "5 %\n1d", "95 %\n1d")
_YEAR_COLUMNS = ("5 %\n1y", "50 %\n1y", "95 %\n1y")
_TEXT_COLUMNS = ("subject", "to")


def summary_tables(connection: Connection) -> list[Table]:
    """Every table, fit for a terminal of 80 columns; instruments first, then portfolios.

    Figures are in percent but for the Sharpe ratio.
    """
    return [_measured_table(connection), _expected_table(connection)]


def _measured_table(connection: Connection) -> Table:
    table = _table("What was, in %: the last 252 sessions", ["subject", "to", *(name for name, _ in _RISK_COLUMNS)])
    for instrument in read_instruments(connection):
        if instrument.delisted_on is not None:
            continue
        for row in read_instrument_risk(connection, instrument.id, LATEST):
            table.add_row(instrument.symbol, *_risk_cells(row))
    table.add_section()
    for portfolio in read_portfolios(connection):
        for row in read_portfolio_risk(connection, portfolio.id, LATEST):
            table.add_row(portfolio.slug or str(portfolio.id), *_risk_cells(row))
    return table


def _expected_table(connection: Connection) -> Table:
    table = _table(
        "What may come, in %: forecast returns | one simulated year",
        ["subject", *_FORECAST_COLUMNS, *_YEAR_COLUMNS],
    )
    for outlook in read_outlooks(connection):
        table.add_row(outlook.name, *_outlook_cells(outlook))
    return table


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="left" if column in _TEXT_COLUMNS else "right", no_wrap=True)
    return table


def _risk_cells(row: RiskRow) -> list[str]:
    return [str(row.session), *(cell(row) for _, cell in _RISK_COLUMNS)]


def _outlook_cells(outlook: Outlook) -> list[str]:
    forecast, year = outlook.forecast, outlook.year
    ahead = (
        [None] * len(_FORECAST_COLUMNS)
        if forecast is None
        else [
            forecast.volatility_1d,
            forecast.volatility_21d,
            forecast.quantile_01,
            forecast.quantile_05,
            forecast.quantile_95,
        ]
    )
    simulated = [None] * len(_YEAR_COLUMNS) if year is None else [year.return_05, year.return_50, year.return_95]
    return [percent(value) for value in (*ahead, *simulated)]


def percent(value: float | None) -> str:
    """A fraction in percent with one decimal; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"


def number(value: float | None) -> str:
    """A plain number with two decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"
