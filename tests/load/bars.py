"""The figures that have a bar, and whether they hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Sense = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to reach.

    Parameters
    ----------
    key
        Of the figure in ``.data/bench.json``.
    bound
        In the figure's unit.
    sense
        On which side of the bound the figure has to lie; the bound itself holds.
    point
        What it stands for, in words.
    """

    key: str
    bound: float
    sense: Sense
    point: str

    def holds(self, value: float) -> bool:
        """Whether a measured value reaches the bar; one that is not a number does not."""
        return value <= self.bound if self.sense == "at most" else value >= self.bound

    def verdict(self, value: float) -> str:
        """The bar and its outcome, such as ``≤ 120 holds``."""
        sign = "≤" if self.sense == "at most" else "≥"
        return f"{sign} {self.bound:g} {'holds' if self.holds(value) else 'MISSED'}"


BARS = (
    Bar("run.total_s", 120.0, "at most", "from an empty machine to printed results, seconds"),
    Bar("run.second_total_s", 40.0, "at most", "a second run, when nothing has changed, seconds"),
    Bar("run.peak_mib", 1_536.0, "at most", "the largest process, the embedded server included, MiB"),
    Bar("run.second_rows_written", 0.0, "at most", "a second run writes nothing"),
    Bar("run.backfill_ours_s", 60.0, "at most", "a backfill of 33 years and 26 series, seconds in the assets"),
    Bar("serve.import_vs_libraries", 2.25, "at most", "the API's imports, by those of the libraries that it loads"),
    Bar("serve.dagster_modules", 0.0, "at most", "the API loads nothing of Dagster"),
    Bar("serve.cached_vs_bare", 0.75, "at least", "a cached read, as a share of a bare server's requests a second"),
    Bar(
        "serve.full_stack_vs_bare",
        0.30,
        "at least",
        "the same with login, limit, metrics, log and 1 % traces",
    ),
    Bar("serve.pg_read_vs_bare", 0.11, "at least", "a row from Postgres, as a share of a bare server's requests"),
    Bar(
        "serve.series_vs_pydantic",
        50.0,
        "at least",
        "a stored series of 7,500 rows, times as fast as its rows through models",
    ),
    Bar("serve.burst_cached_p99_ms", 50.0, "at most", "kept answers to 100 users in lock-step, 1,000 a second"),
    Bar("serve.burst_pg_p95_ms", 150.0, "at most", "rows from Postgres to 100 users in lock-step, 1,000 a second"),
    Bar("serve.soak_growth_mib", 8.0, "at most", "memory that a warm server grows by under a mixed load, MiB"),
    Bar("serve.errors", 0.0, "at most", "requests of all of these that were not answered as they should be"),
    Bar("ingest.first_load_vs_copy", 1.0, "at most", "a first load, judged, is no slower than psql's COPY FROM"),
    Bar("ingest.reload_vs_copy", 0.9, "at most", "loading the same again is faster than psql's COPY FROM"),
    Bar("ingest.reload_rows_written", 0.0, "at most", "loading the same again writes nothing"),
    Bar("ingest.rebuild_vs_copy", 0.55, "at most", "a rebuild beside, 1 % of the bars revised, by psql's COPY FROM"),
    Bar("ingest.daily_500_ms", 50.0, "at most", "a new session of 500 instruments, milliseconds"),
    Bar("panel.vs_read_sql", 25.0, "at least", "the dense panel is many times faster than pandas.read_sql"),
    Bar("panel.vs_copy_out", 0.6, "at most", "the dense panel is faster than psql's binary COPY TO"),
    Bar("ingest.one_year_server_ms", 0.2, "at most", "an instrument's newest year, milliseconds in the server"),
    Bar("risk.metrics_vs_numpy", 12.0, "at least", "twelve measures of a series, times as fast as numpy"),
    Bar("risk.metrics_vs_skfolio", 80.0, "at least", "the same, times as fast as skfolio"),
    Bar("risk.rolling_vs_pandas_native", 15.0, "at least", "the rolling panel, times as fast as pandas' own methods"),
    Bar("risk.rolling_vs_pandas_all", 200.0, "at least", "the same with .apply for what pandas has no method for"),
    Bar("risk.rolling_vs_write_limit", 5.0, "at most", "the rolling panel's time by that of storing its rows"),
    Bar("risk.daily_refresh_cpu_s", 1.0, "at most", "a month of 500 instruments and 100 portfolios, tails too, CPU s"),
    Bar("risk.calculate_100_ms", 20.0, "at most", "a full report of 100 positions on request, CPU milliseconds"),
    Bar("sim.gbm_vs_numpy_chunked", 6.0, "at least", "20 stocks by GBM, monthly restored, times as fast as numpy"),
    Bar("sim.gbm_vs_naive", 25.0, "at least", "the same, times as fast as numpy in whole arrays of doubles"),
    Bar("sim.t_vs_numpy_chunked", 4.0, "at least", "the same by a multivariate t law, times as fast as numpy"),
    Bar("sim.bootstrap_vs_numpy", 20.0, "at least", "the same by stationary bootstrap, times as fast as numpy"),
    Bar("sim.fhs_vs_arch", 20.0, "at least", "one stock by filtered history, times as fast as arch's forecast"),
    Bar("sim.fit_vs_arch", 20.0, "at least", "a fit of GJR-GARCH-t, times as fast as arch"),
    Bar(
        "sim.var99_error_gain", 4.0, "at least", "RMSE of VaR 99 % by plain paths, over that by shifted ones, equal CPU"
    ),
    Bar("sim.es99_error_gain", 8.0, "at least", "the same of ES 99 %"),
    Bar("sim.peak_mib", 250.0, "at most", "a process that simulates a million paths of 20 stocks, MiB"),
    Bar("sim.rng_limit_share", 0.6, "at least", "time of the normal draws alone, as a share of the whole walk's"),
    Bar(
        "forecast.qlike_gain_1d_percent", 3.0, "at least", "volatility 2013-2022: QLIKE below GJR-GARCH-t's, 1 session"
    ),
    Bar("forecast.qlike_gain_5d_percent", 8.0, "at least", "the same over 5 sessions"),
    Bar("forecast.qlike_gain_21d_percent", 6.0, "at least", "the same over 21 sessions"),
    Bar("forecast.dm_1d_p_value", 0.05, "at most", "Diebold and Mariano's test of it, all stocks, 1 session"),
    Bar("forecast.dm_5d_p_value", 0.05, "at most", "the same over 5 sessions"),
    Bar("forecast.dm_21d_p_value", 0.05, "at most", "the same over 21 sessions"),
    Bar("forecast.stocks_better_1d", 20.0, "at least", "stocks of 20 whose QLIKE is lower, 1 session"),
    Bar("forecast.stocks_better_5d", 20.0, "at least", "the same over 5 sessions"),
    Bar("forecast.stocks_better_21d", 16.0, "at least", "the same over 21 sessions"),
    Bar("forecast.pinball_1_vs_peer", 1.0, "at most", "tick loss of the 1 % quantile by that of GJR-GARCH-t"),
    Bar("forecast.pinball_5_vs_peer", 1.0, "at most", "the same of the 5 % quantile"),
    Bar("forecast.kupiec_passes", 20.0, "at least", "stocks of 20 whose 1 % quantile passes Kupiec's test"),
    Bar("forecast.both_pass", 18.0, "at least", "the same and Christoffersen's of conditional coverage"),
    Bar("forecast.walk_forward_cpu_s", 600.0, "at most", "all models on 21 series, 1990-2022, CPU seconds"),
    Bar("forecast.cheaper_than_daily_arch", 20.0, "at least", "that, times less CPU than arch fitted daily 2013-2022"),
    Bar("forecast.refresh_500_cpu_s", 5.0, "at most", "a new session of 500 instruments, fits amortised, CPU seconds"),
    Bar("quality.spike_recall", 0.95, "at least", "share of the seeded spikes that are found"),
    Bar("quality.spike_false_ppm", 200.0, "at most", "right bars taken for spikes, per million"),
    Bar("quality.second_source_recall", 0.99, "at least", "share of errors of 1 % that a second source shows"),
    Bar("quality.second_source_false_ppm", 50.0, "at most", "right bars that a second source accuses, per million"),
)


def bar_of(key: str) -> Bar | None:
    """The bar of a figure, if it has one."""
    return next((bar for bar in BARS if bar.key == key), None)


def missed(measured: Mapping[str, float]) -> list[Bar]:
    """The bars that measured figures do not reach; what is not measured is not judged."""
    return [bar for bar in BARS if bar.key in measured and not bar.holds(measured[bar.key])]
