"""Can somebody who has a designer's drawings tell from the shared adapter which of them it was learned from?

    python -m experiments.adapter_privacy --photos PHOTOS_DIR --home DIR [--json]

Eight strangers' machines refine their signatures and learn adapters (``experiments.new_hands``, in the same ``--home``). The
attacker knows this program, the house's weights and what was shared, and has 42 pairs of photograph and drawing: the 18 that the
adapter was learned from, and 24 others of the same hand. Three scores, each higher for a drawing that was probably used:

    signature   minus the loss of the house's drawing in the refined signature, without the adapter
    loss        by how much the adapter lowers that loss
    gradient    cosine between the adapter and minus the gradient of that loss

Printed is the AUC of each: the chance that a drawing that was used scores higher than one that was not. 0.5 is guessing, 1 is
certainty. PHOTOS_DIR holds ``train/`` and ``val/``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from experiments.new_hands import Plan, Run
from experiments.strangers import STRANGERS, Cut, draw
from fedgai.networks.adapter import STEP
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.training.refine_examples import closely, pair_example
from fedgai.training.refine_signature import RefineConfig, learned_and_aside


def auc(used: list[float], others: list[float]) -> float:
    """The chance that one of the first scores higher than one of the second; half a chance where they are equal."""
    a, b = np.array(used)[:, None], np.array(others)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def scores(pipe: SketchPipeline, signature: Signature, photo: Path, drawing: Path) -> dict[str, float]:
    """Of one pair."""
    assert signature.adapter is not None
    model, (example, _) = pipe.model, pair_example(pipe, photo, drawing)
    network, adapter = model.for_inference().generator, signature.adapter * STEP

    def loss(changes: torch.Tensor) -> torch.Tensor:
        drawn = network(example.features, signature.style[None], adapter=changes)
        return closely(model, example, drawn, model.encoder(drawn))

    nothing = torch.zeros(len(adapter), requires_grad=True)
    without = loss(nothing)
    (gradient,) = torch.autograd.grad(without, [nothing])
    with torch.no_grad():
        gain = without - loss(adapter)
    alike = torch.nn.functional.cosine_similarity(-gradient, adapter, 0)
    return {"signature": -without.item(), "loss": gain.item(), "gradient": alike.item()}


def attack(run: Run, name: str, others: list[Cut]) -> dict[str, float] | None:
    """AUC by score, for one hand; None where no adapter was kept."""
    signature = run.signatures[name]
    if signature.adapter is None:
        return None
    pipe = SketchPipeline(run.start)
    learned, _ = learned_and_aside(len(run.pairs[name]), RefineConfig())
    used = [scores(pipe, signature, *run.pairs[name][i]) for i in learned]
    folder, unused = run.home / name / "others", []
    folder.mkdir(exist_ok=True)
    for i, garment in enumerate(others):
        files = folder / f"photo-{i:03}.png", folder / f"drawing-{i:03}.png"
        Image.fromarray(garment.photo).save(files[0])
        Image.fromarray(draw(garment.photo, garment.mask, STRANGERS[name], 1000 + i, garment.seen)).save(files[1])
        unused.append(scores(pipe, signature, *files))
    return {key: auc([row[key] for row in used], [row[key] for row in unused]) for key in used[0]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.adapter_privacy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    run, found = Run(Plan(refined=1), args.photos, args.home), {}
    for name in STRANGERS:
        rates = attack(run, name, run.others)
        if rates is not None:
            found[name] = rates
            print(f"{name:16} " + ", ".join(f"{key} {value:.2f}" for key, value in rates.items()), flush=True)
    mean = {key: float(np.mean([rates[key] for rates in found.values()])) for key in next(iter(found.values()))}
    print(json.dumps({"hands": found, "mean": mean}) if args.json else f"mean of {len(found)}: {mean}")


if __name__ == "__main__":
    main()
