"""Names of columns that hold a figure a level, which the core fills and the store declares."""

from __future__ import annotations


def level_column(prefix: str, level: float, horizon_sessions: int = 1) -> str:
    """Column of a level, in tenths of a percent: ``quantile_0010`` is the 1 % quantile, ``…_5d`` over 5 sessions."""
    end = "" if horizon_sessions == 1 else f"_{horizon_sessions}d"
    return f"{prefix}_{round(level * 1000):04d}{end}"
