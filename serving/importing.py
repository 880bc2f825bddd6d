"""How the application's modules are imported."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Without a look for cycles that nobody needs any more.

    What modules make stays. The collector would go through all of it again and again as it grows, a fifth to a quarter
    of the API's imports (measured).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
