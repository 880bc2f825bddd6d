"""How past forecasts did: losses beside a naive forecast, coverage, and tests of both."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from pipeline.forecast.models.coverage import CoverageTests
from pipeline.forecast.models.regimes import Regime
from pipeline.risk.measures.statistic import Statistic
from pipeline.store.forecast_scores import ScoreFilter
from pipeline.store.instruments import read_instrument
from serving.answers import Collection, Row
from serving.deps import Database
from serving.evaluations import Evaluated, Grouping, read_evaluations
from serving.inputs import IsoDate, TableQuery
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, tags=["forecasts"])

ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_KINDS = r"^(variance|(quantile|es)_0\.[0-9]{1,4}|probability_positive|rank_quintiles)$"
Kind = Annotated[str, StringConstraints(pattern=_KINDS)]


class ScoreQuery(TableQuery):
    """Which scores to evaluate; all by default."""

    symbol: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,43}$")] | None = Field(
        None, description="Instrument, as in AAPL; all by default."
    )
    model: ModelName | None = Field(None, description="Forecast model, such as har.")
    kind: Kind | None = Field(
        None, description="Such as variance, quantile_0.01, es_0.025, probability_positive or rank_quintiles."
    )
    horizon_sessions: int | None = Field(None, ge=1, le=252, description="Sessions ahead, such as 21.")
    start: IsoDate | None = Field(None, description="Day of the first month in which horizons ended.")
    end: IsoDate | None = Field(None, description="Day of the last such month.")
    by: Grouping = Field(
        "period", description="One evaluation; or one a year, month or regime of the market, without tests of hits."
    )

    @model_validator(mode="after")
    def _require_order(self) -> ScoreQuery:
        if self.start and self.end and self.start > self.end:
            raise PydanticCustomError("window_order", "start lies after end")
        return self


class ScoreOut(Row):
    """How forecasts of one model, kind and horizon did. A test is null where `undefined` names it and says why."""

    model: str
    kind: str
    horizon_sessions: int
    baseline: str = Field(description="Naive forecast beside it.")
    instruments: int
    forecasts: int = Field(description="Scored forecasts, over the instruments.")
    first_month: date
    last_month: date
    regime: Regime | None = Field(
        description="Third of the asked months by the market's volatility in the quarter before their forecasts; null"
        " where `by` is not regime."
    )
    loss: float = Field(
        description="Mean QLIKE of variances, tick loss of quantiles, Fissler-Ziegel loss of ES, log loss of a"
        " probability, ranked probability score of quintiles."
    )
    baseline_loss: float
    relative_loss: float | None = Field(description="Loss over the baseline's; null for ES, whose loss has no zero.")
    squared_error: float | None = Field(description="Of the annual variance, or Brier score of a probability.")
    baseline_squared_error: float | None
    diebold_mariano_statistic: float | None = Field(
        description="Of equal losses, by monthly sums, with HAC errors (Newey-West); below 0 the model is better."
    )
    diebold_mariano_p_value: float | None
    level: float | None = Field(description="Of a quantile or ES.")
    coverage: float | None = Field(description="Part of the returns below their quantile; close to the level if right.")
    kupiec_statistic: float | None = Field(
        description="Number of hits; of a single instrument, as are the next three. Over several sessions the least"
        " likely of those series whose returns do not overlap, and its p-value allows for their number (Bonferroni)."
    )
    kupiec_p_value: float | None
    independence_statistic: float | None = Field(description="Christoffersen's, of hits after hits.")
    independence_p_value: float | None
    conditional_coverage_statistic: float | None = Field(description="Christoffersen's, of both.")
    conditional_coverage_p_value: float | None
    dynamic_quantile_statistic: float | None = Field(
        description="Engle and Manganelli's, of a constant and the last four hits."
    )
    dynamic_quantile_p_value: float | None
    instruments_tested: int | None = Field(description="Instruments whose hits were tested; quantiles only.")
    kupiec_passed: int | None = Field(description="Of those, how many the test does not reject at 5 %.")
    conditional_coverage_passed: int | None
    dynamic_quantile_passed: int | None
    undefined: str | None = Field(description="Tests without a result, and why; null if there is none.")


@router.get("/scores")
def list_scores(query: Annotated[ScoreQuery, Query()], database: Database) -> Collection[ScoreOut]:
    """Past scores by model, kind and horizon, beside those of a naive forecast on the same sessions."""
    with database.reading() as connection:
        instrument_id = None if query.symbol is None else read_instrument(connection, query.symbol).id
        wanted = ScoreFilter(
            instrument_id,
            query.model,
            query.kind,
            query.horizon_sessions,
            query.start and query.start.replace(day=1),
            query.end and query.end.replace(day=1),
        )
        found = read_evaluations(connection, wanted, query.by)
        return Collection[ScoreOut](data=[score_out(one) for one in found], notice=database.notice(connection))


def score_out(one: Evaluated) -> ScoreOut:
    """An evaluation as it is answered."""
    found, passed = one.found, one.found.passed
    statistics = {"diebold_mariano": found.diebold_mariano, **_of_hits(found.tests)}
    why = [f"{name}: {s.undefined_because}" for name, s in statistics.items() if s is not None and s.undefined_because]
    return ScoreOut(
        model=one.model,
        kind=one.kind,
        horizon_sessions=one.horizon_sessions,
        baseline=one.baseline,
        instruments=one.instruments,
        forecasts=found.forecasts,
        first_month=found.first_month,
        last_month=found.last_month,
        regime=one.regime,
        loss=found.loss,
        baseline_loss=found.baseline_loss,
        relative_loss=found.relative_loss,
        squared_error=found.squared_error,
        baseline_squared_error=found.baseline_squared_error,
        level=found.level,
        coverage=found.coverage,
        instruments_tested=None if passed is None else passed.instruments,
        kupiec_passed=None if passed is None else passed.kupiec,
        conditional_coverage_passed=None if passed is None else passed.conditional_coverage,
        dynamic_quantile_passed=None if passed is None else passed.dynamic_quantile,
        undefined="; ".join(why) or None,
        **_figures(statistics),
    )


def _of_hits(tests: CoverageTests | None) -> dict[str, Statistic | None]:
    names = ("kupiec", "independence", "conditional_coverage", "dynamic_quantile")
    return {name: None if tests is None else getattr(tests, name) for name in names}


def _figures(statistics: Mapping[str, Statistic | None]) -> dict[str, Any]:
    values = {f"{name}_statistic": None if found is None else found.value for name, found in statistics.items()}
    return values | {f"{name}_p_value": None if found is None else found.p_value for name, found in statistics.items()}
