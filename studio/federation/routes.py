"""What the page asks the studio for about the federation."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, JSONResponse

from studio.federation.follow import SHEET, Federation

LARGEST = 2**53  # a whole number that JavaScript can hold


def routes(federation: Federation) -> APIRouter:
    """The routes. Include them before Gradio is mounted."""
    router = APIRouter()

    @router.get("/studio/live")
    async def live(seen: int = 0, tab: int = 0) -> JSONResponse:
        seen = seen if 0 <= seen < LARGEST else 0
        return JSONResponse(federation.live(seen, bool(tab)), headers={"cache-control": "no-store"})

    @router.get("/studio/sheets/{number}")
    async def sheet(number: int) -> FileResponse:
        if not 0 <= number < 10**9:
            raise HTTPException(404)
        file = federation.folder.checkpoint(number) / SHEET
        if not file.is_file():
            raise HTTPException(404)
        return FileResponse(file, media_type="image/jpeg", headers={"cache-control": "max-age=60"})

    return router
