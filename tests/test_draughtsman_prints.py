"""The draughtsman's lesson about prints: dyed clothes whose lines stay what they were, and a network that learns to see so."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment
from PIL import Image

from fedgai.draughtsman import Draughtsman, Network, Seen
from fedgai.garments import make
from fedgai.line_types import LINE_TYPES
from fedgai.pipeline import SketchPipeline
from fedgai.training import draughtsman_prints, dyeing, pages
from fedgai.training.draughtsman_prints import PLANES, PrintLesson, PrintPages, held_loss, is_plain, learn, main
from fedgai.training.photographs import Photograph


def photographed(folder: Path, name: str, picture: Image.Image, dark: float = 0.5) -> Photograph:
    """A photograph of the lesson, the garment in the middle half of the picture."""
    picture.save(folder / f"{name}.png")
    width, height = picture.size
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : -height // 4, width // 4 : -width // 4] = 255
    Image.fromarray(mask).save(folder / f"{name}.mask.png")
    return Photograph(folder / f"{name}.png", 0.01, dark, (20, 20, 20, 20))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a quarter of the size."""
    for module in (pages, draughtsman_prints):
        monkeypatch.setattr(module, "HEIGHT", 192)
        monkeypatch.setattr(module, "WIDTH", 160)


class SeesLines:
    """Stands in for a draughtsman that sees lines where it is told to."""

    def __init__(self, lines: np.ndarray) -> None:
        self.lines = lines

    def look(self, photo: np.ndarray) -> Seen:
        """(H, W, 3) uint8 -> the lines, over an empty mask."""
        every = np.zeros((len(LINE_TYPES), *photo.shape[:2]), np.float32)
        every[1] = self.lines
        return Seen(every[0], every, every[0])


class TestPrints:
    @pytest.mark.parametrize("make_tile", dyeing.PRINTS)
    def test_a_print_is_a_tile_of_colours(self, make_tile) -> None:
        for seed in range(5):
            tile = make_tile(np.random.default_rng(seed))
            assert tile.shape == (dyeing.TILE, dyeing.TILE, 3) and tile.dtype == np.float32
            assert tile.min() >= 0 and tile.max() <= 1 and tile.std((0, 1)).max() > 0.01

    @pytest.mark.parametrize("make_one", [dyeing.words, dyeing.picture])
    def test_a_print_in_one_place_says_where_it_is(self, make_one) -> None:
        for seed in range(8):
            tile, cover = make_one(np.random.default_rng(seed))
            assert tile.shape == (dyeing.TILE, dyeing.TILE, 3) and tile.min() >= 0 and tile.max() <= 1
            assert cover.shape == (dyeing.TILE, dyeing.TILE) and cover.max() == 1 and 0.01 < cover.mean() < 0.99

    @pytest.mark.parametrize("alone", [0.0, 1.0])
    def test_only_the_garment_is_dyed(self, alone: float, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dyeing, "ALONE", alone)
        photo, mask = np.full((120, 90, 3), 150, np.uint8), np.zeros((120, 90), np.float32)
        mask[20:100, 15:75] = 1
        shares = []
        for seed in range(12):
            dyed, edges = dyeing.dye_photograph(photo, mask, np.random.default_rng(seed))
            changed = (dyed != photo).any(2)
            assert not changed[mask == 0].any() and edges[mask == 0].max() == 0 and 0 < edges.max() <= 1
            shares.append(changed[mask == 1].mean())
        assert max(shares) < 0.9 if alone else min(shares) > 0.9


class TestPlain:
    def test_clothes_whose_edges_are_all_seen_as_lines_are_plain_and_printed_or_dark_ones_are_not(self, tmp_path: Path) -> None:
        stripes = np.full((100, 80, 3), 200, np.uint8)
        stripes[::10] = 40
        one = photographed(tmp_path, "striped", Image.fromarray(stripes))
        nothing, everything = (SeesLines(np.full((100, 80), value, np.float32)) for value in (0, 1))
        assert not is_plain(one, nothing)  # type: ignore[arg-type]
        assert is_plain(one, everything)  # type: ignore[arg-type]
        even = Image.new("RGB", (80, 100), (90, 90, 90))
        assert is_plain(photographed(tmp_path, "even", even), nothing)  # type: ignore[arg-type]
        assert not is_plain(photographed(tmp_path, "dark", even, dark=0.1), nothing)  # type: ignore[arg-type]


