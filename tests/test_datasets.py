"""Collections of photographs, laid out as the public ones are, become folders of pairs."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fedgai.ateliers import ATELIERS, draw
from fedgai.content import fit_and_cut, on_white
from fedgai.data.datasets import LOG, make_pairs, spread
from fedgai.data.pairs import PairFolder, PairsError, check
from fedgai.model import FedGAI
from fedgai.vision.edges import xdog


def shirt(width: int = 96, height: int = 120) -> Image.Image:
    """A blue shirt on white paper, which is cut out at once."""
    image = Image.new("RGB", (width, height), "white")
    outline = [(0.1, 0.25), (0.35, 0.1), (0.65, 0.1), (0.9, 0.25), (0.75, 0.4), (0.75, 0.9), (0.25, 0.9), (0.25, 0.4)]
    ImageDraw.Draw(image).polygon([(x * width, y * height) for x, y in outline], (60, 80, 150))
    ImageDraw.Draw(image).line((width / 2, height * 0.2, width / 2, height * 0.8), (20, 20, 60), 2)
    return image


def garment(file: Path, width: int = 96) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    shirt(width).save(file)
    return file


@pytest.fixture
def in_shop(tmp_path: Path) -> Path:
    """DeepFashion's In-shop layout: nested categories, a folder a garment, several views, masks and lists beside."""
    root, rows = tmp_path / "In-shop", []
    garments = {"WOMEN/Dresses": 3, "WOMEN/Blouses_Shirts": 2, "MEN/Jackets_Vests": 1}
    for category, count in garments.items():
        for i in range(count):
            for view in ("01_1_front", "01_2_side"):
                name = f"img/{category}/id_{i:08d}/{view}.jpg"
                garment(root / name, 96 + i)
                rows.append(f"{name}  id_{i:08d}  {'train' if i == 0 else 'query'}")
            garment(root / "img" / category / f"id_{i:08d}" / "01_1_front_segment.png")
    garment(root / "Anno" / "segmentation" / "all.png")
    (root / "Eval").mkdir()
    (root / "Eval" / "list_eval_partition.txt").write_text(
        f"{len(rows)}\nimage_name item_id evaluation_status\n" + "\n".join(rows)
    )
    return root


def stems(folder: Path, name: str = "photos") -> set[str]:
    return {file.stem for file in (folder / name).iterdir()}


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]


