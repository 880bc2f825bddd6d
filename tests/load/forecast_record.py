"""The out-of-sample record of the published forecasts, 2013 to 2022, against GJR-GARCH-t: volatility and quantiles.

The years are scored once a bench and chose nothing: docs/decisions/0025-pooled-volatility.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import stdtrit

from pipeline.base.types import BoolArray, DateArray, FloatArray
from pipeline.forecast.models import PANEL_MODELS, VOLATILITY_MODELS
from pipeline.forecast.models.baselines import Historical
from pipeline.forecast.models.comparison import diebold_mariano
from pipeline.forecast.models.conformal import Conformal
from pipeline.forecast.models.coverage import coverage_tests
from pipeline.forecast.models.panel import Member, Panel
from pipeline.forecast.models.panel_volatility import panel_volatility
from pipeline.forecast.models.scores import (
    REALISED_VARIANCE_FLOOR_DAILY,
    pinball_losses,
    qlike_losses,
    realised_variance,
    returns_over,
)
from pipeline.risk.measures.backtests import conditional_coverage_test, kupiec_test
from pipeline.risk.measures.gjr_garch import conditional_variances, fit_gjr_garch_t, forecast_variances
from tests.bundled import bundled_bars, stock_returns
from tests.load.measuring import Figures, cpu_seconds

HORIZONS = (1, 5, 21)
LEVELS = (0.01, 0.05)
LONGER = 5
STOCKS = 20
FIRST_SCORED = np.datetime64("2013-01-01")
WINDOW, REFIT = 2_500, 21
PASSES = 0.05


@cache
def panel() -> Panel:
    """The 20 stocks and the index, 1990 to 2022."""
    bars = bundled_bars().sorted()
    index = bars.symbol_index == list(bars.symbols).index("SP500")
    close, sessions = bars.close_adjusted[index], bars.sessions[index].astype("datetime64[D]")
    columns = [*stock_returns().T, close[1:] / close[:-1] - 1.0]
    return Panel.of([Member(sessions, np.ascontiguousarray(column)) for column in columns])


@dataclass(frozen=True, slots=True)
class Record:
    """Forecasts as of every row since 2013.

    Parameters
    ----------
    rows
        Of the panel.
    variances
        Model → (m, n, h) a session.
    quantiles
        Model → (m, n, q) of `LEVELS`.
    longer
        The same over `LONGER` sessions: of ours, and of the returns of a year as they were.
    cpu_s
        That the pipeline's own forecasts took.
    """

    rows: range
    variances: Mapping[str, FloatArray]
    quantiles: Mapping[str, FloatArray]
    longer: Mapping[str, FloatArray]
    cpu_s: float


def walk_forward(over: Panel, first: np.datetime64 = FIRST_SCORED) -> Record:
    """Every model's forecasts since a day, and those of GJR-GARCH-t refitted every month."""
    started = cpu_seconds()
    rows = range(int(np.searchsorted(over.sessions, first)), len(over.sessions))
    everything = [range(len(member.sessions)) for member in over.members]
    made = panel_volatility(over, HORIZONS, VOLATILITY_MODELS, PANEL_MODELS, everything)
    kept = slice(rows.start, rows.stop)
    variances = {
        one.model: np.stack([own[number].daily.values[kept] ** 2 for own in made], axis=1)
        for number, one in enumerate(made[0])
    }
    following, longer = (
        _adaptive(over, [own[-1].daily.values[:, HORIZONS.index(horizon)] for own in made], rows, horizon)
        for horizon in (1, LONGER)
    )
    spent = cpu_seconds() - started
    peers = [peer_forecasts(member.returns, rows) for member in over.members]
    variances["peer"] = np.stack([own for own, _ in peers], axis=1)
    naive = [Historical().forecast(member.returns, LEVELS, (), rows, LONGER).quantiles for member in over.members]
    return Record(
        rows,
        variances,
        {"conformal": following, "peer": np.stack([q for _, q in peers], axis=1)},
        {"conformal": longer, "historical": np.stack(naive, axis=1)},
        spent,
    )


def _adaptive(over: Panel, best: Sequence[FloatArray], rows: range, horizon: int) -> FloatArray:
    """(m, n, q) quantiles of the return over a horizon, filtered by (n) volatilities."""
    made = [
        Conformal().on(member.returns, daily, LEVELS, LEVELS, rows, horizon).quantiles
        for member, daily in zip(over.members, best, strict=True)
    ]
    return np.stack(made, axis=1)


def peer_forecasts(returns: FloatArray, rows: range) -> tuple[FloatArray, FloatArray]:
    """(m, h) variances and (m, q) quantiles by GJR-GARCH-t, whose fit is arch's (tested), refitted every month."""
    variances, quantiles = np.empty((len(rows), len(HORIZONS))), np.empty((len(rows), len(LEVELS)))
    law = None
    for row in rows:
        start = max(row - WINDOW, 0)
        if law is None or (row - rows.start) % REFIT == 0:
            law, since = fit_gjr_garch_t(returns[start:row], start=law), start
            following = conditional_variances(returns[since : row + REFIT], law)[row - since :]
            fitted = row
        ahead = forecast_variances(law, float(following[row - fitted]), max(HORIZONS))
        variances[row - rows.start] = [ahead[:horizon].mean() for horizon in HORIZONS]
        scale = np.sqrt(ahead[0] * (law.nu - 2.0) / law.nu)
        quantiles[row - rows.start] = law.mu + scale * stdtrit(law.nu, np.array(LEVELS))
    return variances, quantiles


