"""The README's picture of the studio: ``python docs/screenshot.py [--query "style=..."] [--phone] [--dark]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from studio_server import PATIENCE, StudioServer, chromium  # noqa: E402


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "studio.png")
    parser.add_argument("--query", default="", help="what a link of the studio says after its question mark")
    parser.add_argument("--compare", type=int, default=0, help="per cent of the photograph over the sketch")
    parser.add_argument("--phone", action="store_true")
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    screenshot(arguments.out, arguments.query, phone=arguments.phone, dark=arguments.dark, compare=arguments.compare)


if __name__ == "__main__":
    main()
