"""The constant forecast: how often returns were above 0, and the same chance for every fifth.

The naive forecast that every other model of probabilities is compared with, and starts from. With chances of 1/5 the
expected ranked probability score is 0.160, which few of the M6 competition beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.probability import (
    FEWEST_RANKED,
    HORIZON_SESSIONS,
    QUINTILES,
    Closes,
    Probabilities,
    reasons_of,
    returns_ahead,
)


@dataclass(frozen=True, slots=True)
class Frequency:
    """Past frequency of returns above 0, an instrument's own shrunk to that of all; 1/5 for each fifth.

    The mean of a beta distribution whose prior is the frequency of all instruments, worth `prior_returns` of them.

    Parameters
    ----------
    prior_returns
        Overlapping returns that the frequency of all instruments is worth: 1,260 are 60 that do not overlap.
    minimum_returns
        Complete returns over the horizon that an instrument must have had.
    """

    name: ClassVar[str] = "frequency"
    version: ClassVar[str] = "1"

    prior_returns: float = 1_260.0
    minimum_returns: int = 252

    def __post_init__(self) -> None:
        if not self.prior_returns > 0.0:
            raise ForecastInputError(f"prior_returns={self.prior_returns}: give a number above 0, such as 1260")
        if self.minimum_returns < 1:
            raise ForecastInputError(f"minimum_returns={self.minimum_returns}: give at least 1")

    def forecast(self, closes: Closes, rows: range) -> Probabilities:
        """Forecast as of each row; see `ProbabilityModel`."""
        span = slice(rows.start, rows.stop)
        positive, priced = self.positive(closes, returns_ahead(closes))[span], closes.priced()[span]
        few = priced.sum(axis=1, keepdims=True) < FEWEST_RANKED
        quintiles = np.where((priced & ~few)[:, :, None], 1.0 / QUINTILES, np.full((1, 1, QUINTILES), np.nan))
        why = {
            b"no_price": ~priced,
            f"fewer_than_{self.minimum_returns}_past_returns".encode(): np.isnan(positive),
            f"fewer_than_{FEWEST_RANKED}_instruments".encode(): few,
        }
        positive = np.where(priced, positive, np.nan)
        return Probabilities(positive, quintiles, reasons_of(priced.shape, why), np.arange(rows.start, rows.stop))

    def positive(self, closes: Closes, ahead: FloatArray) -> FloatArray:
        """(t, n) probability as of every row of the closes; NaN for too few past returns.

        Parameters
        ----------
        ahead
            (t, n) `returns_ahead`.
        """
        known, above = self.counts(closes, ahead)
        # Numbers of returns are whole, so that their sums are exact in any order.
        pooled = (above.sum(axis=1, keepdims=True) + 1.0) / (known.sum(axis=1, keepdims=True) + 2.0)
        own: FloatArray = (above + self.prior_returns * pooled) / (known + self.prior_returns)
        own[known < self.minimum_returns] = np.nan
        return own

    def counts(self, closes: Closes, ahead: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(t, n) returns that were complete as of every row, and those of them above 0; parameters as in `positive`."""
        known, above = np.zeros(closes.close.shape), np.zeros(closes.close.shape)
        # A return is known when its horizon has passed.
        known[HORIZON_SESSIONS:] = np.isfinite(ahead[:-HORIZON_SESSIONS])
        above[HORIZON_SESSIONS:] = ahead[:-HORIZON_SESSIONS] > 0.0
        return np.cumsum(known, axis=0), np.cumsum(above, axis=0)
