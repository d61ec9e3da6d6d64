"""The command ``python -m fedgai.training.pretrain``; see the package's docstring."""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import asdict
from pathlib import Path

import torch

from fedgai import __version__
from fedgai.draughtsman import Draughtsman
from fedgai.model import DRAUGHTSMAN_FILE, FedGAI
from fedgai.networks.layers import channels_last
from fedgai.networks.style import Signature
from fedgai.shipped import WEIGHTS
from fedgai.training import pretrain
from fedgai.training.pretrain.adversarial_stage import train_adversarial
from fedgai.training.pretrain.draw_pages import draw_all
from fedgai.training.pretrain.encoder_stage import train_encoder
from fedgai.training.pretrain.generator_stage import settle_codes, train_generator
from fedgai.training.pretrain.hand_signatures import named_signatures, signatures
from fedgai.training.pretrain.house_config import HouseConfig
from fedgai.training.pretrain.page_batches import PageBatches

log = logging.getLogger("fedgai.training.pretrain")


def export(model: FedGAI, named: list[Signature], out: Path, config: HouseConfig, photos: int) -> None:
    """Write the checkpoint folder with the eight ateliers as its style bank."""
    model.styles = {}
    for signature in named:
        model.add_style(signature)
    model.origin = torch.stack([s.style for s in named]).mean(0)
    model.settle_hand_judge()
    model.info = {"round": 0, "semantic_loss": "paired", "photographs": photos, "house": asdict(config), "release": __version__}
    card = out / "README.md"
    text = card.read_text() if card.exists() else None
    model.save_pretrained(out)
    if text is not None:  # the model card is written by hand; the mixin's is a stub
        card.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fedgai.training.pretrain", description=pretrain.__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of garment photographs, searched for *.jpg, *.png")
    parser.add_argument("--work", type=Path, default=Path("runs/house"), help="where stages resume from (about 6 GB)")
    parser.add_argument("--out", type=Path, default=Path("weights"))
    parser.add_argument("--draughtsman", type=Path, default=WEIGHTS / DRAUGHTSMAN_FILE, help="its weights")
    parser.add_argument("--start", help="checkpoint whose encoder stays and whose networks are trained on; none: from nothing")
    parser.add_argument("--encoder", help="checkpoint whose encoder stays; the other networks are trained from nothing")
    parser.add_argument("--device", default="cpu", help="to train on: cpu or cuda")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that draw and measure")
    parser.add_argument("--until", choices=["draw", "encoder", "generator", "adversarial"], default="adversarial")
    for name, default in asdict(HouseConfig()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if args.start is not None and args.encoder is not None:
        parser.error("--start keeps its checkpoint's encoder, so give either --start or --encoder")
    if args.every < 1:
        parser.error("--every is 1 for all photographs, 2 for every second one, and so on")
    config = HouseConfig(**{name: getattr(args, name) for name in asdict(HouseConfig())})
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    photos = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    photos = photos[:: config.every]
    draw_all(photos, args.draughtsman, args.work, config, args.processes)
    if args.until == "draw":
        return
    device = args.device
    if device != "cpu":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    data = PageBatches(args.work, config, device)
    model = channels_last(FedGAI("edge") if args.start is None else FedGAI.from_pretrained(args.start)).to(device)
    model.draughtsman = Draughtsman.load(args.draughtsman)
    if args.encoder is not None:
        model.encoder.load_state_dict(FedGAI.from_pretrained(args.encoder).encoder.state_dict())
        model.freeze_encoder()
    elif args.start is None:
        train_encoder(model, data, args.work, config)
    bank, drawings = signatures(model, photos, args.draughtsman, args.work, config, args.processes)
    if args.until == "encoder":
        return
    train_generator(model, data, bank.to(device), args.work, config, args.start is None)
    if args.until == "adversarial":
        train_adversarial(model, data, bank.to(device), args.work, config)
    settle_codes(model, data, bank.to(device), config)
    export(model.cpu(), named_signatures(model, bank, drawings), args.out, config, len(photos))
    log.info("weights in %s", args.out)


if __name__ == "__main__":
    main()