class TestPages:
    def test_a_page_has_the_photograph_before_and_after_and_knows_what_is_held(self, tmp_path: Path) -> None:
        one = photographed(tmp_path, "one", draw_garment(96, 120))
        for dyed in (0.0, 1.0):
            shown = PrintPages([one], [one], PrintLesson(dyed=dyed))
            assert shown[3].shape == (PLANES, 192, 160) and shown[3].dtype == np.uint8
            assert (shown[3][6].max() > 0) == (dyed == 1)
            assert np.array_equal(shown[3], shown[3]) and not np.array_equal(shown[3], shown[4])
        both = PrintPages([one], [photographed(tmp_path, "plain", draw_garment(96, 120))], PrintLesson(dyed=0.0))
        assert {int(both[i][7].min()) for i in range(20)} == {0, 255}  # a printed garment's lines are not held, and may go


class TestLesson:
    def test_all_that_the_network_sees_is_held_to_what_its_teacher_saw_before(self) -> None:
        torch.manual_seed(5)
        teacher = Network().fuse()
        pages = torch.randint(0, 255, (1, PLANES, 64, 64), dtype=torch.uint8)
        pages[:, 3:6], pages[:, 7] = pages[:, :3], 255
        before = held_loss(teacher, teacher, pages, 6.0)
        for plane, changes in ((0, "mask"), (2, "lines"), (7, "tone")):
            changed = Network().fuse()
            changed.load_state_dict(teacher.state_dict())
            with torch.no_grad():
                changed.head.bias[4 * plane : 4 * plane + 4] += 1  # type: ignore[index]
            after = held_loss(changed, teacher, pages, 6.0)
            assert {name for name in after if after[name] != before[name]} == {changes} and after[changes] > before[changes]
        pages[:, 3:6] = 255 - pages[:, 3:6]  # dyed: it does not see there what the teacher saw before
        assert held_loss(teacher, teacher, pages, 6.0)["lines"] > before["lines"]
        pages[:, 7] = 0
        free = held_loss(teacher, teacher, pages, 6.0)
        assert free["lines"] == 0 and free["tone"] == 0 and free["mask"] > 0

    def test_the_backbone_stays_and_the_same_bytes_come_twice(self, tmp_path: Path) -> None:
        make(3, long_side=128).save(tmp_path / "garment.npz")
        plain = [photographed(tmp_path, str(i), draw_garment(96, 120)) for i in range(2)]
        torch.manual_seed(5)
        start = Draughtsman(Network())
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        kept: list[int] = []
        lesson = PrintLesson(steps=4, pictures=1, rate=0.02)
        learned, again = (
            learn(start, [tmp_path / "garment.npz"], plain, plain, lesson, 0, lambda step, _: kept.append(step)) for _ in range(2)
        )
        torch.set_num_threads(threads)
        assert learned.sha256 == again.sha256 != start.sha256 and kept == [1, 2, 3, 4] * 2
        old, new = start.network.backbone.state_dict(), learned.network.backbone.state_dict()
        assert all(torch.equal(old[name], new[name]) for name in old)

    def test_a_print_is_unlearned(self, tmp_path: Path) -> None:
        make(3, long_side=128).save(tmp_path / "garment.npz")
        plain = [photographed(tmp_path, str(i), draw_garment(96, 120)) for i in range(2)]
        start = SketchPipeline.from_pretrained().model.draughtsman
        lesson = PrintLesson(steps=8, pictures=1, rate=2e-2, dyed=1.0, average=0.5)
        learned = learn(start, [tmp_path / "garment.npz"], plain, plain, lesson, 0)
        pages = torch.from_numpy(np.stack([PrintPages(plain, plain, lesson)[i] for i in range(8)]))
        apart = [held_loss(one.network, start.network, pages, 6.0)["lines"].item() for one in (start, learned)]
        assert apart[1] < 0.95 * apart[0]

    def test_the_command_writes_a_draughtsman_and_asks_for_plain_garments(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        torch.manual_seed(5)
        Draughtsman(Network()).save(tmp_path / "start.safetensors")
        photos = tmp_path / "photos"
        photos.mkdir()
        draw_garment(96, 120).save(photos / "shirt.png")
        common = f"--photos {photos} --start {tmp_path}/start.safetensors --out {tmp_path}/out.safetensors"
        threads = torch.get_num_threads()
        try:
            main(f"{common} --work {tmp_path}/work --garments 1 --steps 1 --pictures 1 --processes 0".split())
            assert Draughtsman.load(tmp_path / "out.safetensors").parameters
            cv2.imwrite(str(photos / "shirt.png"), np.zeros((120, 96, 3), np.uint8))
            with pytest.raises(SystemExit):
                main(f"{common} --work {tmp_path}/other".split())
        finally:
            torch.set_num_threads(threads)
        assert "name folders with more photographs of clothes" in capsys.readouterr().err
