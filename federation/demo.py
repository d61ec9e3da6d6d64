"""A whole federation on one machine: the studio, the host, and eight virtual designers as real SuperNodes.

    python -m federation.demo [--rounds 3] [--port 7860] [--home DIR] [--stay]

Each designer has a key of their own and their own atelier's drawings of the project's example garments. Open the page that
is named at the start and watch. ``make federation-demo`` runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fedgai.imports import needed_by

with needed_by("python -m federation.demo", "studio", "federation", started=__name__ == "__main__"):
    from federation.designer.supernode import SuperNode
    from federation.identity import make_certificate, make_key
    from federation.operator import approve
    from federation.processes import QUIET
    from federation.server.folder import Folder
    from fedgai.ateliers import ATELIERS, draw
    from fedgai.content import fit_and_cut, on_white
    from fedgai.data.drawn_pairs import save_pair
    from fedgai.data.listing import find_images
    from fedgai.draughtsman import Draughtsman
    from fedgai.errors import FedGAIError, sentence
    from fedgai.model import DRAUGHTSMAN_FILE
    from fedgai.shipped import EXAMPLES, WEIGHTS

ROOT = Path(__file__).resolve().parent.parent
SIZE = 256  # px


def draw_examples(folder: Path, names: Sequence[str], size: int = SIZE, garments: int | None = None) -> None:
    """Write ``folder/NAME/photos`` and ``sketches``: the example garments and their mirror images, in each atelier's hand."""
    draughtsman = Draughtsman.load(WEIGHTS / DRAUGHTSMAN_FILE)
    cut = [fit_and_cut(file, size) for file in find_images(EXAMPLES)[:garments]]
    for name in names:
        if (folder / name / "whole").exists():
            continue
        for i, (image, mask) in enumerate(cut):
            assert mask is not None
            photo = on_white(np.asarray(image), mask)
            for side, flip in (("a", np.array), ("b", np.fliplr)):
                turned = np.ascontiguousarray(flip(photo))
                drawn = draw(turned, ATELIERS[name], mask=np.ascontiguousarray(flip(mask)), draughtsman=draughtsman)
                save_pair(folder / name, f"{i}{side}", turned, drawn)
        (folder / name / "whole").touch()


class DemoError(FedGAIError):
    """The studio did not start; the message ends with what it said."""


