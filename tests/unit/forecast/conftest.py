"""Series to forecast: one drawn with volatility clusters and fat tails, and the 20 bundled stocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.base.types import DateArray, FloatArray


def clustered_returns(sessions: int, seed: int = 7) -> FloatArray:
    """Returns whose log volatility follows an autoregression, with Student-t shocks and some exact zeros."""
    draw = np.random.default_rng(seed)
    level = np.zeros(sessions)
    for t in range(1, sessions):
        level[t] = 0.97 * level[t - 1] + 0.15 * draw.standard_normal()
    returns = 0.01 * np.exp(level) * draw.standard_t(5, sessions)
    returns[draw.random(sessions) < 0.03] = 0.0
    return np.clip(returns, -0.9, 2.0)


@pytest.fixture(scope="session")
def long_returns() -> FloatArray:
    """Long enough for every registered model's window to slide."""
    return clustered_returns(3_300)


@pytest.fixture
def drawn() -> Callable[..., FloatArray]:
    return clustered_returns


@dataclass(frozen=True)
class Stocks:
    sessions: DateArray
    returns: FloatArray
    """(20, t-1)"""


@pytest.fixture(scope="session")
def stocks() -> Stocks:
    """What ``skfolio.datasets.load_sp500_dataset()`` gives, without the 2.5 s that importing skfolio takes."""
    files = [file for file in distribution("skfolio").files or () if file.name.startswith("sp500_dataset")]
    prices = pd.read_csv(Path(str(files[0].locate())), index_col=0, parse_dates=True)
    close = prices.to_numpy(dtype=np.float64)
    return Stocks(
        sessions=prices.index.to_numpy().astype("datetime64[D]"),
        returns=np.ascontiguousarray((close[1:] / close[:-1] - 1.0).T),
    )
