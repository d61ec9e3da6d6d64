"""How a hand is measured: alike by every caller, and whatever the paper that it was drawn on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord
from PIL import Image, ImageDraw

from federation.designer.client_app import answer, at_home
from fedgai import __version__
from fedgai.__main__ import main as command_line
from fedgai.data.pairs import PairFolder
from fedgai.measure import MARGIN, SIDE, measure, page
from fedgai.model import WEIGHTS, FedGAI
from fedgai.networks.style import Signature, style_distance
from fedgai.pipeline import SketchPipeline
from fedgai.training.local import LocalTrainer
from fedgai.training.refine_examples import pair_example
from fedgai.training.train_config import TrainConfig
from fedgai.vision.paper import has_ink, is_light_on_dark, on_white_paper


def drawing(number: int = 0, size: tuple[int, int] = (420, 560), weight: int = 3) -> Image.Image:
    """A dress with hatching, drawn with a pen."""
    image = Image.new("RGB", size, "white")
    pen, (width, height) = ImageDraw.Draw(image), size
    left, right, top, bottom = 0.25 * width, 0.75 * width, 0.15 * height, (0.8 - 0.02 * number) * height
    pen.polygon([(left, top), (right, top), (right + 40, bottom), (left - 40, bottom)], outline="black", width=weight)
    for x in np.arange(left + 5, (left + right) / 2, 9 + number):
        pen.line((x, top + 20, x - 20, bottom - 30), fill=(20, 20, 30), width=max(1, weight - 1))
    return image


@pytest.fixture(scope="module")
def model() -> FedGAI:
    return FedGAI.load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pairs of several sizes, one larger than what is measured."""
    for kind in ("photos", "sketches"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
    for i, size in enumerate([(420, 560), (300, 300), (700, 900), (1500, 1100)]):
        drawing(i, size).save(tmp_path / "pairs" / "sketches" / f"{i}.png")
        drawing(i, size).save(tmp_path / "pairs" / "photos" / f"{i}.png")
    return tmp_path / "pairs"


def test_every_caller_measures_one_signature(folder: Path, model: FedGAI, tmp_path: Path) -> None:
    files = sorted((folder / "sketches").iterdir())
    expected = model.signature(files).style
    found = {
        "pipeline": SketchPipeline.from_pretrained().signature(files, "Ada").style,
        "arrays": model.signature(np.asarray(Image.open(file)) for file in files).style,
    }
    assert command_line(["signature", str(folder / "sketches"), "--out", str(tmp_path / "ada.safetensors")]) == 0
    found["command line"] = Signature.load(tmp_path / "ada.safetensors").style
    trainer = LocalTrainer(FedGAI.load(), PairFolder(folder, 64), TrainConfig(size=64), tmp_path / "model", name="Ada")
    found["trainer"] = trainer.model.styles["Ada"].style
    trainer.save()
    again = LocalTrainer(FedGAI.load(), PairFolder(folder, 64), TrainConfig(size=64), tmp_path / "model", name="Ada")
    found["trainer, from its folder"] = again.signature.style
    asked = ConfigRecord(
        {
            "round": 1,
            "epochs": 1,
            "beta": 0.1,
            "preset": "edge",
            "encoder": model.encoder_sha256,
            "release": __version__,
            "bank-names": [],
            "bank": b"",
        }
    )
    node_config = {
        "data": str(folder),
        "out": str(tmp_path / "home"),
        "name": "Ada",
        "share-style": True,
        "size": 64,
        "weights": str(WEIGHTS),
        "refine": False,
    }
    reply = answer(at_home(node_config, asked), node_config, asked, {})
    found["client app"] = torch.from_numpy(np.frombuffer(reply["designer"]["style"], "<f4").copy())
    for caller, style in found.items():
        assert (style - expected).abs().max() < 1e-4, caller


def test_drawings_that_changed_are_measured_again(folder: Path, tmp_path: Path) -> None:
    config, out = TrainConfig(size=64), tmp_path / "model"
    first = LocalTrainer(FedGAI.load(), PairFolder(folder, 64), config, out, name="Ada")
    first.save()
    drawing(3, weight=8).save(folder / "sketches" / "0.png")
    again = LocalTrainer(FedGAI.load(), PairFolder(folder, 64), config, out, name="Ada")
    assert not torch.allclose(again.signature.style, first.signature.style, atol=1e-3)


def test_the_paper_around_a_drawing_does_not_matter(model: FedGAI) -> None:
    wide = Image.new("RGB", (900, 800), "white")
    wide.paste(drawing(), (310, 120))
    (a, _), (b, _) = measure(model.encoder, [drawing()]), measure(model.encoder, [wide])
    assert (a - b).abs().max() < 1e-4
    ink = np.argwhere(page(wide).min(2) < 200)
    height = ink[:, 0].max() - ink[:, 0].min() + 1
    assert page(wide).shape[0] == pytest.approx(height * (1 + 2 * MARGIN), abs=2)


def test_a_speck_in_the_corner_does_not_matter(model: FedGAI) -> None:
    speckled = drawing()
    speckled.putpixel((3, 3), (0, 0, 0))
    assert np.array_equal(page(speckled), page(drawing()))


def on_paper(image: Image.Image, colour: tuple[int, int, int], shadow: float = 0.0) -> Image.Image:
    x = np.linspace(1, 1 - shadow, image.width)[None, :, None]
    return Image.fromarray(np.uint8(np.asarray(image) / 255 * np.array(colour) * x))


def on_rules(image: Image.Image, step: int, both: bool = False, thick: int = 1) -> Image.Image:
    """On lined paper, or on squared."""
    sheet = np.asarray(image).copy()
    for way in (sheet, sheet.transpose(1, 0, 2))[: 2 if both else 1]:
        for first in range(thick):
            way[step // 2 + first :: step] = np.minimum(way[step // 2 + first :: step], (160, 180, 215))
    return Image.fromarray(sheet)


@pytest.mark.parametrize("paper", ["white", "cream", "kraft", "lined", "squared"])
@pytest.mark.parametrize("side", [600, 1500])
def test_neither_paper_nor_resolution_is_the_hand(model: FedGAI, side: int, paper: str) -> None:
    """A tenth of the distance to the nearest other hand is allowed."""
    bank, channels = torch.stack([s.style for s in model.styles.values()]), model.preset.channels
    tints = {"cream": (250, 240, 215), "kraft": (196, 154, 108)}
    filling = [drawing(i).crop((60, 70, 360, 470)) for i in range(3)]  # else a scan of 600 px is a small drawing
    drawings = [page.resize((side * 3 // 4, side), Image.Resampling.LANCZOS) for page in filling]
    sheets = [
        on_paper(page, tints[paper])
        if paper in tints
        else on_rules(page, side // 27, paper == "squared", side // 500)
        if paper != "white"
        else page
        for page in drawings
    ]
    plain, _ = measure(model.encoder, [page.resize((1125, 1500), Image.Resampling.LANCZOS) for page in filling])
    found, _ = measure(model.encoder, sheets)
    assert style_distance(plain, found, channels) < style_distance(plain, bank, channels).min() / 10


def test_a_garment_s_own_stripes_are_no_rules() -> None:
    """They end within the page; rules go through it."""
    striped = drawing()
    pen = ImageDraw.Draw(striped)
    for y in range(100, 440, 14):
        pen.line((110, y, 310, y), fill=(150, 150, 170), width=2)
    assert np.array_equal(on_white_paper(np.asarray(striped)), np.asarray(striped))
    assert np.array_equal(on_white_paper(np.asarray(drawing())), np.asarray(drawing()))


def test_a_pair_is_learned_from_without_the_paper_of_its_drawing(tmp_path: Path) -> None:
    """Refining, too, would learn the paper otherwise."""
    pipe, plain = SketchPipeline.from_pretrained(), drawing()
    _, expected = pair_example(pipe, drawing(), plain)
    for sheet in (on_rules(plain, 20), on_rules(plain, 20, both=True), on_paper(plain, (250, 240, 215))):
        _, found = pair_example(pipe, drawing(), sheet)
        paper = np.abs(np.asarray(sheet).astype(int) - np.asarray(plain)).mean()
        assert 5 * np.abs(found.astype(int) - expected).mean() < paper


def test_a_blank_lined_sheet_has_no_ink() -> None:
    blank = Image.new("RGB", (420, 560), "white")
    assert has_ink(np.asarray(drawing())) and not has_ink(np.asarray(on_rules(blank, 20)))


def test_ink_stays_where_it_crosses_a_rule_or_lies_on_one() -> None:
    sheet = drawing()
    ImageDraw.Draw(sheet).line((120, 210, 300, 210), fill="black", width=2)
    lined = on_rules(sheet, 20)  # row 210 is one of its rules
    found, plain = on_white_paper(np.asarray(lined)).astype(int), np.asarray(sheet).astype(int)
    assert np.abs(np.asarray(lined).astype(int) - plain).mean() > 20 * np.abs(found - plain).mean()
    assert found[209:212, 120:300].min() < 20 and (found[210, 125:295].max(1) < 40).all()


@pytest.mark.parametrize("colour", [(250, 240, 215), (196, 154, 108)], ids=["cream", "kraft"])
def test_the_tint_and_shadow_of_the_paper_do_not_matter(model: FedGAI, colour: tuple[int, int, int]) -> None:
    bank, channels = torch.stack([s.style for s in model.styles.values()]), model.preset.channels
    apart = style_distance(bank[:, None], bank[None], channels)
    nearest = apart[apart > 0].min()
    white, _ = measure(model.encoder, [drawing(i) for i in range(3)])
    tinted, _ = measure(model.encoder, [on_paper(drawing(i), colour, 0.2) for i in range(3)])
    assert style_distance(white, tinted, channels) < nearest / 10


def test_dark_ink_on_dark_paper_stays() -> None:
    night = Image.fromarray(np.asarray(drawing()) // 3 + 10)
    assert np.asarray(page(night)).min(2).mean() < 150 and np.array_equal(on_white_paper(np.asarray(night)), np.asarray(night))


def in_ink(image: Image.Image, ink: tuple[int, int, int], paper: tuple[int, int, int]) -> Image.Image:
    """A black drawing on white, in another ink on other paper."""
    share = np.asarray(image) / 255
    return Image.fromarray(np.uint8(share * np.array(paper) + (1 - share) * np.array(ink)))


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ((250, 250, 250), (0, 0, 0)),
        ((225, 225, 220), (45, 48, 55)),
        ((245, 245, 250), (30, 60, 140)),
        ((230, 230, 230), (100, 100, 105)),
    ],
    ids=["black", "slate", "blueprint", "grey"],
)
def test_light_lines_on_dark_paper_are_measured_as_dark_lines_on_white(
    model: FedGAI, ink: tuple[int, int, int], paper: tuple[int, int, int]
) -> None:
    bank, channels = torch.stack([s.style for s in model.styles.values()]), model.preset.channels
    plain, _ = measure(model.encoder, [drawing(i) for i in range(3)])
    found, _ = measure(model.encoder, [in_ink(drawing(i), ink, paper) for i in range(3)])
    assert style_distance(plain, found, channels) < style_distance(plain, bank, channels).min() / 10


def test_a_coloured_line_on_dark_paper_keeps_its_colour() -> None:
    red = on_white_paper(np.asarray(in_ink(drawing(), (220, 40, 40), (15, 15, 15)))).astype(int)
    line = red[red.min(2) < 60]
    assert np.median(red) == 255 and (line[:, 0] > 180).all() and (line[:, 1:] < 100).mean() > 0.9


def test_what_is_not_light_on_dark() -> None:
    dim = np.asarray(in_ink(drawing(), (20, 20, 20), (112, 108, 100)))
    table = np.full((1000, 900, 3), 40, np.uint8) + np.random.default_rng(0).integers(0, 20, (1000, 900, 1), np.uint8)
    table[200:760, 200:620] = np.asarray(drawing())
    black = np.zeros((300, 400, 3), np.uint8)
    for picture in (np.asarray(drawing()), dim, table, black, black + 40):
        assert not is_light_on_dark(picture)


def test_a_small_drawing_is_not_enlarged_and_a_large_one_made_smaller() -> None:
    assert max(page(drawing(0, (210, 280))).shape) < 300
    assert max(page(drawing(0, (3000, 4000), weight=20)).shape) == SIDE


def test_a_blank_page_is_measured_as_it_is(model: FedGAI) -> None:
    blank = np.full((64, 48, 3), 255, np.uint8)
    assert page(blank).shape == (64, 48, 3)
    assert measure(model.encoder, [blank])[0].isfinite().all()