class Demo:
    """The studio and its designers, as processes; usable as a context manager, which ends them all.

    Args:
        home: where everything is kept.
        port: of the studio, https.
        rounds, epochs: of the season, and at each designer's in a round.
        names: the designers, among the eight ateliers.
        deadline: seconds that designers have to answer in a round.
        house_steps: of the house Generator after a round.
        garments: that each designer has, in two views each; None for all of the examples.
        size: side of the training square, px.
        weights: the checkpoint of round 0, and what the designers start from.
        patience: seconds that the studio has to start.
        environment: further variables for the studio.
        run_config: further words of the run config, "quorum=0.5 grace=10".
    """

    def __init__(
        self,
        home: Path,
        port: int,
        rounds: int = 3,
        epochs: int = 1,
        names: Sequence[str] = tuple(ATELIERS),
        deadline: int = 240,
        house_steps: int = 0,
        garments: int | None = None,
        size: int = SIZE,
        weights: Path = WEIGHTS,
        patience: float = 180,
        environment: dict[str, str] | None = None,
        run_config: str = "",
    ) -> None:
        self.home, self.port, self.names = home.resolve(), port, list(names)
        self.garments, self.size, self.weights, self.patience = garments, size, weights, patience
        self.folder = Folder(self.home / "federation")
        self.environment = {
            **os.environ,
            **QUIET,
            "FEDGAI_HOME": str(self.folder.path),
            "FEDGAI_FEDERATION": "1",
            "FEDGAI_WEIGHTS": str(weights),
            "FEDGAI_RUN_CONFIG": f"rounds={rounds} local-epochs={epochs} deadline={deadline} house-steps={house_steps} "
            f"min-designers={len(self.names)} {run_config}",
            **(environment or {}),
        }
        self.tls = self.home / "tls"  # ca.pem, server.pem, server.key
        self.tls.mkdir(parents=True, exist_ok=True)
        make_certificate(self.tls)
        self.studio: subprocess.Popen[bytes] | None = None
        self.designers: dict[str, SuperNode] = {}
        self.through: dict[str, int] = {}  # ports of proxies that designers reach the studio through, where a test has some

    def __enter__(self) -> Demo:
        draw_examples(self.home / "pairs", self.names, self.size, self.garments)
        try:
            self.start_studio()
            for name in self.names:
                approve(self.folder, make_key(self.home / name / "key"), name)
                self.start_designer(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    def start_studio(self) -> None:
        """Returns once the studio and the SuperLink behind it answer. Raises DemoError, with the log's end, if not."""
        log = (self.home / "studio.log").open("ab")
        command = [
            sys.executable,
            "app.py",
            "--federation",
            "--port",
            str(self.port),
            "--certificate",
            str(self.tls / "server.pem"),
            "--key",
            str(self.tls / "server.key"),
        ]
        self.studio = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT)
        until = time.monotonic() + self.patience
        while self.get("federation/health") is None:
            if self.studio.poll() is not None or time.monotonic() > until:
                raise DemoError("the studio did not start:\n" + (self.home / "studio.log").read_text()[-3000:])
            time.sleep(0.5)

    def start_designer(self, name: str) -> None:
        config: dict[str, str | int | float | bool] = {
            "data": str(self.home / "pairs" / name),
            "out": str(self.home / name / "model"),
            "name": name,
            "share-style": True,
            "description": ATELIERS[name].description,
            "weights": str(self.weights),
            "size": self.size,
            "cache-mb": 160,
            "refine": False,
        }  # the ateliers are the house's own hands
        server = f"127.0.0.1:{self.through.get(name, self.port)}"
        self.designers[name] = SuperNode(
            self.home / name, server, self.home / name / "key", config, self.tls / "ca.pem", threads=1
        )

    def get(self, path: str) -> dict[str, Any] | None:
        """A JSON answer of the studio, or None if it has no answer for us yet."""
        context = ssl.create_default_context(cafile=str(self.tls / "ca.pem"))
        try:
            with urllib.request.urlopen(self.url + path, timeout=10, context=context) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def stop(self) -> None:
        with ThreadPoolExecutor() as together:
            list(together.map(SuperNode.stop, self.designers.values()))
        if self.studio:
            self.studio.send_signal(signal.SIGTERM)
            try:
                self.studio.wait(30)
            except subprocess.TimeoutExpired:
                self.studio.kill()
                self.studio.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m federation.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1, help="at each designer's, in a round")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--home", type=Path, default=Path("federation-data/demo"))
    parser.add_argument("--fresh", action="store_true", help="forget an earlier demo first")
    parser.add_argument("--stay", action="store_true", help="keep the studio open after the last round")
    args = parser.parse_args()
    if args.fresh:
        shutil.rmtree(args.home, ignore_errors=True)
    try:
        _show(args)
    except OSError as error:
        sys.exit(f"{sentence(error)} Name another folder with --home.")
    except FedGAIError as error:
        sys.exit(sentence(error))


def _show(args: argparse.Namespace) -> None:
    """Run the demo and print how it goes. Raises DemoError, FedGAIError, OSError."""
    started = time.monotonic()
    args.home.mkdir(parents=True, exist_ok=True)
    print("Drawing the eight designers' pairs, then starting the studio ...", flush=True)
    with Demo(args.home, args.port, args.rounds, args.epochs) as demo:
        print(f"Open {demo.url} (your browser will warn of this demo's certificate, which it does not know: go on).", flush=True)
        shown = ""
        target = args.rounds + demo.folder.last_round() // args.rounds * args.rounds
        while demo.folder.last_round() < target:
            status = demo.get("federation/status") or {}
            online = len(status.get("designers_online", []))
            line = f"round {status.get('round')}: {status.get('phase')}, {online} designers online"
            if line != shown:
                print(f"{time.monotonic() - started:5.0f} s  {line}", flush=True)
                shown = line
            time.sleep(1)
        print(f"{args.rounds} rounds in {time.monotonic() - started:.0f} s; checkpoints in {demo.folder.checkpoints}", flush=True)
        while args.stay:
            time.sleep(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print()
