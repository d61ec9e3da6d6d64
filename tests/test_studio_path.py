"""The studio under a path of somebody's site, behind a reverse proxy that takes the path away (docs/deploy.md)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from helpers.bad_pictures import shirt_picture
from helpers.studio_server import PATIENCE, StudioServer
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

pytest.importorskip("studio.without_stubs")

PREFIX = "/tools/sketch"


class ReverseProxy:
    """What nginx does with ``location /tools/sketch/ { proxy_pass http://studio/; }``; everything else is another site."""

    def __init__(self, studio: StudioServer) -> None:
        self.client = httpx.AsyncClient(base_url=studio.url, trust_env=False, timeout=None)
        self.strays: list[str] = []
        app = Starlette(routes=[Route("/{path:path}", self.forward, methods=["GET", "POST", "HEAD"])])
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        threading.Thread(target=self.server.run, daemon=True).start()
        while not self.server.started:
            pass
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    async def forward(self, request: Request) -> Response:
        path = request.url.path
        if not path.startswith(f"{PREFIX}/"):
            self.strays.append(path)
            return PlainTextResponse("another site", 404)
        hidden = {"host", "connection", "accept-encoding"}
        headers = [(k, v) for k, v in request.headers.items() if k not in hidden]
        headers += [("host", request.headers["host"]), ("x-forwarded-for", "192.0.2.4"), ("accept-encoding", "identity")]
        target = path.removeprefix(PREFIX) + (f"?{request.url.query}" if request.url.query else "")
        sent = self.client.build_request(request.method, target, headers=headers, content=await request.body())
        answer = await self.client.send(sent, stream=True)
        kept = {k: v for k, v in answer.headers.items() if k in ("content-type", "content-disposition")}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))


@pytest.fixture(scope="module")
def proxy() -> Iterator[ReverseProxy]:
    studio = StudioServer({"GRADIO_ROOT_PATH": PREFIX, "FEDGAI_PROXIES": "1"})
    there = ReverseProxy(studio)
    yield there
    there.server.should_exit = True
    studio.stop()


def test_under_a_path(proxy: ReverseProxy, browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1360, "height": 960})
    context.set_default_timeout(1000 * PATIENCE)
    page, failed = context.new_page(), []
    page.on("response", lambda r: r.status >= 400 and failed.append((r.status, r.url)))
    page.goto(f"{proxy.url}{PREFIX}/")
    page.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
    page.wait_for_selector("#photo input[type=file]", state="attached")
    page.set_input_files("#photo input[type=file]", str(shirt_picture(tmp_path)))
    page.wait_for_selector("#comparison .title:has-text('Your garment')")
    assert page.get_by_label("Link to this blend").input_value().startswith(f"{proxy.url}{PREFIX}/?")
    context.close()
    stray = [path for path in proxy.strays if path != "/favicon.ico"]  # the browser's own idea
    assert stray == [] and [f for f in failed if not f[1].endswith("/favicon.ico")] == []
