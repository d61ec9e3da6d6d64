"""The companion's window: a local page for a designer who does not want to open a terminal.

    python -m studio.companion.window [--home DIR] [--port 7862] [--certificate FILE] [--no-browser]

``fedgai-join --window`` starts it. It listens on 127.0.0.1 alone (local.py). What is done lies in desk.py; the page only
shows it, so that it may be closed, reloaded, or opened twice.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported; so is the next
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect

from federation.designer.companion import EXPLAINED, CompanionError, home
from federation.designer.receipt import Receipt, lines_of, page, summary
from federation.join import PHASES, STAYS, describe
from fedgai.data.pairs import FEW
from studio import pictures
from studio.companion.desk import Desk, Sheet
from studio.companion.local import Door, OpenAlready, show
from studio.pieces import PLAIN
from studio.theme import mount

LISTED = 12  # files named under a heading, beyond which it only counts
SIGNATURE = """A style signature is a few hundred numbers that describe your hand as a whole: how dense, how dark, how curved
your lines are. No drawing is in it. With it, others get a slider with your name. Without it you still learn from each
other; only nobody can draw in your hand."""
KEY = """Send this line to whoever runs the studio, once. It is your public key: it lets them recognise this machine, and
nobody can do anything else with it. Its secret half stays here."""
GOES_ON = """You may close this page; it goes on until you press Stop or end the companion. Open the page again at any time."""
NAMES = {"sketches": "Drawings", "pairs": "Drawings with photographs", "scans": "Scanned sheets", "folder": "A folder here"}


class Window:
    """The page's parts, its routes, and what its buttons do."""

    def __init__(self, desk: Desk, close: threading.Event | None = None) -> None:
        self.desk, self.closing = desk, close or threading.Event()
        self._thumbnails: tuple[object, str] = (None, "")

    # -- what is shown ---------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, str]:
        """name -> HTML of everything that changes by itself."""
        return {"drawings": self._drawings(), "sheets": self._sheets(), "now": self._now(), "act": self._act(),
                "receipts": self._receipts(), "home": self._home(), "leave": self._leave()}

    def live(self, have: str) -> dict[str, tuple[str, str]]:
        """The parts that changed. ``have``: "name:mark,name:mark" of those that the page shows."""
        known = dict(pair.split(":", 1) for pair in have.split(",") if ":" in pair)
        marks = {name: (hashlib.sha256(html.encode()).hexdigest()[:12], html) for name, html in self.parts().items()}
        return {name: told for name, told in marks.items() if known.get(name) != told[0]}

    def _drawings(self) -> str:
        desk = self.desk
        busy, found = desk.busy, desk.found
        at_work = _bar(busy[0], f"{busy[1] or 'looking at your drawings'} …") if busy else ""
        trouble = f'<p class="trouble" role="alert">{escape(desk.trouble)}</p>' if desk.trouble else ""
        if found is None:
            return at_work + trouble
        if self._thumbnails[0] is not found:
            self._thumbnails = found, self._found()
        return at_work + trouble + self._thumbnails[1]

    def _found(self) -> str:
        """What a look at the drawings found: counts, warnings, the contact sheet, and what cannot be used."""
        desk, found = self.desk, self.desk.found
        what = {"pairs": ("pair", "pairs"), "scans": ("sheet", "sheets")}.get(found.kind, ("drawing", "drawings"))
        head = _count(len(found.drawings), *what)
        head += f", {_count(len(found.bad), 'file')} that cannot be used" if found.bad else ""
        where = f" in {escape(str(found.path))}" if desk.kind == "folder" else ""
        good = f'<p class="sentence">{head}{where}</p>'
        twins, names = {b: a for a, b in found.twins}, desk.kind != "folder"
        bad = {file for file, _ in found.bad}
        cells = "".join(
            f'<li class="{"bad" if file in bad else "twin" if file in twins else ""}"><img src="{pictures.jpeg(picture)}" alt="">'
            f'<span title="{escape(_shown(file))}">{escape(_shown(file))}</span>'
            + (f"<em>like {escape(_shown(twins[file]))}</em>" if file in twins else "")
            + (_remove(file) if names else "") + "</li>"
            for file, picture in found.thumbnails
        )
        rest = len(found.drawings) - len(found.thumbnails)
        more = f'<p class="hint">and {_count(rest, "more", "more")}</p>' if rest > 0 else ""
        warnings = "".join(f'<p class="warning">{escape(w)}</p>' for w in found.warnings if found.kind != "scans")
        problems = _files("Cannot be used", found.bad, names) + _files("Worth a look", found.notes, False)
        explained = f'<p class="hint">{escape(EXPLAINED[found.kind])}</p>' if found.kind in EXPLAINED else ""
        return f'{good}{explained}{warnings}<ul class="contact">{cells}</ul>{more}{problems}'

    def _sheets(self) -> str:
        desk = self.desk
        if not desk.sheets:
            return ""
        count = sum(len({b.drawing for b in sheet.layout.boxes or () if b.keep}) for sheet in desk.sheets)
        if desk.accepted:
            head = f'<p class="sentence">Accepted: {_count(count, "drawing")} on {_count(len(desk.sheets), "sheet")}.</p>'
        else:
            head = (f'<p class="sentence">{_count(count, "drawing")} found on {_count(len(desk.sheets), "sheet")}. Is each in a '
                    'frame of its own?</p><p class="hint">Frames with the same number become one drawing. Choose frames, then '
                    'say what is wrong with them; or accept.</p><button type="button" class="button main" data-do="accept" '
                    f'id="accept"{_off(desk.busy)}>Accept {_count(count, "drawing")}</button>')
        few = (f'<p class="warning">Fewer than {FEW} drawings: your hand will be known only roughly.</p>' if count < FEW else "")
        return head + few + "".join(_sheet(sheet, i, bool(desk.busy)) for i, sheet in enumerate(desk.sheets))

    def _now(self) -> str:
        """The state of things, at the side."""
        desk, state = self.desk, self.desk.state
        if state is None:
            notice = f'<p class="trouble" role="alert">{escape(desk.notice)}</p>' if desk.notice else ""
            head = "Stopped for now." if desk.receipts else "Not joined yet."
            return f'<p class="sentence" role="status">{head}</p>{"" if desk.receipts else self._missing()}{notice}'
        words = {"training": "Learning from your drawings", "preparing": "Getting your drawings ready",
                 "sending": "Sending the update", "receiving": "A round begins",
                 "idle": "Waiting for the next round", "waiting": "Waiting to be let in", "away": "The studio is away",
                 "failed": "The last round was not trained", "starting": "Connecting", "refused": "Refused"}
        line = describe(state)
        line = f"{line[:1].upper()}{line[1:]}"
        told = state.federation or {}
        under_way = state.phase in ("training", "preparing", "sending", "receiving")
        mine = _bar(state.done, line) if under_way else f"<p>{escape(line)}.</p>"
        theirs = _bar(float(told.get("progress") or 0), _theirs(told), "theirs") if told else ""
        head = "Stopping …" if desk.stopping else words.get(state.phase, state.phase)
        return f"""<p class="sentence" role="status">{escape(head)}</p>{mine}{theirs}
        <dl><div><dt>Left this machine</dt><dd>{_size(state.sent)}</dd></div>
        <div><dt>Came in</dt><dd>{_size(state.received)}</dd></div><div><dt>Rounds sent</dt><dd>{state.receipts}</dd></div></dl>
        <p class="hint">{GOES_ON}</p>"""

    def _missing(self) -> str:
        desk = self.desk
        drawings = desk.found is not None and bool(desk.found.drawings) and not (desk.sheets and not desk.accepted)
        steps = ((drawings, "Your drawings", "step-1"), (bool(desk.answers.name.strip()), "Your name", "step-2"),
                 (bool(desk.answers.server.strip()), "The studio", "step-3"))
        rows = "".join(f'<li class="{"done" if done else ""}"><a href="#{to}">{what}</a></li>' for done, what, to in steps)
        return f'<ol class="todo">{rows}</ol>'

    def _act(self) -> str:
        desk = self.desk
        if desk.running:
            return f'<button type="button" class="button" id="stop" data-do="stop"{_off(desk.stopping)}>Stop for now</button>'
        word = "Go on" if desk.receipts or desk.drawn else "Join"
        return f'<button type="button" id="join" class="button main" data-do="join"{_off(desk.busy)}>{word}</button>'

    def _receipts(self) -> str:
        desk, receipts = self.desk, self.desk.receipts
        if not receipts:
            head = '<p class="sentence">Nothing was sent yet.</p>'
        else:
            whole = sum(r.wire_bytes for r in receipts)
            head = (f'<p class="sentence">{_size(whole)} in {_count(len(receipts), "round")}, and no drawing.</p>'
                    '<p><a href="window/receipt.html" target="_blank">The receipt as a page, to print or to show</a></p>')
        sample = (f'<h3>What would be sent now</h3>{_receipt(desk.sample, "sample", opened=True)}' if desk.sample else "")
        dry = (f'<button type="button" class="button" id="dry" data-do="dry"{_off(desk.busy or desk.running)}>'
               "Show what would be sent, and send nothing</button>")
        rounds = "".join(_receipt(r, f"receipt-{i}") for i, r in reversed(list(enumerate(receipts))))
        return f"{head}{rounds}{dry}{sample}"

    def _home(self) -> str:
        desk = self.desk
        if not desk.drawn:
            return '<p class="hint">After the first round you can draw here, with a Generator that knows your drawings.</p>'
        if desk.studio.startswith("http"):
            return f'<p><a class="button" id="to-studio" href="{escape(desk.studio)}" target="_blank">Go to your studio</a></p>'
        word = "Opening …" if desk.studio else "Open your studio"
        return f'<button type="button" class="button" id="open-studio" data-do="studio"{_off(desk.studio)}>{word}</button>'

    def _leave(self) -> str:
        lines = STAYS.splitlines()
        kept = "".join(f"<li>{escape(line.removeprefix('- '))}</li>" for line in lines[1:])
        return f"""<details id="leaving"><summary>Leave the federation</summary><p>{escape(lines[0])}</p><ul>{kept}</ul>
        <button type="button" class="button" id="leave" data-do="leave">Leave {escape(self.desk.answers.server) or "it"}</button>
        </details>"""

    # -- what is done ----------------------------------------------------------------------------------------------------

    def act(self, event: gr.EventData) -> None:
        """A button of the page's parts, or something dropped."""
        choice = event.choice if isinstance(event.choice, dict) else {}
        desk, what = self.desk, str(choice.get("what", ""))
        match choice.get("do"):
            case "choose":
                desk.choose(what)
            case "dropped":
                desk.dropped(what)
            case "name":
                desk.name(what)
            case "remove":
                desk.remove(what)
            case "correct":
                boxes = choice.get("boxes")
                desk.correct(str(choice.get("sheet")), str(choice.get("how")), boxes if isinstance(boxes, list) else [])
            case "accept":
                desk.accept()
            case "join":
                desk.join()
            case "stop":
                desk.stop()
            case "leave":
                desk.leave()
            case "dry":
                desk.dry()
            case "studio":
                desk.open_studio()
            case "close":
                self.closing.set()

    def answers(self) -> tuple:
        """-> the fields, as they were answered last."""
        a = self.desk.answers
        return a.name, a.description, a.share_style, a.server, a.certificate, a.budget / 2**20, a.local_epsilon, a.style_epsilon

    def answered(self, name: str, description: str, share: bool, server: str, certificate: str, budget: float | None,
                 local: float | None, style: float | None) -> None:
        self.desk.answer(name=name, description=description, share_style=bool(share), server=server,
                         certificate=certificate.strip(), budget=int(max(0, budget or 0) * 2**20),
                         local_epsilon=max(0.0, float(local or 0)), style_epsilon=max(0.0, float(style or 0)))

    # -- HTTP ------------------------------------------------------------------------------------------------------------

    def routes(self, app: FastAPI) -> None:
        """Before Gradio is mounted."""
        still = {"cache-control": "no-store"}

        @app.get("/window/live")
        async def live(have: str = "") -> JSONResponse:
            return JSONResponse(await run_in_threadpool(self.live, have), headers=still)

        @app.post("/window/drawings/{shelf}")
        async def take(shelf: str, request: Request, name: str = "") -> JSONResponse:
            try:
                error = await self.desk.put(shelf, name, request.stream())
            except ClientDisconnect:  # the page was closed
                error = "it was not copied to its end"
            return JSONResponse({"error": error}, 422 if error else 200)

        @app.get("/window/sheets/{number}.jpg")
        def sheet(number: int) -> Response:
            sheets = self.desk.sheets
            if not 0 <= number < len(sheets) or not sheets[number].preview.exists():
                return PlainTextResponse("There is no such sheet.", 404)
            return FileResponse(sheets[number].preview, headers=still)

        @app.get("/window/receipt.html")
        def receipt() -> HTMLResponse:
            return HTMLResponse(page(self.desk.receipts), headers=still)


