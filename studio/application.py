"""The studio as an ASGI application: the drawing behind the page, the page, the endpoints, and a federation if one is wanted."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from fedgai.environment import check_folder, switch, variable
from fedgai.errors import sentence
from fedgai.imagine import Imaginer
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import WEIGHTS
from studio import operator_settings
from studio.gradio_adapter import forgetting, use_folder
from studio.guard import Guard, OpenPages
from studio.imagine_queue import ImagineQueue
from studio.listeners import StudioPage
from studio.page import build
from studio.repeating import repeating
from studio.sketching import SketchStudio
from studio.theme import mount
from studio.uploads import UploadFolder

if TYPE_CHECKING:
    from federation.server.folder import Folder
    from studio.federation.follow import Federation


def create_app(federation: bool = False) -> FastAPI:
    """The studio at /. Routes of the application's own, added before Gradio is mounted, come first.

    Args:
        federation: have one behind the studio; it starts and ends with the application.

    Raises:
        CheckpointError: there are no weights, or they do not fit.
        FedGAIError: an environment variable cannot be used, or there is no folder for visitors' photographs.
    """
    chosen = operator_settings.from_environment()
    if federation:
        from federation.server.folder import Folder, home  # nothing of it is imported where it is not wanted
        from studio.federation.follow import newest

        folder = Folder(home())
    pipeline = (newest(folder) if federation else None) or SketchPipeline.from_pretrained(variable("FEDGAI_WEIGHTS") or WEIGHTS)
    pages = OpenPages()
    studio = SketchStudio(pipeline, cache=chosen.cache_bytes, pages=pages)
    queue = ImagineQueue(Imaginer())
    uploads = UploadFolder.create(chosen.keep_seconds, chosen.upload_bytes)
    use_folder(uploads.path)
    app = FastAPI(title="FedGAI Studio", docs_url=None, redoc_url=None, openapi_url=None)
    news = federate(app, folder, studio) if federation else None
    demo = build(StudioPage(studio, uploads, federation=news), queue)
    mount(app, demo, "outline_repair", footer_links=["api"])
    app.add_middleware(Guard, uploads=uploads, pages=pages)
    tidy(app, demo, studio, uploads, pages)
    return app


def tidy(app: FastAPI, demo: gr.Blocks, studio: SketchStudio, uploads: UploadFolder, pages: OpenPages) -> None:
    """From the application's start to its end, forget what visitors who have left had; at the end, everything."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[Any]:
        with (
            contextlib.closing(uploads),
            repeating("deleting old photographs", 60, uploads.sweep),
            repeating("forgetting photographs", 5, studio.drop_idle),
        ):
            async with forgetting(demo, pages, uploads.keep), inner(app) as state:
                yield state

    app.router.lifespan_context = life


def federate(app: FastAPI, folder: Folder, studio: SketchStudio) -> Federation:
    """Add the federation to the studio: the gateway, the operator's panel, the page's news, and the federation's processes,
    which run as long as the application does."""
    from federation.server.gateway import gateway
    from federation.server.host import Host, HostError
    from federation.server.hub import HubQueue
    from federation.server.operator_log import start_log
    from studio.federation.follow import Federation
    from studio.federation.panel import PATH, Panel
    from studio.federation.routes import routes

    start_log()
    repo, password = variable("FEDGAI_HUB_REPO"), variable("FEDGAI_OPERATOR_PASSWORD")
    public = switch("FEDGAI_HUB_PUBLIC")
    check_folder("FEDGAI_HOUSE_PHOTOS")
    check_folder("FEDGAI_EXAMPLES")
    hub = HubQueue(folder, repo, variable("HF_TOKEN") or None, public=public) if repo else None
    host = Host(folder, hub=hub)
    federation = Federation(folder, studio, hub.state if hub else None, PATH if password else "")
    app.include_router(gateway(folder, lambda: (host.superlink_address, host.certificate) if host.ready.is_set() else None))
    app.include_router(routes(federation))
    if password:
        app.include_router(Panel(folder, password).routes())

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        try:
            host.start()
        except HostError as error:  # the studio can follow the folder all the same
            print(f"No federation is started. {sentence(error)}", flush=True)
        federation.start()
        try:
            yield
        finally:
            await run_in_threadpool(federation.stop)
            await run_in_threadpool(host.stop)

    app.router.lifespan_context = life
    return federation
