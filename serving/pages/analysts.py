"""Every page of the analysts, for the gateway."""

from __future__ import annotations

from fastapi import APIRouter

from serving.pages import (
    chart_images,
    dagster_access,
    explanations,
    files,
    instruments,
    login,
    overview,
    portfolios,
    quality,
    tear_sheets,
)

router = APIRouter()
PAGES = (
    files,
    login,
    overview,
    explanations,
    portfolios,
    instruments,
    quality,
    chart_images,
    tear_sheets,
    dagster_access,
)
for part in PAGES:
    router.include_router(part.router)
