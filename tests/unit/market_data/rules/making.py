"""Hand-made bars with all their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from pipeline.market_data.rules import Actions, Bars
from tests.unit.market_data.conftest import LONG

USUAL_VOLUME = 1000.0


def traded(
    close: Sequence[float] | FloatArray,
    symbol: str = "A",
    sessions: DateArray = LONG,
    volume: Sequence[float] | FloatArray | float = USUAL_VOLUME,
) -> Bars:
    """One instrument as traded on consecutive sessions: a day's range of 2 % around each close."""
    closes = np.array(close, dtype=np.float64)
    volumes = np.broadcast_to(np.asarray(volume, dtype=np.float64), closes.shape).copy()
    unknown = np.full(len(closes), np.nan)
    index = np.zeros(len(closes), dtype=np.int64)
    days = sessions[: len(closes)]
    return Bars((symbol,), index, days, closes, 1.01 * closes, 0.99 * closes, closes, volumes, unknown)


def together(*parts: Bars) -> Bars:
    """Several instruments, one after the other."""
    symbols = tuple(part.symbols[0] for part in parts)
    renumbered = [replace(part, symbol_index=part.symbol_index + number) for number, part in enumerate(parts)]
    names = ("symbol_index", "sessions", "open", "high", "low", "close", "volume", "close_adjusted")
    return Bars(symbols, *(np.concatenate([getattr(part, name) for part in renumbered]) for name in names))


def actions_of(*rows: tuple[int, object, int, int, float], symbols: tuple[str, ...] = ("A",)) -> Actions:
    """Actions of rows of instrument, ex-date, new units, old units and dividend."""
    index, days, new, old, cash = zip(*rows, strict=True)
    return Actions(
        symbols,
        np.array(index, dtype=np.int64),
        np.array(days, dtype="datetime64[D]"),
        np.array(new, dtype=np.int64),
        np.array(old, dtype=np.int64),
        np.array(cash, dtype=np.float64),
    )


def hits(mask: BoolArray) -> list[int]:
    """Positions where a mask holds."""
    positions: IntArray = np.flatnonzero(mask)
    return positions.tolist()
