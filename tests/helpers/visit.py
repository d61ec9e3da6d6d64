"""A visitor's page of the studio."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image


class Visit:
    """A page of the studio, open in a browser."""

    def __init__(self, page: object) -> None:
        self.page = page

    @property
    def source(self) -> str:
        return self.page.locator("#comparison img.sketch").get_attribute("src")

    @property
    def sketch(self) -> Image.Image:
        return decoded(self.source)

    @property
    def caption(self) -> str:
        return self.page.locator("#comparison .blend").inner_text()

    def weights(self) -> dict[str, float]:
        return dict(self.page.eval_on_selector_all("#blend input", "all => all.map(i => [i.name, Number(i.value)])"))

    def changes(self, act: Callable[[], object]) -> None:
        """Act, and wait for another sketch."""
        before = self.source
        act()
        other = "old => (document.querySelector('#comparison img.sketch')?.src ?? old) !== old"
        self.page.wait_for_function(other, arg=before)

    def becomes(self, source: str) -> None:
        """Wait for this very sketch."""
        self.page.wait_for_function("s => document.querySelector('#comparison img.sketch')?.src === s", arg=source)

    def weighs(self, weights: dict[str, float]) -> None:
        """Wait until the sliders stand at these weights."""
        stand = """wanted => { const all = [...document.querySelectorAll('#blend input')];
            return all.length === Object.keys(wanted).length && all.every(i => wanted[i.name] === Number(i.value)); }"""
        self.page.wait_for_function(stand, arg=weights)

    def titled(self, title: str) -> None:
        """Wait until the garment that is drawn has this title."""
        self.page.wait_for_function("t => document.querySelector('#comparison .title')?.textContent === t", arg=title)

    def settles(self) -> None:
        """Wait until nothing is drawn any more."""
        self.page.wait_for_function("!document.querySelector('#comparison .pending')")

    def upload(self, path: Path) -> None:
        self.page.set_input_files("#photo input[type=file]", str(path))

    def notice(self) -> str:
        self.page.wait_for_selector("#notice p:not(:empty)")
        return self.page.locator("#notice").inner_text()


def decoded(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