def build(window: Window) -> gr.Blocks:
    """The page. Gradio keeps the fields; everything else is a place for what ``Window.parts`` says."""
    desk = window.desk
    with gr.Blocks(title="FedGAI Companion", analytics_enabled=False, fill_width=True) as demo:
        gr.HTML(HEADER, elem_id="header", **PLAIN)
        with gr.Row(elem_id="desk", equal_height=False):
            with gr.Column(elem_id="steps", min_width=0):
                gr.HTML(_step(1, "Your drawings", "They are copied to a folder of the companion's on this machine. The originals "
                                                  "stay as they are, and nothing is sent."), **PLAIN)
                zones = gr.HTML(_zones(desk.kind, desk.answers.data if desk.kind == "folder" else ""), elem_id="drop",
                                js_on_load="studio.drop(element, (choice) => trigger('select', { choice }))", **PLAIN)
                found = _places("found", "drawings", "sheets")
                gr.HTML(_step(2, "What others see"), **PLAIN)
                name = gr.Textbox(label="Your name, as others shall see it", max_length=40, elem_id="name")
                share = gr.Checkbox(label="Share my style signature", elem_id="share")
                gr.HTML(f'<p class="hint">{SIGNATURE}</p>', **PLAIN)
                description = gr.Textbox(label="A sentence about your hand (optional, sent with the signature)", max_length=300)
                gr.HTML(_step(3, "The studio"), **PLAIN)
                server = gr.Textbox(label="Its address", placeholder="https://name.hf.space", elem_id="server")
                gr.HTML(f"""<div class="key"><p>Your key</p><code id="key-line">{escape(desk.key)}</code>
                        <button type="button" class="button" data-copy="#key-line" data-label="Copy">Copy</button>
                        <p class="hint">{KEY}</p></div>""",
                        js_on_load="studio.places(element, () => {})", elem_id="key", **PLAIN)
                with gr.Accordion("Limits and noise, for those who want them", open=False, elem_id="limits"):
                    budget = gr.Number(label="At most so many MB may leave in a round")
                    local = gr.Number(label="Noise in each update: epsilon of local differential privacy, 0 for none")
                    style = gr.Number(label="Noise in the signature: epsilon, 0 for none")
                    gr.HTML('<p class="hint">The smaller epsilon, the more noise, and the less can be inferred from what you '
                            "send; the others learn less from you, too.</p>", **PLAIN)
                    certificate = gr.Textbox(label="Certificate file (PEM) of a studio without a public one")
                gr.HTML(_step(4, "What left this machine", "Every byte that leaves is counted here, and each number that was "
                                                           "sent is named."), **PLAIN)
                sent = _places("sent", "receipts")
                gr.HTML(_step(5, "Draw at home", "The studio, on this machine alone, with a Generator of your own."), **PLAIN)
                drawn = _places("drawn", "home")
                gr.HTML(_step(6, "Leave"), **PLAIN)
                left = _places("left", "leave")
                closing = gr.HTML('<p class="hint">To end the companion altogether: <button type="button" class="plain" '
                                  'data-do="close">close it</button>. The training stops, and goes on another day.</p>',
                                  js_on_load=_ACT, elem_id="closing", **PLAIN)
            with gr.Column(elem_id="side", min_width=0):
                now = _places("now", "now", "act")
        gr.HTML('<p role="alert">The companion does not answer: it was closed, or this machine is very busy. Start it again to '
                "go on; nothing is lost.</p>", elem_id="lost", **PLAIN)
        private = {"api_visibility": "private", "show_progress": "hidden"}
        fields = [name, description, share, server, certificate, budget, local, style]
        gr.on([place.select for place in (zones, found, sent, drawn, left, closing, now)], window.act, None, None, **private)
        # never at a change that the page itself makes: while it is loaded, it still has what was answered long ago
        told = [share.input, *(event for field in fields if field is not share for event in (field.input, field.blur))]
        gr.on(told, window.answered, fields, None, trigger_mode="always_last", **private)
        demo.load(window.answers, None, fields, **private)
    return demo.queue(default_concurrency_limit=4)


