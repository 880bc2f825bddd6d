"""The standard scenarios: what every portfolio is put under at each month's end, and where their sizes come from.

A scenario is a frozen record with a method `outcomes`, and a line in `STANDARD_SCENARIOS`. Some stand for several: one
for each sector, factor fund or foreign currency that the portfolio has to do with. The crises of the past are in
`stress_historical`; scenarios that somebody states on request are in `stress_hypothetical`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType
from typing import Protocol

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.risk.measures.stress_replays import BY_BETA, NO_BETA
from pipeline.risk.measures.stress_reverse import NoVarianceError, SingularCovarianceError, most_likely_direction
from pipeline.risk.measures.stress_shifts import portfolio_volatility, scaled_deviations, shifted_covariance
from pipeline.risk.measures.stress_standing import (
    WINDOW_SESSIONS,
    Outcomes,
    Standing,
    Statement,
    jump,
    remeasured,
)
from pipeline.risk.measures.tail import historical_es, historical_var

BY_SECTOR, BY_EXPOSURE, BY_SIZE = b"sector", b"factor_exposure", b"largest_position"
BY_CURRENCY, BY_COVARIANCE = b"currency", b"covariance"

NO_EXPOSURE = b"no_exposure: too few returns beside the factor funds'"
NO_DIRECTION = b"no_direction: the covariance sees no variance in the portfolio, or in a part of it"

CONFIDENCE = 0.99
"""Of the value at risk and expected shortfall that wilder markets are measured by."""

_MEASURED = {"window_sessions": WINDOW_SESSIONS, "horizon_sessions": 1, "confidence": CONFIDENCE}


class Scenario(Protocol):
    """What the registry holds."""

    @property
    def source(self) -> str:
        """Where its size comes from."""

    def outcomes(self, standing: Standing) -> Iterator[Outcomes]:
        """What it does to a portfolio on each month end; nothing where it does not concern the portfolio."""


@dataclass(frozen=True, slots=True)
class BenchmarkMove:
    """The benchmark moves, and every position by its beta × that.

    Parameters
    ----------
    name
        Of the scenario.
    move
        Of the benchmark, as a fraction.
    source
        Where the size comes from.
    """

    name: str
    move: float
    source: str

    def outcomes(self, standing: Standing) -> Iterator[Outcomes]:
        """Every position on every session; unknown without a beta."""
        reasons = np.where(np.isnan(standing.betas), NO_BETA, b"")
        statement = Statement(self.name, "hypothetical", {"benchmark": self.move}, self.source, BY_BETA)
        yield jump(standing, statement, standing.betas * self.move, _all(standing), reasons)


@dataclass(frozen=True, slots=True)
class SectorMoves:
    """One scenario a sector that is held: its positions move, the others stand still.

    Parameters
    ----------
    moves
        Sector → what its positions move, as a fraction.
    other
        What those of any other sector move.
    source
        Where the sizes come from.
    """

    moves: Mapping[str, float]
    other: float
    source: str

    def outcomes(self, standing: Standing) -> Iterator[Outcomes]:
        """The sectors in alphabetical order."""
        sectors = standing.registered.sectors
        identifiers = np.array([_identifier(sector) for sector in sectors])
        for identifier in sorted(set(identifiers.tolist()) - {""}):
            sector = sectors[int(np.argmax(identifiers == identifier))]
            move = self.moves.get(sector, self.other)
            parameters = {"sectors": {sector: move}}
            statement = Statement(f"sector_{identifier}", "hypothetical", parameters, self.source, BY_SECTOR)
            moved = _each_session(standing, identifiers == identifier)
            yield jump(standing, statement, np.where(moved, move, 0.0), moved)


@dataclass(frozen=True, slots=True)
class FactorMoves:
    """One scenario a factor fund: its return, times each position's exposure, the other factors standing still.

    Parameters
    ----------
    move
        Return of the fund, as a fraction.
    source
        Where the size comes from.
    """

    move: float
    source: str

    def outcomes(self, standing: Standing) -> Iterator[Outcomes]:
        """On the sessions on which one of the positions has an exposure to the fund."""
        for place, factor in enumerate(standing.registered.factors):
            exposures = standing.exposures[:, :, place]
            rows = np.flatnonzero(np.isfinite(exposures).any(axis=1))
            if len(rows) == 0:
                continue
            name, parameters = f"factor_{factor}", {"factors": {factor: self.move}}
            statement = Statement(name, "hypothetical", parameters, self.source, BY_EXPOSURE)
            reasons = np.where(np.isnan(exposures), NO_EXPOSURE, b"")
            yield jump(standing, statement, exposures * self.move, _all(standing), reasons, rows)


@dataclass(frozen=True, slots=True)
class LargestPositionGap:
    """The largest position, long or short, gaps against its holder; of equals, that with the lowest number.

    Parameters
    ----------
    name
        Of the scenario.
    gap
        By how much, as a positive fraction.
    source
        Where the size comes from.
    """

    name: str
    gap: float
    source: str

    def outcomes(self, standing: Standing) -> Iterator[Outcomes]:
        """One position on every session."""
        moved = np.arange(len(standing.registered.instrument_ids)) == _largest(standing)[:, None]
        shocks = np.where(moved, -self.gap * np.sign(standing.weights), 0.0)
        statement = Statement(self.name, "hypothetical", {"largest_position_gap": self.gap}, self.source, BY_SIZE)
        yield jump(standing, statement, shocks, moved)


@dataclass(frozen=True, slots=True)
class CurrencyMoves:
    """One scenario a foreign currency: it moves against the portfolio's, prices in it standing still.

    Parameters
    ----------
    move
        Of the currency's value in the portfolio's, as a fraction.
    source
        Where the size comes from.
    """

    move: float
    source: str

    def outcomes(self, standing: Standing) -> Iterator[Outcomes]:
        """The currencies in alphabetical order; none where all is in the portfolio's own."""
        for currency in sorted(set(standing.registered.currencies) - {standing.registered.base_currency, ""}):
            name, parameters = f"currency_{currency}", {"currencies": {currency: self.move}}
            statement = Statement(name, "hypothetical", parameters, self.source, BY_CURRENCY)
            moved = _each_session(standing, np.array(standing.registered.currencies) == currency)
            yield jump(standing, statement, np.where(moved, self.move, 0.0), moved)


