"""Checks of drift: warnings of the asset page, which refuse nothing."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.base.types import FloatArray
from pipeline.forecast.models.drift import (
    BINS,
    MOST_LOSS_OVER_PAST,
    MOST_STABILITY_INDEX,
    PAST_MONTHS,
    RECENT_MONTHS,
    RECENT_SESSIONS,
    TRAINING_SESSIONS,
    drifted,
    population_stability_index,
    score_drift,
    windows_of,
)
from pipeline.forecast.models.evaluation import ScoredMonths
from pipeline.orchestration.checks import CheckOutcome

INPUT_DRIFT = (
    "input_drift",
    (
        f"Returns of the last {RECENT_SESSIONS} sessions are spread as those of up to {TRAINING_SESSIONS} before: a"
        f" population stability index of at most {MOST_STABILITY_INDEX}."
    ),
)
SCORE_DRIFT = (
    "score_drift",
    (
        f"No relative loss of the last {RECENT_MONTHS} months is more than {MOST_LOSS_OVER_PAST - 1.0:.0%} above that"
        f" of the {PAST_MONTHS} before."
    ),
)


def check_inputs(returns: FloatArray) -> CheckOutcome:
    """The population stability index of all instruments' returns; passes where there are too few to tell.

    Parameters
    ----------
    returns
        (t,) or (t, n) up to the newest session; NaN where there is none.
    """
    training, recent = windows_of(returns)
    figures: dict[str, float] = {"training_returns": len(training), "recent_returns": len(recent)}
    if len(training) < 10 * BINS or len(recent) < BINS:
        return CheckOutcome(INPUT_DRIFT[0], True, False, {**figures, "reason": "too few returns to compare"})
    index = population_stability_index(training, recent)
    figures |= {"stability_index": round(index, 4), "most_stability_index": MOST_STABILITY_INDEX}
    return CheckOutcome(INPUT_DRIFT[0], index <= MOST_STABILITY_INDEX, False, figures)


def check_scores(scored: Mapping[str, tuple[str, ScoredMonths]]) -> CheckOutcome:
    """Every model's newest scores against its earlier ones.

    Parameters
    ----------
    scored
        Name, such as ``har variance 21`` → kind and scores.
    """
    found = {name: drift for name, (kind, made) in scored.items() if (drift := score_drift(kind, made)) is not None}
    if not found:
        figures = {"compared": 0, "reason": f"no model has {RECENT_MONTHS + PAST_MONTHS} months of scores"}
        return CheckOutcome(SCORE_DRIFT[0], True, False, figures)
    worst = max(found, key=lambda name: found[name].over_past)
    worse = drifted(found)
    return CheckOutcome(
        SCORE_DRIFT[0],
        not worse,
        False,
        {
            "compared": len(found),
            "worst": worst,
            "worst_loss_over_past_ratio": round(found[worst].over_past, 4),
            "most_loss_over_past_ratio": MOST_LOSS_OVER_PAST,
            **{f"{name} loss_over_past_ratio": round(drift.over_past, 4) for name, drift in sorted(worse.items())},
        },
    )
