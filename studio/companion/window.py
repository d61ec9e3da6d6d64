"""The companion's window: a local page for a designer who does not want to open a terminal.

    python -m studio.companion.window [--home DIR] [--port 7862] [--certificate FILE] [--no-browser]

``fedgai-join --window`` starts it. It listens on 127.0.0.1 alone (local_page.py). What is done lies in actions.py, what is
shown in page_parts.py; the page may be closed, reloaded, or opened twice.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fedgai.imports import collector_paused, needed_by

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported; so are the next
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

with collector_paused(), needed_by("python -m studio.companion.window", "studio", "federation", started=__name__ == "__main__"):
    import studio.companion.quiet_network  # noqa: F401, I001 - before gradio, which fails on a wrong proxy

    import gradio as gr
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
    from starlette.requests import ClientDisconnect

    from federation.designer.receipt_page import page
    from federation.designer.settings import private_folder
    from federation.join import SIGNATURE
    from studio.companion.actions import CompanionActions
    from studio.companion.local_page import LocalPage, page_parser, run_page
    from studio.companion.page_parts import Parts
    from studio.companion.templating import render

    from studio.gradio_adapter import use_folder
    from studio.theme import mount

PLAIN: dict[str, Any] = {"apply_default_css": False}  # of gr.HTML
SHARE, KEEP = "Share it", "Keep it"
HEADER = """<header><h1>FedGAI <em>Companion</em></h1>
<p>Your drawings stay on this machine. What it learns from them joins what others have learned.</p></header>"""
_PLACES = "studio.places(element, (choice) => trigger('select', { choice }))"


class Window:
    """The page's routes, and what its buttons do."""

    def __init__(self, actions: CompanionActions, close: threading.Event | None = None) -> None:
        self.actions, self.parts, self.closing = actions, Parts(actions), close or threading.Event()

    def act(self, event: gr.EventData) -> None:
        """A button of the page's parts, or something dropped."""
        choice = event.choice if isinstance(event.choice, dict) else {}
        actions, what = self.actions, str(choice.get("what", ""))
        boxes = choice.get("boxes")
        known = {
            "choose": lambda: actions.choose(what),
            "dropped": lambda: actions.dropped(what),
            "name": lambda: actions.name_folder(what),
            "remove": lambda: actions.remove(what),
            "correct": lambda: actions.correct(
                str(choice.get("sheet")), str(choice.get("how")), boxes if isinstance(boxes, list) else []
            ),
            "accept": actions.drawings.accept,
            "join": actions.join,
            "stop": actions.part.stop,
            "ask-to-leave": actions.part.ask_to_leave,
            "stay": actions.part.stay,
            "leave": actions.leave,
            "hand": actions.show_hand,
            "hand-stop": actions.hand.stop,
            "dry": actions.show_sample,
            "studio": actions.studio.open,
            "close": self.closing.set,
        }
        if work := known.get(str(choice.get("do"))):
            work()

    def answers(self) -> tuple[Any, ...]:
        """-> the fields, as they were answered last."""
        a = self.actions.answers
        share = {True: SHARE, False: KEEP, None: None}[a.share_style]
        return a.name, a.description, share, a.server, a.certificate, a.budget / 2**20, a.local_epsilon, a.style_epsilon

    def answered(
        self,
        name: str,
        description: str,
        share: str | None,
        server: str,
        certificate: str,
        budget: float | None,
        local: float | None,
        style: float | None,
    ) -> None:
        self.actions.answer(
            name=name,
            description=description,
            share_style={SHARE: True, KEEP: False}.get(share or ""),
            server=server,
            certificate=certificate.strip(),
            budget=int(max(0, budget or 0) * 2**20),
            local_epsilon=max(0.0, float(local or 0)),
            style_epsilon=max(0.0, float(style or 0)),
        )

    def routes(self, app: FastAPI) -> None:
        """Before Gradio is mounted."""
        fresh = {"cache-control": "no-store"}

        @app.get("/window/live")
        async def live(have: str = "") -> JSONResponse:
            return JSONResponse(await run_in_threadpool(self.parts.changed, have), headers=fresh)

        @app.post("/window/drawings/{place}")
        async def take(place: str, request: Request, name: str = "") -> JSONResponse:
            try:
                error = await self.actions.drawings.put(place, name, request.stream())
            except ClientDisconnect:  # the page was closed
                error = "it was not copied to its end"
            return JSONResponse({"error": error}, 422 if error else 200)

        @app.get("/window/sheets/{number}.jpg")
        def sheet(number: int) -> Response:
            sheets = self.actions.drawings.sheets
            if not 0 <= number < len(sheets) or not sheets[number].preview.exists():
                return PlainTextResponse("There is no such sheet.", 404)
            return FileResponse(sheets[number].preview, headers=fresh)

        @app.get("/window/receipt.html")
        def receipt() -> HTMLResponse:
            return HTMLResponse(page(self.actions.part.receipts), headers=fresh)

        @app.get("/window/hand.html")
        def hand() -> Response:
            made = self.actions.hand.page
            if not made:
                return PlainTextResponse("There is no such page yet: press the button in step 2 of the window first.", 404)
            return HTMLResponse(made, headers=fresh)


