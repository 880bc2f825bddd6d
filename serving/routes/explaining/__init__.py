"""Why a served number is what it is: one module a kind of number, and what all of them share.

`envelope` has the form of the answer, `figures` what every explanation does, `prices` the closes that figures are made
of, `documented` the words. A new kind is a module and a line in `ROUTERS`.
"""

from __future__ import annotations

from fastapi import APIRouter

from serving.routes.explaining import (
    backtests,
    bars,
    calculations,
    contributions,
    covariance,
    currency,
    decomposition,
    factors,
    fans,
    forecasts,
    histories,
    limits,
    liquidity,
    on_request,
    portfolio_figures,
    principal,
    probabilities,
    reports,
    risk,
    scores,
    simulation_jobs,
    simulations,
    strategies,
    stress,
    stress_on_request,
    tails,
    values,
)

ROUTERS: tuple[tuple[str, APIRouter], ...] = (
    ("market_data", bars.router),
    ("risk", values.router),
    ("risk", histories.router),
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
    ("risk", calculations.router),
    ("risk", on_request.router),
    ("risk", stress_on_request.router),
    ("risk", principal.router),
    ("risk", reports.router),
    ("risk", portfolio_figures.router),
    ("simulation", fans.router),
    ("simulation", simulations.router),
    ("simulation", simulation_jobs.router),
    ("simulation", strategies.router),
    ("forecast", forecasts.router),
    ("forecast", probabilities.router),
    ("forecast", scores.router),
)
"""Slice of each router."""
