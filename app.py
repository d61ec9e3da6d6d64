"""The studio: a garment photograph becomes a fashion sketch in a blend of the designers' styles.

    python app.py [--port 7860] [--host 127.0.0.1] [--federation] [--certificate FILE --key FILE]

docs/configuration.md lists the environment variables.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import math
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported; so is the next
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import cv2
import gradio as gr
import torch
import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from fedgai.errors import FedGAIError, sentence
from fedgai.imagine import Imaginer
from fedgai.model import CheckpointError
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import WEIGHTS
from studio import settings
from studio.background import repeating
from studio.connections import BoundedProtocol
from studio.drawing import SketchStudio
from studio.gradio_adapter import forgetting, quiet_logs, use_folder
from studio.guard import Guard, OpenPages
from studio.imagine_queue import ImagineQueue
from studio.listeners import Page
from studio.page import build
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
    chosen = settings.from_environment()
    if federation:
        from federation.server.folder import Folder, home  # nothing of it is imported where it is not wanted
        from studio.federation.follow import newest

        folder = Folder(home())
    pipeline = (newest(folder) if federation else None) or SketchPipeline.from_pretrained(
        os.environ.get("FEDGAI_WEIGHTS") or WEIGHTS
    )
    pages = OpenPages()
    studio = SketchStudio(pipeline, cache=chosen.cache_bytes, pages=pages)
    queue = ImagineQueue(Imaginer())
    uploads = UploadFolder.create(chosen.keep_seconds, chosen.upload_bytes)
    use_folder(uploads.path)
    app = FastAPI(title="FedGAI Studio", docs_url=None, redoc_url=None, openapi_url=None)
    news = federate(app, folder, studio) if federation else None
    demo = build(Page(studio, uploads, federation=news), queue)
    mount(app, demo, footer_links=["api"])
    app.add_middleware(Guard, uploads=uploads, pages=pages)
    tidy(app, demo, studio, uploads, pages)
    return app


def tidy(app: FastAPI, demo: gr.Blocks, studio: SketchStudio, uploads: UploadFolder, pages: OpenPages) -> None:
    """From the application's start to its end, forget what visitors who have left had; at the end, everything."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[object]:
        with (
            contextlib.closing(uploads),
            repeating("deleting old photographs", 60, uploads.sweep),
            repeating("forgetting photographs", 5, studio.drop_idle),
        ):
            async with forgetting(demo, pages, uploads.keep), inner(app) as state:
                yield state

    app.router.lifespan_context = life  # type: ignore[assignment]


def federate(app: FastAPI, folder: Folder, studio: SketchStudio) -> Federation:
    """Put the federation behind the studio: its way in, the operator's panel, the page's news; and its processes, from the
    application's start to its end."""
    from federation.server.gateway import gateway
    from federation.server.host import Host, HostError
    from federation.server.hub import HubQueue
    from federation.server.operator_log import start_log
    from studio.federation.follow import Federation
    from studio.federation.panel import PATH, Panel
    from studio.federation.routes import routes

    start_log()
    repo, password = os.environ.get("FEDGAI_HUB_REPO"), os.environ.get("FEDGAI_OPERATOR_PASSWORD")
    public = os.environ.get("FEDGAI_HUB_PUBLIC") == "1"
    hub = HubQueue(folder, repo, os.environ.get("HF_TOKEN"), public=public) if repo else None
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
            print(f"No federation is started: {error}", flush=True)
        federation.start()
        try:
            yield
        finally:
            await run_in_threadpool(federation.stop)
            await run_in_threadpool(host.stop)

    app.router.lifespan_context = life
    return federation


def cores() -> int:
    """Processors that this process may use: in a container torch and OpenCV see all of the machine's, and get slow."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(os.cpu_count() or 1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such limit
        return os.cpu_count() or 1


def bind(host: str, port: int) -> socket.socket:
    """The place to listen at, taken before anything else is done and before the address is said.

    Raises:
        FedGAIError: it is taken, or cannot be had.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise FedGAIError(f"Port {port} is in use by another program: choose another one with --port.") from error
        reason = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise FedGAIError(f"{host}, port {port} cannot be listened at ({reason}): choose others with --host, --port.") from error
    return listener


def main() -> None:
    parser = argparse.ArgumentParser(description="The FedGAI studio.")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--host", default="0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1")
    parser.add_argument(
        "--federation",
        action="store_true",
        default=os.environ.get("FEDGAI_FEDERATION") == "1",
        help="a federation behind the studio",
    )
    parser.add_argument("--certificate", type=Path, help="for https: PEM file, the whole chain")
    parser.add_argument("--key", type=Path, help="for https: the certificate's key, PEM")
    arguments = parser.parse_args()
    if (arguments.certificate is None) != (arguments.key is None):
        parser.error("--certificate and --key come together")
    for file in (arguments.certificate, arguments.key):
        if file is not None and not file.is_file():
            parser.error(f"there is no file {file}")
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    cv2.setNumThreads(min(cv2.getNumThreads(), cores()))
    try:
        listener = bind(arguments.host, arguments.port)
        app = create_app(arguments.federation)
    except CheckpointError as error:
        raise SystemExit(f"{sentence(error)}\nSet FEDGAI_WEIGHTS to a checkpoint folder, or a repository on the Hub.") from None
    except FedGAIError as error:
        raise SystemExit(sentence(error)) from None
    scheme = "https" if arguments.certificate else "http"
    print(f"FedGAI studio: {scheme}://{arguments.host}:{arguments.port}", flush=True)
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        loop="studio.connections:Loop",
        ws="none",
        log_level="warning",
        log_config=None,
        timeout_graceful_shutdown=2,  # a page holds a connection for as long as it is open: do not wait for those at the end
        proxy_headers=False,
        ssl_certfile=arguments.certificate,
        ssl_keyfile=arguments.key,
    )
    quiet_logs()
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
