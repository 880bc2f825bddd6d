"""Panels, rows and dashboards, and how Grafana reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

SOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24
SCHEMA_VERSION = 39

Kind = Literal["timeseries", "stat", "bargauge"]
Unit = Literal["s", "reqps", "percentunit", "bytes", "short", "bool_yes_no"]


@dataclass(frozen=True, slots=True)
class Query:
    """A line of a panel.

    Parameters
    ----------
    expr
        PromQL.
    legend
        Labels in double braces are filled in.
    """

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture.

    Parameters
    ----------
    bad_from
        Value from which it is red; None for a picture without a bound.
    is_good_above
        Whether it is red below the bound instead.
    width
        Of `COLUMNS`.
    """

    title: str
    queries: tuple[Query, ...]
    unit: Unit
    description: str
    kind: Kind = "timeseries"
    bad_from: float | None = None
    is_good_above: bool = False
    width: int = 8
    height: int = 7


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of rows.

    Parameters
    ----------
    uid
        Its address in Grafana, and the name of its file.
    by_service
        Whether the reader chooses services.
    """

    uid: str
    title: str
    rows: tuple[Row, ...]
    by_service: bool = False


def document(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard in Grafana's JSON."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["fintech"],
        "timezone": "utc",
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_SERVICES] if dashboard.by_service else []},
        "annotations": {"list": []},
        "panels": list(_placed(dashboard.rows)),
    }


_SERVICES: dict[str, Any] = {
    "name": "service",
    "type": "query",
    "datasource": SOURCE,
    "query": {"query": 'label_values(up{job="fintech"}, service)', "refId": "service"},
    "refresh": 2,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
    "current": {"text": ["All"], "value": ["$__all"]},
}


def _placed(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    """Rows one below the other, their panels from left to right."""
    number, y = 1, 0
    for row in rows:
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": _at(0, y, COLUMNS, 1)}
        number, x, y, tallest = number + 1, 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            yield _panel(panel, number, _at(x, y, panel.width, panel.height))
            number, x, tallest = number + 1, x + panel.width, max(tallest, panel.height)
        y += tallest


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "thresholds": _thresholds(panel)}, "overrides": []},
        "options": _options(panel.kind),
        "targets": [
            {
                "refId": chr(ord("A") + place_),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": panel.kind != "timeseries",
                "range": panel.kind == "timeseries",
            }
            for place_, query in enumerate(panel.queries)
        ],
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    below, above = ("red", "green") if panel.is_good_above else ("green", "red")
    steps: list[dict[str, Any]] = [{"color": below if panel.bad_from is not None else "blue", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": above, "value": panel.bad_from})
    return {"mode": "absolute", "steps": steps}


def _options(kind: Kind) -> dict[str, Any]:
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if kind == "bargauge":
        return {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic"}
    return {"reduceOptions": reduced, "colorMode": "value", "graphMode": "none", "textMode": "value_and_name"}


def written(dashboard: Dashboard) -> str:
    """The content of a dashboard's file."""
    return json.dumps(document(dashboard), indent=2, ensure_ascii=False) + "\n"
