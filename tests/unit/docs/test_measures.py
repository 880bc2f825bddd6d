"""The page of measures."""

from __future__ import annotations

import re

import pytest

from pipeline.risk.measures.covariance import COVARIANCES
from pipeline.risk.measures.on_request import REPORTED
from pipeline.risk.measures.value_at_risk import VAR_METHODS, VarMethod
from serving.app import create_app
from tests.docs.measures import PAGE, measures_page
from tests.integration.serving.running import local_settings


def test_the_committed_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == measures_page(), "docs/measures.md is out of date: run 'make docs' and commit it"


def test_everything_registered_is_on_the_page() -> None:
    lines = PAGE.read_text().splitlines()
    for name in (*(measure.name for measure in REPORTED), *VAR_METHODS):
        assert f"### {name}" in lines
    for name in COVARIANCES:
        assert any(line.startswith(f"| `{name}` |") for line in lines)


def test_what_is_said_to_be_served_is_served() -> None:
    """The page names addresses; each must be one of the API, with that method."""
    named = set(re.findall(r"(GET|POST) (/api/v1/[^`\s]+)", PAGE.read_text()))
    paths = create_app("backend-api", local_settings("postgresql://nobody@127.0.0.1/none")).openapi()["paths"]
    assert len(named) > 8
    assert [f"{method} {path}" for method, path in sorted(named) if method.lower() not in paths.get(path, {})] == []


@pytest.mark.parametrize("method", VAR_METHODS.values(), ids=lambda method: method.name)
def test_a_method_has_a_formula_and_a_published_source(method: VarMethod) -> None:
    assert "VaR" in method.formula
    assert "ES" in method.formula
    assert re.search(r"\((?:19|20)\d\d\)", method.source)


@pytest.mark.parametrize("function", ["kupiec_test", "acerbi_szekely_z2", "ols_exposures", "ridge_exposures"])
def test_functions_that_are_no_measure_of_a_window_are_listed_with_their_source(function: str) -> None:
    (line,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{function}` |")]
    assert re.search(r"[A-Z]\w+ (?:19|20)\d\d \|$", line)
