"""The few files that pages load."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent / "static"
_FILES = ("pages.css", "charts.css", "icon.svg")

router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
async def static_file(name: str) -> FileResponse:
    """One of them; the browser asks each time whether it has changed."""
    if name not in _FILES:
        raise HTTPException(404)
    return FileResponse(FOLDER / name, headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})


@router.get("/favicon.ico")
async def favicon() -> FileResponse:
    """The icon, where browsers look for one beside an answer that is no page."""
    return await static_file("icon.svg")