def test_a_deepfashion_layout(in_shop: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "pairs", []
    made = make_pairs(in_shop, "XDoG", out, size=128, limit=6, progress=lambda *at: seen.append(at))
    assert (made.pairs, made.drawn, made.left, len(made.masks)) == (6, 6, 6, 7)
    assert seen == [(i + 1, 6) for i in range(6)]
    # half of women, half of men, as far as there are any
    assert made.categories == {"img/WOMEN/Dresses": 2, "img/WOMEN/Blouses_Shirts": 2, "img/MEN/Jackets_Vests": 2}
    report = check(out)
    assert len(report.pairs) == 6 and not report.bad and not report.notes
    assert len(PairFolder(out, 64)) == 6
    assert Image.open(out / "contact.jpg").size[0] > 1000
    text = str(made)
    assert text.startswith("6 pairs\n") and "img/WOMEN/Dresses 2" in text and "7 not looked at" in text
    for line in lines(out)[1:]:
        photo = in_shop / line["file"]
        assert line["category"] in line["file"] and photo.exists()
        image, mask = fit_and_cut(photo, 128)
        assert np.array_equal(
            np.asarray(Image.open(out / "sketches" / f"{line['stem']}.png")), xdog(on_white(np.asarray(image), mask), mask)
        )


def test_the_hand_is_the_ateliers(in_shop: Path, tmp_path: Path) -> None:
    make_pairs(in_shop, "dara", tmp_path / "pairs", size=96, limit=1)
    line = lines(tmp_path / "pairs")[1]
    image, mask = fit_and_cut(in_shop / line["file"], 96)
    drawn = np.asarray(Image.open(tmp_path / "pairs" / "sketches" / f"{line['stem']}.png"))
    own = draw(on_white(np.asarray(image), mask), ATELIERS["Dara"], mask=mask, draughtsman=FedGAI.load().draughtsman)
    assert np.array_equal(drawn, own)


def test_a_second_run_goes_on(in_shop: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "pairs"
    make_pairs(in_shop, "canny", whole, size=96, limit=5)
    make_pairs(in_shop, "canny", out, size=96, limit=2)
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*.*") if file.parent != out}
    with (out / LOG).open("a") as log:
        log.write('{"file": "img/WOM')  # a kill in the middle of a line
    made = make_pairs(in_shop, "canny", out, size=96, limit=5)
    assert (made.pairs, made.drawn) == (5, 3) and "2 of them from an earlier run" in str(made)
    assert all(file.stat().st_mtime_ns == time for file, time in times.items())
    assert stems(out) == stems(out, "sketches") == stems(whole)
    assert lines(out) == lines(whole)
    made = make_pairs(in_shop, "canny", out, size=96, limit=5)
    assert (made.pairs, made.drawn) == (5, 0)


def test_a_killed_run_goes_on(in_shop: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise InterruptedError

    out = tmp_path / "pairs"
    with pytest.raises(InterruptedError):
        make_pairs(in_shop, "canny", out, size=96, progress=stop)
    assert len(stems(out)) == 2
    made = make_pairs(in_shop, "canny", out, size=96)
    assert (made.pairs, made.drawn, made.left) == (12, 10, 0)


def test_a_deleted_pair_is_not_drawn_again(in_shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    make_pairs(in_shop, "canny", out, size=96, limit=3)
    bad = sorted(stems(out))[0]
    (out / "photos" / f"{bad}.jpg").unlink()
    (out / "sketches" / f"{bad}.png").unlink()
    made = make_pairs(in_shop, "canny", out, size=96, limit=3)
    assert (made.pairs, made.drawn) == (3, 1) and bad not in stems(out)


def test_parts_of_the_collection(in_shop: Path, tmp_path: Path) -> None:
    train = make_pairs(in_shop, "canny", tmp_path / "train", size=96, split="train")
    query = make_pairs(in_shop, "canny", tmp_path / "query", size=96, split="query", only="*_front.jpg")
    assert train.pairs == 6 and query.pairs == 3
    assert {line["file"].split("/")[3] for line in lines(tmp_path / "train")[1:]} == {"id_00000000"}
    # named the folder below, the lists are still found
    assert make_pairs(in_shop / "img", "canny", tmp_path / "img", size=96, split="query").pairs == 6
    with pytest.raises(ValueError, match="no part 'gallery': there are train, query"):
        make_pairs(in_shop, "canny", tmp_path / "none", split="gallery")
    with pytest.raises(ValueError, match=r"no photographs for --only '\*.gif'"):
        make_pairs(in_shop, "canny", tmp_path / "none", only="*.gif")
    # without a list, a folder's name is a part
    (in_shop / "Eval" / "list_eval_partition.txt").unlink()
    assert make_pairs(in_shop, "canny", tmp_path / "men", size=96, split="MEN").pairs == 2
    with pytest.raises(ValueError, match="no folder 'train'"):
        make_pairs(in_shop, "canny", tmp_path / "none", split="train")
    assert not (tmp_path / "none").exists()


def test_files_of_every_kind(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "pairs"
    garment(photos / "plain.jpg")
    shirt(120, 96).transpose(Image.Transpose.ROTATE_90).save(
        photos / "turned.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    )
    shirt(96, 120).convert("L").save(photos / "grey.png")
    shirt(96, 120).convert("CMYK").save(photos / "cmyk.jpg")
    shirt(96, 120).quantize(64).save(photos / "palette.gif")
    garment(photos / "裙子 №1.webp")
    for i in range(30):
        (photos / f"cut{i}.jpg").write_bytes((photos / "plain.jpg").read_bytes()[: -300 - 9 * i])
    (photos / "text.png").write_text("no picture")
    shirt(60, 40).save(photos / "small.png")
    shirt(65, 900).save(photos / "narrow.png")
    Image.new("RGB", (99, 99), "grey").save(photos / "flat.png")
    os.mkfifo(photos / "pipe.jpg")
    (photos / "folder.jpg").mkdir()
    (photos / "link.jpg").symlink_to("nowhere")
    made = make_pairs(photos, "canny", out, size=96)
    names = {line["file"] for line in lines(out)[1:] if "stem" in line}
    assert names == {"plain.jpg", "turned.jpg", "grey.png", "cmyk.jpg", "palette.gif", "裙子 №1.webp"}
    turned = next(line["stem"] for line in lines(out)[1:] if line["file"] == "turned.jpg")
    assert Image.open(out / "photos" / f"{turned}.jpg").width == 96  # upright again, so lying
    assert sum(len(files) for files in made.skipped.values()) == 34
    assert {file.name for file, _ in made.bad} == {"pipe.jpg", "link.jpg"}
    text = str(made)
    assert text.count("\n") == len(made.skipped) + 2 <= 8  # one line a reason
    assert "30 left out" in text and "damaged" in text and "too small or too narrow" in text and "No garment" in text
    assert make_pairs(photos, "canny", out, size=96).drawn == 0  # what cannot be drawn is not tried again


def test_folders_that_are_not_ours_stay_as_they_are(in_shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    garment(other / "photos" / "mine.jpg")
    for held in (other, in_shop):
        with pytest.raises(PairsError, match="holds something else"):
            make_pairs(in_shop, "canny", held)
    assert stems(other) == {"mine"} and [f.name for f in other.iterdir()] == ["photos"]
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PairsError, match="cannot be opened as a folder"):
        make_pairs(in_shop, "canny", file)
    out = tmp_path / "pairs"
    make_pairs(in_shop, "canny", out, size=96, limit=1)
    with pytest.raises(PairsError, match="begun with style canny, size 96: go on with that"):
        make_pairs(in_shop, "xdog", out, size=128)
    (out / LOG).write_text("{}\n")
    with pytest.raises(PairsError, match="cannot be understood"):
        make_pairs(in_shop, "canny", out, size=96)


def test_pairs_below_the_photographs_are_not_drawn_from(in_shop: Path) -> None:
    out = in_shop / "pairs"
    assert make_pairs(in_shop, "canny", out, size=96, limit=2).pairs == 2
    assert make_pairs(in_shop, "canny", out, size=96).pairs == 12


def test_refusals(in_shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there are Aiko, .*, canny, xdog"):
        make_pairs(in_shop, "Zeno", tmp_path / "out")
    with pytest.raises(ValueError, match="at least 1, not 0"):
        make_pairs(in_shop, "Aiko", tmp_path / "out", limit=0)
    with pytest.raises(ValueError, match="nowhere cannot be opened"):
        make_pairs(tmp_path / "nowhere", "Aiko", tmp_path / "out")
    with pytest.raises(ValueError, match="besides masks"):
        make_pairs(in_shop / "Anno", "Aiko", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_spread() -> None:
    files = [PurePath(f"{a}/{b}/{i}.jpg") for a, b, n in (("x", "p", 50), ("x", "q", 3), ("y", "r", 40)) for i in range(n)]
    order = spread(files, 24)
    assert sorted(order) == sorted(files) and order == spread(files[::-1], 24) != spread(files, 25)
    first = [str(file.parent) for file in order[:12]]
    assert (first.count("y/r"), first.count("x/p"), first.count("x/q")) == (6, 3, 3)
    # more files elsewhere leave the choice within a folder as it is
    more = spread([*files, *(PurePath(f"z/{i}.jpg") for i in range(9))], 24)
    assert [f for f in more if f.parts[0] == "y"] == [f for f in order if f.parts[0] == "y"]
