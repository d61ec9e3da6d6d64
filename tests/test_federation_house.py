"""The house step: it repeats itself, brings new hands nearer, keeps old ones, and is held back where it did harm.

What eleven steps in a row do to the quality floors is measured with this loop and, before and after it,
``python -m benchmarks.floors --model CHECKPOINT --photos PHOTOS_DIR --limit 40 --only right_hand seams``:

    model, house = FedGAI.load(), HouseStep(reference=FedGAI.load())
    for model.info["round"] in range(11):
        house.run(model)
    model.save_pretrained("CHECKPOINT")
"""

import io
import json
import math
import shutil
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from federation.figure_names import AT_THE_HOUSE
from federation.server.house_hands import margin
from federation.server.house_sheet import EXAMPLES, sheet, style_distances
from federation.server.house_step import HouseStep, HouseStepConfig, _without_colour, reason_to_hold_back, settle_batchnorm
from federation.server.probe import Bounds, Probe, share_closer, verdict
from fedgai import ateliers as atelier
from fedgai.model import FedGAI
from fedgai.networks.discriminator import Discriminator
from fedgai.networks.encoder import sha256
from fedgai.pipeline import SketchPipeline
from fedgai.training.losses import near_loss

pytestmark = pytest.mark.usefixtures("looked_at_once")
SHORT = HouseStepConfig(steps=2, batch=2, size=64, new_size=64, seconds=math.inf)
GOOD = {
    "own_hand": 0.9,
    "distance_ratio": 1.0,
    "lines": 0.97,
    "ink_ratio": 1.0,
    "mid_grey_ratio": 1.0,
    "blends_falling": 0.95,
    "logit": 1.0,
}


@pytest.fixture(scope="module")
def garments(tmp_path_factory):
    """Two of the examples: a folder of photographs, and a probe that takes a quarter of the time."""
    folder = tmp_path_factory.mktemp("garments")
    for name in ("hoodie", "pleated_skirt"):  # without a row of buttons: at the sizes of these tests a ring is a grey dot
        shutil.copy(EXAMPLES / f"{name}.jpg", folder)
    return folder


@pytest.fixture(scope="module")
def house(garments):
    return HouseStep(None, SHORT, FedGAI.load(), garments)


@pytest.fixture(scope="module")
def start(house):
    return house.probe(FedGAI.load())


@pytest.fixture
def model():
    return FedGAI.load()


