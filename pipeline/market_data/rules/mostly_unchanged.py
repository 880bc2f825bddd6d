"""A payload that is mostly equal to the session before: the provider has sent yesterday again."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray

UNCHANGED_SHARE = 0.5
"""On no session since 1990 have more than a third of the bundled instruments kept their close (measured; prices were
in eighths then), since decimal prices (2001) no more than a fifth."""

LEAST_INSTRUMENTS = 10
"""Of fewer instruments half can keep their closes by chance."""


def is_mostly_unchanged(previous_close: FloatArray, close: FloatArray) -> bool:
    """Whether a new session must be refused because most of its closes are those of the session before.

    Parameters
    ----------
    previous_close, close
        (n,) closes of the same instruments on the stored session and on the new one, as the provider gives them
        (as traded, before any adjustment); NaN where there is none.

    Returns
    -------
    bool
        False where fewer than ten instruments have both closes.
    """
    if previous_close.shape != close.shape:
        raise ValueError(f"The closes must be of the same instruments, not {previous_close.shape} and {close.shape}")
    has_both = np.isfinite(previous_close) & np.isfinite(close)
    unchanged = int(np.count_nonzero(has_both & (previous_close == close)))
    compared = int(np.count_nonzero(has_both))
    return compared >= LEAST_INSTRUMENTS and unchanged > UNCHANGED_SHARE * compared