def build(window: Window) -> gr.Blocks:
    """The page. Gradio keeps the fields; everything else is an element that shows one of ``Parts``."""
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    demo: gr.Blocks = gr.Blocks(title="FedGAI Companion", analytics_enabled=False, fill_width=True)
    with demo:
        gr.HTML(HEADER, elem_id="header", **PLAIN)
        with gr.Row(elem_id="columns", equal_height=False):
            with gr.Column(elem_id="steps", min_width=0):
                places = [*_drawings_step(window.actions)]
                hand, *names = _names_step()
                fields = [*names, *_studio_step(window.actions)]
                places += [hand, *_later_steps()]
            with gr.Column(elem_id="side", min_width=0):
                places.append(_places("now", "now", "act"))
        gr.HTML(
            '<p role="alert">The companion does not answer: it was closed, or this machine is very busy. Start it again to '
            "go on; nothing is lost.</p>",
            elem_id="lost",
            **PLAIN,
        )
        # handle all choices, in order; by default Gradio drops one that comes while an earlier one is being handled
        gr.on(
            [place.select for place in places],
            window.act,
            None,
            None,
            trigger_mode="multiple",
            concurrency_limit=1,
            **private,
        )
        # not when the page itself changes a field: while it loads, its fields still hold old answers
        changes = [
            event for field in fields for event in ([field.input] if isinstance(field, gr.Radio) else [field.input, field.blur])
        ]
        gr.on(changes, window.answered, fields, None, trigger_mode="always_last", **private)
        demo.load(window.answers, None, fields, **private)
    demo.queue(default_concurrency_limit=4)
    return demo


def _drawings_step(actions: CompanionActions) -> list[gr.HTML]:
    _step(
        1,
        "Your drawings",
        "The companion copies them to its own folder on this machine. The originals stay as they are, and nothing is sent.",
    )
    kind = actions.drawings.kind
    zones = gr.HTML(
        render("zones", kind=kind, folder=actions.answers.data if kind == "folder" else ""),
        elem_id="drop",
        js_on_load="studio.drop(element, (choice) => trigger('select', { choice }))",
        **PLAIN,
    )
    return [zones, _places("found", "busy", "drawings", "sheets")]


def _names_step() -> list[Any]:
    """-> the place for how others will see the hand; name, description, share."""
    _step(2, "What others see")
    name = gr.Textbox(label="Your name, as others shall see it", max_length=40, elem_id="name")
    head, *lines, last = SIGNATURE.splitlines()
    gr.HTML(render("signature", head=head, lines=[line.removeprefix("- ") for line in lines], last=last), **PLAIN)
    hand = _places("hand", "hand")
    share = gr.Radio([SHARE, KEEP], label="Your style signature", elem_id="share")
    description = gr.Textbox(label="A sentence about your hand (optional, sent with the signature)", max_length=300)
    return [hand, name, description, share]


