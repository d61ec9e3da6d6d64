"""The command line: ``fedgai sketch | imagine | styles | signature | hand | train | evaluate | info | garments | pairs``."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from fedgai.imports import collector_paused

with collector_paused():
    from huggingface_hub import logging
    from PIL import Image
    from tqdm import tqdm

    from fedgai.ateliers import ATELIERS
    from fedgai.data.designer_folder import drawings_in, look
    from fedgai.data.listing import find_images
    from fedgai.data.pairs import Report
    from fedgai.errors import FedGAIError, sentence
    from fedgai.files import write_atomically
    from fedgai.model import PRESETS, FedGAI
    from fedgai.networks.adapter import adapter_size
    from fedgai.pipeline import SketchPipeline
    from fedgai.shipped import EXAMPLES, WEIGHTS
    from fedgai.strokes import to_svg
    from fedgai.text import printable
    from fedgai.vision.edges import EDGES
    from fedgai.vision.images import LOCAL, read_mask, read_picture

DESCRIPTION = (
    "Draw garments in designers' hands (sketch, imagine), look at hands (styles, signature, hand), train and measure models "
    "(train, evaluate, info), and make pictures to train on (garments, pairs)."
)
SKETCHES = (".png", ".jpg", ".jpeg", ".webp", ".svg")


def sketch(
    photo: str,
    style: Sequence[str],
    out: Path,
    size: int,
    cutout: bool,
    mask: Path | None,
    print_amount: float,
    model: str | Path,
) -> None:
    """Draw one photograph and write the sketch, as a picture or as strokes."""
    if out.suffix.lower() not in SKETCHES:
        raise FedGAIError(f"a sketch is written as {', '.join(SKETCHES)}: give --out a name that ends so, not {out.name!r}")
    if mask is not None and not cutout:
        raise FedGAIError("--mask says what to cut out, and --no-cutout to cut out nothing: leave one of them out")
    picture = read_picture(photo, LOCAL)
    if picture.pages > 1:
        print(f"fedgai sketch: {photo} has {picture.pages} pages; the first one that is not blank is drawn", file=sys.stderr)
    if mask is not None:
        picture = replace(picture, mask=read_mask(mask, picture.image.size))
    pipe, styles = SketchPipeline.from_pretrained(model), [_weighted(text) for text in style]
    drawn = pipe(picture, styles, size=size, cutout=cutout, print_amount=print_amount)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".svg":
        svg = to_svg(drawn.strokes(), Path(photo).stem, f"Drawn by FedGAI in the style of {', '.join(style)}.")
        write_atomically(out, svg.encode(), 0o644)
    else:
        drawn.images[0].save(out)


def _weighted(text: str) -> tuple[str, float]:
    """``NAME=WEIGHT``, or a name or a path alone, which weighs 1. Names and paths may hold an equals sign."""
    name, _, weight = text.rpartition("=")
    try:
        return (text, 1.0) if not name or Path(text).is_file() else (name, float(weight))
    except ValueError:
        return text, 1.0


def imagine(words: str, out: Path, seed: int, model: str | None, steps: int | None, style: Sequence[str]) -> None:
    """Make a garment's photograph from words and, if styles are named, its sketch beside it."""
    from fedgai.imagine import Imaginer, Step, prompt  # no other command needs it

    imaginer, wording = Imaginer(model, steps), prompt({}, words)
    with tqdm(desc="fetching", unit="B", unit_scale=True, disable=None, leave=False) as bar:

        def fetched(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        imaginer.load(fetched)
    with tqdm(desc="imagining", unit="step", total=imaginer.steps, disable=None) as bar:

        def stepped(step: Step) -> None:
            bar.update()

        photo = imaginer(wording, seed, stepped)
    out.parent.mkdir(parents=True, exist_ok=True)
    photo.save(out)
    if style:
        drawn = SketchPipeline.from_pretrained()(photo, [_weighted(text) for text in style]).images[0]
        drawn.save(out.with_name(f"{out.stem}-sketch.png"))


def styles(model: str | Path, as_json: bool) -> None:
    """List the style bank."""
    pipe = SketchPipeline.from_pretrained(model)
    bank = [{"name": name, "description": s.description} for name, s in pipe.styles.items()]
    print(json.dumps(bank) if as_json else "\n".join(f"{s['name']:<12} {s['description']}" for s in bank))


def signature(drawings: Path, out: Path, name: str | None, description: str, model: str | Path, refined: bool) -> None:
    """Measure a folder of drawings and write its signature; refine it to the model's Generator if asked."""
    with _bar("looking") as progress:
        found = look(drawings, lambda done, total, file: progress(done, total))
    if found.kind == "scans" and found.drawings:
        raise FedGAIError(
            f"{drawings} holds whole sheets: cut them into drawings first, with `fedgai-join --check --data "
            f"{drawings}`, and name the folder with those"
        )
    print(found)
    if not found.drawings:
        raise FedGAIError(f"{drawings} holds no drawings that can be used")
    pipe = SketchPipeline.from_pretrained(model)
    images = (image for file in found.drawings for image in drawings_in(file, Report()))
    with _bar("measuring") as progress:
        measured = pipe.signature(_counted(images, found.pages, progress), name or drawings.resolve().name, description)
    note = ""
    if refined:
        from fedgai.training.refine_signature import refine  # no other command needs it

        with _bar("refining") as progress:
            better = refine(
                pipe.model,
                measured,
                found.pairs,
                found.drawings,
                progress=lambda share: progress(round(100 * share), 100),
            )
        measured = better.signature
        note = (
            f"; refined: {1 - better.after / better.before:.0%} nearer to drawings that were held back for this test"
            if better.better
            else "; refining brought drawings no nearer, so it is the measured one"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    measured.save(out)
    adapter = "" if measured.adapter is None else f" and an adapter of {len(measured.adapter):,}"
    print(f"{out}: {measured.style.numel()} numbers{adapter} from {measured.sketches} drawings{note}")


def hand(drawings: Path, photos: Path | None, out: Path, name: str | None, model: str | Path, refined: bool) -> None:
    """Write a page about a hand: its drawings, the studio's in it, and where they differ."""
    from fedgai.evaluation.hand_page import measure_files, measure_hand, to_html  # no other command needs it

    with _bar("looking") as progress:
        found = look(drawings, lambda done, total, file: progress(done, total))
    if not found.drawings or found.kind == "scans":
        raise FedGAIError(f"{drawings} holds no drawings that can be used: put JPEG or PNG files of single drawings into it")
    pipe = SketchPipeline.from_pretrained(model)
    with _bar("measuring") as progress:
        measured, images = measure_files(
            pipe, found.drawings, found.pages, name or drawings.resolve().name, lambda s: progress(round(100 * s), 100)
        )
    garments = find_images(photos or EXAMPLES)
    if refined:
        from fedgai.training.refine_signature import refine

        with _bar("refining") as progress:
            measured = refine(
                pipe.model, measured, found.pairs, found.drawings, progress=lambda s: progress(round(100 * s), 100)
            ).signature
    with _bar("drawing") as progress:
        report = measure_hand(pipe, measured, images, garments, lambda share: progress(round(100 * share), 100))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, to_html(report).encode(), 0o600)
    near = f"{report.nearest:.0%} nearest to it in the encoder, {report.independent:.0%} by measures that know nothing of it"
    print(f"{out}: {report.drawings} drawings, {report.garments} garments drawn; of {report.hands} hands {near}")
    for note in report.notes:
        print(f"- {note}")


def _counted(images: Iterable[Image.Image], total: int, progress: Callable[[int, int], None]) -> Iterator[Image.Image]:
    for number, image in enumerate(images, 1):
        yield image
        progress(number, total)


def info(preset: str, as_json: bool) -> None:
    """Count a preset's parameters."""
    model = FedGAI(preset)
    parts = {"encoder": model.encoder, "generator": model.generator, "discriminator": model.discriminator}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    counts["shared"] = sum(tensor.numel() for tensor in model.discriminator.shared().values())  # a designer's upload
    hand = {"signature": 2 * sum(model.preset.channels), "adapter": adapter_size(model.generator)}
    facts = {"preset": preset, "parameters": counts, **hand}
    print(json.dumps(facts) if as_json else "\n".join(f"{name:<14} {n:>12,}" for name, n in counts.items()))


def pairs(photos: Path, style: str, out: Path, **options: Any) -> None:
    """Make a designer's folder from a folder of photographs."""
    from fedgai.data.datasets import make_pairs  # no other command needs it

    with _bar("drawing") as progress:
        made = make_pairs(photos, style, out, progress=progress, **options)
    print(f"{out}: {made}")
    if not made.pairs:
        raise FedGAIError(f"no garment could be cut out of any picture in {photos}")
    print(f"Look at {out / 'contact.jpg'}. A pair that you do not want: delete its two files, they are not drawn again.")


def garments(count: int, seed: int, out: Path, **options: Any) -> None:
    """Pictures of procedural garments with their ground truth."""
    from fedgai.garments.writing import write_garments  # no other command needs it

    with _bar("sewing") as progress:
        made = write_garments(count, seed, out, progress=progress, **options)
    print(f"{out}: {made} garments made, {count - made} were there")


def train(**options: Any) -> None:
    """One designer's GAN, at home."""
    from fedgai.training.local import train  # no other command needs the trainer and what it imports

    train(**options)


def evaluate(data: Path, model: str | Path, size: int, as_json: bool) -> None:
    """Metrics of a model on a designer's folder."""
    from fedgai.evaluation.metrics import evaluate, table  # as above

    with _bar("drawing") as progress:
        result = evaluate(data, model, size=size, progress=progress)
    print(json.dumps(result) if as_json else table(result))


@contextlib.contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, on a terminal, for functions that tell how many of how many are done."""
    with tqdm(desc=what, unit="", disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="fedgai", description=DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True)
    model = Parser(add_help=False)
    model.add_argument("--model", default=WEIGHTS, metavar="DIR_OR_REPO", help="checkpoint folder or Hub repository")
    printed = Parser(add_help=False)
    printed.add_argument("--json", action="store_true", dest="as_json")
    _add_drawing(commands, model)
    _add_hands(commands, model, printed)
    _add_training(commands, model, printed)
    _add_pairs(commands)
    return top


def _add_drawing(commands: Commands, model: Parser) -> None:
    """From a photograph, or from words."""
    c = commands.add_parser("sketch", parents=[model], help="one sketch of a photograph")
    c.add_argument("photo")
    c.add_argument(
        "--style",
        action="append",
        required=True,
        metavar="NAME=WEIGHT",
        help="a name of `fedgai styles` or a signature file; again for each style of the blend",
    )
    c.add_argument("--size", type=int, default=512, help="long side, 64 to 1024 px")
    c.add_argument("--no-cutout", action="store_false", dest="cutout", help="draw the background too")
    c.add_argument(
        "--mask",
        type=Path,
        metavar="MASK.png",
        help="what to cut out: a picture of the photograph's proportions, white or opaque where the garment is",
    )
    c.add_argument(
        "--print",
        type=float,
        default=0.0,
        dest="print_amount",
        metavar="0..1",
        help="how much of the cloth's print is drawn: 0 none, 1 as the photograph shows it",
    )
    c.add_argument("--out", type=Path, required=True, metavar="FILE.png or FILE.svg")
    c.set_defaults(run=sketch)

    c = commands.add_parser("imagine", help="a garment's photograph from words")
    c.add_argument("words", help='what it should be, e.g. "a wool trench coat"')
    c.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    c.add_argument("--seed", type=int, default=0)
    c.add_argument("--model", metavar="DIR_OR_REPO", help="a diffusers pipeline; FEDGAI_IMAGINE or the default if left out")
    c.add_argument("--steps", type=int, help="denoising steps; what the model was distilled for if left out")
    c.add_argument(
        "--style",
        action="append",
        default=[],
        metavar="NAME=WEIGHT",
        help="draw it too, as FILE-sketch.png; again for each style of the blend",
    )
    c.set_defaults(run=imagine)


def _add_hands(commands: Commands, model: Parser, printed: Parser) -> None:
    """What the model knows of hands, and a hand of one's own."""
    c = commands.add_parser("styles", parents=[model, printed], help="the style bank")
    c.set_defaults(run=styles)

    c = commands.add_parser("signature", parents=[model], help="a style signature of a folder of drawings")
    c.add_argument("drawings", type=Path, metavar="SKETCHES_DIR")
    c.add_argument(
        "--refine",
        action="store_true",
        dest="refined",
        help="adjust it to the model, so that its drawings come out "
        "like yours; best where SKETCHES_DIR holds photos/ and sketches/ with equal file names; one to two minutes",
    )
    c.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    c.add_argument("--name", help="to show; the folder's name if left out")
    c.add_argument("--description", default="", help="one line about the hand")
    c.set_defaults(run=signature)

    c = commands.add_parser("hand", parents=[model], help="a page that shows how a hand will look to others")
    c.add_argument("drawings", type=Path, metavar="SKETCHES_DIR")
    c.add_argument("--photos", type=Path, metavar="PHOTOS_DIR", help="garments to draw; the examples if left out")
    c.add_argument("--refine", action="store_true", dest="refined", help="refine the signature first, see `signature`")
    c.add_argument("--out", type=Path, required=True, metavar="FILE.html")
    c.add_argument("--name", help="to show; the folder's name if left out")
    c.set_defaults(run=hand)


def _add_training(commands: Commands, model: Parser, printed: Parser) -> None:
    """A model of one's own, and figures about it."""
    c = commands.add_parser("train", argument_default=argparse.SUPPRESS, help="one designer's GAN, at home")
    c.add_argument("data_dir", type=Path, metavar="DATA_DIR", help="photos/ and sketches/ with equal file names")
    c.add_argument("--out", type=Path, required=True, metavar="DIR")
    c.add_argument("--preset", choices=PRESETS, help="edge, the small one and the default; or vgg16, the paper's")
    c.add_argument("--epochs", type=int, help="passes over the pairs; as many as make 7,000 steps if left out")
    c.add_argument("--resume", action="store_true", help="go on where an earlier run in --out stopped")
    c.add_argument("--seed", type=int, help="of the first weights and of the pairs' order; 24 if left out")
    c.add_argument("--bf16", action="store_true", help="in bfloat16 where the machine has it: faster, not repeatable elsewhere")
    c.set_defaults(run=train)

    c = commands.add_parser("evaluate", parents=[model, printed], help="how close drawings come to a folder's own")
    c.add_argument("--data", type=Path, required=True, metavar="DATA_DIR", help="photos/ and sketches/ with equal file names")
    c.add_argument("--size", type=int, default=256, help="side, px, divisible by 8; compare figures of one size only")
    c.set_defaults(run=evaluate)

    c = commands.add_parser("info", parents=[printed], help="how large the networks are, and what is shared")
    c.add_argument("--preset", choices=PRESETS, default="edge")
    c.set_defaults(run=info)


def _add_pairs(commands: Commands) -> None:
    """Training data."""
    c = commands.add_parser("garments", help="pictures of procedural garments with their ground truth")
    c.add_argument("--count", type=int, required=True, help="how many")
    c.add_argument("--seed", type=int, default=0)
    c.add_argument("--out", type=Path, required=True, metavar="DIR", help="goes on where an earlier run in it stopped")
    c.add_argument("--size", type=int, default=512, help="long side, px")
    c.add_argument("--kind", help="one kind only, as coat; see fedgai/garments/kinds.py")
    c.add_argument("--workers", type=int, default=1, help="processes that work at the same time")
    c.set_defaults(run=garments)

    c = commands.add_parser("pairs", help="photographs of any collection as a designer's folder of pairs")
    c.add_argument("photos", type=Path, metavar="PHOTOS_DIR", help="pictures, any number of folders deep")
    c.add_argument("--style", required=True, metavar="NAME", help=", ".join([*ATELIERS, *EDGES]))
    c.add_argument("--out", type=Path, required=True, metavar="DIR", help="goes on where an earlier run in it stopped")
    c.add_argument("--size", type=int, default=512, help="long side, px")
    c.add_argument("--limit", type=int, help="stop at so many pairs, taken evenly from all folders")
    c.add_argument("--seed", type=int, default=24, help="of that choice")
    c.add_argument("--only", metavar="PATTERN", help="of the paths below PHOTOS_DIR, as '*_front.jpg'")
    c.add_argument(
        "--split",
        metavar="NAME",
        help="one part of the collection, as DeepFashion's list_eval_partition.txt names it, or else a folder's name",
    )
    c.set_defaults(run=pairs)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, 2 where an input was refused, 130 after Ctrl-C; with one line on standard error."""
    options = vars(parser().parse_args(argv))
    run, command = options.pop("run"), options.pop("command")
    logging.set_verbosity_error()  # its retries would be lines of their own before ours
    try:
        run(**options)
    except (FedGAIError, OSError) as error:
        print(f"fedgai {command}: {printable(' '.join(sentence(error).split()))}", file=sys.stderr)
        return 2
    except MemoryError:
        print(f"fedgai {command}: there is not enough memory: close other programs, or choose a smaller --size", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"fedgai {command}: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
