"""Strokes traced from drawings whose lines are known, and the SVG of them."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.commands import sketch
from PIL import Image

from fedgai.__main__ import main
from fedgai.evaluation.metrics import boundary_fscore
from fedgai.garments import LINE_TYPES, make
from fedgai.pipeline import SketchPipeline
from fedgai.strokes import Drawing, Stroke, is_hatched, to_picture, to_svg, trace, trace_lines
from fedgai.strokes.bezier import curves
from fedgai.strokes.svg import LIMIT

SIDE = 512
SVG = "{http://www.w3.org/2000/svg}"


def paper(height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def pen(page: np.ndarray, points: list[tuple[float, float]], *, closed: bool = False, width: int = 3) -> np.ndarray:
    """A smooth-edged line through points, drawn on the page."""
    corners = np.rint(np.array(points) * 16).astype(np.int32)
    cv2.polylines(page, [corners], closed, (20, 20, 24), width, cv2.LINE_AA, 4)
    return page


def ring(page: np.ndarray, radius: float, center: tuple[float, float] = (256, 256)) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    return pen(page, [(center[0] + radius * np.cos(t), center[1] + radius * np.sin(t)) for t in turn], closed=True)


def rendered(svg: str) -> np.ndarray:
    """What resvg, another program, draws: (H, W, 3) uint8 on white."""
    resvg_py = pytest.importorskip("resvg_py")
    picture = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, background="white"))))
    return np.asarray(picture.convert("RGB"))


def groups(svg: str) -> dict[str, ET.Element]:
    return {group.get("id", ""): group for group in ET.fromstring(svg).iter(f"{SVG}g")}


def shirt() -> tuple[np.ndarray, np.ndarray]:
    """A sketch of a shirt and its mask, 512 px."""
    outline = [
        (150, 80),
        (210, 100),
        (300, 100),
        (360, 80),
        (470, 170),
        (420, 230),
        (365, 190),
        (370, 450),
        (140, 450),
        (145, 190),
        (90, 230),
        (40, 170),
    ]
    page = pen(paper(), outline, closed=True)
    pen(page, [(255, 102), (255, 448)])
    pen(page, [(290, 230), (340, 230), (340, 290), (290, 290)], closed=True)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [np.array(outline, np.int32)], 255, cv2.LINE_AA)
    return page, mask / np.float32(255)


def test_a_circle_is_one_closed_round_stroke() -> None:
    page = ring(paper(), 120)
    (stroke,) = trace(page).strokes
    assert stroke.closed and not len(stroke.corners)
    radii = np.linalg.norm(stroke.points - 256, axis=1)
    assert np.abs(radii - 120).max() < 0.6  # no staircase, and it did not shrink
    assert np.median(stroke.widths) == pytest.approx((page.min(2) < 128).sum() / (2 * np.pi * 120), abs=0.7)


@pytest.mark.parametrize("side", [512, 768])
@pytest.mark.parametrize("radius", [6, 8, 11])
def test_a_small_ring_keeps_its_size_and_gets_no_corners(radius: int, side: int) -> None:
    (button,) = trace(ring(paper(side, side), radius)).strokes
    assert button.closed and not len(button.corners)
    assert np.linalg.norm(button.points - 256, axis=1).mean() == pytest.approx(radius, abs=0.6)


def test_lines_go_straight_on_through_a_crossing() -> None:
    page = pen(pen(paper(), [(100, 256), (400, 256)]), [(250, 100), (250, 400)])
    strokes = trace(page).strokes
    assert len(strokes) == 2
    spans = sorted(tuple(np.rint(np.ptp(stroke.points, axis=0) / 50).astype(int)) for stroke in strokes)
    assert spans == [(0, 6), (6, 0)]


def test_a_line_that_ends_on_another_touches_it() -> None:
    page = pen(pen(paper(), [(100, 256), (400, 256)]), [(250, 262), (250, 400)])  # 4 px of paper between
    long, short = sorted(trace(page).strokes, key=lambda s: -len(s.points))
    assert len(trace(page).strokes) == 2
    assert np.linalg.norm(short.points[:, None] - long.points[None], axis=2).min() < 1
    assert sorted(short.free) == [False, True] and long.free == (True, True)


def test_a_pocket_keeps_its_four_corners() -> None:
    corners = np.array([(200.0, 200.0), (300, 200), (300, 320), (200, 320)])
    (pocket,) = trace(pen(paper(), corners.tolist(), closed=True)).strokes
    assert pocket.closed and len(pocket.corners) == 4
    found = pocket.points[pocket.corners]
    assert np.linalg.norm(corners[:, None] - found[None], axis=2).min(1).max() < 1.5
    (fitted,) = curves([pocket.points], [True], [pocket.corners], 0.6)
    assert 4 <= len(fitted) <= 8  # few nodes: the sides of a pocket are straight


def test_two_lines_about_to_meet_make_a_collars_point() -> None:
    page = pen(pen(paper(), [(200, 150), (252, 252)]), [(260, 252), (312, 150)])
    (collar,) = trace(page).strokes
    assert len(collar.corners) == 1 and collar.points[collar.corners[0]] == pytest.approx((256, 261), abs=3)


@pytest.mark.parametrize(("gap", "pieces"), [(5, 1), (12, 1), (40, 2)])
def test_a_short_gap_is_closed_and_a_long_one_is_not(gap: int, pieces: int) -> None:
    page = pen(pen(paper(), [(100, 200), (200, 230)]), [(200 + gap, 230 + gap * 0.3), (380, 284)], width=2)
    assert len(trace(page).strokes) == pieces


def test_ends_side_by_side_are_not_joined() -> None:
    page = pen(pen(paper(), [(100, 200), (250, 200)]), [(100, 208), (250, 208)])
    assert len(trace(page).strokes) == 2


def test_specks_are_left_out() -> None:
    page = pen(paper(), [(100, 256), (400, 256)])
    for x in range(60, 460, 20):
        cv2.circle(page, (x, 300), 1, (0, 0, 0), -1)
        pen(page, [(x, 350), (x + 2, 350)])
    assert len(trace(page).strokes) == 1


def test_a_slanting_line_has_no_staircase_and_two_nodes() -> None:
    (stroke,) = trace(pen(paper(), [(60, 200), (460, 251)], width=2)).strokes
    away = np.abs((stroke.points - (60, 200)) @ (-51, 400)) / np.hypot(51, 400)
    assert away.max() < 0.7
    (chain,) = curves([stroke.points], [False], [stroke.corners], 0.6)
    assert len(chain) == 1


def test_width_is_measured_and_a_brush_swells() -> None:
    page = paper()
    for x in range(60, 460):
        cv2.circle(page, (x, 256), round(1 + 5 * np.sin(np.pi * (x - 60) / 400)), (0, 0, 0), -1)
    drawing = trace(page)
    (stroke,) = drawing.strokes
    assert drawing.swelling and stroke.widths.max() == pytest.approx(13, abs=1.5) and stroke.widths[[0, -1]].max() < 6
    svg = groups(to_svg(drawing))
    assert svg["line"].get("stroke") is None  # an outline, filled
    assert "display:none" in svg["centre-lines"].get("style", "")
    assert boundary_fscore(rendered(to_svg(drawing)), page) > 0.9


def test_colour_is_the_pens() -> None:
    page = pen(paper(), [(100, 256), (400, 300)], width=4)
    page[page.min(2) < 255] = (148, 40, 23)
    assert trace(page).color == (148, 40, 23)
    assert 'stroke="#942817"' in to_svg(trace(page))


def test_silhouette_is_closed_though_its_line_is_broken() -> None:
    page, mask = shirt()
    page[300:380, 360:380] = 255
    drawing = trace(page, mask)
    (silhouette,) = drawing.of_kind("silhouette")
    assert silhouette.closed
    ink = rendered(to_svg(Drawing(drawing.size, (silhouette,)))).min(2) < 160
    _, areas = cv2.connectedComponents((~ink).astype(np.uint8), connectivity=4)
    assert areas[0, 0] != areas[200, 200]


@pytest.mark.parametrize("faint", [False, True])
def test_silhouette_of_a_garment_that_leaves_the_picture_is_closed(faint: bool) -> None:
    mask, page = np.zeros((SIDE, SIDE), np.float32), paper()
    mask[100:, :400] = 1
    pen(page, [(0, 100), (400, 100), (400, 511)], width=1)
    if faint:
        page = 255 - (255 - page) // 3
        pen(page, [(200, 200), (300, 300)])
    (silhouette,) = trace(page, mask).of_kind("silhouette")
    ink = rendered(to_svg(Drawing((SIDE, SIDE), (silhouette,)))).min(2) < 160
    _, areas = cv2.connectedComponents(np.pad(~ink, 1, constant_values=True).astype(np.uint8), connectivity=4)
    assert areas[0, 0] != areas[300, 200]


def test_silhouette_follows_the_line_rather_than_the_mask() -> None:
    page, mask = shirt()
    moved = np.roll(mask, 4, axis=1)
    (silhouette,) = trace(page, moved).of_kind("silhouette")
    hem = silhouette.points[(silhouette.points[:, 1] > 250) & (silhouette.points[:, 1] < 400)]
    assert np.minimum(np.abs(hem[:, 0] - 143), np.abs(hem[:, 0] - 368)).max() < 3


def test_hatching_is_apart_from_lines() -> None:
    page, mask = shirt()
    lines = page.copy()
    for start in range(160, 300, 7):
        pen(page, [(start, 400), (start + 80, 320)], width=1)
    assert is_hatched(page, lines) and not is_hatched(lines, lines)
    drawing = trace(page, mask, lines=lines)
    hatching = drawing.of_kind("hatching")
    assert 18 <= len(hatching) <= 32
    along = np.array([stroke.points[-1] - stroke.points[0] for stroke in hatching])
    assert np.abs(np.degrees(np.arctan2(-along[:, 1], along[:, 0])) % 180 - 45).max() < 4
    assert len(trace(lines, mask).strokes) == len(drawing.strokes) - len(hatching)
    assert boundary_fscore(rendered(to_svg(drawing)), page) > 0.92


def test_stipple_is_dots() -> None:
    page, mask = shirt()
    lines, places = page.copy(), [(x + (y % 3), y) for x in range(170, 240, 9) for y in range(250, 400, 9)]
    for x, y in places:
        cv2.circle(page, (x * 16, y * 16), 24, (20, 20, 24), -1, cv2.LINE_AA, 4)
    drawing = trace(page, mask, lines=lines)
    assert len(drawing.dots) == len(places) and drawing.dots[:, 2].mean() == pytest.approx(4, abs=0.8)
    assert not drawing.of_kind("hatching")


def test_tone_is_washes_below_the_lines() -> None:
    page, mask = shirt()
    tone = cv2.GaussianBlur((np.hypot(*(np.mgrid[0:SIDE, 0:SIDE] - np.array([300, 200])[:, None, None])) < 70) * 90.0, (0, 0), 8)
    toned = (page * (1 - tone[..., None] / 255)).astype(np.uint8)
    drawing = trace(toned, mask)
    assert drawing.washes and len(drawing.strokes) == len(trace(page, mask).strokes)
    layers = list(groups(to_svg(drawing)))
    assert layers.index("tone") < layers.index("line") < layers.index("silhouette")
    assert np.abs(rendered(to_svg(drawing))[300, 200].astype(int) - toned[300, 200]).max() < 40


def test_types_say_what_a_line_is_and_stitches_are_dashed() -> None:
    page, mask = shirt()
    types = np.zeros((len(LINE_TYPES), SIDE, SIDE), np.float32)
    cv2.line(types[LINE_TYPES.index("seam")], (255, 102), (255, 448), 1, 3)
    cv2.rectangle(types[LINE_TYPES.index("topstitch")], (290, 230), (340, 290), 1, 3)
    drawing = trace(page, mask, types=types)
    assert {stroke.kind for stroke in drawing.strokes} == {"silhouette", "seam", "topstitch"}
    layers = groups(to_svg(drawing))
    assert all("stroke-dasharray" in path.attrib for path in layers["topstitch"])
    assert not any("stroke-dasharray" in path.attrib for path in layers["seam"])


@pytest.mark.parametrize("kind", ["shirt", "jeans"])
def test_true_line_maps_become_typed_strokes(kind: str) -> None:
    garment = make(5, 512, kind)
    types = garment.lines / np.float32(255)
    drawing = trace_lines(types, garment.alpha / np.float32(255))
    assert all(stroke.closed for stroke in drawing.of_kind("silhouette"))
    truth, drawn = np.full((2, *garment.alpha.shape), 255, np.uint8)
    truth[garment.lines.max(0) > 127] = 0
    drawn[to_picture(drawing).min(2) < 128] = 0
    assert boundary_fscore(drawn, truth, 2) > 0.95
    for i, name in enumerate(LINE_TYPES[1:], 1):
        if (garment.lines[i] > 127).sum() > 400:
            assert drawing.of_kind(name), name


def test_svg_is_valid_and_close_to_the_sketch() -> None:
    page, mask = shirt()
    svg = to_svg(trace(page, mask), 'a <b> & "c"\x00', "two\nlines ]]>")
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg" and root.get("viewBox") == "0 0 512 512"
    assert root.findtext(f"{SVG}title") == 'a <b> & "c"' and root.findtext(f"{SVG}desc") == "two\nlines ]]>"
    assert boundary_fscore(rendered(svg), page) > 0.97
    assert "paper" in groups(svg) and "paper" not in groups(to_svg(trace(page, mask), paper=False))
    numbers = re.findall(r'd="([^"]*)"', svg)
    assert sum(path.count("c") + path.count("l") for path in numbers) < 60  # few nodes


def test_own_raster_agrees_with_another_programs() -> None:
    page, mask = shirt()
    drawing = trace(page, mask)
    assert np.abs(to_picture(drawing).astype(int) - rendered(to_svg(drawing))).mean() < 1.5


def test_the_same_drawing_gives_the_same_bytes() -> None:
    page, mask = shirt()
    assert to_svg(trace(page, mask)) == to_svg(trace(page.copy(), mask.copy()))


@pytest.mark.parametrize("name", ["white", "black", "grey", "noise", "fine noise", "squares", "one pixel"])
def test_hostile_pictures_end_in_a_small_document(name: str) -> None:
    side, rng = 1024, np.random.default_rng(24)
    pages = {
        "white": paper(side, side),
        "black": paper(side, side) * 0,
        "grey": paper(side, side) // 2,
        "noise": cv2.resize(rng.integers(0, 256, (256, 256, 3), np.uint8), (side, side)),
        "fine noise": rng.integers(0, 256, (side, side, 3), np.uint8),
        "squares": np.uint8(np.indices((side, side)).sum(0) // 8 % 2 * 255)[..., None].repeat(3, 2),
        "one pixel": paper(side, side),
    }
    pages["one pixel"][500, 500] = 0
    page = pages[name]
    for mask in (
        None,
        np.zeros((side, side), np.float32),
        np.ones((side, side), np.float32),
        rng.random((side, side), np.float32),
    ):
        drawing = trace(page, mask)
        svg = to_svg(drawing)
        assert len(svg.encode()) <= LIMIT and ET.fromstring(svg).get("viewBox") == "0 0 1024 1024"
        assert all(np.isfinite(stroke.points).all() and np.isfinite(stroke.widths).all() for stroke in drawing.strokes)
        if name in ("white", "one pixel") and mask is None:
            assert not drawing.strokes


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (paper(8, 40), "16 to 2048 px, not 40 x 8"),
        (paper(20, 3000), "not 3000 x 20"),
        (paper()[..., 0], r"\(H, W, 3\) uint8"),
        (paper() / 255.0, "float64"),
    ],
)
def test_pictures_that_are_no_drawings_are_refused_with_a_sentence(page: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        trace(page)


def test_layers_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="mask of this drawing should have the shape"):
        trace(paper(), np.zeros((100, 100), np.float32))


@pytest.mark.parametrize("value", [255, -1, np.nan])
def test_masks_beyond_0_to_1_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        trace(paper(), np.full((SIDE, SIDE), value, np.float32))


def test_size_is_bounded_and_the_silhouette_stays() -> None:
    line = np.stack([np.linspace(5, 500, 400), 250 + 9 * np.sin(np.linspace(0, 120, 400))], 1)
    many = [Stroke("line", line + np.array([0, i / 20]), np.full(400, 1.5)) for i in range(400)]
    outline = Stroke("silhouette", np.array([(5.0, 5), (500, 5), (500, 500), (5, 500)]), np.full(4, 2.0), True)
    svg = to_svg(Drawing((512, 512), (*many, outline)))
    assert len(svg.encode()) <= LIMIT and 10 < len(groups(svg)["line"]) < 400 and len(groups(svg)["silhouette"]) == 1


def test_curves_stay_within_the_tolerance_and_meet_smoothly() -> None:
    t = np.linspace(0, 3 * np.pi, 300)
    line = np.stack([20 * t, 60 * np.sin(t)], 1)
    (chain,) = curves([line], [False], [np.zeros(0, int)], 0.5)
    u = np.linspace(0, 1, 200)[:, None]
    drawn = np.concatenate(
        [(1 - u) ** 3 * c[0] + 3 * u * (1 - u) ** 2 * c[1] + 3 * u**2 * (1 - u) * c[2] + u**3 * c[3] for c in chain]
    )
    assert np.linalg.norm(line[:, None] - drawn[None], axis=2).min(1).max() < 0.55
    assert np.array_equal(chain[1:, 0], chain[:-1, 3])
    leave, arrive = chain[1:, 1] - chain[1:, 0], chain[:-1, 3] - chain[:-1, 2]
    cosine = (leave * arrive).sum(1) / np.linalg.norm(leave, axis=1) / np.linalg.norm(arrive, axis=1)
    assert cosine.min() > 0.999 and len(chain) < 12


def test_pipeline_gives_strokes_on_demand(tiny_model_dir: Path, garment_photo: Path) -> None:
    pipe = SketchPipeline.from_pretrained(tiny_model_dir)
    drawn = pipe(str(garment_photo), {"Ada Line": 1, "Coco Blot": 1}, size=128)
    drawing = drawn.strokes()
    assert drawing.size == drawn.images[0].size
    assert [stroke.closed for stroke in drawing.of_kind("silhouette")] == [True]
    sketch, lines = pipe.layers(drawn.contents[0], {"Ada Line": 1, "Coco Blot": 1})
    assert np.array_equal(sketch, np.asarray(drawn.images[0])) and (lines >= sketch).all()


def test_pipeline_says_what_a_line_is_where_the_draughtsman_saw_it(
    tiny_model_dir: Path, garment_photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = SketchPipeline.from_pretrained(tiny_model_dir)
    content = pipe.prepare(str(garment_photo), 128)
    page = pen(paper(128, content.size[0]), [(40, 50), (60, 90)], width=1)  # an untrained hand might draw no line at all
    monkeypatch.setattr(pipe, "layers", lambda *_, **__: (page, page))
    for i, kind in enumerate(LINE_TYPES[1:], 1):
        types = np.zeros((len(LINE_TYPES), 64, 51), np.uint8)
        types[i] = 255
        drawing = pipe.trace(replace(content, types=types), {"Bruno Hatch": 1})
        assert {stroke.kind for stroke in drawing.strokes} - {"hatching"} == {"silhouette", kind}


def test_cli_writes_svg(tiny_model_dir: Path, garment_photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "shirt.SVG"
    assert sketch(garment_photo, tiny_model_dir, out, "Ada Line") == 0
    root = ET.fromstring(out.read_text())
    assert root.get("viewBox") == "0 0 77 96" and "Ada Line" in (root.findtext(f"{SVG}desc") or "")


def test_cli_refuses_an_unknown_ending_before_it_draws(
    tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("out.xyz", "out", "out.svg.zip"):
        assert (
            main(["sketch", "nothing.jpg", "--style", "Ada Line", "--model", str(tiny_model_dir), "--out", str(tmp_path / name)])
            == 2
        )
        message = capsys.readouterr().err
        assert message.count("\n") == 1 and ".svg" in message and name in message
    assert not list(tmp_path.iterdir())
