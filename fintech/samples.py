"""Three sample portfolios, so that a newcomer sees portfolio numbers: one of each way to hold."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from pipeline.base.types import Rebalancing
from pipeline.store.instruments import Instrument, read_instruments
from pipeline.store.materializations import UNPARTITIONED, read_partition_states
from pipeline.store.portfolios import (
    PORTFOLIOS_INPUT,
    NewPortfolio,
    Position,
    create_portfolio,
    read_portfolios,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A portfolio by symbols; amounts are quantities for ``buy_and_hold`` and target weights otherwise."""

    slug: str
    name: str
    rebalancing: Rebalancing
    amounts: tuple[tuple[str, float], ...]

    def new_portfolio(self, instruments: dict[str, Instrument]) -> NewPortfolio:
        """The portfolio as the store takes it."""
        field = "quantity" if self.rebalancing == "buy_and_hold" else "target_weight"
        positions = tuple(
            Position(instruments[symbol].id, symbol, **{field: amount}) for symbol, amount in self.amounts
        )
        return NewPortfolio(self.name, self.rebalancing, positions, slug=self.slug)


def sample_portfolios(instruments: dict[str, Instrument]) -> tuple[Sample, ...]:
    """The samples that can be made of the known instruments."""
    stocks = sorted(symbol for symbol, instrument in instruments.items() if instrument.kind == "stock")
    samples = (
        Sample("core", "Equal weight, all stocks", "daily", tuple((symbol, 1.0 / len(stocks)) for symbol in stocks)),
        Sample("tech", "Technology, 40/40/20", "monthly", (("AAPL", 0.4), ("AMD", 0.2), ("MSFT", 0.4))),
        Sample(
            "defensive",
            "Staples and health, held",
            "buy_and_hold",
            (("JNJ", 120.0), ("KO", 300.0), ("PEP", 100.0), ("PG", 150.0), ("WMT", 130.0)),
        ),
    )
    return tuple(sample for sample in samples if sample.amounts and all(s in instruments for s, _ in sample.amounts))


def register_samples(connection: Connection) -> int | None:
    """Store the samples that are not there yet.

    Returns
    -------
    int or None
        Number of the last write; None if all were there.
    """
    instruments = {instrument.symbol: instrument for instrument in read_instruments(connection)}
    taken = {portfolio.slug for portfolio in read_portfolios(connection)}
    new = [sample for sample in sample_portfolios(instruments) if sample.slug not in taken]
    for sample in new:
        create_portfolio(connection, sample.new_portfolio(instruments))
    if not new:
        return None
    return read_partition_states(connection, PORTFOLIOS_INPUT)[UNPARTITIONED].changed_by
