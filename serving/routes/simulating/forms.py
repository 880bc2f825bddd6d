"""What callers of simulations send, and what they are answered."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AllowInfNan,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline.base.types import Rebalancing
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION
from pipeline.store.simulation_jobs import SIMULATION_JOB, Job, State
from serving.answers import Resource, Row, described_by
from serving.inputs import Currency
from serving.positions import BAND_MEANING, MAXIMUM_POSITIONS, DriftBand, PositionIn, require_consistency
from serving.routes.portfolio_simulations import ParameterOut, SimulationFigures

MAXIMUM_PATHS = 1_000_000
LONGEST_HORIZON_SESSIONS = 2_520
MOST_FAN_STEPS = 64
MOST_FLOWS = 2_520

_PORTFOLIO = StringConstraints(pattern=r"^([0-9]{1,10}|[a-z][a-z0-9-]{1,62})$")
_MODEL = StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")
Whole = Annotated[int, Strict()]
Fraction = Annotated[float, Strict(), AllowInfNan(False)]


FitOn = Literal["portfolio", "positions"]
Sampling = Literal["plain", "sobol", "importance"]


class CashFlowIn(BaseModel):
    """Money paid in at the close of a session ahead, or taken out."""

    model_config = ConfigDict(extra="forbid")

    session: Whole = Field(ge=1, le=LONGEST_HORIZON_SESSIONS, description="Sessions ahead.")
    amount: Fraction = Field(
        ge=-1_000.0, le=1_000.0, description="As a multiple of the value at the start; negative takes money out."
    )


class SimulationIn(BaseModel):
    """How to simulate."""

    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        json_schema_extra={"examples": [{"model": "student_t", "paths": 20_000}]},
    )

    model: Annotated[str, _MODEL] = Field(
        "stationary_bootstrap",
        description="Simulation model: stationary_bootstrap, student_t, gbm, filtered_historical or t_copula.",
    )
    horizon_sessions: Whole = Field(252, ge=1, le=LONGEST_HORIZON_SESSIONS, description="Sessions ahead.")
    paths: Whole = Field(10_000, ge=100, le=MAXIMUM_PATHS, description="Paths drawn.")
    seed: Whole = Field(
        1, ge=0, le=2**63 - 1, description="The same seed gives the same paths; a portfolio's number is part of them."
    )
    fit_window_sessions: Whole = Field(
        1_260, ge=63, le=10_000, description="Most recent returns that the model is fitted on."
    )
    fit_on: FitOn = Field(
        "portfolio",
        description="What the model is fitted to: portfolio, the one series of what today's weights would have earned;"
        " or positions, the returns of all of them in the base currency, which move together along a path, drift, and"
        " return to their targets by the rebalancing policy.",
    )
    cost_bps: Fraction = Field(
        0.0, ge=0.0, le=1_000.0, description="Of what is bought and sold, in basis points; needs fit_on=positions."
    )
    monthly_flow: Fraction = Field(
        0.0,
        ge=-10.0,
        le=10.0,
        description="Paid in at the close of every 21st session, as a multiple of the value at the start; negative"
        " takes money out, as long as there is any.",
    )
    flows: list[CashFlowIn] = Field(
        default_factory=list, max_length=MOST_FLOWS, description="Paid in or taken out at certain closes besides."
    )
    sampling: Sampling = Field(
        "plain",
        description="How paths are drawn, of the models gbm and student_t: plain, independently; sobol, their sums as"
        " points of a scrambled Sobol' net, for 16 times a power of two paths, 1,024 at least; importance, shifted into"
        " the loss tail and weighed, for errors of the tail's figures that are a quarter and less, and larger ones of"
        " the mean. Errors are stated for each.",
    )
    contributions: Annotated[bool, Strict()] = Field(
        False, description="Answer what each position adds to the gain and to the shortfall; needs fit_on=positions."
    )
    fan_steps: list[Annotated[Whole, Field(ge=1, le=LONGEST_HORIZON_SESSIONS)]] | None = Field(
        None,
        max_length=MOST_FAN_STEPS,
        description="Ascending sessions at which the spread of wealth is answered; null for every month and the"
        " horizon.",
    )
    goal_return: Fraction | None = Field(
        None,
        gt=-1.0,
        le=1e6,
        description="Answer how likely the return at the horizon is this fraction or more.",
    )
    ruin_drawdown: Fraction | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="Answer how likely wealth falls by this fraction or more from its peak, at any time.",
    )
    goal_wealth: Fraction | None = Field(
        None,
        ge=0.0,
        le=1e6,
        description="Answer how likely wealth at the horizon, with what is paid in and out, is this multiple of the"
        " value at the start or more.",
    )
    terminal_values: Annotated[bool, Strict()] = Field(
        False, description="Keep each path's wealth at the horizon, for …/terminal-values; makes it a job."
    )

    @model_validator(mode="after")
    def _require_positions(self) -> Self:
        for name in ("cost_bps", "contributions"):
            if self.fit_on == "portfolio" and getattr(self, name):
                message = f"{name}: of one series there are no positions to tell apart; give fit_on=positions beside it"
                raise PydanticCustomError("fit_on", "{message}", {"message": message})
        if self.terminal_values and self.sampling == "importance":
            message = (
                "terminal_values: with sampling=importance paths do not count the same; give sampling=plain or sobol"
            )
            raise PydanticCustomError("sampling", "{message}", {"message": message})
        for number, flow in enumerate(self.flows):
            if flow.session > self.horizon_sessions:
                message = (
                    f"flows.{number}.session: {flow.session} is beyond the horizon of {self.horizon_sessions} sessions;"
                    " give an earlier one, or a longer horizon_sessions"
                )
                raise PydanticCustomError("flows", "{message}", {"message": message})
        return self


class SimulateIn(SimulationIn):
    """What to simulate: a stored portfolio, or positions."""

    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        json_schema_extra={"examples": [{"portfolio": "core", "model": "student_t", "paths": 20_000}]},
    )

    portfolio: Annotated[str, _PORTFOLIO] | None = Field(None, description="Id or slug of a stored portfolio.")
    positions: list[PositionIn] | None = Field(None, min_length=1, max_length=MAXIMUM_POSITIONS)
    rebalancing: Rebalancing | None = Field(
        None,
        description="Of positions: target weights need daily, monthly, quarterly or drift_band; quantities are held.",
    )
    drift_band: DriftBand | None = Field(None, description=BAND_MEANING)
    base_currency: Currency | None = Field(
        None, description="Of positions; null for that of all of them, USD if they have several."
    )

    @model_validator(mode="after")
    def _require_one_subject(self) -> SimulateIn:
        if (self.portfolio is None) == (self.positions is None):
            raise PydanticCustomError("one_subject", "Give exactly one of portfolio and positions")
        if self.positions is not None:
            require_consistency(self.positions, self.rebalancing, self.drift_band)
        for name in ("rebalancing", "drift_band", "base_currency"):
            if self.positions is None and getattr(self, name) is not None:
                message = f"{name}: a stored portfolio has its own; leave it out"
                raise PydanticCustomError("stored", "{message}", {"message": message})
        return self


class SimulatedFanOut(Row):
    """How wealth spreads over the horizon; the start is 1."""

    steps: list[int] = Field(description="Sessions ahead.")
    levels: list[float] = Field(description="Quantile levels.")
    wealth: list[list[float]] = Field(description="For each step the wealth at each level: an order statistic.")


class SimulatedProbabilityOut(Row):
    """A share of the paths."""

    value: float = Field(description="Of the paths [probability]")
    error: float = Field(description="Binomial standard error.")


class DrawdownQuantilesOut(Row):
    """A distribution over the paths."""

    levels: list[float] = Field(description="Quantile levels.")
    values: list[float] = Field(description="Order statistics.")
    errors: list[float] = Field(description="Their standard errors.")


class SimulatedContributionOut(Row):
    """What a position adds to the gain and to the expected shortfall; all of them and the costs add up to the whole."""

    symbol: str | None = Field(description="Null for the costs of trades.")
    gain_mean: float = Field(description="Mean of what it earns [fraction of the value at the start]")
    gain_mean_error: float = Field(description="Standard error.")
    es_975: float = Field(description="Its mean loss on the portfolio's worst 2.5 % of paths [fraction of the value]")
    es_975_error: float = Field(description="Standard error.")


@described_by(PORTFOLIO_SIMULATION)
class SimulatedRow(SimulationFigures):
    """A simulated distribution: the figures that are stored for portfolios, and what was asked besides."""

    portfolio_id: int | None = Field(description="Null for positions.")
    subject: int = Field(
        description="Second half of the random numbers' key, beside the seed: the portfolio's number, 0 for positions."
    )
    fit_start: date = Field(description="Session of the first return that the model was fitted on.")
    var_95_error: float
    probability_of_loss_error: float
    max_drawdown_mean_error: float
    max_drawdown_05: float
    drawdown: DrawdownQuantilesOut = Field(description="Of the deepest fall of a share [fraction, negative]")
    wealth_mean: float = Field(description="Mean wealth at the horizon, with what is paid in and out; the start is 1.")
    wealth_mean_error: float = Field(description="Standard error of the mean.")
    cost_mean: float = Field(description="Mean of what trades cost [fraction of the value at the start]")
    cost_mean_error: float = Field(description="Standard error of the mean.")
    depletion: SimulatedProbabilityOut = Field(description="That nothing is left at the horizon.")
    contributions: list[SimulatedContributionOut] | None = Field(
        description="Of each position, and of costs; null if it was not asked."
    )
    sampling: Sampling = Field(description="How its paths were drawn, from which its errors follow.")
    fan: SimulatedFanOut
    parameters: list[ParameterOut] = Field(description="Of the fitted model.")
    probability_of_goal: SimulatedProbabilityOut | None = Field(
        description="That the return at the horizon is goal_return or more; null if it was not asked."
    )
    probability_of_wealth: SimulatedProbabilityOut | None = Field(
        description="That wealth at the horizon is goal_wealth or more; null if it was not asked."
    )
    probability_of_ruin: SimulatedProbabilityOut | None = Field(
        description="That wealth falls by ruin_drawdown or more from its peak; null if it was not asked."
    )


class SimulatedOut(SimulatedRow, Resource):
    """A simulation that was answered at once; nothing is stored."""


class ProgressOut(Row):
    """How far a job is."""

    paths_done: int
    paths_total: int


@described_by(SIMULATION_JOB)
class JobRow(Row):
    """A simulation in the background."""

    id: UUID
    state: State
    progress: ProgressOut
    portfolio_id: int | None
    session: date
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    kept_until: datetime | None = Field(description="When it is removed; null while it has not ended.")
    error: str | None
    request: dict[str, Any] = Field(description="What was asked, with every default.")

    @classmethod
    def fields_of(cls, job: Job) -> dict[str, Any]:
        """The fields of a stored job."""
        progress = {"paths_done": job.paths_done, "paths_total": job.paths_total}
        names = cls.model_fields.keys() - {"progress", "notice"}
        return {name: getattr(job, name) for name in names} | {"progress": progress}


class JobOut(JobRow, Resource):
    """A simulation in the background, with its result."""

    result: SimulatedRow | None = Field(description="The same as one that is answered at once; null until it is done.")
