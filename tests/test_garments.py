"""Procedural garments: the same for a seed, and their ground truth agrees with their pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from fedgai.__main__ import main
from fedgai.errors import FedGAIError
from fedgai.garments import KINDS, LINE_TYPES, Garment, dye, make
from fedgai.garments.fabric import chosen, patterns
from fedgai.garments.writing import PLANES, write_garments


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws(kind: str) -> None:
    garment = make(3, 256, kind)
    picture = dye(garment, np.random.default_rng(4))
    h, w = garment.alpha.shape
    assert max(h, w) == 256 and picture.photo.shape == (h, w, 3) and picture.photo.dtype == np.uint8
    assert picture.lines.shape == (len(LINE_TYPES), h, w)
    assert 0.06 < (garment.alpha > 127).mean() < 0.95
    assert picture.lines[0].any() and garment.light.max() < 4 and garment.light.min() >= 0


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = make(5, 256), make(5, 256), make(6, 256)
    assert first.light.tobytes() == again.light.tobytes() and first.lines.tobytes() == again.lines.tobytes()
    assert first.alpha.tobytes() != other.alpha.tobytes()
    photos = [dye(first, np.random.default_rng(seed)).photo.tobytes() for seed in (1, 1, 2)]
    assert photos[0] == photos[1] != photos[2]


def test_a_garment_is_read_as_it_was_written(tmp_path: Path) -> None:
    garment = make(7, 256)
    garment.save(tmp_path / "garment.npz")
    read = Garment.load(tmp_path / "garment.npz")
    assert read.kind == garment.kind and read.roles == garment.roles and read.uv.tobytes() == garment.uv.tobytes()
    assert [(k, p.tobytes(), c) for k, p, c in read.vectors] == [(k, p.tobytes(), c) for k, p, c in garment.vectors]


def saved(path: Path, **changes: np.ndarray) -> Path:
    """A garment's file with some of its arrays replaced."""
    make(7, 128).save(path)
    with np.load(path) as file:
        arrays = dict(file) | changes
    np.savez(path, **arrays)
    return path


def facts_with(path: Path, **changes: object) -> np.ndarray:
    make(7, 128).save(path)
    with np.load(path) as file:
        facts = json.loads(file["facts"].tobytes()) | changes
    return np.frombuffer(json.dumps(facts).encode(), np.uint8)


@pytest.mark.parametrize("harm", ["text", "cut", "pickle", "shape", "type", "vectors", "roles", "extra", "bomb"])
def test_a_file_of_something_else_is_refused(harm: str, tmp_path: Path) -> None:
    file = tmp_path / "other.npz"
    if harm == "text":
        file.write_bytes(b"no garment")
    elif harm == "cut":
        file.write_bytes(saved(file).read_bytes()[:-400])
    elif harm == "pickle":
        saved(file, alpha=np.array([{"a": 1}], dtype=object))
    elif harm == "shape":
        saved(file, lines=np.zeros((5, 128, 96), np.uint8))
    elif harm == "type":
        saved(file, uv=np.zeros((128, 96, 2), np.float64))
    elif harm == "vectors":
        saved(file, facts=facts_with(file, vectors=[["seam", 10**9, False]]))
    elif harm == "roles":
        saved(file, facts=facts_with(file, roles=["", "main"]))
    elif harm == "extra":
        saved(file, facts=facts_with(file, owner="me"))
    else:
        np.savez_compressed(file, alpha=np.zeros((2**15, 2**14), np.uint8))
    with pytest.raises(FedGAIError, match=r"other\.npz is not a garment that Garment\.save wrote") as refusal:
        Garment.load(file)
    assert ("too large" in str(refusal.value)) == (harm == "bomb")


def test_a_background_that_is_no_picture_is_refused() -> None:
    with pytest.raises(FedGAIError, match="a background is a colour picture"):
        dye(make(7, 128), np.random.default_rng(0), np.zeros((9, 9), np.uint8))


