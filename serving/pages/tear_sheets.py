"""The tear sheet of a portfolio: two pages that stand by themselves, as HTML and as PDF.

It is made of the report that the API gives, so that its numbers are those of the API.
"""

from __future__ import annotations

import json
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from psycopg import Connection
from starlette.concurrency import run_in_threadpool

from pipeline.store.portfolio_tails import read_portfolio_tails
from pipeline.store.portfolios import read_portfolio
from pipeline.store.provenance import Materialization, read_materialization
from pipeline.store.reading import Window
from pipeline.store.stress_scenarios import read_stress_scenarios
from serving.deps import Connections, Database
from serving.inputs import PortfolioPath
from serving.pages import portfolio_charts as charts
from serving.pages.asking import asked
from serving.pages.drawing import STYLE_SHEET
from serving.pages.histories import Years, read_history
from serving.pages.links import portfolio_at
from serving.pages.portfolios import DEFAULT_METHOD, DEFAULT_MODEL, JUDGED_SESSIONS, ModelQuery, read_fan
from serving.pages.rendering import TEMPLATES, PageRoute, environment, page
from serving.pages.tear_sheet_parts import Sheet, sheet_of
from serving.pages.typesetting import typeset
from serving.routes.report_forms import PortfolioReport
from serving.routes.simulation_fans import FanOut

router = APIRouter(prefix="/portfolios", route_class=PageRoute, include_in_schema=False)


@router.get("/{reference}/tear-sheet")
async def tear_sheet(
    request: Request, reference: PortfolioPath, database: Database, model: ModelQuery = DEFAULT_MODEL
) -> Response:
    """The sheet as a page that needs no other file."""
    sheet = await _read_sheet(request, database, reference, model)
    if isinstance(sheet, Response):
        return sheet
    text = environment().get_template("tear_sheet.html").render(sheet=sheet, style=_style(), reference=reference)
    return HTMLResponse(text, 200, {"Cache-Control": "private, no-cache", "Content-Security-Policy": _policy()})


@router.get("/{reference}/tear-sheet.pdf")
async def tear_sheet_pdf(
    request: Request, reference: PortfolioPath, database: Database, model: ModelQuery = DEFAULT_MODEL
) -> Response:
    """The sheet as PDF; the same bytes for the same data."""
    sheet = await _read_sheet(request, database, reference, model)
    if isinstance(sheet, Response):
        return sheet
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'inline; filename="tear-sheet-{reference}.pdf"',
    }
    return Response(await typeset(sheet), 200, headers, "application/pdf")


@lru_cache(1)
def _style() -> str:
    """The style sheets that the page carries."""
    return STYLE_SHEET.read_text() + (TEMPLATES / "tear_sheet.css").read_text()


@lru_cache(1)
def _policy() -> str:
    """Its one style sheet is known by its digest (Content Security Policy Level 3, section 6.7.3.3); nothing else."""
    digest = b64encode(sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"


async def _read_sheet(request: Request, database: Connections, reference: str, model: str) -> Sheet | Response:
    """The sheet, or the failure that the API answered with."""
    status, body = await asked(request, f"/api/v1/portfolios/{reference}/report", b"")
    if status != HTTPStatus.OK:
        problem = json.loads(body)
        values = {"title": problem["title"], "cause": problem["detail"], "remedy": problem.get("remedy", "")}
        return page("failure.html", None, status, **values)
    fan = await read_fan(request, reference, model)
    return await run_in_threadpool(_sheet, database, reference, body, fan)


def _sheet(database: Connections, reference: str, body: bytes, fan: FanOut | None) -> Sheet:
    report = PortfolioReport.model_validate_json(body)
    with database.reading() as connection:
        exceptions = _exceptions(connection, reference)
        writes = _writes(connection, report)
    return sheet_of(
        report, exceptions, None if fan is None else charts.fan_chart(fan, portfolio_at(reference)).svg, writes
    )


def _exceptions(connection: Connection, reference: str) -> str | None:
    """The stored values at risk of a year beside what came; None where none has been judged."""
    portfolio = read_portfolio(connection, reference)
    series = read_history(connection, portfolio, Years.FIVE).series
    if series is None:
        return None
    window = Window(limit=JUDGED_SESSIONS + 1)
    judged = charts.judged(series, read_portfolio_tails(connection, portfolio.id, window, DEFAULT_METHOD))
    return (
        charts.exceptions_chart(judged, DEFAULT_METHOD, portfolio_at(reference)).svg if len(judged.sessions) else None
    )


def _writes(connection: Connection, report: PortfolioReport) -> list[Materialization]:
    """The writes of the rows that the report took from the database, by number."""
    numbers = {row.materialization_id for row in report.backtests.backtests} if report.backtests else set()
    if report.simulations:
        numbers |= {row.materialization_id for row in report.simulations.simulations}
    if report.stress and report.stress.as_of:
        window = Window(report.stress.as_of, report.stress.as_of)
        rows = read_stress_scenarios(connection, report.portfolio.id, window)
        numbers |= {row.materialization_id for row in rows}
    return [read_materialization(connection, number) for number in sorted(numbers)]