@dataclass(frozen=True, slots=True)
class VolatilityScale:
    """Every scenario of the last year deviates `scale` times as far from their mean (`stress_shifts`).

    No price moves, so its profit or loss is 0; what it changes is the risk, measured before and after.

    Parameters
    ----------
    name
        Of the scenario.
    scale
        Multiple of today's volatility.
    source
        Where the size comes from.
    """

    name: str
    scale: float
    source: str

    def outcomes(self, standing: Standing) -> Iterator[Outcomes]:
        """Historical value at risk and expected shortfall of each session with a full window."""
        scenarios = standing.scenarios[standing.is_full]
        wilder = scaled_deviations(scenarios, self.scale)
        figures = {
            "var_99_1d_before": historical_var(scenarios, CONFIDENCE),
            "var_99_1d_after": historical_var(wilder, CONFIDENCE),
            "es_99_1d_before": historical_es(scenarios, CONFIDENCE),
            "es_99_1d_after": historical_es(wilder, CONFIDENCE),
        }
        parameters = {"volatility_scale": self.scale, **_MEASURED}
        yield remeasured(standing, Statement(self.name, "hypothetical", parameters, self.source), figures)


@dataclass(frozen=True, slots=True)
class CorrelationShift:
    """Every correlation goes a fraction of the way to 1, variances unchanged (`stress_shifts`).

    No price moves, so its profit or loss is 0; what it changes is the risk, measured before and after.

    Parameters
    ----------
    name
        Of the scenario.
    shift
        Fraction of the way.
    source
        Where the size comes from.
    """

    name: str
    shift: float
    source: str

    def outcomes(self, standing: Standing) -> Iterator[Outcomes]:
        """Gaussian value at risk of each session with a full window."""
        full = standing.is_full
        pairs = list(zip(standing.weights[full], standing.covariances[full], strict=True))
        before = np.array([portfolio_volatility(w, matrix) for w, matrix in pairs])
        after = np.array([portfolio_volatility(w, shifted_covariance(matrix, self.shift)) for w, matrix in pairs])
        quantile = NormalDist().inv_cdf(CONFIDENCE)
        figures = {"var_99_1d_before": quantile * before, "var_99_1d_after": quantile * after}
        parameters = {"correlation_shift": self.shift, **_MEASURED}
        yield remeasured(standing, Statement(self.name, "hypothetical", parameters, self.source), figures)


