"""The studio: a garment photograph becomes a fashion sketch in a blend of the designers' styles.

    python app.py [--port 7860] [--host 127.0.0.1] [--federation] [--certificate FILE --key FILE]

| environment variable | meaning | default |
|---|---|---|
| `FEDGAI_WEIGHTS` | checkpoint to draw with: a folder, or a repository on the Hugging Face Hub | `weights/` |
| `FEDGAI_CACHE_MB` | memory for photographs made ready to draw; one takes 31 MB at 512 px, 4 x that at 1,024 | 512 |
| `FEDGAI_KEEP_MINUTES` | how long uploaded photographs stay on the server's disk | 60 |
| `FEDGAI_IMAGINE` | makes garments from words: a folder with a diffusers pipeline, or OWNER/NAME[@REVISION] on the Hub | SDXS |
| `FEDGAI_IMAGINE_STEPS` | its denoising steps | what it was distilled for |
| `FEDGAI_FEDERATION` | `1`: as `--federation`, a federation behind the studio, which draws with its newest checkpoint | |
| `FEDGAI_HOME` | the federation's folder | `/data/federation`, or `federation-data/` |
| `FEDGAI_HUB_REPO` | model repository on the Hugging Face Hub that rounds are pushed to and restored from | |
| `HF_TOKEN` | token that may write to it | |
| `FEDGAI_OPERATOR_PASSWORD` | of the panel at /federation/operator; without one there is no panel | |
| `SPACE_ID` | set by Hugging Face Spaces: the studio then listens on 0.0.0.0 | |
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported; so is the next
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import cv2
import torch
import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from fedgai.imagine import ImagineError, Imaginer
from fedgai.model import WEIGHTS, CheckpointError
from fedgai.pipeline import SketchPipeline
from studio.drawing import Studio
from studio.imagine_tab import Darkroom
from studio.page import build
from studio.theme import mount

if TYPE_CHECKING:
    from federation.server.folder import Folder
    from studio.federation.follow import Federation


def create_app(federation: bool = False) -> FastAPI:
    """The studio at /. Routes of the application's own, added before Gradio is mounted, come first.

    Args:
        federation: have one behind the studio; it starts and ends with the application.

    Raises:
        CheckpointError: there are no weights, or they do not fit.
        ImagineError: FEDGAI_IMAGINE or FEDGAI_IMAGINE_STEPS cannot be meant.
    """
    if federation:
        from federation.server.folder import Folder, home  # nothing of it is imported where it is not wanted
        from studio.federation.follow import newest

        folder = Folder(home())
    pipeline = (newest(folder) if federation else None) or SketchPipeline.from_pretrained(
        os.environ.get("FEDGAI_WEIGHTS") or WEIGHTS
    )
    studio = Studio(pipeline, cache=int(os.environ.get("FEDGAI_CACHE_MB", "512")) * 2**20)
    app = FastAPI(title="FedGAI Studio", docs_url=None, redoc_url=None, openapi_url=None)
    news = federate(app, folder, studio) if federation else None
    demo = build(studio, Darkroom(Imaginer()), keep=60 * int(os.environ.get("FEDGAI_KEEP_MINUTES", "60")), federation=news)
    return mount(app, demo, footer_links=["api"])


def federate(app: FastAPI, folder: Folder, studio: Studio) -> Federation:
    """Put the federation behind the studio: its way in, the operator's panel, the page's news; and its processes, from the
    application's start to its end."""
    from federation.address import address_of
    from federation.server.gateway import BodyLimit, gateway
    from federation.server.host import Host, HostError
    from federation.server.hub import HubQueue
    from studio.federation.follow import Federation
    from studio.federation.panel import PATH, Panel

    repo, password = os.environ.get("FEDGAI_HUB_REPO"), os.environ.get("FEDGAI_OPERATOR_PASSWORD")
    hub = HubQueue(folder, repo, os.environ.get("HF_TOKEN")) if repo else None
    host = Host(folder, hub=hub)
    federation = Federation(folder, studio, hub.state if hub else None, PATH if password else "")
    app.add_middleware(BodyLimit)
    app.include_router(gateway(folder, lambda: (host.superlink_address, host.certificate) if host.ready.is_set() else None))
    app.include_router(federation.routes())
    if password:
        app.include_router(Panel(folder, password, address_of).routes())

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


def main() -> None:
    parser = argparse.ArgumentParser(description="The FedGAI studio.")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--host", default="0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1")
    parser.add_argument("--federation", action="store_true", default=os.environ.get("FEDGAI_FEDERATION") == "1",
                        help="a federation behind the studio")
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
        app = create_app(arguments.federation)
    except CheckpointError as error:
        raise SystemExit(f"{error}\nSet FEDGAI_WEIGHTS to a checkpoint folder, or a repository on the Hub.") from error
    except ImagineError as error:
        raise SystemExit(str(error)) from error
    scheme = "https" if arguments.certificate else "http"
    print(f"FedGAI studio: {scheme}://{arguments.host}:{arguments.port}", flush=True)
    # a page holds a connection for as long as it is open: do not wait for those at the end
    uvicorn.run(
        app, host=arguments.host, port=arguments.port, log_level="warning", timeout_graceful_shutdown=2, proxy_headers=False,
        ssl_certfile=arguments.certificate, ssl_keyfile=arguments.key,
    )  # fmt: skip


if __name__ == "__main__":
    main()
