"""What a figure is, in the words of the code that computes it: its column's meaning, and docstrings with their sources.

Nothing is typed again here, so an explanation cannot differ from the definition that it explains.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Table

from pipeline.risk.measures import Measure
from pipeline.store.schema import unit_of
from serving.measures import UNITS, WORDS
from serving.routes.explaining.envelope import DefinitionOut

Documented = Callable[..., Any] | type

_NAME = r"(?:Basel Committee|[A-Z][\w’'\-]*[\w])"
_CITATION = re.compile(rf"{_NAME}(?:(?:, | & | and ){_NAME})*(?:’s|'s)? \(?(?:18|19|20)\d\d[a-z]?\b")
"""Names and a year, as in Kupiec 1995, Politis & Romano (1994) or Basel Committee (1996)."""

_SECTION = re.compile(r"^(?:Parameters|Returns|Raises)\n-+$", re.MULTILINE)


def definition_of(measure: Measure) -> DefinitionOut:
    """A measure in words, stored or computed on request."""
    return DefinitionOut(
        name=measure.name,
        function=path_of(measure.definition),
        meaning=WORDS[measure.name],
        unit=UNITS[measure.name],
        formula=measure.formula,
        source=measure.source,
        parameters=measure.parameters,
    )


def definition_of_column(
    table: Table,
    column: str,
    function: str,
    formula: str,
    source: str,
    parameters: Mapping[str, float] | None = None,
) -> DefinitionOut:
    """A column of a table of results, by the words that go with it."""
    unit = unit_of(table.columns[column])
    return DefinitionOut(
        name=column,
        function=function,
        meaning=table.columns[column].comment or "",
        unit=unit.name if unit else "",
        formula=formula,
        source=source,
        parameters=dict(parameters or {}),
    )


def definition_of_function(
    table: Table, column: str, function: Documented, parameters: Mapping[str, float] | None = None
) -> DefinitionOut:
    """A column that a documented function computes."""
    return definition_of_column(table, column, path_of(function), words_of(function), sources_of(function), parameters)


def path_of(documented: Documented) -> str:
    """Where something is defined."""
    return f"{documented.__module__}.{documented.__qualname__}"


def words_of(documented: Documented) -> str:
    """A docstring up to its first section, as one paragraph."""
    return _paragraph(_SECTION.split(inspect.getdoc(documented) or "", maxsplit=1)[0])


def words_of_module(documented: Documented) -> str:
    """What the module of something says of itself."""
    return _paragraph(inspect.getdoc(sys.modules[documented.__module__]) or "")


def words_of_field(record: type, field: str) -> str:
    """What a record's docstring says of one of its fields; empty if it has no entry.

    Parameters
    ----------
    record
        A dataclass with a ``Parameters`` section.
    """
    lines = (inspect.getdoc(record) or "").splitlines()
    for place, line in enumerate(lines):
        if field in line.split(", ") and place + 1 < len(lines) and lines[place + 1].startswith("    "):
            body = []
            for below in lines[place + 1 :]:
                if below and not below.startswith("    "):
                    break
                body.append(below)
            return _paragraph("\n".join(body))
    return ""


def sources_of(*documented: Documented) -> str:
    """What each docstring cites, or its module does; where neither cites anything, the definition itself."""
    cited = []
    for one in documented:
        cited += _cited(inspect.getdoc(one) or "") or _cited(words_of_module(one)) or [path_of(one)]
    return "; ".join(dict.fromkeys(cited))


def _cited(text: str) -> list[str]:
    return [found.replace("(", "") for found in _CITATION.findall(_paragraph(text))]


def _paragraph(text: str) -> str:
    return " ".join(text.replace("``", "").split())
