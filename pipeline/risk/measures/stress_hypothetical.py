"""Hypothetical stress: shocks that somebody states, by symbol, sector, market and factor."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.stress import LARGEST_LOSS, Positions, StressResult, stress_result


class UnknownNameError(MeasureInputError):
    """A symbol, sector, factor or field that does not exist; the message names those that do."""


@dataclass(frozen=True, slots=True)
class ShockSet:
    """A scenario as it is stated and stored.

    A position takes the most specific of the first three: its symbol's shock, else its sector's, else the market's,
    else 0. The factors' shocks are added to it, each multiplied by the position's exposure. Volatility and
    correlation move no price: `stress_shifts` measures the risk again under them.

    Parameters
    ----------
    name
        Of the scenario.
    market
        What every position moves, as a fraction; None for no such shock.
    sectors, symbols
        Name → what its positions move, as a fraction.
    factors
        Name → return of the factor, as a fraction.
    volatility_scale
        What every scenario's deviation from the mean is multiplied by; None to leave it.
    correlation_shift
        Fraction of the way to 1 that every correlation goes; None to leave it.
    """

    name: str
    market: float | None = None
    sectors: Mapping[str, float] = field(default_factory=dict)
    symbols: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    volatility_scale: float | None = None
    correlation_shift: float | None = None

    def __post_init__(self) -> None:
        _require_name(self.name)
        # Copies of floats: what the caller does to its own mapping later must not change a scenario, and equal
        # scenarios are stored as the same text.
        for group in _GROUPS:
            object.__setattr__(self, group, _checked_group(group, getattr(self, group)))
        for single, check in _SINGLES.items():
            if getattr(self, single) is not None:
                check(getattr(self, single))
                object.__setattr__(self, single, float(getattr(self, single)))
        is_stated = [bool(getattr(self, group)) for group in _GROUPS]
        is_stated += [getattr(self, single) is not None for single in _SINGLES]
        if not any(is_stated):
            raise MeasureInputError(f"shocks: none in scenario {self.name}; state at least one")

    def to_mapping(self) -> dict[str, Any]:
        """The scenario as JSON types."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}

    @classmethod
    def from_mapping(cls, stored: Mapping[str, Any]) -> Self:
        """The scenario that `to_mapping` gave.

        Raises
        ------
        UnknownNameError
            For a field that is not one.
        MeasureInputError
            For a value that is no shock.
        """
        known = [one.name for one in fields(cls)]
        _require_known("shock set", stored, known)
        if "name" not in stored:
            raise MeasureInputError("name: missing; name the scenario")
        return cls(**stored)

    def to_json(self) -> str:
        """The scenario as JSON text, the same for equal scenarios."""
        return json.dumps(self.to_mapping(), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The scenario that `to_json` gave.

        Raises
        ------
        MeasureInputError
            For text that is no JSON object, that names a key twice, or that holds what `from_mapping` refuses.
        """
        try:
            stored = json.loads(text, object_pairs_hook=_without_duplicates)
        except json.JSONDecodeError as error:
            raise MeasureInputError(f"shock set: no JSON ({error}); give the text that was stored") from error
        if not isinstance(stored, dict):
            raise MeasureInputError("shock set: not a JSON object; give one with the field name and the shocks")
        return cls.from_mapping(stored)


@dataclass(frozen=True, slots=True)
class Universe:
    """What shocks may name, held or not.

    Parameters
    ----------
    symbols
        Every known instrument, each once.
    sectors
        Of each, None where unknown.
    factors
        Every known factor, each once.
    exposures
        (m, k) of each instrument to each factor, NaN where unknown; None without factors.
    """

    symbols: tuple[str, ...]
    sectors: tuple[str | None, ...]
    factors: tuple[str, ...] = ()
    exposures: FloatArray | None = None

    def __post_init__(self) -> None:
        if len(self.sectors) != len(self.symbols):
            raise MeasureInputError(
                f"sectors: {len(self.sectors)} for {len(self.symbols)} symbols; give one a symbol, None if unknown"
            )
        for group in ("symbols", "factors"):
            if len(set(getattr(self, group))) != len(getattr(self, group)):
                raise MeasureInputError(f"{group}: one is given twice; give each once")
        shape = (0, 0) if self.exposures is None else self.exposures.shape
        if shape != ((len(self.symbols), len(self.factors)) if self.factors else (0, 0)):
            raise MeasureInputError(
                f"exposures: shape {shape}; give ({len(self.symbols)}, {len(self.factors)}), None without factors"
            )


def hypothetical_stress(shock_set: ShockSet, positions: Positions, universe: Universe) -> StressResult:
    """Put positions under a stated scenario (Jorion 2006, chapter 14).

    Raises
    ------
    UnknownNameError
        For a name that the universe does not have.
    MeasureInputError
        For a needed exposure that is unknown, or shocks that add up to below -100 % for a position.
    """
    shocks = position_shocks(shock_set, positions, universe)
    return stress_result(shock_set.name, "hypothetical", positions, shocks)


def position_shocks(shock_set: ShockSet, positions: Positions, universe: Universe) -> FloatArray:
    """What each position moves: the most specific direct shock plus Σ exposure × factor shock.

    Returns
    -------
    FloatArray
        (n,) fractions. A shock to what is known but not held moves nothing.

    Raises
    ------
    UnknownNameError, MeasureInputError
        As `hypothetical_stress`, but for the sum.
    """
    _require_known("symbols", shock_set.symbols, universe.symbols)
    _require_known("sectors", shock_set.sectors, sorted({sector for sector in universe.sectors if sector is not None}))
    _require_known("factors", shock_set.factors, universe.factors)
    _require_known("positions", positions.symbols, universe.symbols)
    row_of = {symbol: row for row, symbol in enumerate(universe.symbols)}
    rows = [row_of[symbol] for symbol in positions.symbols]
    direct = [_direct_shock(shock_set, universe.symbols[row], universe.sectors[row]) for row in rows]
    shocks = np.array(direct, dtype=np.float64)
    # In the order of the universe, whatever that of the stored scenario: the same bits after a trip through JSON.
    for column, factor in enumerate(universe.factors):
        if factor in shock_set.factors:
            assert universe.exposures is not None
            exposures = universe.exposures[rows, column]
            _require_exposures(exposures, factor, positions)
            shocks += exposures * shock_set.factors[factor]
    return shocks


def require_scale(scale: float) -> None:
    """Refuse a volatility scale that is none."""
    if not _is_finite(scale) or scale < 0.0:
        raise MeasureInputError(f"volatility_scale={scale}: give a multiple of today's, such as 1.5, not below 0")


def require_shift(shift: float) -> None:
    """Refuse a correlation shift that could leave the positive semidefinite matrices."""
    if not _is_finite(shift) or not 0.0 <= shift <= 1.0:
        raise MeasureInputError(
            f"correlation_shift={shift}: give the fraction of the way from each correlation to 1, from 0 to 1"
        )


def _direct_shock(shock_set: ShockSet, symbol: str, sector: str | None) -> float:
    if symbol in shock_set.symbols:
        return shock_set.symbols[symbol]
    if sector is not None and sector in shock_set.sectors:
        return shock_set.sectors[sector]
    return 0.0 if shock_set.market is None else shock_set.market


def _require_exposures(exposures: FloatArray, factor: str, positions: Positions) -> None:
    unknown = [symbol for symbol, value in zip(positions.symbols, exposures, strict=True) if not np.isfinite(value)]
    if unknown:
        raise MeasureInputError(
            f"exposures: NaN or infinite for {', '.join(unknown)} on factor {factor}; estimate them or leave {factor}"
            " out of the scenario"
        )


def _checked_group(group: str, shocks: Any) -> dict[str, float]:
    if not isinstance(shocks, Mapping):
        raise MeasureInputError(f"{group}: not a mapping; give names and fractions such as -0.2")
    for name, shock in shocks.items():
        if not isinstance(name, str):
            raise MeasureInputError(f"{group}: {name!r} is no name; give text")
        _require_shock(f"{group}: {name}", shock)
    return {name: float(shock) for name, shock in shocks.items()}


def _require_shock(label: str, shock: Any) -> None:
    if not _is_finite(shock):
        raise MeasureInputError(f"{label}={shock!r}: no finite number; give a fraction such as -0.2 for a fall by 20 %")
    if shock < LARGEST_LOSS:
        raise MeasureInputError(f"{label}={shock}: no price falls by more than 100 %; give a fraction, not percent")


def _require_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise MeasureInputError("name: empty or no text; name the scenario")


def _require_market(shock: Any) -> None:
    _require_shock("market", shock)


def _is_finite(value: Any) -> bool:
    """Whether it is a number that a float can hold; JSON has integers beyond, and True is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


_GROUPS = ("sectors", "symbols", "factors")
_SINGLES: Mapping[str, Callable[[Any], None]] = {
    "market": _require_market,
    "volatility_scale": require_scale,
    "correlation_shift": require_shift,
}


def _require_known(group: str, names: Collection[str], known: Collection[str]) -> None:
    unknown = sorted(str(name) for name in set(names) - set(known))
    if unknown:
        raise UnknownNameError(
            f"{group}: {', '.join(unknown)} not known; known are {', '.join(known) if known else 'none'}"
        )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    stored = dict(pairs)
    if len(stored) != len(pairs):
        raise MeasureInputError("shock set: a key is given twice; keep one of each")
    return stored
