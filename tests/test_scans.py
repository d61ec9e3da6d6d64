"""Sheets with several drawings, made here with their places and angle known: yellow, shaded, turned, on a table."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.garment_picture import draw_garment
from PIL import Image

from fedgai.ateliers import ATELIERS, draw
from fedgai.content import fit_and_cut
from fedgai.data.pairs import PairsError
from fedgai.data.scans import MARGIN, Layout, find, prepare_scans, preview, split

WIDTH, HEIGHT = 1200, 900
PLACES = [(110, 70), (480, 60), (850, 80), (110, 480), (490, 490), (860, 470)]
HANDS = ["Aiko", "Bruno", "Celeste", "Dara", "Emeka", "Hana"]


@pytest.fixture(scope="module")
def garments() -> list[np.ndarray]:
    """The shirt in six hands, (H, W, 3) uint8 each, cropped to the ink."""
    photo, mask = fit_and_cut(draw_garment(), 360)
    drawn = []
    for name in HANDS:
        sketch = draw(np.asarray(photo), ATELIERS[name], mask=mask)
        ink = sketch.min(2) < 200
        rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
        drawn.append(sketch[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return drawn


def page(garments: list[np.ndarray], count: int = 6) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """A sheet, and each drawing's box; with page number, note, dust and punched holes."""
    sheet = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    boxes = []
    for (x, y), garment in zip(PLACES[:count], garments, strict=False):
        h, w = garment.shape[:2]
        sheet[y : y + h, x : x + w] = garment
        boxes.append((x, y, x + w, y + h))
    cv2.putText(sheet, "12", (1120, 870), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 30), 2)
    cv2.putText(sheet, "wool, lined", (120, 880), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (60, 60, 90), 1)
    for y in (330, 570):
        cv2.circle(sheet, (40, y), 12, (20, 20, 20), -1)
    for x, y in np.random.default_rng(24).integers((80, 430), (1150, 455), (25, 2)).tolist():
        cv2.circle(sheet, (x, y), 1, (50, 50, 50), -1)
    return sheet, boxes


def photograph(sheet: np.ndarray, angle: float, table: bool) -> tuple[Image.Image, np.ndarray]:
    """The sheet on yellow paper, in uneven light, turned clockwise; and the homography from its px to the picture's.

    With a table it lies on that, slanted, and all of it is seen; without, no edge is.
    """
    rng, (h, w) = np.random.default_rng(7), sheet.shape[:2]
    y, x = np.mgrid[0:h, 0:w] / np.array([h, w])[:, None, None]
    light = np.clip(0.95 - 0.3 * x * y - 0.12 * np.sin(5 * x + 2 * y) ** 2, 0, 1)[..., None] * (1, 0.95, 0.82)
    lit = np.float32(sheet * light + rng.normal(0, 2.5, sheet.shape))
    corners = np.float32([[0, 0], [w, 0], [w, h], [0, h]])
    a = np.deg2rad(angle)
    turned = (corners - (w / 2, h / 2)) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    size = (1500, 1250)
    if table:
        turned = 0.9 * turned * (1 + 0.1 * turned[:, 1:] / h)
    matrix = cv2.getPerspectiveTransform(corners, np.float32(turned + np.array(size) / 2))
    if not table:
        return Image.fromarray(
            np.uint8(cv2.warpPerspective(lit, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).clip(0, 255))
        ), matrix
    ground = np.full((size[1], size[0], 3), (110, 85, 60), np.float32) + rng.normal(0, 6, (size[1], size[0], 1))
    cover = cv2.warpPerspective(np.ones((h, w), np.float32), matrix, size)[..., None]
    seen = cv2.warpPerspective(lit, matrix, size, flags=cv2.INTER_CUBIC)
    return Image.fromarray(np.uint8((seen + ground * (1 - cover)).clip(0, 255))), matrix


