"""Join a federation from your own machine. Your drawings stay where they are.

    fedgai-join                    asks what it needs to know, then joins; the next time it asks nothing
    fedgai-join --server URL --data DIR --name NAME --share-style
    fedgai-join --check            looks at the folder of drawings, and makes a contact sheet of it
    fedgai-join --accept-scans     the drawings cut out of scanned sheets are right: go on with them
    fedgai-join --dry-run          shows exactly what would be sent, and sends nothing
    fedgai-join --hand PAGE.html   writes a page: how your hand will look to others; sends nothing
    fedgai-join --receipt          shows what was sent, and writes a page of it
    fedgai-join --window           all of this as a page in your browser, on this machine alone
    fedgai-join --studio           draws at home with your own Generator
    fedgai-join --leave            leaves the federation

Stop with Ctrl-C and start again at any time: it goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fedgai.imports import collector_paused, needed_by

with collector_paused(), needed_by("python -m federation.join", "federation", started=__name__ == "__main__"):
    from rich.console import Console
    from rich.live import Live
    from rich.prompt import Confirm, Prompt

    from federation.designer.companion import Companion, leave
    from federation.designer.dry_run import dry_run
    from federation.designer.hand_preview import preview_hand
    from federation.designer.prepare import EXPLAINED, LookFirst, accept, look, prepare
    from federation.designer.receipt import read_all
    from federation.designer.receipt_page import page, summary, table, title
    from federation.designer.settings import CompanionError, Settings, address, home, private_folder
    from federation.designer.studio_client import AwayError, UntrustedError
    from federation.identity import display_name
    from federation.terminal import TerminalView, bar, show_key, tell
    from fedgai.data.designer_folder import DesignerFolder, contact_sheet
    from fedgai.data.pairs import writing
    from fedgai.errors import FedGAIError, sentence
    from fedgai.evaluation.hand_page import to_html
    from fedgai.files import write_atomically
    from fedgai.model import CONFIG_FILE
    from fedgai.text import printable

SIGNATURE = "\n".join(
    (
        "A style signature is a list of numbers, 480 with the built-in model. They describe your hand as a whole: how dense, how "
        "dark and how curved your lines are. Your machine measures them on your drawings, then adjusts them until the studio "
        "draws more like you. With the signature goes an adapter, unless you add noise: it changes the studio's model a little "
        "for the same purpose. Four more numbers say what share of seams, folds and stitches you draw, and how much of a print. "
        "None of these contains a drawing.",
        "- If you share it, everybody who uses the studio gets a slider with your name, and can draw garments in a hand like "
        "yours. And a person who already has one of your drawings could find out whether you used it here.",
        "- If you keep it, nobody gets a slider for you. You and the others still learn from each other.",
        "You can change this later; what you shared in earlier rounds stays shared.",
    )
)
"""What sharing a signature means, for a designer who decides; docs/privacy.md has the measurements."""
STAYS = """When you leave:
- your drawings and your private model stay on this machine, where they always were; nobody else has them
- if you shared your style signature, your slider is removed from the studio at once
- checkpoints of earlier rounds keep what they learned from you and the others; this cannot be undone
- your receipts stay on this machine, so that you can always show what was sent"""
RETRY = 10.0  # s before a studio that is away is asked again


# -- the conversation of the first run ---------------------------------------------------------------------------------


def ask(console: Console, known: Settings | None) -> Settings:
    """Four questions, until each has an answer that can be used."""
    console.print("[bold]Welcome.[/] There are four questions. Your answers stay on this machine, and you are asked only once.\n")
    console.print(
        "[bold]1.[/] Your drawings. Name a folder with your drawings in it; or one with photos/ and sketches/ of the same "
        "garments; or one with scanned sheets in scans/. The files stay there, and are only read."
    )

    def drawings(answer: str) -> str:
        data = folder_named(answer)
        if not answer.strip():
            raise CompanionError("type the folder's path, or drop the folder into this window")
        if not data.is_dir():
            raise CompanionError(f"there is no folder {data}")
        with bar(console) as progress:
            look(Settings("", str(data), ""), progress)
        return str(data.resolve())

    data = ask_until_valid(console, "Which folder?", drawings, known.data if known else None)
    name = ask_until_valid(console, "[bold]2.[/] What name shall others see?", display_name, known.name if known else None)
    console.print(f"\n[bold]3.[/] {SIGNATURE}", highlight=False)
    share = Confirm.ask("Share your style signature?", console=console)
    server = ask_until_valid(
        console,
        "\n[bold]4.[/] What is the studio's address? (The people who run it know it.)",
        address,
        known.server if known else None,
    )
    return replace(known or Settings("", "", ""), server=server, data=data, name=name, share_style=share)


class TerminalQuestion(Prompt):
    prompt_suffix = " "


def ask_until_valid(console: Console, question: str, accepts: Callable[[str], str], default: str | None) -> str:
    """Ask until ``accepts`` takes the answer without a FedGAIError. Returns what ``accepts`` returns."""
    while True:
        try:
            return accepts(
                TerminalQuestion.ask(question, console=console, default=default or "", show_default=bool(default)) or ""
            )
        except FedGAIError as error:
            console.print(sentence(error), style="yellow", highlight=False, markup=False, soft_wrap=True)


def folder_named(answer: str) -> Path:
    """A folder as people type it, paste it, or drop it into a terminal, which quotes spaces."""
    path = Path(answer.strip()).expanduser()
    if not path.is_dir():
        with contextlib.suppress(ValueError):  # quotes that do not close
            if len(words := shlex.split(answer)) == 1:
                return Path(words[0]).expanduser()
    return path


# -- what is done ------------------------------------------------------------------------------------------------------


def make_ready(console: Console, folder: Path, chosen: Settings, found: DesignerFolder | None = None) -> Path:
    """``prepare``, with a bar; somebody at a terminal is asked to look at scanned sheets. Raises FedGAIError."""
    while True:
        try:
            with bar(console) as progress:
                return prepare(folder, chosen, progress, found)
        except LookFirst as first:
            console.print(first.report, highlight=False, markup=False)
            if not sys.stdin.isatty():
                raise
            console.print(
                f"\nLook at the pictures in {printable(str(first.previews))}. Each numbered frame becomes one drawing; "
                "a frame with a cross through it is left out. If a frame is wrong, change the .json file beside the scan, "
                "and answer no.",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
            if Confirm.ask("Are the frames right?", console=console):
                accept(folder)
            elif not Confirm.ask("Cut them again, now that you have changed the .json files?", console=console):
                raise CompanionError("nothing was started: correct the .json files, then run this again") from None


def check(console: Console, folder: Path, chosen: Settings) -> None:
    """The report on the folder, and a contact sheet. Raises FedGAIError."""
    with bar(console) as progress:
        found = look(chosen, progress)
    console.print(str(found), highlight=False, markup=False, soft_wrap=True)
    console.print(EXPLAINED[found.kind], highlight=False, markup=False)
    file = private_folder(folder) / "contact-sheet.jpg"
    with writing(file) as temp_path:
        contact_sheet(found).save(temp_path, "JPEG", quality=88)
    console.print(f"A picture that shows all of them: {file}", highlight=False, markup=False, soft_wrap=True)
    if found.kind == "scans":
        make_ready(console, folder, chosen, found)


def show_hand(console: Console, folder: Path, chosen: Settings, out: Path) -> None:
    """Write the page that shows how the hand will look to others. Raises FedGAIError, OSError."""
    if out.is_dir():
        raise CompanionError(f"{out} is a folder: name a file, as in --hand hand.html")
    with bar(console) as progress:
        report = preview_hand(folder, chosen, progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, to_html(report).encode(), 0o600)
    console.print("How your hand will look to others:", highlight=False)
    for note in report.notes or ["The studio's drawings stay within the range of your own."]:
        console.print(f"- {note}", highlight=False, markup=False)
    console.print(f"With pictures, as a page: {out}. Nothing was sent.", highlight=False, markup=False, soft_wrap=True)


def join(console: Console, folder: Path, chosen: Settings) -> None:
    """Take part until Ctrl-C, or until as many updates were sent as asked for. Raises FedGAIError."""
    with bar(console) as progress:
        found = look(chosen, progress)
    tell(console, found)
    with Companion(folder, chosen) as companion:
        make_ready(console, folder, chosen, found)
        show_key(console, companion)
        shown = ""
        while True:
            try:
                companion.start()
                break
            except UntrustedError:  # somebody has to do something
                raise
            except AwayError as error:
                if str(error) != shown:
                    shown = str(error)
                    console.print(shown, style="dim", highlight=False, markup=False, soft_wrap=True)
                time.sleep(RETRY)
        watch(console, companion)


def watch(console: Console, companion: Companion) -> None:
    """Show the state, live in a terminal, a line a change elsewhere, until it is over. Raises FedGAIError."""
    view = TerminalView(console)
    sent = companion.state().receipts
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while True:
            state = companion.tend()
            if state.phase == "refused":
                raise CompanionError(state.text)
            if state.phase == "left":
                console.print(sentence(CompanionError(state.text)))
                return
            view.show(live, state)
            if state.receipts > sent:
                sent = state.receipts
                last = companion.receipts.read()[-1]
                console.print(
                    f"{title(last)} was sent. {summary(last)}. --receipt shows all of it.", highlight=False, markup=False
                )
            if companion.finished:
                console.print("The number of rounds that you asked for (--rounds) is done. Run it again to go on.")
                return
            time.sleep(1)


def go(console: Console, folder: Path, chosen: Settings, at_once: bool) -> None:
    """Leave, after the designer has confirmed it. ``at_once``: without asking. Raises FedGAIError."""
    console.print(STAYS, highlight=False, markup=False)
    if sys.stdin.isatty() and not at_once and not Confirm.ask(f"\nLeave {chosen.server}?", console=console):
        raise CompanionError("you are still a member; nothing was changed")
    name = leave(folder, chosen)
    console.print(
        f"\nYou have left {chosen.server}: {name} is no longer a member there.", highlight=False, markup=False, soft_wrap=True
    )


def open_page(name: str, args: argparse.Namespace) -> int:
    """The "window", or the studio at "home": pages on 127.0.0.1, in a process of their own. Returns its exit status."""
    if name == "home" and not (args.home / "model" / CONFIG_FILE).exists():
        raise CompanionError("there is no model of your own yet: take part in a first round, then open your studio")
    if importlib.util.find_spec("gradio") is None:
        raise CompanionError('this page needs Gradio: pip install ".[studio,federation]" in a copy of the project')
    command = [sys.executable, "-m", f"studio.companion.{name}", "--home", str(args.home.resolve())]
    command += ["--port", str(args.port)] if args.port else []
    if name == "window" and args.certificate:
        command += ["--certificate", str(Path(args.certificate).resolve())]
    return subprocess.call(command)


def show_receipts(console: Console, folder: Path) -> None:
    """Raises OSError where the page cannot be written."""
    receipts = read_all(folder / "receipts")
    if not receipts:
        console.print("Nothing was sent yet.")
        return
    console.print(table(receipts), soft_wrap=True, highlight=False, markup=False)
    file = folder / "receipts" / "receipt.html"
    write_atomically(file, page(receipts).encode())
    console.print(f"The same as a page, to show or to print: {file}", soft_wrap=True)


# -- the command -------------------------------------------------------------------------------------------------------


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fedgai-join", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--server", help="address of the studio, https")
    parser.add_argument("--data", help="your folder: drawings; or photos/ and sketches/; or scans/")
    parser.add_argument("--name", help="what others see")
    parser.add_argument(
        "--share-style",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="send the style signature, so that others get a slider with your name",
    )
    parser.add_argument("--description", help="a sentence about your hand, sent with the signature")
    parser.add_argument("--preset", choices=("edge", "vgg16"), help="join only a federation with this preset")
    parser.add_argument("--device", help="what to train on: cpu, cuda or mps")
    parser.add_argument("--rounds", type=int, help="stop after this number of rounds; 0: never")
    parser.add_argument("--certificate", help="PEM file to trust for the studio, for one without a public certificate")
    parser.add_argument("--budget", type=int, help="the most bytes that may leave in a round; 8 MiB by default")
    parser.add_argument("--local-epsilon", type=float, help="add noise to each update: differential privacy, see docs/privacy.md")
    parser.add_argument("--style-epsilon", type=float, help="add noise to the signature: differential privacy")
    parser.add_argument(
        "--home",
        type=lambda path: Path(path).expanduser().resolve(),
        default=home(),
        help="where your private model and receipts are kept",
    )
    parser.add_argument("--port", type=int, help="port of the window, or of the studio at home")
    parser.add_argument("--accept-scans", action="store_true", help="the previews of your scanned sheets are right")
    parser.add_argument("--yes", action="store_true", help="with --leave: do not ask")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--hand",
        type=lambda path: Path(path).expanduser().resolve(),
        metavar="PAGE.html",
        help="write a page that shows how your hand will look to others",
    )
    for name in ("check", "dry-run", "receipt", "window", "studio", "leave"):
        what.add_argument(f"--{name}", action="store_true")
    return parser.parse_args(arguments)


def settings(console: Console, args: argparse.Namespace) -> Settings:
    """What was answered before, what the arguments say, and, where that is not enough and somebody is there, the rest."""
    known = Settings.load(args.home)
    given = {
        name: getattr(args, name)
        for name in (
            "server",
            "data",
            "name",
            "share_style",
            "description",
            "preset",
            "device",
            "rounds",
            "certificate",
            "budget",
            "local_epsilon",
            "style_epsilon",
        )
        if getattr(args, name) is not None
    }
    if known is None and not {"server", "data", "name"} <= given.keys():
        local = args.check or args.dry_run or args.hand  # these talk to nobody
        if local and "data" in given:
            return replace(Settings("https://localhost", given["data"], given.get("name", "designer")), **given)
        if not sys.stdin.isatty():
            raise CompanionError("give --server, --data and --name, or run this in a terminal, where it asks you")
        known = ask(console, known)
    found = (replace(known, **given) if known else Settings(**given)).checked()
    found.save(args.home)
    return found


def where_to_leave(args: argparse.Namespace) -> Settings:
    """Which studio, by what certificate: leaving needs no drawings. Raises CompanionError."""
    known = Settings.load(args.home) or Settings("", "", "")
    server = args.server or known.server
    if not server:
        raise CompanionError("which studio do you want to leave? Give its address with --server")
    return replace(known, server=address(server), certificate=args.certificate or known.certificate)


def run(console: Console, args: argparse.Namespace) -> int:
    """What was asked for. Returns the exit status. Raises FedGAIError, OSError."""
    if args.receipt:
        show_receipts(console, args.home)
        return 0
    if args.studio or args.window:
        return open_page("home" if args.studio else "window", args)
    if args.leave:
        go(console, args.home, where_to_leave(args), args.yes)
        return 0
    chosen = settings(console, args)
    if args.accept_scans:
        accept(args.home)
    if args.check:
        check(console, args.home, chosen)
    elif args.hand:
        show_hand(console, args.home, chosen, args.hand)
    elif args.dry_run:
        make_ready(console, args.home, chosen)
        with bar(console) as progress:
            receipt = dry_run(args.home, chosen, progress)
        console.print("Nothing is sent. A round would send this:\n")
        console.print(table([receipt]), soft_wrap=True, highlight=False, markup=False)
    else:
        join(console, args.home, chosen)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, 1 with one sentence, 130 after Ctrl-C."""
    args, console = parse(arguments), Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(console, args)
    except KeyboardInterrupt:
        console.print("\nStopped. Run it again to go on.")
        return 130
    except (FedGAIError, OSError) as error:
        if isinstance(error, OSError) and not error.filename:  # a full disk does not say which file it was
            error.filename = str(args.home)
        console.print(sentence(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
