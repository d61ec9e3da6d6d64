"""What a test measures on a page of a browser, once the page stands still.

A page goes on moving after its first picture is there: fonts, images and later parts of Gradio's page arrive one by one, later
on a busy machine. Two questions asked one after the other may then be about two different layouts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from helpers.studio_server import PATIENCE

# Resolves when no element has moved for 5 looks, 100 ms and a painted frame apart, and no transition, picture or font is under
# way. Spinners turn for ever: they do not count. A notice in the corner counts its 10 s down: it is closed, as a visitor may.
STILL = """async (seconds) => {
  const until = performance.now() + 1000 * seconds;
  const place = (e) => { const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height].map(Math.round).join(); };
  const turns = (a) => a.effect?.getComputedTiming().iterations === Infinity;
  const moves = (a) => a.playState === 'running' && !turns(a);
  const loaded = () => [...document.images].every((i) => i.complete || i.loading === 'lazy');
  const places = () => {
    const spinners = document.getAnimations().filter(turns).map((a) => a.effect.target);
    const counts = (e) => !e.closest('svg') && !spinners.some((spinner) => spinner.contains(e));
    return [...document.querySelectorAll('body *')].filter(counts).map(place);
  };
  const look = () => [document.fonts.status, document.getAnimations().some(moves), loaded(), ...places()].join(';');
  let [before, same] = ['', 0];
  while (same < 5) {
    await new Promise((done) => setTimeout(() => requestAnimationFrame(done), 100));
    document.querySelectorAll('.toast-close').forEach((button) => button.click());
    const now = look();
    same = now === before && now.startsWith('loaded;false;true') ? same + 1 : 0;
    before = now;
    if (performance.now() > until) throw new Error(`the page still moves: ${now.slice(0, 60)}`);
  }
}"""

BOXES = (
    "all => all.map(e => { const b = e.getBoundingClientRect(); return { x: b.x, y: b.y, width: b.width, height: b.height }; })"
)


def stand_still(page: Any) -> Any:
    """Wait until nothing on the page moves any more. Returns the page."""
    page.evaluate(STILL, PATIENCE)
    return page


def light_and_dark(page: Any) -> Iterator[str]:
    """A page of Gradio's that stands still: first light, then dark, as when the visitor's system changes. Gives which."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("dark => document.body.classList.contains('dark') === dark", arg=scheme == "dark")
        stand_still(page)
        yield scheme


def boxes(page: Any, selector: str) -> list[dict[str, float]]:
    """Where all elements of this selector lie in the window, in px, all at one moment of a page that stands still."""
    found: list[dict[str, float]] = stand_still(page).eval_on_selector_all(selector, BOXES)
    return found


def width(page: Any) -> int:
    """px that the content of a page that stands still takes from left to right."""
    return int(stand_still(page).evaluate("document.documentElement.scrollWidth"))


def slow_requests(page: Any, seconds: float = 1.0) -> None:
    """Each event of this page begins so much later, as on a slow line."""
    page.evaluate(
        """seconds => {
            const direct = window.fetch;
            window.fetch = async (...given) => {
                if (String(given[0]?.url ?? given[0]).includes("queue/join")) {
                    await new Promise(done => setTimeout(done, 1000 * seconds));
                }
                return direct(...given);
            };
        }""",
        seconds,
    )
