"""The command `fintech simulate`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import load_settings

Portfolio = Annotated[str | None, typer.Argument(help="Id or slug of a stored portfolio.")]
Weights = Annotated[
    list[str] | None, typer.Option("--weight", help="A position instead, such as AAPL=0.6; give it several times.")
]
Rebalancing = Annotated[str, typer.Option(help="When weights are restored: daily, monthly, quarterly or drift_band.")]
DriftBand = Annotated[
    float | None, typer.Option(help="Of drift_band: how far a weight may leave its target, 0.05 for 5 points.")
]
Model = Annotated[str, typer.Option(help="Simulation model.")]
Horizon = Annotated[int, typer.Option(help="Sessions ahead.")]
Paths = Annotated[int, typer.Option(help="Paths drawn.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same paths.")]
FitWindow = Annotated[int, typer.Option(help="Most recent returns that the model is fitted on.")]
Goal = Annotated[float | None, typer.Option(help="How likely is this return or more: 0.1 for 10 %.")]
Ruin = Annotated[float | None, typer.Option(help="How likely is a fall from the peak by this or more: 0.3 for 30 %.")]
Wealth = Annotated[float | None, typer.Option(help="How likely is this multiple of the start or more, with payments.")]
FitOn = Annotated[str, typer.Option(help="portfolio: one series. positions: all together, rebalanced along each path.")]
CostBps = Annotated[float, typer.Option(help="Of what is bought and sold, in basis points, with --fit-on positions.")]
MonthlyFlow = Annotated[
    float, typer.Option(help="Paid in each month, as a part of the value at the start: -0.004 takes 0.4 % out.")
]
Flows = Annotated[
    list[str] | None, typer.Option("--flow", help="SESSION=AMOUNT, paid in at its close; give it several times.")
]
Contributions = Annotated[bool, typer.Option(help="What each position adds to the shortfall, with --fit-on positions.")]
Sampling = Annotated[str, typer.Option(help="Of gbm and student_t: plain, sobol, or importance for the loss tail.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer; progress goes to standard error.")]


def simulate(  # noqa: PLR0913 - an option each
    portfolio: Portfolio = None,
    *,
    weight: Weights = None,
    rebalancing: Rebalancing = "monthly",
    drift_band: DriftBand = None,
    model: Model = "stationary_bootstrap",
    horizon: Horizon = 252,
    paths: Paths = 10_000,
    seed: Seed = 1,
    fit_window: FitWindow = 1_260,
    goal: Goal = None,
    ruin: Ruin = None,
    wealth: Wealth = None,
    fit_on: FitOn = "portfolio",
    cost_bps: CostBps = 0.0,
    monthly_flow: MonthlyFlow = 0.0,
    flow: Flows = None,
    contributions: Contributions = False,
    sampling: Sampling = "plain",
    as_json: AsJson = False,
) -> None:
    """Simulate a portfolio or weights by the engine of the API, here and now; nothing is stored."""
    from fintech.host import require_server  # noqa: PLC0415 - each command imports only what it needs

    settings = load_settings()
    require_server(settings)
    asked = {
        "portfolio": portfolio,
        "positions": [_position(text) for text in weight] if weight else None,
        "rebalancing": rebalancing if weight else None,
        "drift_band": drift_band,
        "model": model,
        "horizon_sessions": horizon,
        "paths": paths,
        "seed": seed,
        "fit_window_sessions": fit_window,
        "goal_return": goal,
        "ruin_drawdown": ruin,
        "goal_wealth": wealth,
        "fit_on": fit_on,
        "cost_bps": cost_bps,
        "monthly_flow": monthly_flow,
        "flows": [_flow(text) for text in flow or ()],
        "contributions": contributions,
        "sampling": sampling,
    }
    from fintech.simulating import print_simulation  # noqa: PLC0415

    print_simulation(settings, asked, Console(), as_json=as_json)


def _position(text: str) -> dict[str, object]:
    symbol, _, weight = text.partition("=")
    try:
        return {"symbol": symbol, "target_weight": float(weight)}
    except ValueError as error:
        raise ConfigurationError(f"--weight {text!r} is no position", "Write it as AAPL=0.6.", exit_code=2) from error


def _flow(text: str) -> dict[str, object]:
    session, _, amount = text.partition("=")
    try:
        return {"session": int(session), "amount": float(amount)}
    except ValueError as error:
        raise ConfigurationError(f"--flow {text!r} is no payment", "Write it as 252=-0.05.", exit_code=2) from error
