"""Losses of probabilities beside those of the constant forecast, as `monthly_columns` sums them by month."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.forecast.models.kinds import PROBABILITY_POSITIVE, RANK_QUINTILES
from pipeline.forecast.models.monthly_scores import Losses
from pipeline.forecast.models.probability import HORIZON_SESSIONS, NO_QUINTILE, Closes, rank_quintiles, returns_ahead
from pipeline.forecast.models.probability_losses import brier_scores, log_losses, ranked_probability_scores

Chances = Mapping[str, FloatArray]
"""Model → (t, n, 6) the chance of a return above 0 and of the five fifths as of every session; NaN where none is."""


def probability_losses(closes: Closes, rows: slice, made: Chances, baseline: str) -> Iterator[tuple[int, Losses]]:
    """Number of the instrument, and losses of each model but the baseline, whose horizons end in some rows.

    Parameters
    ----------
    rows
        Rows of the closes in which a horizon must end.
    made
        Forecasts; of the baseline too, without which there is nothing to compare with.
    """
    ends = np.arange(max(rows.start, HORIZON_SESSIONS), rows.stop)
    if len(ends) == 0 or baseline not in made:
        return
    as_of = ends - HORIZON_SESSIONS
    first = int(as_of[0])
    # Returns as of earlier rows are of no use here, but prices before them are: the last one counts for some sessions.
    ahead = returns_ahead(closes)[first : first + len(as_of)]
    quintiles, day = rank_quintiles(ahead), closes.sessions[ends]
    for model, chances in made.items():
        if model == baseline:
            continue
        own, naive = chances[as_of], made[baseline][as_of]
        for number in range(closes.close.shape[1]):
            up = np.isfinite(ahead[:, number]) & np.isfinite(own[:, number, 0]) & np.isfinite(naive[:, number, 0])
            if up.any():
                yield (
                    number,
                    _of_direction(model, baseline, ahead[up, number], own[up, number], naive[up, number], day[up]),
                )
            ranked = quintiles[:, number] != NO_QUINTILE
            ranked &= np.isfinite(own[:, number, 1]) & np.isfinite(naive[:, number, 1])
            if ranked.any():
                fifths = quintiles[ranked, number]
                pair = (own[ranked, number], naive[ranked, number])
                yield number, _of_ranks(model, baseline, fifths, *pair, day[ranked])


def _of_direction(
    model: str, baseline: str, returns: FloatArray, own: FloatArray, naive: FloatArray, ends: DateArray
) -> Losses:
    """Log losses, and Brier scores as the squared errors that they are."""
    above, made, other = returns > 0.0, own[:, 0], naive[:, 0]
    squares = (brier_scores(above, made), brier_scores(above, other))
    losses = (log_losses(above, made), log_losses(above, other))
    return Losses(PROBABILITY_POSITIVE, model, baseline, HORIZON_SESSIONS, ends, losses[0], losses[1], squares)


def _of_ranks(
    model: str, baseline: str, fifths: IntArray, own: FloatArray, naive: FloatArray, ends: DateArray
) -> Losses:
    made, other = (ranked_probability_scores(fifths, chances[:, 1:]) for chances in (own, naive))
    return Losses(RANK_QUINTILES, model, baseline, HORIZON_SESSIONS, ends, made, other)
