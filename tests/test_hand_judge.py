"""The judge of hands: nothing changes until it is trained, averages keep what was learned, hostile numbers are held."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from experiments.strangers import STRANGERS, draw
from fedgai.content import fit_and_cut, on_white
from fedgai.model import MODEL_FILE, PRESETS, FedGAI
from fedgai.networks.discriminator import Discriminator
from fedgai.networks.hand_judge import HandJudge
from fedgai.shipped import EXAMPLES, WEIGHTS
from fedgai.training.judge_hands import Evidence, JudgeConfig, gather, train_hand_judge
from fedgai.vision.images import to_tensor

HANDS = ("fat brush", "hair line", "spot black")
GARMENTS = ("denim_jacket", "pleated_skirt", "trench_coat", "midi_dress")


@pytest.fixture(scope="module")
def model() -> FedGAI:
    return FedGAI.load()


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, list[tuple[Path, Path]]]:
    """Four garments drawn by each of three strangers: (photograph, drawing)."""
    home = tmp_path_factory.mktemp("strangers")
    found: dict[str, list[tuple[Path, Path]]] = {name: [] for name in HANDS}
    for garment in GARMENTS:
        image, mask = fit_and_cut(EXAMPLES / f"{garment}.jpg", 128)
        photo = on_white(np.asarray(image), mask)
        Image.fromarray(photo).save(home / f"{garment}.png")
        for name in HANDS:
            drawing = home / f"{garment} {name}.png"
            Image.fromarray(draw(photo, mask, STRANGERS[name])).save(drawing)
            found[name].append((home / f"{garment}.png", drawing))
    return found


def grams_of(model: FedGAI, files: list[Path]) -> list[torch.Tensor]:
    pages = []
    for file in files:
        picture = np.asarray(Image.open(file))
        pad = [(0, -side % 8) for side in picture.shape[:2]]
        pages.append(model.grams(model.encoder(to_tensor(np.pad(picture, [*pad, (0, 0)], constant_values=255))[None])))
    return [torch.cat(level) for level in zip(*pages, strict=True)]


def random_grams(model: FedGAI, count: int = 2) -> list[torch.Tensor]:
    return model.grams(model.encoder(torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1))


def test_before_it_is_trained_the_score_is_the_papers(model: FedGAI) -> None:
    grams, style = random_grams(model), model.neutral[None]
    plain, conditional = model.discriminator(grams), model.discriminator(grams, style)
    assert torch.equal(plain, conditional) and not model.discriminator.hand(grams, style).any()


def test_the_papers_discriminator_is_a_setting(model: FedGAI) -> None:
    assert PRESETS["edge"].conditional and not PRESETS["vgg16"].conditional
    paper = replace(PRESETS["edge"], conditional=False).discriminator().eval()
    assert paper.hand is None and not any("hand" in name for name in paper.shared())
    grams = random_grams(model)
    assert torch.equal(paper(grams), paper(grams, model.neutral[None]))
    tensors = {k: v for k, v in model.discriminator.state_dict().items() if not k.startswith("hand.")}
    paper.load_state_dict(tensors)
    assert torch.equal(paper(grams), model.discriminator(grams))


def test_a_checkpoint_from_before_opens_and_judges_as_it_did(model: FedGAI, tmp_path: Path) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "old")
    tensors = {k: v for k, v in load_file(folder / MODEL_FILE).items() if not k.startswith("discriminator.hand.")}
    save_file(tensors, folder / MODEL_FILE)
    old, grams = FedGAI.load(folder), random_grams(model)
    assert torch.equal(old.discriminator(grams, old.neutral[None]), model.discriminator(grams))
    fresh = HandJudge(model.preset.channels)
    fresh.settle(torch.stack([s.style for s in model.styles.values()]))
    for name, value in fresh.named_buffers():
        assert torch.equal(old.discriminator.hand.get_buffer(name), value), name
    old.save_pretrained(tmp_path / "new")  # and stays so, whoever joins
    assert torch.equal(FedGAI.load(tmp_path / "new").discriminator.hand.gram_mean, fresh.gram_mean)
    some = {k: v for k, v in old.state_dict().items() if k != "discriminator.hand.gram_std"}
    with pytest.raises(RuntimeError, match="gram_std"):  # damaged is not old
        old.load_state_dict(some)


def test_an_average_of_judges_scores_as_their_mean(model: FedGAI) -> None:
    torch.manual_seed(3)
    judges = [PRESETS["edge"].discriminator() for _ in range(3)]
    for judge in judges:
        judge.hand.settle(torch.stack([s.style for s in model.styles.values()]))
        torch.nn.init.normal_(judge.hand.project.weight, std=0.6)
    mean = PRESETS["edge"].discriminator()
    mean.hand.load_state_dict(judges[0].hand.state_dict())
    mean.load_shared({k: torch.stack([j.shared()[k] for j in judges]).mean(0) for k in judges[0].shared()})
    grams, style = random_grams(model, 4), model.neutral[None]
    theirs = torch.stack([j.hand(grams, style) for j in judges]).mean(0)
    assert torch.allclose(mean.hand(grams, style), theirs, atol=1e-4) and theirs.abs().max() > 0.1


@pytest.mark.parametrize("value", [1e4, -1e4, 0.0])
def test_hostile_signatures_and_drawings_are_held(model: FedGAI, value: float) -> None:
    hand = model.discriminator.hand
    code = hand.code(torch.full((1, len(model.neutral)), value))
    features = hand.features([torch.full((1, c, c), value) for c in model.preset.channels])
    assert code.norm() <= 2**0.5 + 1e-6 and features.norm() <= hand.SCALE * (hand.MOST + 1)


def test_designers_teach_their_hands_and_the_average_knows_them_all(model: FedGAI, folders) -> None:
    """Eleven rounds of three designers; judged on a garment that none of them trained on."""
    judge = model.discriminator.hand
    start = judge.project.weight.detach().clone()
    psi = {name: value for name, value in model.discriminator.shared().items() if not name.startswith("hand.")}
    styles = torch.stack([model.signature(drawing for _, drawing in folders[name]).style for name in HANDS])
    evidence = [
        gather(model, judge, folders[name][1:], styles[i], torch.cat([styles[:i], styles[i + 1 :]]))
        for i, name in enumerate(HANDS)
    ]
    weights = start
    for _ in range(11):
        updates = []
        for e in evidence:
            judge.project.weight.data.copy_(weights)
            assert 0 <= train_hand_judge(judge, e) < 2
            updates.append(judge.project.weight.detach().clone())
            # the server refuses a lone update that goes further than the Discriminator is large
            assert (updates[-1] - weights).norm() < 0.5 * torch.cat([v.flatten() for v in psi.values()]).norm()
        weights = torch.stack(updates).mean(0)
    judge.project.weight.data.copy_(weights)
    held_out = [grams_of(model, [folders[name][0][1]]) for name in HANDS]
    with torch.no_grad():
        scores = torch.stack([torch.cat([judge(grams, style[None]) for style in styles]) for grams in held_out])  # (hand, asked)
        drawn = [
            model.generator(model.encoder(_photo(folders[name][0][0])), s[None]) for name, s in zip(HANDS, styles, strict=True)
        ]
        fakes = torch.cat([judge(model.grams(model.encoder(d)), s[None]) for d, s in zip(drawn, styles, strict=True)])
    judge.project.weight.data.copy_(start)
    others = scores[~torch.eye(len(HANDS), dtype=torch.bool)]
    assert scores.diagonal().mean() > others.mean() + 0.5  # three drawings of 128 px do not make each of them certain
    assert (scores.diagonal() > fakes).all()  # the house does not draw them as they do


def _photo(file: Path) -> torch.Tensor:
    picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    pad = [(0, -side % 8) for side in picture.shape[:2]]
    return to_tensor(np.pad(picture, [*pad, (0, 0)], constant_values=255))[None]


def test_what_cannot_be_trained_says_so() -> None:
    judge = HandJudge((4, 4, 4, 4))
    rows = torch.full((2, judge.project.in_features), torch.nan)
    with pytest.raises(FloatingPointError, match="not finite"):
        train_hand_judge(judge, Evidence(rows, rows, rows[:0], torch.ones(1, 32), torch.ones(0, 32)), JudgeConfig(steps=1))
    assert not judge.project.weight.any()


def test_the_plain_discriminator_has_no_judge() -> None:
    assert Discriminator(4).hand is None
