"""Positions as callers give them, to store a portfolio or to measure one at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from psycopg import Connection
from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import FloatArray, Policy, Rebalancing
from pipeline.store.corporate_actions import read_growth
from pipeline.store.fx_rates import read_known_currencies
from pipeline.store.instruments import Instrument, find_instruments
from pipeline.store.portfolios import growth_on
from serving.inputs import Symbol

MAXIMUM_POSITIONS = 500
WEIGHTS_NEED = "target weights need daily, monthly, quarterly or drift_band"
POLICY_NEEDS_BAND = (
    "rebalancing drift_band needs one; give the fraction of value by which a weight may leave its target, such as 0.05"
)
BAND_NEEDS_POLICY = "only rebalancing drift_band has one; leave it out, or give that policy"
Quantity = Annotated[float, Strict(), AllowInfNan(False), Field(ge=-1e12, le=1e12)]
DriftBand = Annotated[float, Strict(), AllowInfNan(False), Field(gt=0, lt=1)]
BAND_MEANING = "Of drift_band: fraction of value by which a weight may leave its target; null for every other policy."
Weight = Annotated[float, Strict(), AllowInfNan(False), Field(ge=-100, le=100)]


class PositionIn(BaseModel):
    """A holding: units, negative if short, or a share of the value to return to."""

    model_config = ConfigDict(extra="forbid")

    symbol: Symbol = Field(examples=["AAPL"])
    quantity: Quantity | None = Field(None, description="Units held, negative if short.")
    target_weight: Weight | None = Field(None, description="Share of the portfolio's value, as a fraction.")

    @model_validator(mode="after")
    def _require_one_amount(self) -> PositionIn:
        if (self.quantity is None) == (self.target_weight is None):
            raise PydanticCustomError("one_amount", "Give exactly one of quantity and target_weight")
        return self

    @property
    def amount(self) -> float:
        """The one of the two that is given."""
        amount = self.target_weight if self.quantity is None else self.quantity
        assert amount is not None
        return amount


def require_consistency(
    positions: Sequence[PositionIn], rebalancing: Rebalancing | None, drift_band: float | None = None
) -> None:
    """Refuse positions that do not go together, or not with the policy.

    Raises
    ------
    PydanticCustomError
        Naming the field.
    """
    symbols = [position.symbol for position in positions]
    if len(set(symbols)) < len(symbols):
        raise PydanticCustomError("duplicate_symbol", "positions: a symbol is given twice; sum its positions")
    quantities = [position.quantity for position in positions if position.quantity is not None]
    if len(quantities) == len(symbols) and max(quantities) <= 0:
        raise PydanticCustomError(
            "nothing_held", "positions: no quantity is above 0, so the portfolio is never worth anything"
        )
    weighted = {position.target_weight is not None for position in positions}
    if len(weighted) > 1:
        raise PydanticCustomError("mixed_amounts", "positions: give quantities or target weights, not both")
    if weighted == {False} and rebalancing not in (None, "buy_and_hold"):
        raise PydanticCustomError("rebalancing", "rebalancing: quantities are held; leave it out or buy_and_hold")
    if weighted == {True} and rebalancing in (None, "buy_and_hold"):
        raise PydanticCustomError("rebalancing", f"rebalancing: {WEIGHTS_NEED}")
    require_band(rebalancing, drift_band)


def require_band(rebalancing: Rebalancing | None, drift_band: float | None) -> None:
    """Refuse a drift band without its policy, and the policy without a band.

    Raises
    ------
    PydanticCustomError
        Naming the field.
    """
    if rebalancing == "drift_band" and drift_band is None:
        raise PydanticCustomError("drift_band", f"drift_band: {POLICY_NEEDS_BAND}")
    if rebalancing != "drift_band" and drift_band is not None:
        raise PydanticCustomError("drift_band", f"drift_band: {BAND_NEEDS_POLICY}")


def require_replaceable(
    positions: Sequence[PositionIn], rebalancing: Rebalancing | None, drift_band: float | None
) -> None:
    """As `require_consistency`, of positions whose policy may be left out to keep that of before, not known here."""
    is_kept = rebalancing is None and positions[0].target_weight is not None
    require_consistency(positions, "daily" if is_kept else rebalancing, None if is_kept else drift_band)


def policy_after(
    positions: Sequence[PositionIn], rebalancing: Rebalancing | None, drift_band: float | None, before: Policy
) -> Policy:
    """The policy of positions that take the place of others; what is left out is kept.

    Raises
    ------
    InvalidInputError
        If target weights need a policy, or the drift band one, that was not there before.
    """
    if positions[0].quantity is not None:
        return Policy("buy_and_hold")
    if rebalancing is not None:
        return Policy(rebalancing, drift_band)
    if before.rebalancing == "buy_and_hold":
        raise InvalidInputError(f"rebalancing: {WEIGHTS_NEED}", "Give it beside the positions.")
    return before if drift_band is None else with_band(before, drift_band)


def with_band(before: Policy, drift_band: float) -> Policy:
    """The policy with another band.

    Raises
    ------
    InvalidInputError
        If it has none.
    """
    if before.rebalancing != "drift_band":
        raise InvalidInputError(
            f"drift_band: the portfolio's rebalancing is {before.rebalancing}, which has none",
            "Leave it out, or give rebalancing drift_band beside it.",
        )
    return Policy("drift_band", drift_band)


def amounts_of(positions: Sequence[PositionIn]) -> FloatArray:
    """(n,) quantities or target weights."""
    return np.array([position.amount for position in positions], dtype=np.float64)


def units_of(
    connection: Connection, positions: Sequence[PositionIn], instrument_ids: Sequence[int], day: np.datetime64
) -> FloatArray:
    """(n,) target weights, or the units of a price panel that quantities are which were stated on a day."""
    amounts = amounts_of(positions)
    if positions[0].quantity is None:
        return amounts
    growth = read_growth(connection, instrument_ids)
    return amounts / [growth_on(growth, instrument_id, day) for instrument_id in instrument_ids]


def require_rates(connection: Connection, instruments: Sequence[Instrument], base_currency: str) -> None:
    """Refuse prices that cannot be converted.

    Raises
    ------
    InvalidInputError
        Naming a currency without any exchange rate.
    """
    foreign = [instrument for instrument in instruments if instrument.currency != base_currency]
    if not foreign:
        return
    known = read_known_currencies(connection)
    remedy = "Load fx_rates with a provider that has it, or choose instruments and a base_currency of one currency."
    if base_currency not in known:
        raise InvalidInputError(
            f"base_currency: {base_currency} has no exchange rate, and {foreign[0].symbol} is priced in"
            f" {foreign[0].currency}",
            remedy,
        )
    for instrument in foreign:
        if instrument.currency not in known:
            raise InvalidInputError(
                f"positions: {instrument.symbol} is priced in {instrument.currency}, which has no exchange rate",
                remedy,
            )


def known_instruments(connection: Connection, symbols: Sequence[str]) -> dict[str, Instrument]:
    """The instruments of symbols, by symbol.

    Raises
    ------
    InvalidInputError
        If a symbol is unknown.
    """
    known = find_instruments(connection, symbols)
    unknown = [symbol for symbol in symbols if symbol not in known]
    if unknown:
        raise InvalidInputError(
            f"positions: no instrument has the symbol {', '.join(unknown[:5])}",
            "GET /api/v1/instruments lists those known.",
        )
    return known