def quad(box: tuple[int, ...], matrix: np.ndarray) -> np.ndarray:
    left, top, right, bottom = box
    points = np.float64([[[left, top], [right, top], [right, bottom], [left, bottom]]])
    return np.float32(cv2.perspectiveTransform(points, matrix)[0])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two convex quadrilaterals."""
    both = cv2.intersectConvexConvex(a, b)[0]
    return both / (cv2.contourArea(a) + cv2.contourArea(b) - both)


@pytest.mark.parametrize("table", [False, True], ids=["scan", "phone"])
@pytest.mark.parametrize("angle", [0, 4.4, -11.3])
def test_drawings_are_found_where_they_are(garments: list[np.ndarray], angle: float, table: bool) -> None:
    sheet, boxes = page(garments)
    picture, matrix = photograph(sheet, angle, table)
    layout = find(picture)
    assert abs(layout.angle - angle) < 0.5 and (layout.corners is not None) == table
    assert [b.drawing for b in layout.boxes] == [1, 2, 3, 4, 5, 6]
    back = np.linalg.inv(layout.upright()[0])
    for found, true in zip(layout.boxes, boxes, strict=True):  # both in reading order
        assert overlap(quad(found.box, back), quad(true, matrix)) > 0.85

    drawings = split(picture, layout)
    for drawing, true, garment in zip(drawings, boxes, garments, strict=True):
        white = np.asarray(drawing.image)
        assert np.median(white[[0, -1]]) >= 250 and np.median(white[:, [0, -1]]) >= 250
        assert overlap(np.float32(drawing.outline), quad(true, matrix)) > 0.6  # with its margin
        assert drawing.angle == layout.angle
        width, height = (edge - 2 * MARGIN * max(layout.upright()[1]) for edge in drawing.image.size)
        assert width / height == pytest.approx(garment.shape[1] / garment.shape[0], rel=0.06)
    wash = np.asarray(drawings[5].image).astype(int)
    wash = wash[len(wash) // 2 - 20 :][:40, wash.shape[1] // 2 - 20 :][:, :40]
    assert wash[..., 2].mean() - wash[..., 0].mean() > 25  # a blue wash is not a shadow


def test_paper_is_white_and_holes_are_no_drawings(garments: list[np.ndarray]) -> None:
    picture, _ = photograph(page(garments, 3)[0], 2, False)
    layout = find(picture)
    sheet = np.asarray(preview(picture, layout))
    assert len(layout.boxes) == 3 and np.median(sheet) >= 250 and (sheet.min(2) > 245).mean() > 0.85


@pytest.mark.parametrize("table", [False, True], ids=["scan", "phone"])
def test_light_drawings_on_a_dark_sheet_are_turned(garments: list[np.ndarray], tmp_path: Path, table: bool) -> None:
    sheet, boxes = page(garments[:2], 2)
    picture, matrix = photograph(255 - np.uint8(0.85 * sheet), 0, False)
    if table:  # a light one
        pixels = np.full((1600, 1900, 3), (205, 190, 170), np.uint8)
        pixels[175:1425, 200:1700] = np.asarray(picture)
        picture, matrix = Image.fromarray(pixels), np.array([[1, 0, 200], [0, 1, 175], [0, 0, 1]]) @ matrix
    layout = find(picture)
    assert (layout.corners is not None) == table
    back = np.linalg.inv(layout.upright()[0])
    for found, true in zip(layout.boxes, boxes, strict=True):
        assert overlap(quad(found.box, back), quad(true, matrix)) > 0.85
    for drawing in split(picture, layout):
        white = np.asarray(drawing.image)
        assert np.median(white[[0, -1]]) >= 250 and white.min() < 60
    (tmp_path / "in").mkdir()
    picture.save(tmp_path / "in" / "night.png")
    scans = prepare_scans(tmp_path / "in", tmp_path / "out")
    assert len(scans.drawings) == 2 and "light on dark paper" in str(scans)


@pytest.mark.parametrize("color", [255, 0, 128])
def test_a_sheet_without_drawings(color: int) -> None:
    for size in ((40, 32), (900, 1200)):
        assert split(Image.new("RGB", size, (color,) * 3)) == []
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    split(Image.fromarray(noise))  # whatever it finds


def test_strokes_within_a_drawing_belong_to_it_and_a_neighbour_is_left_out() -> None:
    sheet = np.full((900, 1200, 3), 255, np.uint8)
    cv2.polylines(sheet, [np.array([[100, 100], [400, 100], [400, 150], [300, 600], [100, 600]])], True, (0, 0, 0), 3)
    cv2.line(sheet, (200, 250), (200, 400), (0, 0, 0), 3)  # a fold that touches nothing
    cv2.polylines(sheet, [np.array([[430, 400], [340, 700], [700, 700], [600, 400]])], True, (0, 0, 0), 3)
    layout = find(Image.fromarray(sheet), Layout((1200, 900)))
    assert len(layout.boxes) == 2 and layout.angle == 0
    first = np.asarray(split(Image.fromarray(sheet), layout)[0].image)
    ((left, top, _, _),) = [d.box for d in split(Image.fromarray(sheet), layout)][:1]
    assert first[320 - top, 200 - left].max() < 60  # the fold
    assert (first[590 - top :, 345 - left :] > 250).all()  # the other skirt's hem, which reaches into this box


# -- corrections -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(garments: list[np.ndarray], tmp_path: Path) -> Path:
    scans = tmp_path / "scans"
    scans.mkdir()
    Image.fromarray(page(garments)[0]).save(scans / "Größe 38, été.png")
    return scans


def files(out: Path) -> list[str]:
    return sorted(file.name for file in (out / "sketches").iterdir())


def test_corrections_are_honoured(folder: Path, tmp_path: Path) -> None:
    out, heard = tmp_path / "cut", []
    report = prepare_scans(folder, out, lambda *step: heard.append(step))
    assert heard == [(0, 1, folder / "Größe 38, été.png")] and not report.bad
    assert files(out) == [f"Größe 38, été-{i:02d}.png" for i in range(1, 7)]
    assert report.drawings == [out / "sketches" / name for name in files(out)]
    assert (out / "previews" / "Größe 38, été.jpg").stat().st_size > 1000 and "6 drawings on 1 sheet" in str(report)

    beside = folder / "Größe 38, été.json"
    layout = json.loads(beside.read_text(encoding="utf-8"))
    layout["boxes"][0]["keep"] = False
    layout["boxes"][2]["drawing"] = 2  # with its left neighbour
    layout["boxes"][5]["box"] = [900, 500, 1000, 560]  # a part only
    beside.write_text(json.dumps(layout), encoding="utf-8")
    before = beside.read_bytes()
    report = prepare_scans(folder, out)
    assert beside.read_bytes() == before and not report.bad + report.notes
    assert len(files(out)) == 4 and not list(out.rglob("*.new"))
    sizes = [Image.open(file).size for file in report.drawings]
    assert sizes[0][0] > 600 and sizes[3] == (136, 96)

    layout["boxes"] = None
    beside.write_text(json.dumps(layout), encoding="utf-8")
    assert len(prepare_scans(folder, out).drawings) == 6


SIZE = '"size": [9, 9], "angle"'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"boxes": [{"box": [1, 2]}]}',
        f'{{{SIZE}: "x"}}',
        f'{{{SIZE}: 1e999, "corners": null, "boxes": null}}',
        f'{{{SIZE}: 0, "corners": [[0, 0]], "boxes": null}}',
        f'{{{SIZE}: 0, "corners": [[0, 0], [1e6, 0], [1e6, 1e6], [0, 1e6]], "boxes": null}}',
        f'{{{SIZE}: 0, "corners": null, "boxes": [{{"box": [-1e300, 0, 1e300, 9], "drawing": 1}}]}}',
        "[" * 100_000,
        f'{{{SIZE}: 0, "corners": null, "boxes": [{{"box": [1], "drawing": 1}}]}}',
    ],
)
def test_a_correction_that_cannot_be_understood_is_named_and_kept(folder: Path, tmp_path: Path, text: str) -> None:
    beside = folder / "Größe 38, été.json"
    beside.write_text(text)
    report = prepare_scans(folder, tmp_path / "cut")
    ((file, reason),) = report.bad
    assert file == beside and "cannot be understood" in reason and beside.read_text() == text and not report.drawings


def test_a_new_scan_under_an_old_name_is_looked_at_anew(folder: Path, garments: list[np.ndarray], tmp_path: Path) -> None:
    prepare_scans(folder, tmp_path / "cut")
    Image.fromarray(page(garments, 2)[0]).save(folder / "Größe 38, été.png")
    report = prepare_scans(folder, tmp_path / "cut")
    assert len(files(tmp_path / "cut")) == 2 and "another picture" in str(report)


def test_bad_scans_are_named_and_the_others_cut(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("buy zips")
    (folder / "older").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop.png")
    Image.new("1", (30_000, 64)).save(folder / "wide.tiff")
    for name in ("twice.png", "twice.jpg"):
        Image.new("RGB", (64, 64), "white").save(folder / name)
    Image.new("RGB", (300, 200), "white").save(folder / "blank.png")
    report = prepare_scans(folder, tmp_path / "cut")
    reasons = {file.name: reason for file, reason in report.bad}
    assert reasons.keys() == {"loop.png", "wide.tiff", "twice.png", "twice.jpg"}
    assert "notes.txt (not pictures)" in str(report)
    assert "circle" in reasons["loop.png"] and "scale it down" in reasons["wide.tiff"]
    assert len(report.drawings) == 6 and [file.name for file, _ in report.notes] == ["blank.png"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_is_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(code, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(PairsError) as refusal:
        prepare_scans(folder, tmp_path / "cut")
    assert "No space left" in str(refusal.value) and "\n" not in str(refusal.value)
    with pytest.raises(PairsError, match="cannot be opened"):
        prepare_scans(tmp_path / "nowhere", tmp_path / "cut")


def test_a_drawing_that_was_there_before_is_left_alone(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "sketches" / "Größe 38, été-back.png"
    own.parent.mkdir()
    Image.new("RGB", (64, 64)).save(own)
    with pytest.raises(PairsError, match="another kind"):
        prepare_scans(folder, tmp_path)
    own.rename(tmp_path / "elsewhere.png")
    prepare_scans(folder, tmp_path)
    (tmp_path / "elsewhere.png").rename(own)
    prepare_scans(folder, tmp_path)
    assert own.exists()


def test_a_scan_whose_name_is_no_text(folder: Path, tmp_path: Path) -> None:
    try:
        (folder / "Größe 38, été.png").rename(folder / "caf\udce9.png")
    except OSError:
        pytest.skip("this file system takes text only")
    assert len(prepare_scans(folder, tmp_path / "cut").drawings) == 6
