"""Tests that need more of a machine than Python: they fail where it is missing, unless they may be skipped."""

from __future__ import annotations

from typing import NoReturn

import pytest

from pipeline.base.settings import inherited_environment

VARIABLE = "FINTECH_TESTS_WITHOUT"
"""Names with commas what a machine may lack."""


def lacking(what: str, why: str, remedy: str) -> NoReturn:
    """End a test that cannot run: no test passes for want of what it needs, unless `VARIABLE` names that.

    Parameters
    ----------
    what
        Such as ``chromium``.
    """
    if what in inherited_environment().get(VARIABLE, "").replace(" ", "").split(","):
        pytest.skip(f"{why} ({VARIABLE} allows it)")
    words = f"{why}. {remedy}; or set {VARIABLE}={what}, to have such tests skipped."
    raise pytest.fail.Exception(words, pytrace=False) from None
