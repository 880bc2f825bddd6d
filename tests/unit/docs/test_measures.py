"""The page of measures."""

from __future__ import annotations

from pipeline.risk.measures import MEASURES
from pipeline.risk.measures.covariance import COVARIANCES
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from tests.docs.measures import PAGE, measures_page


def test_the_committed_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == measures_page(), "docs/measures.md is out of date: run 'make docs' and commit it"


def test_everything_registered_is_on_the_page() -> None:
    lines = PAGE.read_text().splitlines()
    for name in (*(measure.name for measure in MEASURES), *VAR_METHODS):
        assert f"### {name}" in lines
    for name in COVARIANCES:
        assert any(line.startswith(f"| `{name}` |") for line in lines)
