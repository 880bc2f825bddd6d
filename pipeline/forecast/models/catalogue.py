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
    "gjr_garch": ModelNote(
        "GJR-GARCH(1,1) with Student-t surprises on 2,500 returns, refitted every 63 sessions.",
        "Glosten, Jagannathan & Runkle (1993), On the relation between the expected value and the volatility of the"
        " nominal excess return on stocks; Bollerslev (1987).",
        "What others have to beat, and what pooled_panel starts from.",
        "It forgets within weeks, returns to the mean of its window, and takes a jump on news for a storm. EWMA stands"
        " in below 504 returns and where no fit converges; the version of such a row says so.",
    ),
    "pooled_panel": ModelNote(
        "Gamma regression of the variance over that of gjr_garch, on all instruments together, refitted each year.",
        "McCullagh & Nelder (1989), Generalized linear models; Patton (2011), Volatility forecast comparison using"
        " imperfect volatility proxies.",
        "Volatility over the next 1, 5 and 21 sessions of instruments that share a market.",
        "It was chosen on 20 US stocks before 2013. A forecast depends on who else is in the panel. EWMA stands in"
        " below 756 returns and before the first fit on 2,000 targets.",
    ),
    "combination": ModelNote(
        "Geometric mean of pooled_panel, gjr_garch and har, weighted by past QLIKE and shrunk to equal weights.",
        "Bates & Granger (1969), The combination of forecasts; Timmermann (2006), Forecast combinations.",
        "The volatility to use unless another is champion, and the filter of conformal.",
        "Weights are those of all instruments together. EWMA stands in where one of the three has no forecast.",
    ),
    "conformal": ModelNote(
        "Past returns over the combination's volatility for them, read at levels that move after each miss.",
        "Gibbs & Candès (2021), Adaptive conformal inference under distribution shift; Barone-Adesi, Giannopoulos &"
        " Vosper (1999).",
        "Quantiles and expected shortfall of the return over 1 and 5 sessions, with the stated share of misses in the"
        " long run.",
        "Nothing worse can be forecast than the worst of the last 750 surprises at today's volatility, over 5 sessions"
        " of the last 2,500, of which 500 do not overlap. The share of misses is right over years, not in each month. A"
        " series without a panel is filtered by EWMA, and marked.",
    ),
    "filtered_historical": ModelNote(
        "Past returns, each divided by the volatility forecast for it, at the volatility of today.",
        "Barone-Adesi, Giannopoulos & Vosper (1999), VaR without correlations for portfolios.",
        "Quantiles and expected shortfall of the return over 1 and 5 sessions of a single instrument.",
        "Nothing worse can be forecast than the worst of the last 1,000 surprises at today's volatility, and no mean is"
        " removed. Returns below the lower quantiles come in clusters: see the test of Engle and Manganelli.",
    ),
    "frequency": ModelNote(
        "How often returns over 21 sessions were above 0, an instrument's own shrunk to that of all; 1/5 for a fifth.",
        "Makridakis et al. (2024), The M6 forecasting competition: bridging the gap between forecasting and investment"
        " decisions.",
        "The constant forecast that others have to beat. Chances of 1/5 have a ranked probability score of 0.160, which"
        " few of the M6 competition beat.",
        "It knows nothing of the present: neither the market's state nor what an instrument did lately. It needs 252"
        " complete returns, and 10 instruments for the fifths.",
    ),
    "logistic": ModelNote(
        "Ridge regressions of direction and of rank on momentum, reversal and volatility, that start from frequency.",
        "Jegadeesh & Titman (1993), Returns to buying winners and selling losers; Jegadeesh (1990); Christoffersen &"
        " Diebold (2006), Financial asset returns, direction-of-change forecasting, and volatility dynamics.",
        "Chances of a positive return over 21 sessions and of each fifth of all instruments' returns, beside their"
        " record.",
        "Read the record beside each row. Ranks gain because volatile stocks are more often first or last, not because"
        " it is known which of both; the direction was no better than the constant. Fitted once a year.",
    ),
}

UNDESCRIBED = ModelNote("Without a description.", "Not stated.", "Not stated.", "Not stated.")


def note_of(model: str) -> ModelNote:
    """The description of a model."""
    return CATALOGUE.get(model, UNDESCRIBED)
