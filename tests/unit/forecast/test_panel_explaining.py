"""Parts of panel forecasts add up to what is published."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.forecast.models.combination import Combination
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.panel import PanelVolatility
from pipeline.forecast.models.panel_explaining import explain_combination, explain_pooled
from pipeline.forecast.models.panel_features import FEATURES
from pipeline.forecast.models.pooled_panel import PooledPanel
from tests.unit.forecast.test_panel_models import SPEC, own, panel, whole

ROW, INSTRUMENT = 1_400, 1


def made() -> dict[str, PanelVolatility]:
    """Forecasts of every model, without those that stand in."""
    found = {}
    for model in ("gjr_garch", "har", "pooled_panel"):
        columns = []
        for number, instrument in enumerate(whole()):
            daily = instrument[model].volatility_annual / np.sqrt(252)
            if instrument[model].stands_in is not None:
                daily = np.where(own(instrument[model])[:, None], daily, np.nan)
            columns.append(panel().spread(number, daily))
        found[model] = PanelVolatility(np.stack(columns, axis=1), np.full(len(panel().sessions), -1))
    return found


@pytest.mark.parametrize("column", [0, 1, 2])
def test_contributions_make_the_published_forecast(column: int) -> None:
    horizon = (column, SPEC.horizons_sessions[column])
    pooled, combination = SPEC.panel_models
    assert isinstance(pooled, PooledPanel)
    assert isinstance(combination, Combination)
    for explained, model in (
        (explain_pooled(pooled, panel(), made(), horizon, (ROW, INSTRUMENT)), "pooled_panel"),
        (explain_combination(combination, panel(), made(), horizon, (ROW, INSTRUMENT)), "combination"),
    ):
        published = whole()[INSTRUMENT][model].volatility_annual[ROW, column] / np.sqrt(252)
        assert explained.volatility_daily == pytest.approx(published, rel=1e-9)
    assert set(explain_pooled(pooled, panel(), made(), horizon, (ROW, INSTRUMENT)).features) == set(FEATURES)


def test_a_stand_in_is_not_explained_as_the_model() -> None:
    pooled, combination = SPEC.panel_models
    for explain, model in ((explain_pooled, pooled), (explain_combination, combination)):
        with pytest.raises(ForecastInputError, match="explain ewma"):
            explain(model, panel(), made(), (0, 1), (ROW, 4))
