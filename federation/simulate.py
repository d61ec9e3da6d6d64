"""A federation on Flower's simulation engine, for experiments: the same ServerApp and ClientApp, no processes, no keys.

    python -m federation.simulate --designers 8 --rounds 11 [--epochs 11] [--seed 24] [--json]

Needs ``pip install ".[simulation]"``. The first eight designers are the named ateliers, further ones draw in
random hands.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedgai.imports import needed_by

with needed_by("python -m federation.simulate", "simulation", started=__name__ == "__main__"):
    from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.clientapp.typing import ClientAppCallable
    from flwr.serverapp import Grid, ServerApp

    from federation.designer import client_app
    from federation.server.aggregation import UpdateLimits
    from federation.server.folder import Folder
    from federation.server.report import RoundReport
    from federation.server.season import FederationConfig, Season
    from fedgai.ateliers import ATELIERS, Hand, draw, random_hand
    from fedgai.data.drawn_pairs import draw_pair, save_pair
    from fedgai.data.listing import find_images
    from fedgai.draughtsman import Draughtsman
    from fedgai.errors import FedGAIError, sentence
    from fedgai.model import DRAUGHTSMAN_FILE, FedGAI
    from fedgai.shipped import EXAMPLES, WEIGHTS


def hands(count: int, seed: int) -> dict[str, Hand]:
    """Name -> hand: the eight ateliers, then random ones."""
    rng = np.random.default_rng([seed, len(ATELIERS)])  # not the house's own stream: it would draw hands that the weights know
    more = {f"Hand {i + 1}": random_hand(rng) for i in range(max(0, count - len(ATELIERS)))}
    return dict(list((ATELIERS | more).items())[:count])


def draw_seeded(files: Sequence[Path], folder: Path, hand: Hand, count: int, size: int, seed: int) -> None:
    """A designer's folder of up to ``count`` garments of a seeded choice, in one hand."""
    made, draughtsman = 0, Draughtsman.load(WEIGHTS / DRAUGHTSMAN_FILE)
    for i in np.random.default_rng(seed).permutation(len(files)):
        if made == count:
            break
        try:
            photo, sketch = draw_pair(files[i], size, lambda photo, mask: draw(photo, hand, mask=mask, draughtsman=draughtsman))
        except ValueError:  # NoGarment is one
            continue
        save_pair(folder, f"{i:04d}", photo, sketch)
        made += 1


def client_of(home: Path, drawn_by: Mapping[str, Hand], shared: Mapping[str, str | int | float | bool]) -> ClientApp:
    """The designers' app, as each would have it at home.

    Args:
        home: with ``designers/NAME`` for each.
        drawn_by: name -> hand; a virtual SuperNode is the one of its number.
        shared: what all node configurations have alike.
    """
    names = list(drawn_by)

    def at_home(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Give each virtual SuperNode the node configuration that a designer would have."""
        name = names[int(context.node_config["partition-id"])]
        context.node_config |= {
            "data": str(home / "designers" / name / "pairs"),
            "out": str(home / "designers" / name / "model"),
            "name": name,
            "description": drawn_by[name].description,
            **shared,
        }
        return call_next(message, context)

    client = ClientApp(mods=[at_home, client_app.local_dp])
    client.train()(client_app.train_at_home)

    @client.query()
    def who(message: Message, context: Context) -> Message:
        name = ConfigRecord({"name": str(context.node_config["name"])})
        return Message(RecordDict({"designer": name}), reply_to=message)

    return client


def server_of(folder: Folder, config: FederationConfig, limits: UpdateLimits) -> ServerApp:
    """The server's app: one season, without any approval of members."""
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        season = Season(grid, folder, config, limits)
        season.wait()
        asked = [Message(RecordDict(), dst_node_id=node, message_type=MessageType.QUERY) for node in grid.get_node_ids()]
        known = {a.metadata.src_node_id: str(a.content["designer"]["name"]) for a in grid.send_and_receive(asked)}
        season.known = known  # nobody was approved here; the numbers are Flower's, and others in each run
        while season.goes_on():
            season.round()

    return server


def simulate(
    designers: int,
    rounds: int,
    *,
    epochs: int = 11,
    pairs: int = 24,
    size: int = 256,
    seed: int = 24,
    photos: str | Path = EXAMPLES,
    home: str | Path,
    weights: str | Path = WEIGHTS,
    house_steps: int = 0,
    share_style: bool = True,
    refine: bool = False,
    limits: UpdateLimits | None = None,
) -> Folder:
    """Run a federation and return its folder.

    Args:
        designers: how many; each has a folder ``home/designers/NAME`` with pairs, model and log.
        rounds, epochs: of the one season, and at home in each round.
        pairs, size: of each designer; side of the training square, px.
        seed: of the hands and of who draws which garments.
        photos: garments to draw.
        home: where everything is kept; what is there already is used again.
        weights: the checkpoint of round 0.
        house_steps: of the house Generator after a round; 0 for the default.
        share_style: have the designers send signatures of their pairs. Without, the style bank stays as ``weights`` has it.
        refine: have them refine their signatures first, one to two minutes each.
        limits: what updates must keep to.
    """
    if importlib.util.find_spec("ray") is None:  # before anything is drawn: Flower would find out minutes later
        raise FedGAIError('The simulation engine is not installed: pip install ".[simulation]" in a copy of the project')
    from flwr.simulation import run_simulation

    home = Path(home).resolve()
    folder = Folder(home / "federation")
    drawn_by = hands(designers, seed)
    for i, (name, hand) in enumerate(drawn_by.items()):
        if not (home / "designers" / name / "pairs" / "whole").exists():
            draw_seeded(find_images(photos), home / "designers" / name / "pairs", hand, pairs, size, seed + i)
            (home / "designers" / name / "pairs" / "whole").touch()
    if folder.latest() is None:
        folder.publish(0, FedGAI.load(weights), RoundReport.of_the_start())
    shared: dict[str, str | int | float | bool] = {
        "share-style": share_style,
        "weights": str(weights),
        "size": size,
        "refine": refine,
    }
    client = client_of(home, drawn_by, shared)
    config = FederationConfig(rounds=rounds, local_epochs=epochs, min_designers=designers, house_steps=house_steps)
    server = server_of(folder, config, replace(limits or UpdateLimits(), minimum=min(2, designers)))
    run_simulation(server, client, designers, backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}})
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m federation.simulate", description=__doc__.splitlines()[0])
    parser.add_argument("--designers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=24)
    parser.add_argument("--house-steps", type=int, default=0)
    parser.add_argument("--photos", type=Path, default=EXAMPLES)
    parser.add_argument("--keep-signatures", action="store_true", help="no designer sends one; the style bank stays as it is")
    parser.add_argument("--home", type=Path, help="keep everything here; without, a temporary folder")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with tempfile.TemporaryDirectory(prefix="fedgai-") as temporary:
        try:
            folder = simulate(
                args.designers,
                args.rounds,
                epochs=args.epochs,
                pairs=args.pairs,
                size=args.size,
                seed=args.seed,
                photos=args.photos,
                home=args.home or temporary,
                house_steps=args.house_steps,
                share_style=not args.keep_signatures,
            )
        except (FedGAIError, OSError) as error:
            sys.exit(sentence(error))
        reports = [folder.report(number) for number in folder.rounds() if number]
    if args.json:
        print(json.dumps([report.as_json() for report in reports]))
        return
    for report in reports:
        print(f"round {report.round}: {report.accepted} designers, {'published' if report.published else report.held_back}")


if __name__ == "__main__":
    main()
