"""The register of models: brought up to date with every new score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeAlias

from sqlalchemy import Table

from pipeline.forecast.models import (
    PANEL_MODELS,
    QUANTILE_MODELS,
    VOLATILITY_MODELS,
    PanelModel,
    QuantileModel,
    VolatilityModel,
)
from pipeline.forecast.models.baselines import VOLATILITY_BASELINE
from pipeline.forecast.models.evaluation import ScoredMonths, best_model, evaluate, past_relative_loss
from pipeline.forecast.models.kinds import Target
from pipeline.forecast.models.probability import ProbabilityModel
from pipeline.forecast.models.probability_registry import PROBABILITY_MODELS
from pipeline.store.forecast_models import (
    Decision,
    NewModel,
    promote,
    read_champions,
    register_model,
)
from pipeline.store.forecast_scores import MonthlyLosses, ScoreFilter, read_monthly_losses
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import Write

AnyModel: TypeAlias = VolatilityModel | PanelModel | QuantileModel | ProbabilityModel
Scored: TypeAlias = Mapping[tuple[str, int], ScoredMonths]

FIRST_CHAMPION = Decision("pipeline", "The best by past scores when models were first scored.")


def register_models(write: Write) -> None:
    """Enter every model with its newest scores; the best by past scores is champion of a target that has none."""
    found = read_monthly_losses(write.connection, ScoreFilter())
    for target, table, models in _registered():
        losses = {}
        for model in models:
            scored = {(kind, h): _months(made) for (name, kind, h), made in found.items() if name == model.name}
            new = _new_model(target, table, model, scored)
            register_model(write.connection, new, write.materialization_id)
            losses[model.name] = new.relative_loss
        best = best_model(losses)
        if best is not None and not read_champions(write.connection, target, 1):
            promote(write.connection, best, FIRST_CHAMPION, reason="score")


def _registered() -> Iterator[tuple[Target, Table, tuple[AnyModel, ...]]]:
    yield "volatility", VOLATILITY_FORECAST, (*VOLATILITY_MODELS, *PANEL_MODELS)
    yield "distribution", QUANTILE_FORECAST, QUANTILE_MODELS
    yield "probability", PROBABILITY_FORECAST, PROBABILITY_MODELS


def scored_months(write: Write) -> dict[str, tuple[str, ScoredMonths]]:
    """Every model's scores by name, kind and horizon, such as ``har variance 21``; with their kind."""
    found = read_monthly_losses(write.connection, ScoreFilter())
    return {f"{name} {kind} {horizon}": (kind, _months(made)) for (name, kind, horizon), made in found.items()}


def scores_of(write: Write, model: str) -> Scored:
    """Scores of one model by kind and horizon."""
    found = read_monthly_losses(write.connection, ScoreFilter(model=model))
    return {(kind, horizon): _months(made) for (_, kind, horizon), made in found.items()}


def _new_model(target: Target, table: Table, model: AnyModel, scored: Scored) -> NewModel:
    ends = max((made.months[-1] for made in scored.values()), default=None)
    relative = None
    if ends is not None:
        # A month counts once the next has begun; the running one still changes from day to day.
        relative = past_relative_loss(scored, ends.astype("datetime64[M]"))
        relative = 1.0 if relative is not None and model.name == VOLATILITY_BASELINE else relative
    return NewModel(
        target=target,
        name=model.name,
        version=model.version,
        forecasts=table,
        hyperparameters=hyperparameters(model),
        scores={f"{kind} {horizon}": _figures(kind, made) for (kind, horizon), made in sorted(scored.items())},
        relative_loss=relative,
        scored_through=None if ends is None or relative is None else (ends.astype("datetime64[M]") - 1).item(),
    )


def hyperparameters(model: AnyModel) -> dict[str, Any]:
    """Every parameter of a model; an empty mapping for one without."""
    return {field.name: _plain(getattr(model, field.name)) for field in fields(model)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _figures(kind: str, made: ScoredMonths) -> dict[str, Any]:
    """Over all months."""
    found = evaluate(kind, made)
    return {
        "forecasts": found.forecasts,
        "first_month": found.first_month.isoformat(),
        "last_month": found.last_month.isoformat(),
        "loss": found.loss,
        "baseline_loss": found.baseline_loss,
        "diebold_mariano": found.diebold_mariano.value,
        "diebold_mariano_p_value": found.diebold_mariano.p_value,
        "coverage": found.coverage,
    }


def _months(made: MonthlyLosses) -> ScoredMonths:
    return ScoredMonths(
        made.months,
        made.forecasts,
        made.hits,
        made.loss,
        made.baseline_loss,
        made.squared_error,
        made.baseline_squared_error,
    )
