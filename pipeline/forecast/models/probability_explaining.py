"""What makes a probability: parts that add up to it, to its log odds, or to the scores of the five fifths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.models.frequency import Frequency
from pipeline.forecast.models.logistic import FEATURES, Logistic, Training, spans_of
from pipeline.forecast.models.probability import FEWEST_RANKED, QUINTILES, Closes, returns_ahead
from pipeline.forecast.models.softmax_regression import Softmax, standardised

SumIs: TypeAlias = Literal["probability", "log_odds", "score"]


@dataclass(frozen=True, slots=True)
class ExplainedChance:
    """A probability in parts.

    Parameters
    ----------
    features
        What the model saw, by name.
    contributions
        What each part adds.
    sum_is
        What their sum is: the probability; its log odds ln(p / (1 - p)); or the score of the fifth, whose chance is the
        exponent of its score over the sum of those of all five.
    fifths
        Contributions to the score of every fifth, "1" the lowest; none where the sum is no score.
    """

    features: Mapping[str, float]
    contributions: Mapping[str, float]
    sum_is: SumIs
    fifths: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def probability(self) -> float:
        """The chance that the parts make."""
        total = sum(self.contributions.values())
        if self.sum_is == "probability":
            return total
        if self.sum_is == "log_odds":
            return float(1.0 / (1.0 + np.exp(-total)))
        return float(np.exp(total) / sum(np.exp(sum(parts.values())) for parts in self.fifths.values()))


def explain_chance(
    model: Frequency | Logistic, closes: Closes, place: tuple[int, int], fifth: int | None
) -> ExplainedChance | None:
    """Parts of a chance; None where the model has none.

    Parameters
    ----------
    place
        Row of the closes, and number of the instrument.
    fifth
        1 (the lowest) to 5, or None for the chance of a return above 0.
    """
    row, number = place
    priced = closes.priced()[row]
    if not priced[number] or (fifth is not None and priced.sum() < FEWEST_RANKED):
        return None
    if isinstance(model, Logistic):
        return _of_logistic(model, closes, place, fifth)
    return _of_frequency(model, closes, place) if fifth is None else _even()


def _even() -> ExplainedChance:
    return ExplainedChance({}, {"even_chances": 1.0 / QUINTILES}, "probability")


def _of_frequency(model: Frequency, closes: Closes, place: tuple[int, int]) -> ExplainedChance | None:
    known, above = (counts[place[0]] for counts in model.counts(closes, returns_ahead(closes)))
    number = place[1]
    if known[number] < model.minimum_returns:
        return None
    of_all = float((above.sum() + 1.0) / (known.sum() + 2.0))
    weight = float(known[number]) + model.prior_returns
    return ExplainedChance(
        {"returns": float(known[number]), "returns_above_0": float(above[number]), "frequency_of_all": of_all},
        {"own_returns": float(above[number]) / weight, "returns_of_all": model.prior_returns * of_all / weight},
        "probability",
    )


def _of_logistic(model: Logistic, closes: Closes, place: tuple[int, int], fifth: int | None) -> ExplainedChance | None:
    row, number = place
    training = Training.of(closes)
    seen, prior = training.features[row, number], float(training.frequency[row, number])
    spans = spans_of(closes, range(row, row + 1))
    fits = model.fit(training, spans[0][0]) if spans else None
    if fits is None or not (np.isfinite(seen).all() and np.isfinite(prior)):
        return None
    features = dict(zip(FEATURES, seen.tolist(), strict=True))
    if fifth is None:
        effects = _effects(fits[0], seen)
        parts = dict(zip(FEATURES, (effects[:, 1] - effects[:, 0]).tolist(), strict=True))
        start = float(np.log(prior / (1.0 - prior)))
        return ExplainedChance(features | {"frequency": prior}, {"frequency": start, **parts}, "log_odds")
    fifths = {
        str(place + 1): dict(zip(FEATURES, column.tolist(), strict=True))
        for place, column in enumerate(_effects(fits[1], seen).T)
    }
    return ExplainedChance(features, fifths[str(fifth)], "score", fifths)


def _effects(fit: Softmax, features: FloatArray) -> FloatArray:
    """(f, k) what each feature adds to the score of each class."""
    effects: FloatArray = standardised(features, fit.centre, fit.scale)[:, None] * fit.coefficients
    return effects