def create_app(desk: Desk, closing: threading.Event | None = None) -> FastAPI:
    """The page at /. It ends what the desk runs when it ends."""
    app = FastAPI(title="FedGAI Companion", docs_url=None, redoc_url=None, openapi_url=None)
    window = Window(desk, closing)
    window.routes(app)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await run_in_threadpool(desk.close)

    app.router.lifespan_context = life
    return mount(app, build(window), "companion/window")


HEADER = """<header><h1>FedGAI <em>Companion</em></h1>
<p>Your drawings stay on this machine. What it learns from them joins what others have learned.</p></header>"""
_ACT = "studio.places(element, (choice) => trigger('select', { choice }))"


def _places(elem_id: str, *parts: str) -> gr.HTML:
    html = "".join(f'<div data-part="{part}"></div>' for part in parts)
    return gr.HTML("", html_template=html, js_on_load=_ACT, elem_id=elem_id, elem_classes="place", **PLAIN)


def _step(number: int, title: str, text: str = "") -> str:
    more = f'<p class="hint">{text}</p>' if text else ""
    return f'<div class="step" id="step-{number}"><h2><b>{number}</b> {title}</h2>{more}</div>'


def _zones(kind: str, folder: str) -> str:
    def zone(shelf: str, what: str) -> str:
        return f"""<div class="zone" data-shelf="{shelf}"><p>Drop <b>{what}</b> here, or a folder of them</p>
        <label class="button"><input type="file" multiple accept="image/*" data-shelf="{shelf}">Choose files</label>
        <label class="button"><input type="file" webkitdirectory data-shelf="{shelf}">Choose a folder</label></div>"""

    radios = "".join(f'<label><input type="radio" name="kind" value="{k}"><span>{t}</span></label>' for k, t in NAMES.items())
    return f"""<fieldset class="switch" data-kind="{kind}"><legend>What have you got?</legend>{radios}</fieldset>
    <div class="of sketches">{zone("sketches", "drawings")}</div>
    <div class="of pairs two">{zone("photos", "photographs")}{zone("partners", "their drawings")}
    <p class="hint">A photograph and its drawing have the same file name, but for the ending.</p></div>
    <div class="of scans">{zone("scans", "scans or photographs of sheets")}</div>
    <div class="of folder"><label for="own-folder">Its whole path, as your file manager shows it</label>
    <div class="field"><input id="own-folder" value="{escape(folder)}" spellcheck="false">
    <button type="button" class="button" data-folder>Use it</button></div>
    <p class="hint">It is used where it lies, and not changed.</p></div>
    <p class="copying" role="status"></p>"""


