"""The volatility that adaptive quantiles filter by, from what is stored."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import DateArray, FloatArray


def stored_filter(
    sessions: DateArray, stored_sessions: DateArray, annual: FloatArray, periods_per_year: int
) -> FloatArray | None:
    """(t, k) volatility a session over each horizon as of each; None where one after the first is missing.

    Parameters
    ----------
    sessions
        (t,) of the instrument.
    stored_sessions, annual
        (m,) sessions as of which volatilities are stored, and (m, k) these, annualised.
    """
    daily = np.full((len(sessions), annual.shape[1]), np.nan)
    at = np.searchsorted(sessions, stored_sessions)
    known = (at < len(daily)) & (sessions[np.minimum(at, len(daily) - 1)] == stored_sessions)
    daily[at[known]] = annual[known] / math.sqrt(periods_per_year)
    has = np.isfinite(daily).any(axis=1)
    return daily if has.any() and np.isfinite(daily[int(np.argmax(has)) :]).all() else None
