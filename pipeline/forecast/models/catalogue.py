"""What each stored model is for, and where it fails, in words: the part of a model card that no table holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelNote:
    """A model in words.

    Parameters
    ----------
    summary
        What it does.
    source
        Where it is described.
    use, limits
        What it is meant for, and what it cannot do.
    """

    summary: str
    source: str
    use: str
    limits: str


CATALOGUE: Mapping[str, ModelNote] = {
    "ewma": ModelNote(
        "Exponentially weighted mean of squared returns, the same for every horizon.",
        "J. P. Morgan/Reuters, RiskMetrics Technical Document, 4th edition (1996).",
        "The naive forecast that other volatility models are compared with, and the filter of filtered_historical.",
        "It does not return to a mean, so that it is too high for long horizons after a shock, and too low in a calm.",
    ),
    "har": ModelNote(
        "Regression of the mean absolute return to come on that of the last day, week and month.",
        "Corsi (2009), A simple approximate long-memory model of realized volatility.",
        "Volatility over the next 1, 5 and 21 sessions of a single instrument.",
        "It sees daily closes alone: neither moves within a day, nor news, nor other instruments. It needs 546 sessions"
        " and is fitted on ten years, so that it is slow to learn of another regime.",
    ),
    "filtered_historical": ModelNote(
        "Past returns, each divided by the volatility forecast for it, at the volatility of today.",
        "Barone-Adesi, Giannopoulos & Vosper (1999), VaR without correlations for portfolios.",
        "Quantiles and expected shortfall of the next session's return of a single instrument.",
        "Nothing worse can be forecast than the worst of the last 1,000 surprises at today's volatility, and no mean is"
        " removed. Returns below the lower quantiles come in clusters: see the test of Engle and Manganelli.",
    ),
}

UNDESCRIBED = ModelNote("Without a description.", "Not stated.", "Not stated.", "Not stated.")


def note_of(model: str) -> ModelNote:
    """The description of a model."""
    return CATALOGUE.get(model, UNDESCRIBED)