def _sheet(sheet: Sheet, number: int, busy: bool) -> str:
    width, height = sheet.size
    boxes = ""
    for i, box in enumerate(sheet.layout.boxes or ()):
        (left, right), (top, bottom) = sorted(box.box[::2]), sorted(box.box[1::2])
        place = (f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;width:{100 * (right - left) / width:.2f}%;"
                 f"height:{100 * (bottom - top) / height:.2f}%")
        word = f"Drawing {box.drawing}" if box.keep else "Dropped frame"
        boxes += f'<button type="button" data-box="{i}" aria-pressed="false" aria-label="{word}" style="{place}"></button>'
    name = escape(_shown(sheet.scan))
    mark = sheet.preview.stat().st_mtime_ns if sheet.preview.exists() else 0
    hows = (("drop", "Drop"), ("keep", "Keep"), ("join", "Join into one"), ("part", "Part"), ("again", "Look again"))
    buttons = "".join(f'<button type="button" class="button" data-how="{how}"{_off(busy)}>{word}</button>' for how, word in hows)
    return f"""<figure class="sheet" data-sheet="{escape(sheet.scan.name)}">
    <div class="paper" style="aspect-ratio:{width}/{height}">
    <img src="window/sheets/{number}.jpg?{mark}" alt="{name}, with a frame around each drawing that was found">{boxes}</div>
    <figcaption><span>{name}</span><span class="hows">{buttons}</span><span class="hint" role="status"></span></figcaption>
    </figure>"""


