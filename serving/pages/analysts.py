"""Every page of the analysts, for the gateway."""

from __future__ import annotations

from fastapi import APIRouter

from serving.pages import explanations, files, instruments, overview, portfolios, quality

router = APIRouter()
for part in (files, overview, explanations, portfolios, instruments, quality):
    router.include_router(part.router)