@pytest.fixture(scope="module")
def new_hand(garments):
    """A hand that the weights have never met, measured on 24 sketches: of two garments, each at twelve sizes."""
    hand, pipe = atelier.random_hand(np.random.default_rng(5)), SketchPipeline(FedGAI.load())
    contents = [pipe.prepare(file, 256) for file in sorted(garments.glob("*.jpg"))]
    sketches = []
    for side in range(120, 216, 8):
        for content in contents:
            size = (side * 3 // 4, side)
            photo = np.asarray(content.photo.resize(size))
            mask = np.asarray(Image.fromarray(content.mask).resize(size)).clip(0, 1)
            sketches.append(atelier.render(atelier.study(photo, mask), hand))
    return pipe.signature(sketches, "New")


def test_only_the_generator_learns_and_the_same_round_gives_the_same_weights(house, model):
    start = {part: sha256(getattr(model, part)) for part in ("encoder", "generator")}
    norms = {k: v.clone() for k, v in model.generator.state_dict().items() if "running" in k}
    judge = {k: v.clone() for k, v in model.discriminator.state_dict().items()}
    report = house.run(model)
    assert report.steps == 2 and report.photographs == 2 and not report.stopped and not report.new_hands
    assert set(report.losses) == {"adversarial", "distance", "anchor", "crispness", "chroma", "lines", "hand"}
    json.dumps(asdict(report), allow_nan=False)
    assert sha256(model.encoder) == start["encoder"] and sha256(model.generator) != start["generator"]
    assert all(torch.equal(model.generator.state_dict()[k], v) for k, v in norms.items())
    bank = torch.stack([s.style for s in model.styles.values()])
    read, known = (m.generator.style_head(bank)[0] for m in (model, FedGAI.load()))
    assert torch.equal(read, known)  # the stroke code: hatching stays on its lattice
    changed = {k for k, v in model.discriminator.state_dict().items() if not torch.equal(v, judge[k])}
    assert changed and all("running" in k or "num_batches" in k for k in changed)
    assert all(p.requires_grad for p in model.discriminator.parameters())

    again = FedGAI.load()
    house.run(again)
    assert sha256(again.generator) == sha256(model.generator)
    other = FedGAI.load()
    other.info["round"] = 1  # other photographs and hands
    house.run(other)
    assert sha256(other.generator) != sha256(model.generator)


def test_a_new_hand_comes_nearer_and_the_old_ones_stay(garments, house, start, model, new_hand):
    model.add_style(new_hand)
    model.info["round"] = 0  # as a federation begins
    before = style_distances(model, garments)
    shares = []
    step = HouseStep(garments, replace(SHORT, steps=12, batch=4, size=128, new_size=128), FedGAI.load(), garments)
    report = step.run(model, shares.append)
    after = style_distances(model, garments)
    assert report.new_hands == ["New"]
    assert shares == sorted(shares) and shares[-1] == 1
    assert after["New"] < 0.95 * before["New"]
    assert not verdict(start, house.probe(model))


def scores(model: FedGAI, garments, style: torch.Tensor) -> torch.Tensor:
    """What the judge of hands gives the house's drawings in one signature, (garments,)."""
    pipe = SketchPipeline(model)
    found = []
    for file in sorted(garments.glob("*.jpg")):
        features = pipe.prepare(file, 64, side=64).features
        with torch.no_grad():
            drawn = model.generator(features, style[None])
            found.append(model.discriminator.hand(model.grams(model.encoder(drawn)), style[None]))
    return torch.cat(found)


def test_a_new_hand_goes_where_its_judge_says_and_only_then(garments, new_hand):
    """Everything else equal: with the aggregated judge its drawings please it far more than without."""
    gained, losses = {}, {}
    for name, weight in (("judged", 1.0), ("not judged", 0.0)):
        model = FedGAI.load()
        model.add_style(replace(new_hand, extra={"designer": 1}))
        style = model.styles["New"].style
        torch.manual_seed(7)
        nn.init.normal_(model.discriminator.hand.project.weight, std=0.2)
        before = scores(model, garments, style).mean()
        config = replace(SHORT, steps=8, lr=1e-3, judged=weight, new_distance=0.0, convinced=10.0, blends=0.0)
        losses[name] = HouseStep(garments, config, FedGAI.load(), garments).run(model).losses
        gained[name] = (scores(model, garments, style).mean() - before).item()
    assert gained["judged"] > max(0.1, 2 * gained["not judged"])
    assert {"judged", "new_distance", "veil", "anchor"} <= set(losses["judged"]) <= set(AT_THE_HOUSE)


def test_what_the_judge_wants_moves_strokes_and_not_colours():
    sketch = torch.rand(1, 3, 4, 4, requires_grad=True)
    _without_colour((sketch * torch.tensor([3.0, 0.0, 0.0])[:, None, None]).sum(), sketch).backward()
    assert torch.allclose(sketch.grad, torch.ones(1, 3, 4, 4))


def test_a_blend_with_a_new_hand_is_nobodys(garments, model, new_hand):
    model.add_style(replace(new_hand, extra={"designer": 1}))
    config = replace(SHORT, steps=1, blends=1.0)
    assert "judged" not in HouseStep(garments, config, FedGAI.load(), garments).run(model).losses


def test_a_refined_signature_is_not_taken_for_statistics(garments, model, new_hand):
    """A designer's machine moved it until the house drew as they do: drawings in it have other statistics, and rightly so. There
    the house stays near round 0's drawings, which that machine saw, and the judge is not asked."""
    measured = replace(new_hand, extra={"designer": 1})
    found = []
    for extra in ({}, {"refined": True}):
        model.add_style(replace(measured, extra={"designer": 1, **extra}))
        found.append(HouseStep(garments, replace(SHORT, steps=1, blends=0.0), FedGAI.load(), garments).run(model).losses)
    assert found[0]["new_distance"] > 0.01 and found[1]["new_distance"] == 0
    assert "judged" in found[0] and "held" not in found[0]
    assert "held" in found[1] and "judged" not in found[1]
    assert set(found[1]) <= set(AT_THE_HOUSE)


def test_the_house_is_held_to_round_0_in_refined_hands(garments, new_hand):
    """A Generator that has moved away comes back by this loss alone. Beside the others, over a few steps, chance decides."""
    others = ("adversarial", "distance", "anchor", "crispness", "chroma", "lines", "hand", "judged", "new_distance", "veil")
    refined = replace(new_hand, extra={"designer": 1, "refined": True})
    house = FedGAI.load()
    features = SketchPipeline(house).prepare(next(garments.glob("*.jpg")), 128).features
    apart = {}
    for weight in (0.0, 3.0):
        model = FedGAI.load()
        model.add_style(refined)
        torch.manual_seed(24)
        with torch.no_grad():
            for tensor in model.generator.parameters():
                tensor.mul_(1 + 0.1 * torch.randn_like(tensor))
        config = replace(SHORT, steps=12, lr=1e-3, blends=0.0, held=weight, **dict.fromkeys(others, 0.0))
        HouseStep(garments, config, FedGAI.load(), garments).run(model)
        with torch.no_grad():
            drawn = [m.eval().generator(features, refined.style[None]) for m in (model, house)]
        apart[weight] = near_loss(*drawn).item()
    assert apart[3.0] < 0.95 * apart[0.0]


def test_the_papers_discriminator_can_be_the_house_s_too(garments, model, new_hand):
    model.add_style(replace(new_hand, extra={"designer": 1}))
    model.discriminator.hand = None
    report = HouseStep(garments, SHORT, FedGAI.load(), garments).run(model)
    assert report.steps == 2 and "judged" not in report.losses and "adversarial" in report.losses


def test_the_probe_repeats_itself_and_is_plain_json(house, start, model):
    assert house._probe._measure(model) == house.probe(model) == start
    theirs, base = house._probe._reference_figures  # which _measure takes for round 0 itself
    drawings, figures = house._probe._figures(model, house._probe.reference)
    assert figures == pytest.approx(base, abs=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(drawings, theirs, strict=True))
    assert set(start) == {f.name for f in fields(Bounds())}
    assert start["lines"] == start["ink_ratio"] == start["distance_ratio"] == 1
    assert not verdict(start, start)
    json.dumps(start, allow_nan=False)
    json.dumps(asdict(Bounds()), allow_nan=False)


def test_the_same_weights_are_measured_once(garments, model, monkeypatch):
    """What a round made is what the next one begins with. Every parameter and buffer that is measured counts."""
    probe, measured = Probe(FedGAI.load(), garments), []
    monkeypatch.setattr(Probe, "_measure", lambda self, model: measured.append(model) or {"logit": len(measured)})
    assert probe.measure(model) == probe.measure(FedGAI.load()) == {"logit": 1}
    with torch.no_grad():
        for number, part in enumerate((model.generator, model.discriminator), 2):
            next(part.parameters()).view(-1)[0] += 1e-3
            assert probe.measure(model) == {"logit": number}
        next(b for n, b in model.discriminator.named_buffers() if n.endswith("running_mean")).add_(1e-3)
    assert probe.measure(model) == {"logit": 4}


def test_a_learning_rate_far_too_high_is_held_back(garments, house, start, model):
    HouseStep(garments, replace(SHORT, lr=3.0, steps=6), FedGAI.load(), garments).run(model)
    after = house.probe(model)
    assert all(math.isfinite(v) for v in after.values())
    assert verdict(start, after)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_broken_discriminator_is_held_back(house, start, model, value):
    with torch.no_grad():
        for name, parameter in model.discriminator.named_parameters():
            if name == "logit.bias" or not math.isfinite(value):
                parameter.fill_(value)
    report = house.run(model)
    assert bool(report.stopped) == (not math.isfinite(value))  # the last bias has no gradient, however large
    json.dumps(asdict(report), allow_nan=False)
    assert "logit" in verdict(start, house.probe(model))


def test_a_generator_that_is_not_finite_is_held_back(house, start, model):
    with torch.no_grad():
        next(model.generator.parameters()).fill_(math.nan)
    assert "own_hand" in verdict(start, house.probe(model))


@pytest.mark.parametrize(
    "figure, after",
    [
        ("own_hand", 0.8),
        ("distance_ratio", 1.2),
        ("lines", 0.9),
        ("ink_ratio", 0.7),
        ("ink_ratio", 1.3),
        ("mid_grey_ratio", 1.2),
        ("blends_falling", 0.8),
        ("logit", 1e6),
        ("lines", math.nan),
    ],
)
def test_every_figure_has_a_bound_and_the_reason_names_it(figure, after):
    reason = verdict(GOOD, GOOD | {figure: after})
    assert reason.startswith(figure) and f"{GOOD[figure]:.3g}" in reason and f"{after:.3g}" in reason
    assert "limit" in reason or "change" in reason


def test_better_and_a_little_worse_are_published():
    assert not verdict(GOOD, GOOD | {"own_hand": 1.0, "distance_ratio": 0.5, "lines": 0.95, "ink_ratio": 1.05})


def test_of_a_blends_way_counts_how_far_it_leads_closer():
    assert share_closer([1.0, 0.6, 0.2, 0.1]) == 1
    assert share_closer([1.0, 0.2, 0.4]) == pytest.approx(0.8)
    assert share_closer([0.1, 0.5]) == 0
    assert share_closer([0.3, 0.3]) == share_closer([]) == 1
    almost = [share_closer([1.0, 0.5 + change, 0.5]) for change in (-1e-4, 1e-4)]
    assert abs(almost[0] - almost[1]) < 1e-3


def test_many_small_changes_do_not_add_up_beyond_the_limit():
    lines, rounds = 1.0, 0
    while not verdict(GOOD | {"lines": lines}, GOOD | {"lines": lines * 0.98}):
        lines, rounds = lines * 0.98, rounds + 1
    assert 1 < rounds and lines >= Bounds().lines.limit
    assert not verdict(GOOD | {"lines": 0.5}, GOOD | {"lines": 0.5})  # one that was never good does not stop all rounds


def test_settled_batchnorm_has_the_drawings_statistics():
    torch.manual_seed(24)
    judge = Discriminator(16)
    grams = [torch.rand(12, c, c) for c in (16, 32, 64, 128)]
    weights = {k: v.clone() for k, v in judge.state_dict().items() if "running" not in k and "num_batches" not in k}
    momenta = [m.momentum for m in judge.modules() if isinstance(m, nn.BatchNorm2d)]
    settle_batchnorm(judge, grams)
    assert not any(m.training for m in judge.modules())
    assert [m.momentum for m in judge.modules() if isinstance(m, nn.BatchNorm2d)] == momenta
    assert all(torch.equal(judge.state_dict()[k], v) for k, v in weights.items())
    with torch.no_grad():
        normed = judge.body[:2](judge.pool(grams))
    assert normed.mean((0, 2, 3)).abs().max() < 1e-3 and (normed.std((0, 2, 3)) - 1).abs().max() < 1e-2


def test_photographs_are_cut_out_once_and_their_time_is_not_the_steps(garments, model, monkeypatch):
    step, prepared = HouseStep(garments, replace(SHORT, seconds=5.0), FedGAI.load(), garments), []
    prepare, clock = SketchPipeline.prepare, [0.0]

    def slow(pipe, photo, *arguments, **options):
        prepared.append(photo)
        clock[0] += 60  # on a machine that others keep busy
        return prepare(pipe, photo, *arguments, **options)

    monkeypatch.setattr(SketchPipeline, "prepare", slow)
    monkeypatch.setattr("federation.server.house_step.time.monotonic", lambda: clock[0])
    report = step.run(model)
    assert (report.steps, report.wanted, report.stopped) == (2, 2, "") and len(prepared) == 2
    model.info["round"] = 1
    assert step.run(model).photographs == 2 and len(prepared) == 2


def test_the_time_limit_ends_it(house, garments, model):
    report = HouseStep(garments, replace(SHORT, seconds=0), FedGAI.load(), garments).run(model)
    assert report.steps == 0 and "seconds" in report.stopped and report.losses == {}
    assert reason_to_hold_back(report, GOOD, GOOD).startswith("the house learned 0 of 2 steps, because its 0 seconds")
    assert "1 of 2 steps" in reason_to_hold_back(replace(report, steps=1), GOOD, GOOD)  # half a step is not a round
    assert not reason_to_hold_back(replace(report, steps=2), GOOD, GOOD)


def test_what_it_cannot_work_with_is_refused(tmp_path, tiny_model_dir, house, garments, model):
    with pytest.raises(ValueError, match="encoder"):
        house.run(FedGAI.load(tiny_model_dir))
    with pytest.raises(ValueError, match="no pictures"):
        HouseStep(tmp_path, SHORT, model, garments).run(model)
    Image.new("RGB", (200, 200), "white").save(tmp_path / "blank.png")
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="no photograph"):
        HouseStep(tmp_path, SHORT, model, garments).run(model)
    model.styles = {}
    with pytest.raises(ValueError, match="bank is empty"):
        house.run(model)


