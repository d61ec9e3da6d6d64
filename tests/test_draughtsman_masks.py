"""The draughtsman's lesson on masks: masks chosen by eye, and lines that stay as they were."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment
from PIL import Image

from fedgai.draughtsman import Draughtsman, Network
from fedgai.garments import make
from fedgai.training import draughtsman_masks
from fedgai.training.draughtsman_masks import MaskLesson, learn, loss
from fedgai.training.photographs import Opinions, Photograph, gather
from fedgai.training.reviewed_masks import MaskReview, read

HALF = np.zeros((100, 80), np.float32)
HALF[:, :40] = 1


class TestVerdicts:
    def test_those_in_the_package_can_be_read_and_name_nothing_to_be_measured_on(self) -> None:
        verdicts = read()
        assert len(verdicts) > 500
        assert {name.split("/")[0] for name in verdicts} <= {"train", "more"}

    def test_an_unknown_choice_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "verdicts.json").write_text(json.dumps({"more/a.jpg": {"take": "mine"}}))
        with pytest.raises(ValueError, match=r"more/a.jpg takes 'mine'"):
            read(tmp_path / "verdicts.json")

    @pytest.mark.parametrize(("take", "share"), [("cutout", 0.5), ("saliency", 0.5), ("both", 0.0), ("either", 1.0)])
    def test_which_opinion_is_taken(self, take: str, share: float) -> None:
        photo = np.full((100, 80, 3), 128, np.uint8)
        mask, unsure = MaskReview(take).mask(photo, HALF, 1 - HALF)
        assert mask.mean() == share and not unsure.any()
        assert take != "cutout" or mask[0, 0] == 1

    def test_what_lies_above_a_line_or_in_a_polygon_is_taken_away(self) -> None:
        photo = np.full((100, 80, 3), 128, np.uint8)
        verdict = MaskReview(above=((0, 20), (100, 20)), without=(((0, 60), (25, 60), (25, 80), (0, 80)),))
        mask, unsure = verdict.mask(photo, HALF, HALF)
        assert mask[:19].max() == 0 and mask[62:78, :18].max() == 0
        assert mask[25:55, :40].min() == 1 and mask[62:78, 24:40].min() == 1
        assert unsure[20, :40].all() and not unsure[40].any()

    def test_floor_between_sleeve_and_body_is_taken_away_and_a_print_is_not(self) -> None:
        photo = np.full((200, 200, 3), (200, 190, 170), np.uint8)
        whole = np.zeros((200, 200), np.float32)
        whole[30:170, 40:160] = 1
        photo[30:170, 40:160] = (30, 40, 90)
        photo[60:160, 60:70] = (200, 190, 170)  # floor
        photo[80:120, 90:140] = (180, 30, 40)  # print
        mask, _ = MaskReview(gaps=True).mask(photo, whole, whole)
        assert mask[65:155, 62:68].max() == 0
        assert mask[82:118, 92:138].min() == 1 and mask[40:50, 50:150].min() == 1


class TestGathering:
    def test_the_mask_chosen_by_eye_is_taken_and_a_photograph_without_one_is_not(self, tmp_path: Path) -> None:
        """The other opinion sees another thing everywhere: without a verdict no photograph would be taken."""
        folder = tmp_path / "photos" / "more"
        folder.mkdir(parents=True)
        for i in range(3):
            draw_garment(320).save(folder / f"{i}.png")

        class Left:
            def look(self, photo: np.ndarray) -> np.ndarray:
                seen = np.zeros((320, 320), np.uint8)
                seen[:, :100] = 255
                return seen

        torch.manual_seed(1)
        opinions = Opinions(
            Draughtsman(Network()),
            Left(),
            {"more/0.png": MaskReview("saliency"), "more/1.png": None},  # type: ignore[arg-type]
        )
        (found,) = gather([folder], tmp_path / "work", 1, opinions=opinions)
        assert found.chosen
        mask = found.mask()
        assert mask[:, : mask.shape[1] // 4].min() > 0.9 and mask[:, mask.shape[1] // 2 :].max() == 0


class TestLesson:
    def test_other_lines_and_the_tone_are_held_to_what_was_seen_before(self) -> None:
        torch.manual_seed(5)
        teacher, network = (Network().fuse() for _ in range(2))
        network.load_state_dict(teacher.state_dict())
        pages = torch.randint(0, 255, (1, 7, 64, 64), dtype=torch.uint8)
        before = loss(network, teacher, pages, 1.0)
        assert before["tone"] == 0
        for plane, changes in ((0, "mask"), (1, "silhouette"), (2, "lines"), (7, "tone")):
            changed = Network().fuse()
            changed.load_state_dict(teacher.state_dict())
            with torch.no_grad():
                changed.head.bias[4 * plane : 4 * plane + 4] += 1  # type: ignore[index]
            after = loss(changed, teacher, pages, 1.0)
            assert {name for name in after if after[name] != before[name]} == {changes}
            if changes in ("lines", "tone"):
                assert after[changes] > before[changes]

    def test_masks_are_learned_and_the_same_bytes_come_twice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(draughtsman_masks, "HELD_OUT", 2)
        make(3, long_side=128).save(tmp_path / "garment.npz")
        photographs = []
        for i in range(2):
            picture = draw_garment(96)
            picture.save(tmp_path / f"{i}.png")
            size = picture.size[::-1]
            mask = np.zeros(size, np.uint8)
            mask[size[0] // 4 : -size[0] // 4, size[1] // 4 : -size[1] // 4] = 255
            Image.fromarray(mask).save(tmp_path / f"{i}.mask.png")
            photographs.append(Photograph(tmp_path / f"{i}.png", 0.1, 0.5, (20, 20, 20, 20), chosen=True))
        torch.manual_seed(5)
        start = Draughtsman(Network())
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        kept: list[int] = []
        lesson = MaskLesson(steps=4, pictures=2, copies=1, share=0.5, rate=0.1, backbone_rate=0.01)
        learned, again = (
            learn(start, [tmp_path / "garment.npz"], photographs, lesson, processes=0, keep=lambda step, _: kept.append(step))
            for _ in range(2)
        )
        torch.set_num_threads(threads)
        assert learned.sha256 == again.sha256 != start.sha256
        assert kept == [1, 2, 3] * 2
        photo = cv2.cvtColor(cv2.imread(str(tmp_path / "0.png")), cv2.COLOR_BGR2RGB)
        assert np.abs(learned.look(photo, 96).mask - start.look(photo, 96).mask).max() > 0
