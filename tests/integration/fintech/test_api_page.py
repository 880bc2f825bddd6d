"""The page of the API."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from pipeline.store.engine import Database
from tests.docs.api import PAGE, api_page

NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


def test_the_committed_page_is_what_a_service_answers(new_database: Callable[[], Database]) -> None:
    """Word for word; of numbers, the last digits may differ from machine to machine."""
    made, committed = api_page(new_database()), PAGE.read_text()
    remedy = "docs/api.md is out of date: run 'make docs' and commit it"
    assert NUMBER.sub("#", made) == NUMBER.sub("#", committed), remedy
    assert _numbers(made) == pytest.approx(_numbers(committed), rel=1e-5, abs=1e-9), remedy


def _numbers(text: str) -> list[float]:
    return [float(found) for found in NUMBER.findall(text)]
