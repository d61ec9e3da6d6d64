"""Can somebody who has a designer's drawings tell from the shared adapter which of them it was learned from?

    python -m experiments.adapter_privacy --photos PHOTOS_DIR --home DIR [--hands NAME ...] [--without-photographs] [--json]

Eight strangers' machines refine their signatures and learn adapters (``experiments.new_hands``, in the same ``--home``). The
attacker knows this program, the house's weights and what was shared, and has 42 pairs of photograph and drawing: the 18 that the
adapter was learned from, and 24 others of the same hand. Three scores, each higher for a drawing that was probably used:

    signature   minus the loss of the house's drawing in the refined signature, without the adapter
    loss        by how much the adapter lowers that loss
    gradient    cosine between the adapter and minus the gradient of that loss

With ``--without-photographs`` the strangers have drawings alone, and the attacker makes the same pictures of the garments from
them as their machines did (``fedgai.data.own_photographs``). That needs another ``--home``.

Printed is the AUC of each: the chance that a drawing that was used scores higher than one that was not. 0.5 is guessing, 1 is
certainty. PHOTOS_DIR holds ``train/`` and ``val/``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from experiments.new_hands import Plan, Run
from experiments.strangers import STRANGERS, draw
from fedgai.content import Photo
from fedgai.networks.adapter import STEP
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.training.drawing_losses import adapter_loss_of
from fedgai.training.refine_examples import drawn_garments, pair_example
from fedgai.training.refine_signature import RefineConfig, split_held_out


def auc(used: list[float], others: list[float]) -> float:
    """The chance that one of the first scores higher than one of the second; half a chance where they are equal."""
    a, b = np.array(used)[:, None], np.array(others)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def scores(pipe: SketchPipeline, signature: Signature, photo: Photo, drawing: Photo) -> dict[str, float]:
    """Of one pair."""
    assert signature.adapter is not None
    model, (example, _) = pipe.model, pair_example(pipe, photo, drawing)
    network, adapter = model.for_inference().generator, signature.adapter * STEP

    def loss(changes: torch.Tensor) -> torch.Tensor:
        drawn = network(example.features, signature.style[None], adapter=changes)
        return adapter_loss_of(example, drawn, model.encoder)

    nothing = torch.zeros(len(adapter), requires_grad=True)
    without = loss(nothing)
    (gradient,) = torch.autograd.grad(without, [nothing])
    with torch.no_grad():
        gain = without - loss(adapter)
    alike = torch.nn.functional.cosine_similarity(-gradient, adapter, 0)
    return {"signature": -without.item(), "loss": gain.item(), "gradient": alike.item()}


def attack(run: Run, name: str) -> dict[str, float] | None:
    """AUC by score, for one hand; None where no adapter was kept."""
    signature = run.signatures[name]
    if signature.adapter is None:
        return None
    pipe = SketchPipeline(run.start)
    learned, held_out = split_held_out(len(run.pairs[name]), RefineConfig())
    # in the order in which they were learned from, for pictures that are made together tell each other how dark a hand shades
    known = shown(pipe, [run.pairs[name][i] for i in (*held_out, *learned)], run.plan.photographs > 0)
    used = [scores(pipe, signature, *pair) for pair in known[len(held_out) :]]
    folder, others = run.home / name / "others", []
    folder.mkdir(exist_ok=True)
    for i, garment in enumerate(run.others):
        files = folder / f"photo-{i:03}.png", folder / f"drawing-{i:03}.png"
        Image.fromarray(garment.photo).save(files[0])
        Image.fromarray(draw(garment.photo, garment.mask, STRANGERS[name], 1000 + i, garment.seen)).save(files[1])
        others.append(files)
    unused = [scores(pipe, signature, *pair) for pair in shown(pipe, others, run.plan.photographs > 0)]
    return {key: auc([row[key] for row in used], [row[key] for row in unused]) for key in used[0]}


def shown(pipe: SketchPipeline, files: Sequence[tuple[Path, Path]], photographs: bool) -> Sequence[tuple[Photo, Photo]]:
    """The pairs that a designer's machine learns from: photographs and drawings, or what is made of the drawings alone."""
    if photographs:
        return files
    made = drawn_garments(pipe, [drawing for _, drawing in files], lambda: None)
    assert len(made) == len(files)  # every stranger's drawing shows a closed shape
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.adapter_privacy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--hands", nargs="*", choices=list(STRANGERS), default=list(STRANGERS))
    parser.add_argument("--without-photographs", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    plan = Plan(refined=1, photographs=0 if args.without_photographs else 1)
    run, found = Run(plan, args.photos, args.home, hands=args.hands), {}
    for name in args.hands:
        rates = attack(run, name)
        if rates is not None:
            found[name] = rates
            print(f"{name:16} " + ", ".join(f"{key} {value:.2f}" for key, value in rates.items()), flush=True)
    mean = {key: float(np.mean([rates[key] for rates in found.values()])) for key in next(iter(found.values()))}
    print(json.dumps({"hands": found, "mean": mean}) if args.json else f"mean of {len(found)}: {mean}")


if __name__ == "__main__":
    main()
