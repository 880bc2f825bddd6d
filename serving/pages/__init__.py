"""The documentation page, with every file that it needs served from here: no other host is asked."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent
_OWN_FILES = ("docs.js",)
_SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"

router = APIRouter(prefix="/docs", include_in_schema=False)


@router.get("")
async def docs() -> FileResponse:
    """The page."""
    return FileResponse(FOLDER / "docs.html", headers={"Content-Security-Policy": _POLICY})


@router.get("/{name}")
async def docs_file(name: str) -> FileResponse:
    """One of the files that the page loads."""
    if name in _OWN_FILES:
        return FileResponse(FOLDER / name)
    if name in _SWAGGER_FILES:
        return FileResponse(swagger_folder() / name, headers={"Cache-Control": "public, max-age=86400"})
    raise HTTPException(404)


def swagger_folder() -> Path:
    """Where the installed Swagger UI lies."""
    from swagger_ui_bundle import swagger_ui_path  # noqa: PLC0415 - only the page needs it

    return Path(swagger_ui_path)
