"""Explanations speak in the words of the code: docstrings, their sections, and what they cite."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from pipeline.risk.measures import Measure
from pipeline.risk.measures.backtests import independence_undefined_because, kupiec_test, traffic_light
from pipeline.risk.measures.covariance import ledoit_wolf_covariance
from pipeline.risk.measures.on_request import REPORTED
from serving.routes.explaining.documented import path_of, sources_of, words_of, words_of_field, words_of_module


@dataclass(frozen=True)
class Record:
    """A record (Smith & Jones 1999) of
    two lines.

    It follows van Dyke (2001) and O'Neil, Baker & Cox 2010.

    Parameters
    ----------
    first, second
        Both of them,
        on two lines.
    third
        The last.
    """

    first: float
    second: float
    third: float


def test_words_end_where_the_sections_begin() -> None:
    assert words_of(Record).endswith("O'Neil, Baker & Cox 2010.")
    assert words_of(Record).startswith("A record (Smith & Jones 1999) of two lines. It follows")
    assert words_of_module(Record).startswith("Explanations speak in the words of the code")


@pytest.mark.parametrize(
    ("field", "words"),
    [("first", "Both of them, on two lines."), ("second", "Both of them, on two lines."), ("third", "The last.")],
)
def test_a_field_has_its_entry(field: str, words: str) -> None:
    assert words_of_field(Record, field) == words


def test_a_field_without_an_entry_has_no_words() -> None:
    assert words_of_field(Record, "fourth") == ""


def test_sources_are_what_is_cited() -> None:
    assert sources_of(Record) == "Smith & Jones 1999; Dyke 2001; O'Neil, Baker & Cox 2010"
    assert sources_of(kupiec_test) == "Kupiec 1995"
    assert sources_of(ledoit_wolf_covariance) == "Ledoit & Wolf 2004"
    assert sources_of(kupiec_test, kupiec_test) == "Kupiec 1995"


def test_a_body_is_cited_by_its_whole_name() -> None:
    assert sources_of(traffic_light) == "Basel Committee 1996; Basel Committee 2019"


def test_what_cites_nothing_is_its_own_source() -> None:
    function = independence_undefined_because
    assert sources_of(function) == path_of(function) == f"pipeline.risk.measures.backtests.{function.__name__}"


@pytest.mark.parametrize("measure", REPORTED, ids=lambda measure: measure.name)
def test_every_measure_cites_where_it_is_from_alike_in_the_registry_and_at_its_definition(measure: Measure) -> None:
    years = set(re.findall(r"\((\d{4})\)", measure.source))
    cited = {found.rpartition(" ")[2] for found in sources_of(measure.definition).split("; ")}
    assert years, measure.source
    assert years <= cited, (measure.source, cited)
