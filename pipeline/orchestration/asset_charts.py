"""Charts that the gateway draws, embedded in asset pages: wherever its public address is known.

The browser that shows Dagster fetches them. On one machine no login is asked; elsewhere the address carries a
signature if the run knows `SERVICE_API_KEY`, and without it the charts show to who is logged in at the same site.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from sqlalchemy import Table

from pipeline.base.chart_links import chart_path, signed
from pipeline.base.settings import Settings
from pipeline.orchestration.asset_page import INLINE_MARKDOWN_LIMIT
from pipeline.orchestration.checks import Columns

OF_PORTFOLIOS: Mapping[str, str] = {
    "portfolio_risk": "drawdown",
    "portfolio_tail": "exceptions",
    "portfolio_contribution": "contributions",
    "portfolio_simulation": "fan",
    "stress_result": "stress",
}
"""Table → kind of the chart of a portfolio that shows its rows."""


def embedded_charts(
    settings: Settings, table: Table, column: str, kept: Mapping[str, int | str], rows: Columns
) -> dict[str, dg.MarkdownMetadataValue]:
    """Metadata of an asset page: how the column went, and a chart of the first portfolio of the rows.

    Parameters
    ----------
    column
        Whose monthly mean is drawn.
    kept
        Values of key columns that the mean is restricted to.
    rows
        What the asset wrote.

    Returns
    -------
    dict
        Empty without `public_url`.
    """
    if settings.public_url is None:
        return {}
    found = {
        "chart": image(settings, chart_path("trend", f"{table.name}.{column}", kept), f"{column} by month, as now")
    }
    kind = OF_PORTFOLIOS.get(table.name)
    portfolios: Any = rows.get("portfolio_id", ())
    if kind is not None and len(portfolios):
        first = str(int(min(portfolios)))
        found["portfolio_chart"] = image(settings, chart_path(kind, first), f"{kind} of portfolio {first}, as now")
    return found


def image(settings: Settings, path: str, caption: str) -> dg.MarkdownMetadataValue:
    """A chart of the gateway in Markdown, short enough to be shown in place."""
    assert settings.public_url is not None  # asked before
    key = None if settings.is_local else settings.service_api_key
    address = path if key is None else signed(path, key.get_secret_value())
    text = f"![{caption}]({settings.public_url.rstrip('/')}{address})"
    assert len(text) < INLINE_MARKDOWN_LIMIT  # names of columns have at most 63 letters
    return dg.MetadataValue.md(text)
