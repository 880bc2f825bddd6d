"""Losses of probabilities: what a forecast of a chance is judged by. Lower is better."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.forecast.models.errors import ForecastInputError

LEAST_PROBABILITY = 1e-6
"""A certain forecast that fails has a finite log loss, 13.8."""


def log_losses(happened: BoolArray, probability: FloatArray) -> FloatArray:
    """(m,) minus the log of the chance given to what happened (Good 1952)."""
    _require_probabilities(probability)
    given = np.where(happened, probability, 1.0 - probability)
    losses: FloatArray = -np.log(np.clip(given, LEAST_PROBABILITY, 1.0))
    return losses


def brier_scores(happened: BoolArray, probability: FloatArray) -> FloatArray:
    """(m,) squared difference of the chance and what happened, 1 or 0 (Brier 1950, halved as usual)."""
    _require_probabilities(probability)
    scores: FloatArray = (probability - happened) ** 2
    return scores


def ranked_probability_scores(outcome: IntArray, probabilities: FloatArray) -> FloatArray:
    """(m,) mean squared difference of cumulated chances and outcomes over k ordered classes (Epstein 1969).

    Divided by k as in the M6 competition: 1/5 for each fifth has 0.160 on average, a certain and right one 0.

    Parameters
    ----------
    outcome
        (m,) class, 0 … k-1.
    probabilities
        (m, k) chances, of sum 1.
    """
    _require_probabilities(probabilities)
    if not np.allclose(probabilities.sum(axis=1), 1.0, rtol=0.0, atol=1e-9):
        raise ForecastInputError("probabilities: a sum that is not 1; give the chance of every class")
    happened = np.arange(probabilities.shape[1]) >= outcome[:, None]
    scores: FloatArray = ((np.cumsum(probabilities, axis=1) - happened) ** 2).mean(axis=1)
    return scores


def _require_probabilities(given: FloatArray) -> None:
    # Not(within) also refuses NaN.
    if not ((given >= 0.0) & (given <= 1.0 + 1e-12)).all():
        raise ForecastInputError("probabilities: NaN, below 0 or above 1; score only forecasts that were made")
