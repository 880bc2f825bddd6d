"""What may be said of a forecast's record: that it beats the constant only where that is not likely to be chance."""

from __future__ import annotations

from typing import Literal

from pipeline.forecast.models.evaluation import SIGNIFICANCE, Evaluation

Verdict = Literal["beats the constant", "not shown to beat the constant", "no record yet"]


def verdict_of(found: Evaluation | None) -> Verdict:
    """By the two-sided test of Diebold & Mariano at 5 %, and the side that the losses are on."""
    if found is None:
        return "no record yet"
    value, p_value = found.diebold_mariano.value, found.diebold_mariano.p_value
    if value is None or p_value is None or not (value < 0.0 and p_value < SIGNIFICANCE):
        return "not shown to beat the constant"
    return "beats the constant"
