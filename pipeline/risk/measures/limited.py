"""What limits can be set on."""

from __future__ import annotations

import numpy as np

from pipeline.risk.measures import MEASURES
from pipeline.risk.measures.concentration import concentration

CONCENTRATION_MEASURES: tuple[str, ...] = tuple(concentration(np.array([1.0])))

LIMITED_MEASURES: tuple[str, ...] = (*(measure.name for measure in MEASURES), *CONCENTRATION_MEASURES)
"""Every registered measure of a portfolio's last 252 sessions, then those of its weights at the last close."""
