"""A photograph and a blend of styles become a sketch: any size, on any thread, alone or in a batch, always the same."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fedgai.content import Content
from fedgai.model import CheckpointError, FedGAI
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import ImageError

BLEND = {"ada line": 0.3, "Bruno Hatch": 0.7}


@pytest.fixture(scope="module")
def pipe(tiny_model_dir: Path) -> SketchPipeline:
    return SketchPipeline.from_pretrained(tiny_model_dir)


@pytest.fixture(scope="module")
def content(pipe: SketchPipeline, garment_photo: Path) -> Content:
    return pipe.prepare(garment_photo, 128)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_a_photograph_becomes_a_sketch(pipe: SketchPipeline, garment_photo: Path) -> None:
    output = pipe(garment_photo, BLEND, size=160)
    sketch = output.images[0]
    assert sketch.mode == "RGB" and sketch.size == (128, 160)  # the photograph's proportions
    assert pixels(sketch).std() > 5
    content = output.contents[0]
    assert content.photo.size == content.size == (128, 160)
    assert content.drawn == (410, 512) and content.ink.shape == (512, 410)  # the size that hands draw at
    assert content.mask.shape == (160, 128) and content.mask.dtype == np.float32
    assert 0.2 < content.mask.mean() < 0.6 and content.mask.min() >= 0 and content.mask.max() <= 1


def test_what_it_knows_about_itself(pipe: SketchPipeline, tiny_model_dir: Path) -> None:
    assert list(pipe.styles) == ["Ada Line", "Bruno Hatch", "Coco Blot"]
    assert pipe.checkpoint.startswith("round-3-")
    assert SketchPipeline(FedGAI.load(tiny_model_dir)).checkpoint == pipe.checkpoint


@given(width=st.integers(16, 300), height=st.integers(16, 300), size=st.sampled_from([64, 71, 96, 127]))
@settings(max_examples=15, deadline=None)
def test_any_side(pipe: SketchPipeline, width: int, height: int, size: int) -> None:
    photo = np.random.default_rng(width).integers(0, 256, (height, width, 3)).astype(np.uint8)
    sketch = pipe(photo, {"Coco Blot": 1}, size=size, cutout=False).images[0]
    assert max(sketch.size) == size
    scale = size / max(width, height)
    assert sketch.size == (max(1, round(width * scale)), max(1, round(height * scale)))


def test_extreme_proportions(pipe: SketchPipeline) -> None:
    assert pipe(np.zeros((16, 4000, 3), np.uint8), BLEND, size=64, cutout=False).images[0].size == (64, 1)
    assert pipe(Image.new("L", (17, 1021)), BLEND, size=1000, cutout=False).images[0].size == (17, 1000)


def test_no_seam_where_the_photograph_was_padded(pipe: SketchPipeline) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (97, 81, 3)).astype(np.uint8)  # 7 rows, 7 columns of padding
    sketch = pixels(pipe(photo, BLEND, size=97, cutout=False).images[0]).mean(2)
    for steps in (np.abs(np.diff(sketch, axis=0)).mean(1), np.abs(np.diff(sketch, axis=1)).mean(0)):
        assert 0.6 < steps[-4:].mean() / np.median(steps) < 1.6


def test_the_same_twice(pipe: SketchPipeline, tiny_model_dir: Path, garment_photo: Path) -> None:
    first, again = (pipe(garment_photo, BLEND, size=128).images[0].tobytes() for _ in range(2))
    fresh = SketchPipeline.from_pretrained(tiny_model_dir)(garment_photo, BLEND, size=128).images[0].tobytes()
    assert first == again == fresh


def test_a_batch_draws_as_one_by_one(pipe: SketchPipeline) -> None:
    photos = [
        draw_garment(),
        draw_garment(300, 300),
        draw_garment().transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        np.asarray(draw_garment(480, 384)),
    ]
    together = pipe(photos, BLEND, size=128)
    assert [image.size for image in together.images] == [(102, 128), (128, 128), (102, 128), (128, 102)]
    for photo, image in zip(photos, together.images, strict=True):
        assert np.abs(pixels(pipe(photo, BLEND, size=128).images[0]) - pixels(image)).max() <= 1
    assert pipe([], BLEND).images == []


def test_ten_visitors_at_once(pipe: SketchPipeline, garment_photo: Path, content: Content) -> None:
    blends = [{"Ada Line": i, "Coco Blot": 9 - i} for i in range(10)]
    alone = [pipe.draw(content, blend).tobytes() for blend in blends]
    with ThreadPoolExecutor(10) as visitors:
        assert list(visitors.map(lambda blend: pipe.draw(content, blend).tobytes(), blends)) == alone
        whole = list(visitors.map(lambda blend: pipe(garment_photo, blend, size=128).images[0].tobytes(), blends))
    assert whole == alone


def test_paper_stays_paper(pipe: SketchPipeline, content: Content) -> None:
    reach = cv2.dilate(np.uint8(content.mask > 0.5), np.ones((7, 7)))  # 3 px at 128 px
    assert (pixels(pipe.draw(content, BLEND))[reach == 0] == 255).all()
    assert (cv2.resize(content.ink, content.size, interpolation=cv2.INTER_AREA)[content.mask > 0.5] > 0.99).all()


def test_transparent_paper_on_white_is_the_same_sketch(pipe: SketchPipeline, content: Content) -> None:
    white, clear = pipe.draw(content, BLEND), pipe.draw(content, BLEND, paper="transparent")
    assert clear.mode == "RGBA" and clear.getpixel((0, 0))[3] == 0
    laid = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    assert np.abs(pixels(laid) - pixels(white)).max() <= 1
    with pytest.raises(ValueError, match="transparent"):
        pipe.draw(content, BLEND, paper="blue")


def test_less_line_detail_reaches_the_network(pipe: SketchPipeline, garment_photo: Path, content: Content) -> None:
    plain = pipe.prepare(garment_photo, 128, detail=0.2)
    assert np.array_equal(plain.mask, content.mask) and plain.photo.tobytes() == content.photo.tobytes()
    rough = [f[0].float().diff(dim=2).abs().mean() for f in (content.features[0], plain.features[0])]
    assert rough[1] < rough[0]
    for detail in (0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="line detail"):
            pipe.prepare(garment_photo, detail=detail)


@pytest.mark.parametrize("size", [63, 1025, 0, -5])
def test_sizes_out_of_range(pipe: SketchPipeline, garment_photo: Path, size: int) -> None:
    with pytest.raises(ValueError, match="64 to 1024 px"):
        pipe(garment_photo, BLEND, size=size)


def test_no_garment(pipe: SketchPipeline) -> None:
    flat = Image.new("RGB", (80, 80), "grey")
    with pytest.raises(NoGarment):
        pipe(flat, BLEND, size=64)
    kept = pipe.prepare(flat, 64, on_missing="keep")
    assert kept.mask is None and kept.ink is None
    assert pipe.draw(kept, BLEND).size == (64, 64)
    with pytest.raises(ImageError):
        pipe(b"text", BLEND)


class TestStyle:
    def test_names_files_and_signatures(self, pipe: SketchPipeline, signature_file: Path) -> None:
        ada, bruno = pipe.styles["Ada Line"].style, pipe.styles["Bruno Hatch"].style
        guest = Signature.load(signature_file)
        torch.testing.assert_close(pipe.style(BLEND), 0.3 * ada + 0.7 * bruno)
        torch.testing.assert_close(pipe.style({"ADA LINE": 6, "bruno hatch": 14}), pipe.style(BLEND))
        torch.testing.assert_close(pipe.style({str(signature_file): 1, "Ada Line": 1}), (guest.style + ada) / 2)
        torch.testing.assert_close(pipe.style([(guest, 3), (signature_file, 1)]), guest.style)

    def test_strength_goes_from_the_neutral_hand_through_the_blend_and_beyond(self, pipe: SketchPipeline) -> None:
        neutral = torch.stack([s.style for s in pipe.styles.values()]).mean(0)
        ada = pipe.styles["Ada Line"].style
        torch.testing.assert_close(pipe.style({"Ada Line": 1}, 0), neutral)
        torch.testing.assert_close(pipe.style({"Ada Line": 1}, 0.5), (neutral + ada) / 2)
        torch.testing.assert_close(pipe.style({"Ada Line": 1}, 1), ada)
        beyond = pipe.style({"Ada Line": 1}, 1.5)
        assert (beyond - neutral).norm() > (ada - neutral).norm()
        deviations = beyond.split([c for c in pipe.model.preset.channels for _ in range(2)])[1::2]
        assert all((d > 0).all() for d in deviations)

    def test_styles_draw_differently_and_a_row_leads_from_one_to_the_other(self, pipe: SketchPipeline, content: Content) -> None:
        sheet = dict(pipe.contact_sheet(content))
        assert list(sheet) == list(pipe.styles)
        row = pipe.blend_row(content, "Ada Line", "Coco Blot", 4)
        assert len(row) == 4
        assert np.abs(pixels(row[0]) - pixels(sheet["Ada Line"])).max() <= 1
        assert np.abs(pixels(row[3]) - pixels(sheet["Coco Blot"])).max() <= 1
        assert np.abs(pixels(row[0]) - pixels(row[3])).mean() > 1

    @pytest.mark.parametrize(
        ("styles", "strength", "says"),
        [
            ({"Nobody": 1}, 1, "Ada Line, Bruno Hatch, Coco Blot"),
            ({}, 1, "at least one style"),
            ({"Ada Line": 0}, 1, "above zero"),
            ({"Ada Line": -1, "Coco Blot": 2}, 1, "not negative"),
            ({"Ada Line": float("nan")}, 1, "finite"),
            ({"Ada Line": 1}, 1.6, "strength"),
            ({"Ada Line": 1}, -0.1, "strength"),
            ({"Ada Line": 1}, float("nan"), "strength"),
            ({__file__: 1}, 1, "not a style signature"),
            ({"Ada Line=a": 1}, 1, "'a' is not a weight"),
        ],
    )
    def test_refused(self, pipe: SketchPipeline, styles: dict, strength: float, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            pipe.style(styles, strength)

    def test_another_encoders_signature_is_refused(self, pipe: SketchPipeline, signature_file: Path) -> None:
        with pytest.raises(ValueError, match="measured with encoder 0000"):
            pipe.style([(replace(Signature.load(signature_file), encoder="0" * 64), 1)])

    def test_measured_from_drawings_of_any_size(self, pipe: SketchPipeline, tmp_path: Path) -> None:
        draw_garment(700, 301).save(tmp_path / "large.png")
        drawings = [tmp_path / "large.png", draw_garment(33, 45), np.zeros((16, 16), np.uint8)]
        signature = pipe.signature(iter(drawings), "Dee", "in pencil")
        assert (signature.sketches, signature.name, signature.description) == (3, "Dee", "in pencil")
        assert pipe.style([(signature, 1)]).isfinite().all()
        with pytest.raises(ValueError, match="no sketch"):
            pipe.signature([], "Dee")


def test_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CheckpointError, match=str(place)):
            SketchPipeline.from_pretrained(place)

    def away(name: str) -> FedGAI:
        raise OSError("the Hub cannot be reached\nat all")

    monkeypatch.setattr(FedGAI, "from_pretrained", away)
    with pytest.raises(CheckpointError, match=r"^someone/model is neither a folder nor .* the Hub cannot be reached$"):
        SketchPipeline.from_pretrained("someone/model")


def test_the_papers_preset_draws_too() -> None:
    torch.manual_seed(0)
    pipe = SketchPipeline(FedGAI("vgg16"))
    pipe.styles["Ada"] = pipe.signature([draw_garment(32, 32)], "Ada")
    assert pipe(draw_garment(), {"Ada": 1}, size=64).images[0].size == (51, 64)


def test_memory_of_a_sketch_at_1024_px(tiny_model_dir: Path) -> None:
    code = f"""
from pathlib import Path
from PIL import Image
from fedgai.pipeline import SketchPipeline
photo = Image.effect_noise((1100, 1100), 60)
SketchPipeline.from_pretrained({str(tiny_model_dir)!r})(photo, {BLEND!r}, size=1024, cutout=False)
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])  # kB; ru_maxrss would know the parent's
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 1.5e9