def _receipt(receipt: Receipt, key: str, opened: bool = False) -> str:
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in (*line[:4], line[4][:16])) + "</tr>"
                   for line in lines_of(receipt))
    title = f"Round {receipt.round}" if receipt.wire_bytes else "Sample"
    return f"""<details id="{key}" class="receipt"{" open" if opened else ""}>
    <summary><b>{title}</b> {escape(summary(receipt))}</summary>
    <p class="hint">{escape(receipt.meaning)}</p><div class="table"><table><thead><tr><th scope="col">What
    <th scope="col">Shape or value<th scope="col">Type<th scope="col">Bytes<th scope="col">SHA-256</tr>
    </thead><tbody>{rows}</tbody></table></div>
    </details>"""


def _files(title: str, files: list[tuple[Path, str]], removable: bool) -> str:
    if not files:
        return ""
    rows = "".join(f"<li><b>{escape(_shown(file))}</b> {escape(_said(reason, file))}{_remove(file) if removable else ''}</li>"
                   for file, reason in files[:LISTED])
    more = f"<li>and {len(files) - LISTED:,} more</li>" if len(files) > LISTED else ""
    return f'<div class="problems"><h3>{title}</h3><ul>{rows}{more}</ul></div>'


def _said(reason: str, file: Path) -> str:
    return reason.replace(str(file.parent), file.parent.name)