def _studio_step(actions: CompanionActions) -> list[Any]:
    """-> server, certificate, budget, local, style."""
    _step(3, "The studio")
    server = gr.Textbox(label="Its address", placeholder="https://name.hf.space", elem_id="server")
    gr.HTML(
        render("key", key=actions.key, fingerprint=actions.fingerprint),
        js_on_load="studio.places(element, () => {})",
        elem_id="key",
        **PLAIN,
    )
    with gr.Accordion("Limits and noise (optional)", open=False, elem_id="limits"):
        budget = gr.Number(label="The most that may leave this machine in a round, MB")
        local = gr.Number(label="Noise in each update: epsilon of local differential privacy, 0 for none")
        style = gr.Number(label="Noise in the signature: epsilon, 0 for none")
        gr.HTML(
            '<p class="hint">A smaller epsilon means more noise. Then people can conclude less from what you send, '
            "but the others also learn less from you.</p>",
            **PLAIN,
        )
        certificate = gr.Textbox(label="Certificate file (PEM), if the people who run the studio gave you one")
    return [server, certificate, budget, local, style]


def _later_steps() -> list[gr.HTML]:
    _step(
        4,
        "What left this machine",
        "For each update there is a receipt. It is written before the first byte leaves, and lists everything that is sent.",
    )
    sent = _places("sent", "receipts")
    _step(5, "Draw at home", "A studio on this machine alone. It draws with a model that learned from your drawings.")
    drawn = _places("drawn", "home")
    _step(6, "Leave")
    left = _places("left", "leave")
    closing = gr.HTML(
        '<p class="hint">To stop everything, <button type="button" class="plain" '
        'data-do="close">close the companion</button>. The training goes on when you start the companion again.</p>',
        js_on_load=_PLACES,
        elem_id="closing",
        **PLAIN,
    )
    return [sent, drawn, left, closing]


def _step(number: int, title: str, text: str = "") -> None:
    gr.HTML(render("step", number=number, title=title, text=text), **PLAIN)


def _places(elem_id: str, *parts: str) -> gr.HTML:
    html = "".join(f'<div data-part="{part}"></div>' for part in parts)
    return gr.HTML("", html_template=html, js_on_load=_PLACES, elem_id=elem_id, elem_classes="place", **PLAIN)


def create_app(actions: CompanionActions, closing: threading.Event | None = None) -> FastAPI:
    """The page at /. It ends what the actions run when it ends."""
    app = FastAPI(title="FedGAI Companion", docs_url=None, redoc_url=None, openapi_url=None)
    window = Window(actions, closing)
    window.routes(app)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await run_in_threadpool(actions.close)

    app.router.lifespan_context = life
    return mount(app, build(window), "companion/window")


def main() -> int:
    """Returns the exit status: 0, or 1 with one sentence."""
    parser = page_parser("studio.companion.window", __doc__ or "", "where the companion keeps everything", 7862)
    parser.add_argument("--certificate", default="", help="PEM file to trust for a studio without a public certificate")
    args = parser.parse_args()
    folder, browser = args.home.expanduser().resolve(), not args.no_browser

    def prepare() -> Callable[[], None]:
        local = LocalPage(private_folder(folder) / "window", "window", args.port)
        use_folder(folder / "window" / "dropped")  # not where everybody's temporary files are
        closing = threading.Event()
        app = create_app(CompanionActions(folder, args.certificate), closing)

        def close_when_asked() -> None:
            closing.wait()
            local.close()

        def serve() -> None:
            threading.Thread(target=close_when_asked, daemon=True).start()
            print(f"The companion's window: {local.url} - on this machine alone. Ctrl-C ends it.", flush=True)
            local.serve(app, browser)

        return serve

    return run_page(prepare, browser)


if __name__ == "__main__":
    sys.exit(main())
