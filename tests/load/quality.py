"""How many seeded errors the rules find, how many right bars they accuse, and how fast they judge."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np

from pipeline.base.calendars import sessions_between
from pipeline.market_data.rules import RULES, Bars, Context, Verdict, judge
from pipeline.market_data.rules.spike import flag_spike
from tests.bundled import bundled_bars
from tests.load.corruption import LARGE_ERROR, TRUTHS, Corrupted, corrupt, second_source_of
from tests.load.measuring import Figures, median_seconds, peak_mib_of_this_process
from tests.load.universe import Universe, UniverseSpec, make_universe

ROUNDS = 3
EVENTS_PER_KIND = 1_000
LARGE = UniverseSpec(instruments=544)
"""3.8 M bars once late listings and delistings are out."""

STOCKS = 20
BUNDLED_ERRORS = 2_000


def measure() -> Figures:
    """Time and memory on a clean universe, then quality on a corrupted one and on the bundled stocks."""
    universe = make_universe(LARGE)
    seconds = median_seconds(lambda: judge(universe.bars, universe.context), ROUNDS)
    speed = {"bars": len(universe.bars), "judge_3_78m_s": seconds, "judge_peak_mib": peak_mib_of_this_process()}
    corrupted = corrupt(universe, EVENTS_PER_KIND)
    return speed | one_source(corrupted) | two_sources(universe, corrupted) | bundled_spikes()


def one_source(corrupted: Corrupted) -> dict[str, float]:
    """Recall of each rule on the errors made for it; right bars refused, per million."""
    verdict = judge(corrupted.bars, corrupted.context)
    figures = {f"{rule.name}_recall": recall(verdict, corrupted, rule.name) for rule in RULES if rule.name in TRUTHS}
    return figures | {
        "spike_false_ppm": false_ppm(verdict, corrupted, "spike"),
        "refused_false_ppm": 1e6 * float(verdict.refused[corrupted.having("clean")].mean()),
    }


def two_sources(universe: Universe, corrupted: Corrupted) -> dict[str, float]:
    """Errors of 1 % in the first of two sources, all other errors present too."""
    second = second_source_of(universe)
    context = replace(corrupted.context, second_source=second, second_actions=universe.context.actions)
    covered = np.isin(corrupted.bars.keys, second.keys)
    verdict = judge(corrupted.bars, context)
    return {
        "second_source_recall": recall(verdict, corrupted, "second_source", "small_error", covered),
        "second_source_false_ppm": false_ppm(verdict, corrupted, "second_source"),
        "second_source_judge_s": median_seconds(lambda: judge(universe.bars, context), 1),
    }


def recall(
    verdict: Verdict, corrupted: Corrupted, rule: str, kind: str | None = None, among: np.ndarray | None = None
) -> float:
    """Share of the errors of a kind that a rule flags."""
    wrong = corrupted.having(kind or rule)
    if among is not None:
        wrong &= among
    return float(flagged(verdict, rule)[wrong].mean())


def false_ppm(verdict: Verdict, corrupted: Corrupted, rule: str) -> float:
    """Bars without an error that a rule flags, per million of them."""
    return 1e6 * float(flagged(verdict, rule)[corrupted.having("clean")].mean())


def flagged(verdict: Verdict, rule: str) -> np.ndarray:
    """(m,) bars that a rule flags."""
    return verdict.flags[:, [known.name for known in RULES].index(rule)]


def bundled_spikes() -> dict[str, float]:
    """The spike rule on real prices of 20 stocks with seeded errors of ×1.5 and ÷1.5."""
    bars = bundled_bars().sorted()
    context = Context(sessions_between(date(1990, 1, 1), bars.sessions.max().astype(object)))
    rng = np.random.default_rng(1)
    rows = np.sort(rng.choice(np.flatnonzero(bars.symbol_index < STOCKS), BUNDLED_ERRORS, replace=False))
    rows = rows[np.r_[True, np.diff(rows) > 5] & ~bars.is_first[rows]]
    close = bars.close_adjusted.copy()
    close[rows] *= np.where(rng.random(len(rows)) < 0.5, LARGE_ERROR, 1 / LARGE_ERROR)
    spoilt = Bars.of_adjusted_closes(bars.symbols, bars.symbol_index, bars.sessions, close)
    found = flag_spike(spoilt, context)
    is_wrong = np.zeros(len(bars), dtype=bool)
    is_wrong[rows] = True
    return {
        "spike_bundled_recall": float(found[is_wrong].mean()),
        "spike_bundled_false_ppm": 1e6 * float(found[~is_wrong].mean()),
    }