@dataclass(frozen=True, slots=True)
class ReverseLosses:
    """The most likely joint move of one session that loses each of several fractions of the value (`stress_reverse`).

    Parameters
    ----------
    losses
        Name of the scenario → fraction to lose.
    source
        Where the sizes come from.
    """

    losses: Mapping[str, float]
    source: str

    def outcomes(self, standing: Standing) -> Iterator[Outcomes]:
        """Every position; unknown while the window is short or the covariance sees no variance."""
        covariances, variances = _directions(standing)
        short = standing.short_reasons
        why = np.where((short == b"") & np.isnan(variances), NO_DIRECTION, short)
        reasons = np.repeat(why[:, None], covariances.shape[1], axis=1)
        for name, loss in self.losses.items():
            distances = loss / np.sqrt(variances)
            likely = np.array([NormalDist().cdf(-d) if math.isfinite(d) else math.nan for d in distances.tolist()])
            figures = {"mahalanobis_distance": distances, "gaussian_probability": likely}
            parameters = {"loss": loss, "window_sessions": WINDOW_SESSIONS, "horizon_sessions": 1}
            statement = Statement(name, "reverse", parameters, self.source, BY_COVARIANCE)
            shocks = covariances * (-loss / variances)[:, None]
            yield jump(standing, statement, shocks, _all(standing), reasons, figures=figures)


THE_HOUSE = "The house's."

FRTB_SECTOR_MOVES: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("Consumer Discretionary", "Consumer Staples", "Health Care", "Utilities"), -0.30),
        **dict.fromkeys(("Communication Services", "Industrials"), -0.35),
        **dict.fromkeys(("Energy", "Materials"), -0.40),
        **dict.fromkeys(("Financials", "Information Technology", "Real Estate"), -0.50),
    }
)
"""GICS sector → risk weight of equity spot prices, buckets 5 to 8: large companies of advanced economies."""

FRTB_OTHER_SECTOR = -0.70
"""Bucket 11: every other sector."""

STANDARD_SCENARIOS: tuple[Scenario, ...] = (
    BenchmarkMove("equity_down_10", -0.10, "The house's: what is commonly called a correction."),
    BenchmarkMove("equity_down_20", -0.20, "The house's: what is commonly called a bear market."),
    BenchmarkMove(
        "equity_down_40",
        -0.40,
        "The house's; the Federal Reserve's severely adverse scenario of 2012 has equity prices fall by 50 %.",
    ),
    SectorMoves(
        FRTB_SECTOR_MOVES, FRTB_OTHER_SECTOR, "Basel framework, MAR21.78: risk weights of equity spot prices by bucket."
    ),
    FactorMoves(-0.10, THE_HOUSE),
    LargestPositionGap(
        "largest_position_gap_15", 0.15, "FINRA rule 4210(g), portfolio margin: an equity moves by 15 % either way."
    ),
    CurrencyMoves(-0.15, "Basel framework, MAR21.87: risk weight of exchange rates."),
    VolatilityScale("volatility_up_50", 1.5, THE_HOUSE),
    VolatilityScale(
        "volatility_doubled", 2.0, "Basel framework, MAR21.92: the largest relative move of a volatility is 100 %."
    ),
    CorrelationShift("correlation_up_80", 0.8, THE_HOUSE),
    ReverseLosses(
        MappingProxyType({"reverse_loss_10": 0.10, "reverse_loss_20": 0.20, "reverse_loss_30": 0.30}), THE_HOUSE
    ),
)
"""Every standard scenario; a new one is a line here."""


def standard_outcomes(standing: Standing) -> Iterator[Outcomes]:
    """What every standard scenario does to a portfolio on each month end, in the order of the registry."""
    for scenario in STANDARD_SCENARIOS:
        yield from scenario.outcomes(standing)


def _all(standing: Standing) -> BoolArray:
    return np.ones(standing.weights.shape, dtype=bool)


def _each_session(standing: Standing, positions: BoolArray) -> BoolArray:
    """(m, k) the same positions on every session."""
    return np.tile(positions, (len(standing.weights), 1))


def _largest(standing: Standing) -> IntArray:
    """(m,) place of the largest position of each session."""
    order = np.argsort(standing.registered.instrument_ids)
    largest: IntArray = order[np.argmax(np.abs(standing.weights[:, order]), axis=1)]
    return largest


def _directions(standing: Standing) -> tuple[FloatArray, FloatArray]:
    """(m, k) covariances of the positions with the portfolio and (m,) its variance; NaN where there is no direction."""
    covariances = np.full(standing.weights.shape, np.nan)
    variances = np.full(len(standing.weights), np.nan)
    for row in np.flatnonzero(standing.is_full).tolist():
        try:
            found = most_likely_direction(standing.weights[row].copy(), standing.covariances[row])
        except (NoVarianceError, SingularCovarianceError):
            continue
        covariances[row], variances[row] = found
    return covariances, variances


def _identifier(name: str) -> str:
    """A sector as a part of a scenario's name."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
