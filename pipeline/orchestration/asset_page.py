"""What an asset page shows: schema, rows, four rounded figures and a sparkline."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence

import dagster as dg
from sqlalchemy import Column, Table

from pipeline.store.schema import unit_of

INLINE_MARKDOWN_LIMIT = 1000
"""Dagster shows longer markdown behind a link."""

SPARKLINE_MONTHS = 60
SIGNIFICANT_DIGITS = 4


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns with type, unit and meaning, from its own declaration."""
    return dg.TableSchema(columns=[_table_column(column) for column in table.columns])


def _table_column(column: Column[object]) -> dg.TableColumn:
    unit = unit_of(column)
    return dg.TableColumn(
        name=column.name,
        type=str(column.type).lower(),
        description=f"{column.comment}{f' Unit: {unit.name}.' if unit else ''}",
        constraints=dg.TableColumnConstraints(nullable=bool(column.nullable), unique=False),
    )


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures to four significant digits; those that are not finite are left out, for NaN breaks the plot."""
    return {name: float(f"{value:.{SIGNIFICANT_DIGITS}g}") for name, value in figures.items() if math.isfinite(value)}


def sparkline(values: Sequence[float], caption: str) -> dg.MarkdownMetadataValue:
    """A line of at most 60 points as an inline picture, below Dagster's limit for inline markdown.

    Raw SVG is stripped by the UI; a data address is not.
    """
    if len(values) < 2:
        return dg.MetadataValue.md(f"{caption}: not enough rows for a line")
    low, high = min(values), max(values)
    half_span = high / 2 - low / 2  # halves, for the span of two huge values is infinite
    heights = [30 * ((value / 2 - low / 2) / half_span) if half_span else 0.0 for value in values]
    step = 200 / (len(values) - 1)
    points = " ".join(f"{index * step:.0f},{32 - height:.0f}" for index, height in enumerate(heights))
    picture = (
        "<svg xmlns='http://www.w3.org/2000/svg' width='200' height='34'>"
        f"<polyline points='{points}' fill='none' stroke='#4f43dd'/></svg>"
    )
    encoded = base64.b64encode(picture.encode()).decode()
    return dg.MetadataValue.md(
        f"![{caption}](data:image/svg+xml;base64,{encoded})  \n{caption}: {low:.4g} to {high:.4g}"
    )
