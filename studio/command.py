"""The command ``fedgai-studio``, which ``python app.py`` runs, too: the studio on an address of this machine."""

from __future__ import annotations

import argparse
import errno
import math
import os
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from fedgai.environment import check_network, switch
from fedgai.errors import FedGAIError, sentence
from fedgai.imports import collector_paused, needed_by
from studio.operator_settings import from_environment

if TYPE_CHECKING:
    from fastapi import FastAPI


def cores() -> int:
    """Processors that this process may use: in a container torch and OpenCV see all of the machine's, and get slow."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(os.cpu_count() or 1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such limit
        return os.cpu_count() or 1


def bind(host: str, port: int) -> socket.socket:
    """The place to listen at, taken before anything else is done and before the address is printed.

    Raises:
        FedGAIError: another program uses it, or this machine does not have it.
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
        raise FedGAIError(f"The studio cannot use {host}, port {port} ({reason}): choose others with --host, --port.") from error
    return listener


def application(federation: bool) -> FastAPI:
    """The studio, ready to be served. What it needs is imported here: it takes seconds, and what is set wrongly is said before.

    Gradio, too, makes an HTTP client when it is imported, which ends in a traceback where ``check_network`` was not called.
    """
    with collector_paused():
        import cv2
        import torch

        import studio.without_stubs  # noqa: F401 - before whatever imports gradio
        from fedgai.model import CheckpointError
        from studio.application import create_app

    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    cv2.setNumThreads(min(cv2.getNumThreads(), cores()))
    try:
        return create_app(federation)
    except CheckpointError as error:
        raise SystemExit(f"{sentence(error)}\nSet FEDGAI_WEIGHTS to a checkpoint folder, or a repository on the Hub.") from None


def main() -> None:
    parser = argparse.ArgumentParser(description="The FedGAI studio.")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--host", default="0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1")
    parser.add_argument(
        "--federation",
        action="store_true",
        help="a federation behind the studio; also FEDGAI_FEDERATION=1",
    )
    parser.add_argument("--certificate", type=Path, help="for https: PEM file, the whole chain")
    parser.add_argument("--key", type=Path, help="for https: the certificate's key, PEM")
    arguments = parser.parse_args()
    if (arguments.certificate is None) != (arguments.key is None):
        parser.error("--certificate and --key come together")
    for file in (arguments.certificate, arguments.key):
        if file is not None and not file.is_file():
            parser.error(f"there is no file {file}")
    if arguments.certificate is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(arguments.certificate, arguments.key)
        except OSError as error:  # ssl.SSLError is one
            parser.error(f"{arguments.certificate} and {arguments.key} are not a certificate and its key as PEM files ({error})")
    try:
        check_network()
        from_environment()
        federation = arguments.federation or switch("FEDGAI_FEDERATION")
        listener = bind(arguments.host, arguments.port)
        with needed_by("fedgai-studio", "studio", *(["federation"] if federation else [])):
            app = application(federation)
    except FedGAIError as error:
        raise SystemExit(sentence(error)) from None
    import uvicorn

    from studio.connections import BoundedProtocol
    from studio.gradio_adapter import quiet_logs

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
