"""The report of a portfolio: one object with everything that is known of it, from which tear sheets are made."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from serving.answers import Resource, Row
from serving.routes.backtests import BacktestOut
from serving.routes.calculate_forms import ConcentrationOut, DrawdownOut, MeasuredOut, MeasuredTailOut
from serving.routes.portfolio_forecast import PortfolioForecastRow
from serving.routes.portfolio_simulations import SimulationOut
from serving.routes.portfolios import PortfolioOut
from serving.routes.stress import StoredScenarioOut
from serving.routes.what_if_forms import LimitStateOut, PositionPartOut


class Section(Row):
    """A part of the report, and where it comes from."""

    as_of: date | None = Field(description="Newest session that it stands on; null where it is empty.")
    source: Literal["computed", "stored"] = Field(description="For this request, or by the pipeline's last run.")
    explain: str | None = Field(
        description="Address that explains a figure, as a URI template (RFC 6570); null if there is none."
    )


class TrailingOut(Row):
    """What the newest sessions earned."""

    name: str = Field(examples=["1y"])
    start: date = Field(description="Session whose close it is counted from.")
    sessions: int
    total_return: float = Field(description="[fraction]")
    annual_return: float | None = Field(description="Per 252 sessions [fraction]; null for less than a year.")
    benchmark_return: float | None = Field(description="Of the benchmark from the same close [fraction]")


class CalendarOut(Row):
    """What a calendar month or year earned; the first and the last may be incomplete."""

    start: date = Field(description="First day of the month or year.")
    total_return: float = Field(description="[fraction]")
    benchmark_return: float | None = Field(description="[fraction]")


class CurveOut(Row):
    """Wealth by session; the first is 1."""

    sessions: list[date]
    wealth: list[float]
    benchmark: list[float] | None
    drawdown: list[float] = Field(description="From the highest wealth before, of all sessions [fraction, negative]")


class PerformanceSection(Section):
    """What today's holdings earned under their rebalancing policy.

    A return is explained from the close that it is counted from: `start` of what is trailing, of a month or year the
    close before it.
    """

    explain_value: str = Field(description="As `explain`, of the value.")
    explain_drawdowns: str = Field(description="As `explain`, of a drawdown; 1 is the deepest.")
    value: float | None = Field(description="At the last close, in the base currency; null for target weights.")
    trailing: list[TrailingOut]
    years: list[CalendarOut]
    months: list[CalendarOut]
    curve: CurveOut
    drawdowns: list[DrawdownOut] = Field(description="The deepest of the measures' window.")


class MeasuresSection(Section):
    """Every registered measure."""

    window_start: date
    window_sessions: int
    benchmark: str | None
    risk_free: str
    measures: list[MeasuredOut]


class TailsSection(Section):
    """Value at risk and expected shortfall of one session by every method."""

    window_sessions: int
    tails: list[MeasuredTailOut]


class BacktestsSection(Section):
    """Whether the published values at risk were right, at the newest month's end."""

    backtests: list[BacktestOut]


class StressSection(Section):
    """The stored scenarios of the newest session that has them."""

    scenarios: list[StoredScenarioOut]


class ContributionsSection(Section):
    """Each position's part of the risk."""

    concentration: ConcentrationOut
    positions: list[PositionPartOut]


class LimitsSection(Section):
    """Where the portfolio stands against its limits."""

    limits: list[LimitStateOut]


class SimulationsSection(Section):
    """The newest stored simulation by each model."""

    simulations: list[SimulationOut]


class ForecastsSection(Section):
    """Forecasts of the portfolio's own returns."""

    forecasts: PortfolioForecastRow


class PortfolioReport(Resource):
    """Everything that is known of a portfolio; a section that cannot be made is null, and `unavailable` says why."""

    portfolio: PortfolioOut
    as_of: date = Field(description="Newest session with a price.")
    performance: PerformanceSection | None
    measures: MeasuresSection | None
    tails: TailsSection | None
    backtests: BacktestsSection | None
    stress: StressSection | None
    contributions: ContributionsSection | None
    limits: LimitsSection | None
    simulations: SimulationsSection | None
    forecasts: ForecastsSection | None
    unavailable: dict[str, str] = Field(description="Section → why it could not be made.")
