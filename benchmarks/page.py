"""How long a visitor waits: from a slider's release to the new sketch, and from ``python app.py`` to the first one.

    python -m benchmarks.page [--size 512] [--repeats 20] [--json]

Starts a studio of its own on a free loopback port and drives a real Chromium. The floor: under 3 x the model's time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # by path: installed packages may be called tests, too

from helpers.studio_server import PATIENCE, StudioServer, chromium

# resolves with the milliseconds from the release to the first frame that shows another sketch
MOVE = """([name, value]) => new Promise(resolve => {
    const sketch = document.querySelector('#comparison img.sketch');
    const input = document.querySelector(`#blend input[name="${name}"]`);
    input.value = value;
    input.dispatchEvent(new Event('input', {bubbles: true}));
    const start = performance.now();
    const shown = () => requestAnimationFrame(() => resolve(performance.now() - start));
    sketch.addEventListener('load', shown, {once: true});
    input.dispatchEvent(new Event('change', {bubbles: true}));
})"""


def measure(size: int, repeats: int) -> dict:
    """All times in ms, medians. The model's time is the server's own clock around the pipeline's ``draw``."""
    started = time.perf_counter()
    studio = StudioServer()
    try:
        with chromium() as browser:
            page = browser.new_page()
            page.set_default_timeout(1000 * PATIENCE)
            opened = time.perf_counter()
            page.goto(studio.url)
            page.wait_for_function("document.querySelector('#comparison img.sketch')?.naturalWidth > 0")
            done = time.perf_counter()
            page.get_by_label(f"{size} px").check()
            page.wait_for_function(f"document.querySelector('#comparison .note').textContent.includes('{size} px')")
            name = page.locator("#blend input").first.get_attribute("name")
            page.wait_for_timeout(1000)
            shown, model = [], []
            for i in range(repeats + 2):
                milliseconds = page.evaluate(MOVE, [name, 0.2 + 0.6 * (i % 2) + 0.05 * (i % 3)])
                if i >= 2:  # the first ones warm up
                    shown.append(milliseconds)
                    model.append(float(page.locator("#comparison figure").get_attribute("data-model-ms")))
                page.wait_for_timeout(100)
    finally:
        studio.stop()
    return {
        "size": size,
        "repeats": repeats,
        "release_to_sketch_ms": round(statistics.median(shown), 1),
        "model_ms": round(statistics.median(model), 1),
        "ratio": round(statistics.median(a / b for a, b in zip(shown, model, strict=True)), 2),
        "start_to_page_ms": round(1000 * studio.seconds),
        "page_to_sketch_ms": round(1000 * (done - opened)),
        "cold_start_to_sketch_ms": round(1000 * (studio.seconds + done - opened)),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "took_s": round(time.perf_counter() - started),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, choices=(256, 512, 768, 1024))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    result = measure(arguments.size, arguments.repeats)
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"slider release to sketch, {result['size']} px: {result['release_to_sketch_ms']} ms, "
        f"{result['ratio']} x the model's {result['model_ms']} ms"
    )
    print(f"python app.py to the first sketch: {result['cold_start_to_sketch_ms'] / 1000:.1f} s ({result['machine']})")


if __name__ == "__main__":
    main()
