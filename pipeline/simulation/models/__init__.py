"""Simulation models, one file each, and the registry that runs choose from.

A new model is a file with a `Model` and a line in `MODELS`; it inherits the tests of ``tests/unit/simulation``.
"""

from __future__ import annotations

from pipeline.simulation.models.errors import SimulationInputError
from pipeline.simulation.models.filtered_historical import FilteredHistorical
from pipeline.simulation.models.gbm import Gbm
from pipeline.simulation.models.protocol import FittedModel, Model, Parameter
from pipeline.simulation.models.stationary_bootstrap import StationaryBootstrap
from pipeline.simulation.models.student_t import StudentT
from pipeline.simulation.models.t_copula import TCopula

__all__ = ["MODELS", "FittedModel", "Model", "Parameter", "SimulationInputError"]

MODELS: dict[str, Model] = {
    model.name: model for model in (StationaryBootstrap(), StudentT(), Gbm(), FilteredHistorical(), TCopula())
}
"""Name → model. The stream number of a model is part of its random numbers: never reuse one (2 was Student's t of one
series)."""
