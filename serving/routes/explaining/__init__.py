"""Why a served number is what it is: one module a kind of number, and what all of them share.

`envelope` has the form of the answer, `figures` what every explanation does, `prices` the closes that figures are made
of, `documented` the words. A new kind is a module and a line in `ROUTERS`.
"""

from __future__ import annotations

from fastapi import APIRouter

from serving.routes.explaining import (
    backtests,
    contributions,
    covariance,
    currency,
    decomposition,
    factors,
    forecasts,
    limits,
    liquidity,
    risk,
    simulations,
    stress,
    tails,
)

ROUTERS: tuple[tuple[str, APIRouter], ...] = (
    ("risk", risk.router),
    ("risk", tails.router),
    ("risk", contributions.router),
    ("risk", stress.router),
    ("risk", covariance.router),
    ("risk", factors.router),
    ("risk", backtests.router),
    ("risk", limits.router),
    ("risk", currency.router),
    ("risk", decomposition.router),
    ("risk", liquidity.router),
    ("simulation", simulations.router),
    ("forecast", forecasts.router),
)
"""Slice of each router."""
