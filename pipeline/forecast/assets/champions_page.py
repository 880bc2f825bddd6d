"""What the page of ``forecast_scores`` shows of the champions: whether they are calibrated, and how in which market."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import numpy as np

from pipeline.base import special
from pipeline.base.types import DateArray, FloatArray, MonthRange
from pipeline.forecast.assets.probabilities import read_closes
from pipeline.forecast.assets.registering import Scored, scores_of
from pipeline.forecast.models.calibration import Calibration, calibration_of
from pipeline.forecast.models.evaluation import Evaluation
from pipeline.forecast.models.regimes import REGIMES, evaluate_regimes, market_returns, regimes_of
from pipeline.store.forecast_models import read_champions
from pipeline.store.writing import Write

SHOWN_KINDS = ("variance", "quantile_0.01", "quantile_0.05")
SIDE, HIGHEST_DENSITY = 120, 2.0
OUTERMOST = 0.001
"""Lowest part of the returns that the picture has a place for."""


def champions_page(write: Write) -> dict[str, Any]:
    """Metadata of the page: pictures of the distribution's champion, and a table of both by regime."""
    champions = {target: _champion(write, target) for target in ("volatility", "distribution")}
    scored = {name: scores_of(write, name) for name in champions.values() if name is not None}
    page: dict[str, Any] = {}
    distribution = champions["distribution"]
    if distribution is not None:
        for horizon in (1, 5):
            found = calibration_of(scored[distribution], horizon)
            if found is not None:
                name = f"{distribution}, {horizon} session{'s' if horizon > 1 else ''}"
                page[f"calibration_{horizon}d"] = calibration_picture(found, name)
    newest = max((made.months[-1].item() for own in scored.values() for made in own.values()), default=None)
    if newest is not None:
        closes, _ = read_closes(write, MonthRange(newest, newest))
        page["loss_over_naive_by_market"] = regime_table(scored, closes.sessions[1:], market_returns(closes.returns()))
    return page


def _champion(write: Write, target: str) -> str | None:
    newest = read_champions(write.connection, target, 1)
    return newest[0].name if newest else None


def calibration_picture(found: Calibration, name: str) -> dg.MarkdownMetadataValue:
    """Reliability on normal probability paper, where tails are as wide as the middle, and the PIT: right, it is flat.

    Small enough to be shown inline, as a sparkline is.
    """
    forecast, came = (_on_paper(each) for each in (found.levels, found.below))
    line = " ".join(f"{x:.0f},{SIDE - y:.0f}" for x, y in zip(forecast, came, strict=True))
    right = 2 * SIDE + 20
    heights = np.minimum(found.densities / HIGHEST_DENSITY, 1.0) * SIDE
    edges = SIDE + 20 + found.edges * SIDE
    steps = "".join(f"V{SIDE - height:.0f}H{stop:.0f}" for height, stop in zip(heights, edges[1:], strict=True))
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{right}' height='{SIDE}' fill='none' stroke='#4f43dd'>"
        f"<path stroke='#999' d='M0 {SIDE}L{SIDE} 0M{SIDE + 20} {SIDE / HIGHEST_DENSITY:.0f}H{right}'/>"
        f"<polyline points='{line}'/><path d='M{SIDE + 20} {SIDE}{steps}V{SIDE}'/></svg>"
    )
    encoded = base64.b64encode(svg.encode()).decode()
    told = ", ".join(f"{part:.2%} below {level:.3g}" for level, part in _ends(found))
    caption = f"{name}: reliability, PIT"
    return dg.MetadataValue.md(f"![{caption}](data:image/svg+xml;base64,{encoded})  \n{caption}; {told}")


def _on_paper(parts: FloatArray) -> FloatArray:
    """Places from 0 to `SIDE` by the normal quantile."""
    highest = float(special.ndtri(1.0 - OUTERMOST))
    kept = np.clip(parts, OUTERMOST, 1.0 - OUTERMOST)
    places: FloatArray = SIDE * (special.ndtri(kept) / highest + 1.0) / 2.0
    return places


def _ends(found: Calibration) -> Iterator[tuple[float, float]]:
    for place in (0, -1):
        yield float(found.levels[place]), float(found.below[place])


def regime_table(scored: Mapping[str, Scored], sessions: DateArray, market: FloatArray) -> dg.MarkdownMetadataValue:
    """Loss over the naive forecast's by the market's state before: a row a model, kind and horizon.

    Parameters
    ----------
    sessions, market
        See `regimes_of`.
    """
    rows = [f"| champion | sessions | {' | '.join(REGIMES)} |", "|---|---|---|---|---|"]
    for model, own in scored.items():
        for (kind, horizon), made in sorted(own.items()):
            if kind in SHOWN_KINDS:
                found = evaluate_regimes(kind, made, regimes_of(made.months, sessions, market, horizon))
                cells = [_cell(found.get(regime)) for regime in REGIMES]
                rows.append(f"| {model} {kind} | {horizon} | {' | '.join(cells)} |")
    return dg.MetadataValue.md("\n".join(rows))


def _cell(found: Evaluation | None) -> str:
    if found is None or found.relative_loss is None:
        return "–"
    hits = "" if found.coverage is None else f", {found.coverage:.1%} below"
    return f"{found.relative_loss:.3f}{hits}"
