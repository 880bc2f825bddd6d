"""The figures that risk assets show on their pages."""

from __future__ import annotations

import numpy as np

from pipeline.orchestration.checks import Columns

RISK_HEADLINE = "volatility"


def risk_figures(rows: Columns) -> dict[str, float]:
    """Means over a month of risk rows; left out while no window is full."""
    if not np.isfinite(rows["volatility"]).any():
        return {}
    return {
        "mean_volatility_annual": float(np.nanmean(rows["volatility"])),
        "mean_var_99_1d_fraction": float(np.nanmean(rows["var_99_1d"])),
        "mean_es_975_1d_fraction": float(np.nanmean(rows["es_975_1d"])),
        "worst_drawdown_fraction": float(np.nanmin(rows["max_drawdown"])),
    }
