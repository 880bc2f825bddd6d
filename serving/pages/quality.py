"""The page of data quality: what was loaded, what was refused, and how fresh it all is."""

from __future__ import annotations

from fastapi import APIRouter, Response

from pipeline.store.ingest_runs import read_ingest_runs
from pipeline.store.prices import read_last_session
from pipeline.store.provenance import read_last_writes
from pipeline.store.providers import read_notices
from pipeline.store.quarantine import count_quarantined, read_quarantine
from pipeline.store.raw_payloads import read_refused
from serving.deps import Database
from serving.pages.rendering import PageRoute, page

LOADS, QUARANTINED, REFUSED = 20, 100, 20
"""Rows of each table that are shown, the newest."""

router = APIRouter(prefix="/quality", route_class=PageRoute, include_in_schema=False)


@router.get("")
def quality_page(database: Database) -> Response:
    """Loads, quarantine, refused answers and the age of every asset."""
    with database.reading() as connection:
        return page(
            "quality.html",
            database.notice(connection),
            notices=read_notices(connection),
            last_session=read_last_session(connection),
            writes=read_last_writes(connection),
            loads=read_ingest_runs(connection, LOADS),
            quarantined=read_quarantine(connection, limit=QUARANTINED),
            quarantined_count=count_quarantined(connection),
            refused=read_refused(connection, REFUSED),
        )
