"""Special functions of scipy, which is imported when the first of them is wanted.

Its import takes 0.3 s, a sixth of a service's start, and most requests want none. Call them by the module
(``special.ndtri``): to import a name from here imports scipy with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scipy.special import chdtrc, gammaincc, gammaln, ndtri, stdtr, stdtrit, xlog1py, xlogy
else:

    def __getattr__(name: str) -> object:
        """A function of ``scipy.special``; the next call finds it here (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}; add it to __all__")
        found = globals()[name] = getattr(import_module("scipy.special"), name)
        return found


__all__ = ("chdtrc", "gammaincc", "gammaln", "ndtri", "stdtr", "stdtrit", "xlog1py", "xlogy")