def volatility_figures(record: Record, over: Panel) -> Figures:
    """QLIKE of every model, and of the combination by the peer's: less in percent, test, and stocks that gain."""
    figures: dict[str, float] = {}
    rows = np.arange(record.rows.start, record.rows.stop)
    for column, horizon in enumerate(HORIZONS):
        complete = rows + horizon < len(over.sessions)
        realised = np.stack(
            [realised_variance(member.returns, horizon, rows[complete]) for member in over.members[:STOCKS]], axis=1
        )
        realised = np.maximum(realised, REALISED_VARIANCE_FLOOR_DAILY)
        losses = {
            name: qlike_losses(realised, made[complete, :STOCKS, column]) for name, made in record.variances.items()
        }
        figures |= {f"qlike_{name}_{horizon}d": float(values.mean()) for name, values in losses.items()}
        ours, peers = losses["combination"], losses["peer"]
        ends = over.sessions[rows[complete] + horizon]
        figures[f"qlike_gain_{horizon}d_percent"] = 100.0 * (1.0 - float(ours.mean() / peers.mean()))
        figures[f"dm_{horizon}d_p_value"] = _pooled_p_value(ours - peers, ends)
        figures[f"stocks_better_{horizon}d"] = float((ours.mean(axis=0) < peers.mean(axis=0)).sum())
    return figures


def _pooled_p_value(differences: FloatArray, ends: DateArray) -> float:
    """Diebold–Mariano over months in which the stocks' differences are summed; 1 where we lose."""
    months = ends.astype("datetime64[M]")
    starts = np.flatnonzero(np.append(True, months[1:] != months[:-1]))
    sums = np.add.reduceat(differences.sum(axis=1), starts)
    counts = np.diff(np.append(starts, len(months))) * differences.shape[1]
    found = diebold_mariano(sums, counts)
    return 1.0 if found.p_value is None or found.value is None or found.value >= 0.0 else found.p_value


def quantile_figures(record: Record, over: Panel) -> Figures:
    """Tick losses by the peer's, and stocks of which the 1 % quantile passes its tests."""
    figures: dict[str, float] = {}
    rows = np.arange(record.rows.start, record.rows.stop - 1)
    realised = np.stack([member.returns[rows] for member in over.members[:STOCKS]], axis=1)
    for column, level in enumerate(LEVELS):
        ours, peers = (
            pinball_losses(realised, record.quantiles[name][:-1, :STOCKS, column], level).mean()
            for name in ("conformal", "peer")
        )
        figures[f"pinball_{level * 100:g}_vs_peer"] = float(ours / peers)
        hits = realised < record.quantiles["conformal"][:-1, :STOCKS, column]
        figures[f"coverage_{level * 100:g}_percent"] = 100.0 * float(hits.mean())
        if column == 0:
            passed = _passed(hits, level)
            figures |= {"kupiec_passes": float(sum(k for k, _ in passed)), "both_pass": float(sum(map(all, passed)))}
    return figures | _longer_figures(record, over)


def _longer_figures(record: Record, over: Panel) -> Figures:
    """Tick losses by those of a year as it was, and stocks that pass tests of returns that do not overlap."""
    figures: dict[str, float] = {}
    rows = np.arange(record.rows.start, record.rows.stop - LONGER)
    realised = np.stack([returns_over(member.returns, LONGER)[rows] for member in over.members[:STOCKS]], axis=1)
    ours, naive = (record.longer[name][:-LONGER, :STOCKS] for name in ("conformal", "historical"))
    for column, level in enumerate(LEVELS):
        name = f"{level * 100:g}_{LONGER}d"
        losses = [pinball_losses(realised, made[:, :, column], level).mean() for made in (ours, naive)]
        figures[f"pinball_{name}_vs_historical"] = float(losses[0] / losses[1])
        hits = realised < ours[:, :, column]
        figures[f"coverage_{name}_percent"] = 100.0 * float(hits.mean())
        if column == 0:
            kupiec = [coverage_tests(own, level, LONGER).kupiec.p_value for own in hits.T]
            figures[f"kupiec_passes_{LONGER}d"] = float(sum(p is not None and p >= PASSES for p in kupiec))
    return figures


def _passed(hits: BoolArray, level: float) -> Sequence[tuple[bool, bool]]:
    """Of each stock: Kupiec's test, and Christoffersen's of conditional coverage."""
    found = []
    for own in hits.T:
        tests = kupiec_test(int(own.sum()), len(own), 1.0 - level), conditional_coverage_test(own, 1.0 - level)
        found.append(tuple(test.p_value is not None and test.p_value >= PASSES for test in tests))
    return [(bool(kupiec), bool(both)) for kupiec, both in found]
