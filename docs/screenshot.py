"""The pictures of the studio in the README, and of a companion's window in docs/for-designers.md.

python docs/screenshot.py [--query "style=..."] [--phone] [--dark]    # the studio
python docs/screenshot.py --designers    # a round between a studio and a companion's window
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.studio_server import PATIENCE, StudioServer, chromium  # noqa: E402


def screenshot(out: Path, query: str = "", *, phone: bool = False, dark: bool = False, compare: int = 0) -> None:
    """Save what a visitor sees; ``compare``: per cent of the photograph over the sketch."""
    studio = StudioServer()
    size = {"width": 390, "height": 844} if phone else {"width": 1440, "height": 1080}
    try:
        with chromium() as browser:
            scheme = "dark" if dark else "light"
            context = browser.new_context(viewport=size, color_scheme=scheme, device_scale_factor=2)
            context.set_default_timeout(1000 * PATIENCE)
            page = context.new_page()
            page.goto(f"{studio.url}?{query}")
            page.wait_for_function("document.querySelector('#comparison img.sketch')?.naturalWidth > 0")
            page.evaluate("document.fonts.ready")
            page.wait_for_timeout(1500)  # a link's blend is drawn
            page.locator("#comparison input").fill(str(compare))
            page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
            page.mouse.move(0, 0)
            page.screenshot(path=out, type="png")
    finally:
        studio.stop()


def outline(out: Path) -> None:
    """Save the dialog that repairs a cut-out, in the middle of a stroke."""
    studio = StudioServer()
    try:
        with chromium() as browser:
            context = browser.new_context(viewport={"width": 1440, "height": 1000})
            context.set_default_timeout(1000 * PATIENCE)
            page = context.new_page()
            page.goto(studio.url)
            page.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
            page.get_by_role("button", name="Repair the outline").click()
            page.wait_for_function("document.querySelector('#repair .photo img').naturalWidth > 0")
            page.locator("#repair label", has_text="Does not belong").click()
            box = page.locator("#repair canvas").bounding_box()
            stroke = [
                (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((0.44, 0.16), (0.5, 0.2), (0.52, 0.27))
            ]
            page.mouse.move(*stroke[0])
            page.mouse.down()
            for point in stroke[1:]:
                page.mouse.move(*point, steps=5)
            page.wait_for_timeout(300)
            page.locator("#repair dialog").screenshot(path=out, type="jpeg", quality=82)
    finally:
        studio.stop()


def federation(out: Path, url: str) -> None:
    """Save the federation tab of a studio that is running, as ``make federation-demo`` starts one."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 1000}, device_scale_factor=1.5, ignore_https_errors=True)
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        page.goto(url)
        page.get_by_role("tab", name="Federation").click()
        page.wait_for_selector(".federation svg")
        page.evaluate("scrollTo(0, document.querySelector('#more').getBoundingClientRect().top + scrollY - 10)")
        page.mouse.move(0, 0)
        page.wait_for_timeout(1500)
        page.screenshot(path=out, quality=80)


def for_designers(out: Path, work: Path, atelier: str = "Dara") -> None:
    """Save designer-*.jpg: an atelier's drawings dropped in, a round trained and sent, the receipt, the studio at home.
    ``work``: an empty folder, or one with the pairs of an earlier run."""
    from helpers.window_server import WindowServer

    from federation.demo import Demo, draw_examples
    from federation.designer.settings import Settings
    from federation.operator import approve
    from federation.processes import free_port

    draw_examples(work / "pairs", [atelier], 384)
    demo, window = Demo(work, free_port(), rounds=1, names=[atelier], house_steps=2), None
    home = work / "designer" / "home"
    Settings("", "", "").save(home / "window")
    try:
        demo.start_studio()
        window = WindowServer(home, "--certificate", str(demo.tls / "ca.pem"))
        with chromium() as browser:
            context = browser.new_context(viewport={"width": 1240, "height": 900}, device_scale_factor=1.25)
            context.set_default_timeout(1000 * PATIENCE)
            page = context.new_page()
            page.goto(window.url)
            page.wait_for_selector("#join")
            page.set_input_files(".of.sketches input[webkitdirectory]", str(work / "pairs" / atelier))
            page.wait_for_selector(".contact li")
            for label, answer in (("Your name", "Zoë"), ("Its address", "https://studio.example")):
                page.get_by_label(label).fill(answer)
                page.get_by_label(label).blur()
            page.get_by_label("Share it").check()
            page.wait_for_function("document.querySelectorAll('.todo .done').length === 4")
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(500)
            page.screenshot(path=out / "designer-drawings.jpg", quality=82)
            page.get_by_label("Its address").fill(demo.url)
            page.get_by_label("Its address").blur()
            page.wait_for_timeout(1500)
            page.click("#join")
            page.get_by_text("Waiting to be let in").wait_for()
            approve(demo.folder, str(home / "key.pub"), "Zoë")
            page.wait_for_function("/pass 1 of 1 through your drawings/.test(document.querySelector('#side').innerText)")
            page.wait_for_timeout(3000)
            page.locator("#side").screenshot(path=out / "designer-training.jpg", quality=82)
            page.locator("#receipt-0 summary").click()
            page.evaluate("scrollTo(0, document.querySelector('#step-4').getBoundingClientRect().top + scrollY - 20)")
            page.wait_for_timeout(1000)
            page.screenshot(path=out / "designer-receipt.jpg", quality=82)
            page.click("#open-studio")
            with page.expect_popup() as opened:
                page.click("#to-studio")
            studio = opened.value
            studio.wait_for_function("document.querySelector('#comparison img.sketch')?.naturalWidth > 0")
            studio.wait_for_function("document.querySelectorAll('#compared figure').length === 2")
            studio.locator("#comparison input").fill("40")
            studio.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
            studio.wait_for_timeout(1000)
            studio.screenshot(path=out / "designer-home.jpg", quality=82)
    finally:
        if window:
            window.process.terminate()
            window.process.wait()
        demo.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "studio.png")
    parser.add_argument("--query", default="", help="what a link of the studio says after its question mark")
    parser.add_argument("--compare", type=int, default=0, help="per cent of the photograph over the sketch")
    parser.add_argument("--phone", action="store_true")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--designers", action="store_true", help="the pictures of docs/for-designers.md")
    parser.add_argument("--outline", action="store_true", help="the dialog that repairs a cut-out, to docs/outline.jpg")
    parser.add_argument("--federation", metavar="URL", help="the federation tab of a running studio, to docs/federation.jpg")
    parser.add_argument("--work", type=Path, help="with --designers: a folder to work in, kept afterwards")
    arguments = parser.parse_args()
    if arguments.designers:
        with tempfile.TemporaryDirectory(prefix="fedgai-") as temporary:
            return for_designers(ROOT / "docs", arguments.work or Path(temporary))
    if arguments.outline:
        return outline(ROOT / "docs" / "outline.jpg")
    if arguments.federation:
        return federation(ROOT / "docs" / "federation.jpg", arguments.federation)
    screenshot(arguments.out, arguments.query, phone=arguments.phone, dark=arguments.dark, compare=arguments.compare)


if __name__ == "__main__":
    main()
