"""A page for this machine alone: it listens on loopback, and other web pages cannot use it.

Any page that is open in the designer's browser can send requests to 127.0.0.1, or give its own name that address (DNS
rebinding). Gradio 6.31 keeps such a page from reading an answer, but does what it asks, and takes every other port of
this machine for its own. So each request is looked at first: what host was asked for, and which page asks.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from federation.designer.settings import home
from fedgai.errors import FedGAIError, sentence
from fedgai.files import write_atomically

LOOPBACK = "127.0.0.1"  # and nothing else: there is no setting for it
HEADERS = {
    "x-frame-options": "DENY",
    "content-security-policy": "frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


class OpenAlready(FedGAIError):  # noqa: N818 - nothing went wrong
    """The page is open already; ``url`` says where, "" where that is not known."""

    def __init__(self, url: str) -> None:
        super().__init__(f"It is open already: {url}" if url else "It is open already in another place.")
        self.url = url


class OwnPageOnly:
    """ASGI middleware: 403 for whatever is not asked by a page of this very address, or by the designer who opens it.

    Args:
        app: what is behind it.
        port: that it listens on.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app, self.hosts = app, {f"{LOOPBACK}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        if not self.allows(scope):
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close", "code": 1008})
            return await PlainTextResponse("This page is for the machine it runs on, and for no other page.", 403)(
                scope, receive, send
            )

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, sealed)

    def allows(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        host, origin, site = (headers.get(name) for name in ("host", "origin", "sec-fetch-site"))
        if host not in self.hosts or (origin is not None and origin != f"http://{host}"):
            return False
        if site in (None, "none", "same-origin"):
            return True
        # a link from elsewhere may open the page, in a window of its own, and nothing more
        return (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and scope["path"] == "/"
            and headers.get("sec-fetch-dest") == "document"
        )


class LocalPage:
    """Holds a page's port and its place in a folder, so that it is open once.

    Args:
        folder: gets ``NAME.lock``, and ``NAME.url`` with the page's address.
        name: of the page.
        port: to listen on; another, where that is taken.
    Raises:
        OpenAlready: another process has it open.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, name: str, port: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(folder / f"{name}.lock", timeout=0, mode=0o600, thread_local=False)
        address = folder / f"{name}.url"
        try:
            self._lock.acquire()
        except Timeout:
            raise OpenAlready(address.read_text().strip() if address.exists() else "") from None
        self.socket = _listening(port)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self.port}/"
        write_atomically(address, self.url.encode())
        self._server: uvicorn.Server | None = None

    def serve(self, app: FastAPI, browser: bool) -> None:
        """Until ``close``, or a signal. ``browser``: open the page in the designer's."""
        app.add_middleware(OwnPageOnly, port=self.port)
        # a page holds a connection for as long as it is open: do not wait for those at the end
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, proxy_headers=False)
        self._server = uvicorn.Server(config)
        if browser:
            threading.Timer(1, show, [self.url]).start()
        self._server.run(sockets=[self.socket])

    def close(self) -> None:
        """From any thread."""
        if self._server:
            self._server.should_exit = True


def page_parser(module: str, about: str, home_help: str, port: int) -> argparse.ArgumentParser:
    """The options that each page's command has: --home, --port and --no-browser.

    Args:
        module: whose command it is.
        about: its docstring; the first line describes the command.
        home_help: of --home.
        port: to listen on where none is named.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about.splitlines()[0])
    parser.add_argument("--home", type=Path, default=home(), help=home_help)
    parser.add_argument("--port", type=int, default=port)
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    return parser


def run_page(prepare: Callable[[], Callable[[], None]], browser: bool) -> int:
    """Serve a page until it is closed. Returns the exit status: 0, or 1 with one sentence.

    Args:
        prepare: takes the page's place, and returns what serves it. It may raise FedGAIError or OSError.
        browser: where the page is open already, show it in the designer's.
    """
    try:
        serve = prepare()
    except OpenAlready as error:
        print(error, flush=True)
        if error.url and browser:
            show(error.url)
        return 0
    except (FedGAIError, OSError) as error:
        print(sentence(error), file=sys.stderr)
        return 1
    serve()
    return 0


def show(url: str) -> None:
    """In the designer's browser, where there is one."""
    has_screen = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if sys.platform in ("darwin", "win32") or has_screen:  # else it would be a browser of text
        webbrowser.open(url)


def _listening(port: int) -> socket.socket:
    for number in (port, 0):
        s = socket.socket()
        if os.name == "posix":  # on Windows it would let two programs listen on one port
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((LOOPBACK, number))
            s.listen(128)  # who follows the address before the page is served waits
            return s
        except OSError:
            s.close()
            if not number:
                raise
    raise AssertionError