def test_the_sheet_shows_garments_in_hands(model, garments):
    image = Image.open(io.BytesIO(sheet(model, list(model.styles), garments)))
    assert image.format == "JPEG" and image.width == 900 and image.height > 300
    one = Image.open(io.BytesIO(sheet(model, ["Goro"], garments)))
    assert np.asarray(one.convert("L"))[:, 200:].min() > 240  # the rest is paper
    assert set(style_distances(model, garments)) == set(model.styles)


def test_the_margin_is_to_the_nearest_other_hand():
    bank, channels = torch.tensor([[0.0, 0, 0, 0], [0.4, 0, 0, 0], [2.0, 0, 0, 0]]), (1, 1)
    drawn = torch.tensor([[0.1, 0.0, 0, 0], [0.3, 0, 0, 0], [0.2, 0, 0, 0]])
    asked = torch.stack([bank[0], bank[0], bank[0] + 0.2])
    found = margin(drawn, asked, bank, channels)
    # distances are divided by the root of the number of levels
    assert torch.allclose(found[:2] * 2**0.5, torch.tensor([0.3 - 0.1, 0.1 - 0.3]))
    assert found[2] == math.inf  # a blend has no other hand
    assert (margin(drawn, asked, bank[:1], channels)[0], margin(drawn, asked, bank[:0], channels)[0]) == (math.inf, math.inf)
