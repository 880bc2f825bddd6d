"""GJR-GARCH(1,1) with Student-t surprises, refitted every quarter: the forecast that others have to beat.

The law, its fit and its source are those of ``pipeline.risk.measures.gjr_garch``. Between fits only the recursion goes
on. Every fourth fit begins anew and the others at the law before, so that a forecast of today needs four fits at most
and not those of thirty years; both ends of the climb are the same top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.protocol import VOLATILITY_FLOOR_DAILY, DailyVolatility

if TYPE_CHECKING:
    from pipeline.risk.measures.gjr_garch import GjrGarch


@dataclass(frozen=True, slots=True)
class GjrGarchT:
    """Variance expected by the law of the last fit; EWMA where there is none.

    Parameters
    ----------
    window_returns
        Newest returns in each fit, at most.
    minimum_fit_returns
        Returns in a fit, at least; EWMA stands in before.
    refit_sessions
        Sessions from one fit to the next, counted from the first session of the series.
    fits_of_a_chain
        Fits of which all but the first begin at the law before.
    stand_in
        What is forecast where the history is short, does not vary, or has no fit that converged.
    """

    name: ClassVar[str] = "gjr_garch"
    version: ClassVar[str] = "1"

    window_returns: int = 2_500
    minimum_fit_returns: int = 504
    refit_sessions: int = 63
    fits_of_a_chain: int = 4
    stand_in: Ewma = field(default_factory=Ewma)

    def __post_init__(self) -> None:
        if not 60 <= self.minimum_fit_returns <= self.window_returns:
            raise ForecastInputError(
                f"minimum_fit_returns={self.minimum_fit_returns}: give at least 60 and at most "
                f"window_returns={self.window_returns}"
            )
        if min(self.refit_sessions, self.fits_of_a_chain) < 1:
            raise ForecastInputError(
                f"refit_sessions={self.refit_sessions}, fits_of_a_chain={self.fits_of_a_chain}: give at least 1"
            )

    def minimum_returns(self, horizon_sessions: int) -> int:
        """Those of the stand-in."""
        return self.stand_in.minimum_returns(horizon_sessions)

    def forecast(self, returns: FloatArray, horizons: Sequence[int], rows: range) -> DailyVolatility:
        """Forecast as of each row; see `VolatilityModel`."""
        seen = returns[: max(rows.stop - 1, 0)]
        made = self.stand_in.forecast(seen, horizons, rows)
        stands_in: BoolArray = made.trained_through >= 0
        for fitted_at, law in self._laws(seen, rows):
            own = range(max(fitted_at, rows.start), min(fitted_at + self.refit_sessions, rows.stop))
            values = self._one_fit(seen, law, fitted_at, own.stop, horizons)[own.start - fitted_at :]
            place = slice(own.start - rows.start, own.stop - rows.start)
            if np.isfinite(values).all():
                made.values[place], made.trained_through[place], stands_in[place] = values, fitted_at, False
        return DailyVolatility(made.values, made.trained_through, stands_in)

    def _laws(self, seen: FloatArray, rows: range) -> Iterator[tuple[int, GjrGarch]]:
        """Row and law of every fit that forecasts some of the rows; none where it failed."""
        first = -(-self.minimum_fit_returns // self.refit_sessions)
        wanted = max(first, rows.start // self.refit_sessions)
        law: GjrGarch | None = None
        for number in range(max(wanted - wanted % self.fits_of_a_chain, first), -(-rows.stop // self.refit_sessions)):
            fitted_at = number * self.refit_sessions
            window = seen[max(fitted_at - self.window_returns, 0) : fitted_at]
            law = _fitted(window, None if number % self.fits_of_a_chain == 0 else law)
            if law is not None and number >= wanted:
                yield fitted_at, law

    def _one_fit(
        self, seen: FloatArray, law: GjrGarch, fitted_at: int, stop: int, horizons: Sequence[int]
    ) -> FloatArray:
        """(stop - fitted_at, h) volatility a session as of the rows from the fit on."""
        from pipeline.risk.measures.kernels import gjr_garch as kernel  # noqa: PLC0415 - the API starts without numba

        since = max(fitted_at - self.window_returns, 0)
        values = np.ascontiguousarray(seen[since : stop - 1])
        out = np.empty(len(values) + 1)
        # Of the fit's own returns: those after it must not move where the recursion begins.
        before = float(kernel.initial_variance(values[: fitted_at - since]))
        kernel.filter_variances(values, law.packed(), before, out)
        return _volatility(law, out[fitted_at - since :], horizons)


def _volatility(law: GjrGarch, following: FloatArray, horizons: Sequence[int]) -> FloatArray:
    """Root of the mean variance over each horizon: the sum of `forecast_variances` in closed form."""
    persistence, mean = law.persistence, law.long_run_variance
    shares = [(1.0 - persistence**horizon) / (1.0 - persistence) / horizon for horizon in horizons]
    variances = np.stack([mean + share * (following - mean) for share in shares], axis=1)
    return np.maximum(np.sqrt(variances), VOLATILITY_FLOOR_DAILY)


def _fitted(returns: FloatArray, start: GjrGarch | None) -> GjrGarch | None:
    """The law of a window, from `start` and, if that fails, anew; None where none converges."""
    from pipeline.risk.measures.gjr_garch import GarchFitError, fit_gjr_garch_t  # noqa: PLC0415 - as above

    try:
        law = fit_gjr_garch_t(returns, start=start)
        if not law.converged and start is not None:
            law = fit_gjr_garch_t(returns)
    except GarchFitError:
        return None
    return law if law.converged else None