def _remove(file: Path) -> str:
    name = escape(_shown(file))
    return f'<button type="button" class="remove" data-do="remove" data-what="{name}" aria-label="Take {name} away">×</button>'


def _shown(file: Path) -> str:
    return file.name.encode("utf-8", "replace").decode()


def _theirs(status: dict) -> str:
    """The federation's state, as the studio tells anybody."""
    online = status.get("designers_online")
    people = _count(len(online), "designer") if isinstance(online, list) else "nobody known"
    return f"All of you, round {status.get('round', '?')}: {PHASES.get(str(status.get('phase')), 'not known')}, {people} online"


def _bar(done: float, text: str, kind: str = "") -> str:
    share = round(100 * min(1.0, max(0.0, done)))
    return f"""<div class="progress {kind}"><p>{escape(_capital(text))}</p><div class="bar" role="progressbar" aria-valuemin="0"
    aria-valuemax="100" aria-valuenow="{share}" aria-label="{escape(text)}"><span style="width:{share}%"></span></div></div>"""


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _off(condition: object) -> str:
    return " disabled" if condition else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m studio.companion.window", description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=home(), help="where the companion keeps everything")
    parser.add_argument("--port", type=int, default=7862)
    parser.add_argument("--certificate", default="", help="PEM file to trust for a studio without a public certificate")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    args = parser.parse_args()
    try:
        door = Door(args.home / "window", "window", args.port)
    except OpenAlready as error:
        print(error, flush=True)
        if error.url and not args.no_browser:
            show(error.url)
        return 0
    except OSError as error:
        print(f"{args.home} cannot be used: {error.strerror}", file=sys.stderr)
        return 1
    closing = threading.Event()
    try:
        app = create_app(Desk(args.home.resolve(), args.certificate), closing)
    except (CompanionError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    threading.Thread(target=lambda: (closing.wait(), door.close()), daemon=True).start()
    print(f"The companion's window: {door.url} - on this machine alone. Ctrl-C ends it.", flush=True)
    door.serve(app, browser=not args.no_browser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
