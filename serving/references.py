"""How addresses name instruments."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.store.instruments import Instrument


def references(instruments: Sequence[Instrument]) -> dict[int, str]:
    """Instrument → what names it in an address: its symbol, with a day if it has that no longer."""
    return {
        instrument.id: f"{instrument.symbol}@{instrument.delisted_on}" if instrument.delisted_on else instrument.symbol
        for instrument in instruments
    }
