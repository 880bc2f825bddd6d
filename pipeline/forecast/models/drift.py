"""Whether a model still meets what it was fitted on, and still does as well as it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.evaluation import ScoredMonths, relative_loss

BINS = 10
MOST_STABILITY_INDEX = 0.25
"""Below 0.1 little has changed, above 0.25 a great deal (Siddiqi 2006, Credit Risk Scorecards, chapter 9)."""
RECENT_SESSIONS, TRAINING_SESSIONS = 252, 2_520
RECENT_MONTHS, PAST_MONTHS = 12, 60
MOST_LOSS_OVER_PAST = 1.10
"""A relative loss of a year that is a tenth above that of the five years before. Set by us: no standard is known."""


def population_stability_index(training: FloatArray, recent: FloatArray, bins: int = BINS) -> float:
    """Σ (a - e) ln(a / e) over bins between quantiles of the training, deciles unless said otherwise.

    With e and a the parts of the training and of the recent values in a bin, the symmetric divergence of Kullback &
    Leibler (1951). Half a value is added to each bin, so that an empty one has a logarithm. Without any change the
    index is about (bins - 1) (1 / m + 1 / n) (Yurdakul & Naranjo 2020).

    Parameters
    ----------
    training, recent
        (m,) and (n,) finite values.
    """
    if len(training) < 10 * bins or len(recent) < bins:
        raise ForecastInputError(
            f"training: {len(training)} values, recent: {len(recent)}; give at least {10 * bins} and {bins}"
        )
    if not (np.isfinite(training).all() and np.isfinite(recent).all()):
        raise ForecastInputError("training, recent: NaN or infinite; leave those values out")
    # Values that are frequent, such as returns of 0, can be several quantiles at once: such bins are one.
    edges = np.unique(np.quantile(training, np.arange(1, bins) / bins))
    parts = []
    for values in (training, recent):
        counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) + 0.5
        parts.append(counts / counts.sum())
    expected, actual = parts
    return float(((actual - expected) * np.log(actual / expected)).sum())


def windows_of(returns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The returns that a model was trained on, ten years at most, and those of the year since.

    Parameters
    ----------
    returns
        (t,) or (t, n); NaN is left out.
    """
    recent = returns[-RECENT_SESSIONS:]
    training = returns[-RECENT_SESSIONS - TRAINING_SESSIONS : -RECENT_SESSIONS]
    return training[np.isfinite(training)], recent[np.isfinite(recent)]


@dataclass(frozen=True, slots=True)
class ScoreDrift:
    """Losses over the baseline's: of the newest months, of those before, and the quotient of both."""

    recent: float
    past: float

    @property
    def over_past(self) -> float:
        """Above 1 where it has become worse against the baseline."""
        return self.recent / self.past


def score_drift(kind: str, scored: ScoredMonths) -> ScoreDrift | None:
    """The newest year against the five before; None for fewer months than both, and for shortfalls.

    Losses of a wild year are larger for every model, therefore those of the baseline are what they are measured by.
    """
    if len(scored.months) < RECENT_MONTHS + PAST_MONTHS:
        return None
    newest = slice(-RECENT_MONTHS, None)
    before = slice(-RECENT_MONTHS - PAST_MONTHS, -RECENT_MONTHS)
    recent, past = (
        relative_loss(kind, float(scored.loss[span].sum()), float(scored.baseline_loss[span].sum()))
        for span in (newest, before)
    )
    if recent is None or past is None or past <= 0.0:
        return None
    return ScoreDrift(recent, past)


def drifted(found: Mapping[str, ScoreDrift]) -> dict[str, ScoreDrift]:
    """Those that have become worse by more than is let pass."""
    return {name: drift for name, drift in found.items() if drift.over_past > MOST_LOSS_OVER_PAST}
