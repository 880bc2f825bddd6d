"""A portfolio under a standard scenario, from what a write knew of its holdings on one session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from psycopg import Connection

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.stress_replays import BETA_SESSIONS, trailing_betas
from pipeline.risk.measures.stress_scenarios import STANDARD_SCENARIOS, Scenario
from pipeline.risk.measures.stress_standing import WINDOW_SESSIONS, Outcomes, Registered, Standing, standing_of
from pipeline.store.factor_exposures import FACTOR_EXPOSURE, FactorExposureRow, read_factor_exposures
from pipeline.store.instruments import Instrument, benchmark_of, factor_funds_of, read_instruments
from pipeline.store.portfolios import Portfolio
from pipeline.store.prices import PricePanel
from pipeline.store.reading import Window
from serving.routes.explaining.envelope import InputsOut
from serving.routes.explaining.figures import Figure, Months
from serving.routes.explaining.prices import (
    Inputs,
    held_window,
    ids_of,
    inputs_out,
    portfolio_inputs,
    read_held_panel,
    symbols_of,
)

MOST_FUNDS = 1_000


@dataclass(frozen=True, slots=True)
class Stood:
    """A portfolio on a session, with all that standard scenarios ask of it.

    Parameters
    ----------
    inputs
        Its closes, and those of the quarter before.
    registered
        Of its positions.
    betas
        (k,) NaN where unknown.
    exposures
        (k, f) NaN where unknown.
    exposure_rows
        Of the table of exposures, those that were used.
    """

    inputs: Inputs
    registered: Registered
    betas: FloatArray
    exposures: FloatArray
    exposure_rows: Sequence[FactorExposureRow]

    @property
    def standing(self) -> Standing:
        """As the core takes it: one session."""
        held = self.inputs.series.held
        rows: IntArray = np.array([len(held.returns)])
        return standing_of(held, rows, self.registered, self.betas[None], self.exposures[None])

    @property
    def exposure_days(self) -> dict[str, Months]:
        """Asset → days of its rows."""
        days = [row.session for row in self.exposure_rows]
        return {FACTOR_EXPOSURE.name: (min(days), max(days))} if days else {}


def read_stood(connection: Connection, portfolio: Portfolio, figure: Figure) -> Stood:
    """What the write of a figure knew of the portfolio on the figure's session."""
    instruments = read_instruments(connection)
    benchmark = benchmark_of(instruments)
    window = max(WINDOW_SESSIONS, BETA_SESSIONS)
    panel = read_held_panel(connection, portfolio, benchmark, figure.session, figure.known, window)
    inputs = portfolio_inputs(panel, portfolio, None, WINDOW_SESSIONS)
    registered = _registered(portfolio, instruments)
    exposures, rows = _read_exposures(connection, portfolio, instruments, figure)
    return Stood(inputs, registered, _betas(panel, portfolio, benchmark), exposures, rows)


def outcome_of(standing: Standing, scenario: str) -> tuple[Scenario, Outcomes] | None:
    """The standard scenario of a name, and what it does; None if it does not concern the portfolio."""
    for record in STANDARD_SCENARIOS:
        for outcomes in record.outcomes(standing):
            if outcomes.statement.name == scenario:
                return record, outcomes
    return None


def stood_inputs_out(stood: Stood) -> InputsOut:
    """The closes, with what is registered and what was measured of the positions."""
    symbols, funds = stood.inputs.symbols, stood.registered.factors
    found = held_window(stood.inputs, WINDOW_SESSIONS)
    given = inputs_out(stood.inputs, found)
    betas = zip(symbols, stood.betas.tolist(), strict=True)
    return given.model_copy(
        update={
            "betas": {symbol: beta for symbol, beta in betas if np.isfinite(beta)},
            "groups": dict(zip(symbols, stood.registered.sectors, strict=True)),
            "currencies": dict(zip(symbols, stood.registered.currencies, strict=True)),
            "exposures": {
                symbol: {fund: value for fund, value in zip(funds, row, strict=True) if np.isfinite(value)}
                for symbol, row in zip(symbols, stood.exposures.tolist(), strict=True)
            },
        }
    )


def _registered(portfolio: Portfolio, instruments: Sequence[Instrument]) -> Registered:
    known = {instrument.id: instrument for instrument in instruments}
    held = [known[number] for number in ids_of(portfolio)]
    return Registered(
        np.array(ids_of(portfolio), dtype=np.int64),
        tuple(instrument.sector for instrument in held),
        tuple(instrument.currency for instrument in held),
        portfolio.base_currency,
        tuple(sorted({fund.symbol for fund in factor_funds_of(list(instruments))})),
    )


def _betas(panel: PricePanel, portfolio: Portfolio, benchmark: Instrument | None) -> FloatArray:
    close = panel.columns(ids_of(portfolio), portfolio.base_currency)
    if benchmark is None:
        return np.full(close.shape[1], np.nan)
    index, last = panel.column(benchmark.id, portfolio.base_currency), np.array([len(panel.sessions) - 1])
    return np.array([trailing_betas(column, index, last)[0] for column in close.T])


def _read_exposures(
    connection: Connection, portfolio: Portfolio, instruments: Sequence[Instrument], figure: Figure
) -> tuple[FloatArray, list[FactorExposureRow]]:
    """(k, f) the newest exposures up to the session, of its month or the one before, and their rows.

    A fund moves by its own return: its exposure to itself is 1.
    """
    funds = {fund.symbol: fund.id for fund in factor_funds_of(list(instruments))}
    oldest = np.datetime64(figure.session, "M") - 1
    found = np.full((len(symbols_of(portfolio)), len(funds)), np.nan)
    used = []
    for position, number in enumerate(ids_of(portfolio)):
        rows = read_factor_exposures(connection, number, Window(None, figure.session, MOST_FUNDS))
        newest = {row.factor: row for row in rows if np.datetime64(row.session, "M") >= oldest}
        for place, fund in enumerate(sorted(funds)):
            row = newest.get(fund)
            if funds[fund] == number:
                found[position, place] = 1.0
            elif row is not None and row.exposure_ols is not None:
                found[position, place] = row.exposure_ols
                used.append(row)
    return found, used