def test_the_command_writes_pictures_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "garments"
    order = ["garments", "--seed", "3", "--size", "160", "--out", str(folder)]
    assert main([*order, "--count", "2"]) == 0
    first = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert main([*order, "--count", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("1 garments made, 2 were there")
    assert all(path.read_bytes() == content for path, content in first.items())
    facts = json.loads((folder / "vectors" / "000002.json").read_text())
    mask = cv2.imread(str(folder / "masks" / "000002.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (facts["height"], facts["width"]) and {line["type"] for line in facts["lines"]} <= set(LINE_TYPES)
    assert len(list(folder.rglob("000002.*"))) == 2 + len(PLANES)


def test_workers_write_the_same_pictures(tmp_path: Path) -> None:
    write_garments(3, 5, tmp_path / "one", 160)
    write_garments(3, 5, tmp_path / "two", 160, workers=2)
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["--count", "0"], "The number of garments is 1 to 1,000,000, not 0"),
        (["--count", "1", "--size", "9000"], "128 to 2048 pixels, not 9000"),
        (["--count", "1", "--kind", "hat"], "There is no garment 'hat'; choose one of t-shirt"),
        (["--count", "1", "--seed", "-1"], "A seed is a whole number"),
        (["--count", "1", "--workers", "0"], "Choose 1 to 64 workers"),
    ],
)
def test_the_command_refuses_in_one_line(
    order: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["garments", "--out", str(tmp_path / "out"), *order]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(FedGAIError, match="is not empty"):
        write_garments(1, 0, tmp_path, 160)
    write_garments(1, 0, tmp_path / "new", 160)
    with pytest.raises(FedGAIError, match="another seed, size or kind"):
        write_garments(1, 1, tmp_path / "new", 160)


@pytest.fixture(scope="module")
def garments() -> list[Garment]:
    return [make(seed, 384, kind) for seed, kind in enumerate(("shirt", "coat", "jeans", "dress", "hoodie", "skirt"), 40)]


def test_the_silhouette_is_closed_and_at_the_masks_border(garments: list[Garment]) -> None:
    for garment in garments:
        rings = [points for kind, points, closed in garment.vectors if kind == "silhouette" and closed]
        assert len(rings) == sum(kind == "silhouette" for kind, _, _ in garment.vectors) > 0
        filled = np.zeros(garment.alpha.shape, np.uint8)
        cv2.fillPoly(filled, [np.round(ring * 16).astype(np.int32) for ring in rings], (1,), cv2.LINE_8, 4)
        apart = filled.astype(bool) != (garment.alpha > 127)  # fillPoly adds the border's own pixels
        border = cv2.morphologyEx((garment.alpha > 127).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        assert not (apart & ~border).any()


def test_inner_lines_lie_on_the_garment(garments: list[Garment]) -> None:
    for garment in garments:
        inner = np.round(np.vstack([points for kind, points, _ in garment.vectors if kind != "silhouette"])).astype(int)
        assert len(inner) > 100 and (garment.alpha[inner[:, 1], inner[:, 0]] > 127).mean() > 0.98


def test_vectors_drawn_again_are_the_pixels(garments: list[Garment]) -> None:
    for garment in garments:
        for plane, kind in zip(garment.lines, LINE_TYPES, strict=True):
            height, width = plane.shape
            page = Image.new("L", (width, height))
            for _, points, closed in (vector for vector in garment.vectors if vector[0] == kind):
                ring = np.vstack([points, points[:1]]) if closed else points
                ImageDraw.Draw(page).line([(float(x), float(y)) for x, y in ring], 255, 1)
            drawn, there = np.asarray(page) > 0, plane > 127
            for one, other in ((drawn, there), (there, drawn)):
                away = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, 5)
                assert not one.any() or np.quantile(away[one], 0.99) <= 2


def test_the_size_changes_the_pixels_and_not_the_garment() -> None:
    small, large = make(9, 256, "jacket"), make(9, 512, "jacket")
    shrunk = cv2.resize(large.alpha, small.alpha.shape[::-1], interpolation=cv2.INTER_AREA)
    a, b = small.alpha > 127, shrunk > 127
    assert (a & b).sum() / (a | b).sum() > 0.96


@pytest.mark.parametrize("pattern", patterns())
def test_print_edges_are_where_the_print_is_and_not_on_lines(pattern: str, garments: list[Garment]) -> None:
    pictures = [dye(garment, np.random.default_rng(8), pattern=pattern) for garment in garments]
    assert {picture.pattern for picture in pictures} == {pattern}
    edges = np.concatenate([picture.print_edges.ravel() > 127 for picture in pictures])
    inside = np.concatenate([picture.alpha.ravel() > 127 for picture in pictures])
    drawn = np.concatenate([picture.lines[:3].max(0).ravel() > 127 for picture in pictures])
    assert not edges[~inside].any()
    if pattern == "plain":
        assert not edges.any()
    elif pattern != "abstract":  # colours that run into each other have no edges to speak of
        assert edges.sum() > 0.002 * inside.sum()
        assert (edges & drawn).sum() < 0.12 * edges.sum()  # where a print crosses a seam both are true


def test_tone_knows_no_print_and_nothing_of_the_background(garments: list[Garment]) -> None:
    first, second = (dye(garments[1], np.random.default_rng(seed), pattern=p) for seed, p in ((1, "check"), (2, "flowers")))
    assert (first.tone == second.tone).all() and (first.photo != second.photo).any()
    assert (first.tone[first.alpha == 0] == 255).all() and first.tone[first.alpha == 255].std() > 5


def test_a_background_that_is_given_is_seen(garments: list[Garment]) -> None:
    red = np.full((50, 90, 3), (200, 20, 20), np.uint8)
    for garment in garments:
        photo = dye(garment, np.random.default_rng(3), red).photo
        away = cv2.dilate(garment.cover, np.ones((61, 61), np.uint8)) == 0
        if away.sum() > 500:
            assert photo[away][:, 0].mean() > photo[away][:, 1:].mean() + 60


def test_hangers_tags_and_hands_are_no_part_of_the_garment() -> None:
    hanging = next(g for g in (make(seed, 256, "t-shirt") for seed in range(60)) if "hanger" in g.roles)
    props = np.isin(hanging.parts, [i for i, role in enumerate(hanging.roles) if role == "hanger"])
    assert props.any() and (hanging.alpha[props] < 128).all() and (hanging.cover[props] > 127).all()


def test_about_a_third_is_plain() -> None:
    rng = np.random.default_rng(0)
    assert 0.28 < np.mean([chosen(rng) == "plain" for _ in range(2000)]) < 0.4
    with pytest.raises(FedGAIError, match="there is no pattern 'tartans'; choose one of plain"):
        dye(make(1, 128), rng, pattern="tartans")
