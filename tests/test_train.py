"""A designer's folder is checked, and their GAN trained on it: repeatable, resumable, and safe from a kill."""

from __future__ import annotations

import copy
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import fork_server
from helpers.drawn_pairs import SMALL, draw_pairs
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file
from torch import nn

from fedgai import torchvision_ops
from fedgai.data import pairs as pairs_module
from fedgai.data.pairs import PairFolder, PairsError, check
from fedgai.model import FedGAI
from fedgai.networks.style import image_statistics, style_distance
from fedgai.public_weights import load_vgg16
from fedgai.training import adapting, losses
from fedgai.training import local as train_module
from fedgai.training.local import LocalTrainer, train
from fedgai.training.saved_training import LOG_FILE, STATE_FILE, read_state
from fedgai.training.train_config import StepReport, TrainConfig, TrainError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pairs(tmp_path_factory.mktemp("designer") / "Ada")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(str(folder / "model.safetensors"))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def run(data: Path, out: Path, **options: object) -> FedGAI:
    options = {"config": SMALL, "start": None, "epochs": 1, "progress": False} | options
    return train(data, out, **options)


# -- pairs -----------------------------------------------------------------------------------------------------------


def test_pairs_come_as_squares_on_white_paper(tmp_path: Path) -> None:
    folder = draw_pairs(tmp_path / "wide", count=1)
    picture = Image.new("RGB", (200, 100), (0, 0, 255))
    picture.save(folder / "photos" / "garment0.png")
    ImageDraw.Draw(picture).line((50, 20, 150, 80), "white", 9)  # a drawing has ink
    picture.save(folder / "sketches" / "garment0.png")
    pairs = PairFolder(folder, 64)
    photo, sketch = pairs[0]
    assert len(pairs) == 1
    assert photo.shape == sketch.shape == (3, 64, 64) and photo.dtype == torch.float32
    assert (sketch[:, :16] == 1).all() and (sketch[:, 48:] == 1).all()
    assert (photo[:, :16] == 1).all() and (photo[:, 48:] == 1).all()  # paper above and below
    assert (photo[2, 16:48] == 1).all() and (photo[0, 16:48] == -1).all()  # blue between


def test_every_bad_file_is_named_with_its_reason(tmp_path: Path) -> None:
    folder = draw_pairs(tmp_path / "mess", count=8)
    photos, sketches = folder / "photos", folder / "sketches"
    (photos / "garment0.png").write_text("not a picture")
    whole = (sketches / "garment1.png").read_bytes()
    (sketches / "garment1.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (31, 200)).save(photos / "garment2.png")
    (sketches / "garment3.png").unlink()
    Image.new("RGB", (64, 64)).save(photos / "garment4.jpg")
    (photos / "garment5.png").unlink()
    (photos / "garment5.png").symlink_to(photos / "loop")
    (photos / "loop").symlink_to(photos / "garment5.png")
    (photos / "folder").mkdir()
    (sketches / "garment6.png").unlink()
    os.mkfifo(sketches / "garment6.png")  # opening it would wait for ever
    (photos / ".DS_Store").write_text("litter")

    report = check(folder)
    assert [photo.stem for photo, _ in report.pairs] == ["garment7"]
    reasons = {f"{path.parent.name}/{path.name}": reason for path, reason in report.bad}
    for name, reason in {
        "photos/garment0.png": "not a picture",
        "sketches/garment1.png": "cut short",
        "photos/garment2.png": "31 x 200",
        "photos/garment3.png": "no partner",
        "photos/garment4.jpg": "several",
        "photos/garment4.png": "several",
        "photos/garment5.png": "circle",
        "photos/loop": "circle",
        "sketches/garment5.png": "no partner",
        "sketches/garment6.png": "a pipe",
        "photos/garment6.png": "no partner",
        "sketches/garment4.png": "several",
    }.items():
        assert reason in reasons.pop(name), name
    assert not reasons

    with pytest.raises(PairsError) as refusal:
        PairFolder(folder, 64)
    assert all(str(path) in str(refusal.value) for path, _ in report.bad)
    assert len(PairFolder(folder, 64, skip_bad=True)) == 1


def test_a_picture_that_is_too_large_is_bad(tmp_path: Path) -> None:
    folder = draw_pairs(tmp_path / "huge", count=2)
    Image.new("1", (30_000, 64)).save(folder / "photos" / "garment0.png")
    ((_, reason),) = check(folder).bad
    assert "30000" in reason.replace(",", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_bad(tmp_path: Path) -> None:
    folder = draw_pairs(tmp_path / "locked", count=2)
    (folder / "photos" / "garment0.png").chmod(0)
    ((_, reason),) = check(folder).bad
    assert "cannot be read" in reason


def test_no_pair_or_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty" / "photos").mkdir(parents=True)
    with pytest.raises(PairsError, match="sketches cannot be opened"):
        check(tmp_path / "empty")
    (tmp_path / "empty" / "sketches").mkdir()
    with pytest.raises(PairsError, match="no pair"):
        PairFolder(tmp_path / "empty", 64)


def test_few_pairs_are_warned_of_and_other_proportions_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = draw_pairs(tmp_path / "few", count=2)
    Image.open(folder / "sketches" / "garment1.png").resize((64, 80)).save(folder / "sketches" / "garment1.png")
    report = PairFolder(folder, 64).report
    assert "2 pairs" in caplog.text
    assert [path.name for path, _ in report.notes] == ["garment1.png"] and "proportions" in report.notes[0][1]


def test_a_garment_is_cut_out_where_there_is_one(tmp_path: Path) -> None:
    folder = draw_pairs(tmp_path / "cut", count=2, side=96)
    backdrop = Image.new("RGB", (96, 96), (120, 160, 120))
    ImageDraw.Draw(backdrop).rectangle((25, 20, 70, 80), fill=(30, 30, 120))
    backdrop.save(folder / "photos" / "garment0.png")
    Image.new("RGB", (96, 96), (90, 90, 90)).save(folder / "photos" / "garment1.png")
    pairs = PairFolder(folder, 96, cut_out=True)
    cut, kept = pairs[0][0], pairs[1][0]
    assert (cut[:, :8] > 0.98).all() and cut[0, 50, 48] < -0.7
    assert (kept < 0).all()
    assert [path.name for path, _ in pairs.report.notes] == ["garment1.png"]


def test_squares_are_as_large_as_the_drawings_up_to_the_size_that_a_hand_is_measured_at(tmp_path: Path) -> None:
    for side, wanted in ((64, 256), (300, 296), (2000, 512)):
        folder = draw_pairs(tmp_path / str(side), count=3)
        for file in (folder / "sketches").iterdir():
            Image.new("L", (side, side // 2), "white").save(file)
        assert pairs_module.training_side(folder) == wanted
    for file in (folder / "sketches").iterdir():
        file.write_bytes(b"no picture at all")
    assert pairs_module.training_side(folder) == 512
    with pytest.raises(PairsError):
        pairs_module.training_side(tmp_path)


# -- training --------------------------------------------------------------------------------------------------------


def test_training_leaves_a_checkpoint_that_draws_in_the_designers_hand(data: Path, tmp_path: Path) -> None:
    reports: list[StepReport] = []
    run(data, tmp_path / "out", on_step=reports.append, name="Ada Line")
    model = FedGAI.load(tmp_path / "out")
    assert list(model.styles) == ["Ada Line"] and model.styles["Ada Line"].sketches == 5
    with torch.inference_mode():
        sketch = model.generator(model.encoder(torch.zeros(1, 3, 32, 32)), model.styles["Ada Line"].style[None])
    assert torch.isfinite(sketch).all()

    assert model.info["training"]["semantic_loss"] == "paired"
    assert model.info["training"] | {"steps": 5, "pairs": 5, "seed": 24} == model.info["training"]
    assert [r.step for r in reports] == [1, 2, 3, 4, 5] and reports[-1].remaining == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / LOG_FILE).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert {"hinge", "feddecorr", "adversarial", "gram", "cosine", "semantic_paired"} <= lines[0].keys()
    assert lines[0]["feddecorr"] > 0
    assert not list((tmp_path / "out").glob("*.new"))


def test_both_networks_learn_and_the_encoder_does_not(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = FedGAI("edge")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    LocalTrainer(model, PairFolder(data, 64), SMALL, tmp_path).step()
    moved = {k.split(".")[0] for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"generator", "discriminator"}


def test_at_the_papers_rate_the_drawing_comes_closer_to_the_sketch(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, pairs = FedGAI("edge"), PairFolder(data, 64)
    for module in model.encoder.modules():  # features that differ from one another, as a trained encoder's do
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.encoder.train()
    model.encoder(torch.stack([picture for pair in pairs for picture in pair]))
    model.encoder.eval()
    trainer = LocalTrainer(model, pairs, SMALL, tmp_path)
    values = [trainer.step() for _ in range(40)]
    for loss in ("semantic_paired", "gram", "hinge", "feddecorr"):
        first, last = (np.mean([v[loss] for v in part]) for part in (values[:10], values[-10:]))
        assert last < first, loss


@pytest.mark.parametrize("preset", ["edge", "vgg16"])
def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    preset: str, data: Path, tmp_path: Path, vgg16_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDGAI_VGG16", str(vgg16_file))
    monkeypatch.setenv("FEDGAI_CLIP", "off")
    drawn = []
    for seed in (24, 24, 25):
        torch.rand(3)  # the caller's random numbers do not matter
        state = torch.get_rng_state()
        model, _ = train_module._start(preset, seed, None)
        trainer = LocalTrainer(model, PairFolder(data, 32), replace(SMALL, size=32, seed=seed), tmp_path)
        trainer.save = lambda: None
        trainer.run(3)
        assert torch.equal(torch.get_rng_state(), state)  # nor do they change
        drawn.append(model.state_dict())
    assert same(drawn[0], drawn[1])
    assert not same(drawn[0], drawn[2])


class PowerCutError(Exception):
    pass


def interrupt_at(step: int):
    def on_step(report: StepReport) -> None:
        if report.step == step:
            raise PowerCutError

    return on_step


def test_interrupted_and_resumed_is_the_same_as_uninterrupted(data: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    config = replace(SMALL, batch=2, save_every=2)
    for start in (None, tiny_model_dir):  # random weights, and trained ones, whose BatchNorm is frozen
        whole, pieces = tmp_path / f"whole{start is None}", tmp_path / f"pieces{start is None}"
        run(data, whole, config=config, epochs=3, start=start)
        for step in (1, 3, 7):  # before the first saving, between two, in the last epoch
            with pytest.raises(PowerCutError):
                run(data, pieces, config=config, epochs=3, start=start, resume=True, on_step=interrupt_at(step))
        run(data, pieces, config=config, epochs=3, start=start, resume=True)
        assert same(weights(whole), weights(pieces))
        assert same(load_file(str(whole / STATE_FILE)), load_file(str(pieces / STATE_FILE)))  # momentum, random numbers
        assert (whole / LOG_FILE).read_text() == (pieces / LOG_FILE).read_text()  # no line twice
        assert FedGAI.load(whole).styles.keys() == FedGAI.load(pieces).styles.keys()


def test_a_finished_training_can_be_given_more_epochs(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "two", epochs=2)
    run(data, tmp_path / "one", epochs=1)
    run(data, tmp_path / "one", epochs=2, resume=True)
    assert same(weights(tmp_path / "one"), weights(tmp_path / "two"))


def test_a_killed_training_can_be_resumed(data: Path, tmp_path: Path) -> None:
    program = (
        f"from fedgai.training.local import *; train({str(data)!r}, {str(tmp_path)!r}, epochs=100, start=None, "
        "config=TrainConfig(size=32, decorr_rows=4, save_every=1), on_step=lambda r: print(r.step, flush=True))"
    )
    process = fork_server.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    for line in process.stdout:
        if int(line) >= 3:  # wherever in the fourth step or its saving
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    FedGAI.load(tmp_path)
    config = TrainConfig(size=32, decorr_rows=4, save_every=1)
    reports: list[StepReport] = []
    run(data, tmp_path, config=config, epochs=2, resume=True, on_step=reports.append)
    assert reports[0].step >= 4 and reports[-1].step == 10


def test_no_training_overwrites_another(data: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    run(data, tmp_path / "out")
    with pytest.raises(TrainError, match="already holds a model"):
        run(data, tmp_path / "out")
    with pytest.raises(TrainError, match="already holds a model"):
        run(data, tiny_model_dir, resume=True)  # a checkpoint of someone else's, with nothing to resume


def test_only_the_same_training_is_resumed(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out")
    other = draw_pairs(tmp_path / "Ada", count=4)
    for changed, options in {
        "pairs": {"data_dir": other},
        "seed": {"seed": 7},
        "name": {"name": "Bea"},
        "lr": {"config": replace(SMALL, lr=1.0)},
        "preset": {"preset": "vgg16"},
    }.items():
        options = {"data_dir": data, "out": tmp_path / "out", "config": SMALL, "start": None} | options
        with pytest.raises(TrainError, match=rf"trained otherwise: .*{changed} \("):
            train(**options, epochs=1, resume=True, progress=False)


def test_a_damaged_state_is_refused(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out")
    state = tmp_path / "out" / STATE_FILE
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainError, match=STATE_FILE):
        run(data, tmp_path / "out", resume=True)


def test_a_loss_that_is_not_finite_stops_the_training(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"step \d+: .*not finite"):
        run(data, tmp_path / "out", config=replace(SMALL, lr=1e30))
    assert not (tmp_path / "out" / STATE_FILE).exists()


def test_trained_weights_keep_their_batchnorm_statistics(data: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    def statistics(model: FedGAI) -> list[torch.Tensor]:
        return [m.running_mean.clone() for m in model.generator.modules() if isinstance(m, nn.BatchNorm2d)]

    before = statistics(FedGAI.load(tiny_model_dir))
    after = statistics(run(data, tmp_path / "from_trained", start=tiny_model_dir))
    fresh = statistics(run(data, tmp_path / "fresh"))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any((f == 0).all() for f in fresh)
    assert len(FedGAI.load(tmp_path / "from_trained").styles) == 4  # the start's three, and the designer's own


def test_a_trained_generator_learns_its_designers_hand_and_draws_others_as_the_house_does(data: Path, tmp_path: Path) -> None:
    house, config = FedGAI.load(), replace(SMALL, trained_before=True, freeze_batchnorm=True)
    bank = torch.stack([signature.style for signature in house.styles.values()])

    def away(model: FedGAI, trainer: LocalTrainer) -> float:
        """From the designer's hand to the drawings that are asked for in it."""
        found = []
        for i, (photo, _) in enumerate(trainer.pairs):
            drawn = model.encoder(model.generator(model.encoder(photo[None]), trainer.style))
            found.append(style_distance(image_statistics(drawn), trainer.measured.statistics[i], model.preset.channels).item())
        return float(np.mean(found))

    def changed(others: torch.Tensor | None) -> float:
        """How far the Generator's drawings in the house's hands are from the house's, after 30 steps at home."""
        trainer = LocalTrainer(FedGAI.load(), PairFolder(data, 64), config, tmp_path, name="Ada", others=others)
        for _ in range(30):
            trainer.step()
        model, found = trainer.model.eval(), []
        with torch.inference_mode():
            assert away(model, trainer) < 0.8 * away(house, trainer)
            for photo, _ in trainer.pairs:
                features = [level.expand(len(bank), -1, -1, -1) for level in model.encoder(photo[None])]
                found.append(losses.near_loss(model.generator(features, bank), house.generator(features, bank)).item())
        return float(np.mean(found))

    assert changed(bank) < 0.9 * changed(None)


def test_a_part_of_a_page_is_the_same_place_in_every_map() -> None:
    side = 8 * (adapting.PART // 8 + 24)
    page = torch.arange(side * side, dtype=torch.float64).reshape(1, 1, side, side)
    maps = [page[:, :, :: 2**level, :: 2**level] for level in range(4)]
    corners = set()
    for seed in range(5):
        finest, *coarser = adapting.some_part(maps, seed)
        assert finest.shape[2:] == (adapting.PART, adapting.PART)
        for level, part in enumerate(coarser, 1):
            assert torch.equal(part, finest[:, :, :: 2**level, :: 2**level])
        corners.add(finest[0, 0, 0, 0].item())
    assert len(corners) > 1
    small = [torch.rand(1, 4, 64 // 2**level, 48 // 2**level) for level in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(adapting.some_part(small, 3), small, strict=True))


def test_a_state_of_the_release_before_goes_on_without_its_generators_momentum(data: Path, tmp_path: Path) -> None:
    """Until 0.2 a trained Generator learned by SGD, with other weights of the losses."""
    config = replace(SMALL, trained_before=True, freeze_batchnorm=True)
    trainer = LocalTrainer(FedGAI.load(), PairFolder(data, 64), config, tmp_path, name="Ada")
    trainer.optimisers["generator"] = train_module.SGD(trainer.model.generator.parameters(), 1e-4, 0.9)
    trainer.step()
    trainer.save()
    again = LocalTrainer(FedGAI.load(), PairFolder(data, 64), replace(config, near=1.0), tmp_path, name="Ada")
    with pytest.raises(TrainError, match="near"):
        again.resume()
    again.resume(may_change=("near",))
    assert same(trainer.model.state_dict(), again.model.state_dict())
    assert not again.optimisers["generator"].state_dict()["state"]
    assert torch.isfinite(torch.tensor(again.step()["generator"]))
    assert again.optimisers["generator"].param_groups[0]["lr"] == config.generator_lr / train_module.WARM_UP  # its first step


@pytest.mark.parametrize("trained", [False, True])
def test_a_state_in_which_one_setting_stood_for_two_goes_on(
    trained: bool, data: Path, tmp_path: Path, tiny_model_dir: Path
) -> None:
    """Until 0.2 ``freeze_batchnorm`` stood for ``trained_before``, too."""
    start = tiny_model_dir if trained else None
    config = replace(SMALL, batch=2, save_every=2)
    run(data, tmp_path / "whole", config=config, epochs=3, start=start)
    with pytest.raises(PowerCutError):
        run(data, tmp_path / "old", config=config, epochs=3, start=start, on_step=interrupt_at(5))
    tensors, meta = read_state(tmp_path / "old")
    assert meta["config"].pop("trained_before") == meta["config"]["freeze_batchnorm"] == trained
    save_file(tensors, str(tmp_path / "old" / STATE_FILE), {"training": json.dumps(meta)})
    run(data, tmp_path / "old", config=config, epochs=3, start=start, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "old"))
    assert same(load_file(str(tmp_path / "whole" / STATE_FILE)), load_file(str(tmp_path / "old" / STATE_FILE)))
    assert read_state(tmp_path / "old")[1]["config"]["trained_before"] == trained


@pytest.mark.parametrize("trained", [False, True])
def test_batchnorm_is_frozen_or_not_however_a_generator_learns(trained: bool, data: Path, tmp_path: Path) -> None:
    for frozen in (False, True):
        config = replace(SMALL, trained_before=trained, freeze_batchnorm=frozen)
        trainer = LocalTrainer(FedGAI.load(), PairFolder(data, 64), config, tmp_path, name="Ada")
        norms = [m for m in trainer.model.generator.modules() if isinstance(m, nn.BatchNorm2d)]
        before = [norm.running_mean.clone() for norm in norms]
        assert ("near" in trainer.step()) == trained
        assert isinstance(trainer.optimisers["generator"], torch.optim.Adam if trained else torch.optim.SGD)
        assert [torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True)] == [frozen] * len(norms)


def test_without_settings_trained_weights_learn_at_the_drawings_size(tmp_path: Path, tiny_model_dir: Path) -> None:
    folder = draw_pairs(tmp_path / "Ada", count=2, side=300)
    run(folder, tmp_path / "out", config=None, start=tiny_model_dir)
    run(folder, tmp_path / "out", config=None, start=tiny_model_dir, epochs=2, resume=True)
    about = FedGAI.load(tmp_path / "out").info["training"]
    assert (about["size"], about["steps"]) == (296, 4)


def test_a_trained_generator_learns_ever_more_slowly(data: Path, tmp_path: Path) -> None:
    config = replace(SMALL, trained_before=True, freeze_batchnorm=True, settled=5)
    trainer, rates = LocalTrainer(FedGAI.load(), PairFolder(data, 64), config, tmp_path, name="Ada"), []
    for _ in range(11):
        trainer.step()
        rates.append(trainer.optimisers["generator"].param_groups[0]["lr"])
    shares = [rates[i] / config.generator_lr for i in (0, 1, 5, 10)]
    assert shares == pytest.approx([1 / 5, 2 / 5 / (1 + 1 / 5), 1 / 2, 1 / 3])


def test_a_small_cache_changes_the_time_and_not_the_weights(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "cached", epochs=2)
    run(data, tmp_path / "recomputed", epochs=2, config=replace(SMALL, cache_mb=0))
    assert same(weights(tmp_path / "cached"), weights(tmp_path / "recomputed"))


def test_without_epochs_the_papers_iterations_are_trained(data: Path, tmp_path: Path) -> None:
    trainer = LocalTrainer(FedGAI("edge"), PairFolder(data, 32), replace(SMALL, size=32), tmp_path)
    assert trainer.steps == 7000


def test_federation_can_train_a_few_steps_at_a_time(data: Path, tmp_path: Path) -> None:
    trainer = LocalTrainer(FedGAI("edge"), PairFolder(data, 32), replace(SMALL, size=32, epochs=4), tmp_path)
    for until in (3, 6):
        trainer.run(until)
        assert trainer.step_count == until and (tmp_path / STATE_FILE).exists()


def test_a_single_pair_trains_without_feddecorr(tmp_path: Path) -> None:
    data = draw_pairs(tmp_path / "one", count=1)
    values: list[StepReport] = []
    run(data, tmp_path / "out", on_step=values.append)
    assert values[0].losses["feddecorr"] == 0


def test_a_sketch_teaches_what_its_photograph_shows(tmp_path: Path, tiny_model_dir: Path) -> None:
    """Sketches that changed places are the same hand; what they show of the photographs is another, and so is the training."""
    steps, trainers = {}, {}
    for name in ("own", "moved"):
        folder = draw_pairs(tmp_path / name)
        first, *others = sorted((folder / "sketches").iterdir())
        if name == "moved":
            held = first.rename(first.with_name("held"))
            for left, right in itertools.pairwise([first, *others]):
                right.rename(left)
            held.rename(others[-1])
        model = FedGAI.load(tiny_model_dir)
        trainers[name] = LocalTrainer(model, PairFolder(folder, 64), SMALL, tmp_path / f"{name}-out", name="Ada")
        steps[name] = trainers[name].step()
    assert torch.allclose(trainers["own"].style, trainers["moved"].style, atol=1e-5)
    for own, moved in zip(trainers["own"].grams, trainers["moved"].grams, strict=True):
        assert torch.allclose(own[0], moved[-1], atol=1e-6) and torch.allclose(own[1:], moved[:-1], atol=1e-6)
    semantic = [name for name in steps["own"] if name.startswith("semantic_")]
    assert len(semantic) == 1 and steps["own"][semantic[0]] != steps["moved"][semantic[0]]
    with pytest.raises(TrainError, match="trained otherwise"):
        trainers["own"].save()
        LocalTrainer(
            FedGAI.load(tiny_model_dir), PairFolder(tmp_path / "moved", 64), SMALL, tmp_path / "own-out", name="Ada"
        ).resume()
    (tmp_path / "own" / "guides").mkdir()
    with pytest.raises(PairsError, match="other garments"):  # release 0.1.0 trained on these; now they would be taken for pairs
        run(tmp_path / "own", tmp_path / "refused")


def straightforward(
    model: FedGAI, semantic: nn.Module, pairs: PairFolder, config: TrainConfig, order: list[list[int]], style: torch.Tensor
) -> Iterator[tuple[float, float]]:
    """Every step computes everything again, and lets gradients go wherever they go; yields both sums."""
    optimisers = [
        torch.optim.SGD(part.parameters(), config.lr, config.momentum) for part in (model.discriminator, model.generator)
    ]
    for rows in order:
        photo, sketch = (x[None] for x in pairs[rows[0]])
        everyone = [model.grams(model.encoder(pairs[i][1][None])) for i in rows]
        theirs = model.encoder(sketch)
        drawing = model.generator(model.encoder(photo), style)
        mine = model.encoder(drawing)
        judge, real, fake = model.discriminator, model.grams(theirs), model.grams(mine)

        d = losses.hinge_discriminator(judge(real), judge([g.detach() for g in fake]))
        d = d + config.beta * losses.feddecorr_loss(judge.hidden([torch.cat(level) for level in zip(*everyone, strict=True)]))
        optimisers[0].zero_grad()
        d.backward()
        optimisers[0].step()

        g = losses.hinge_generator(judge(fake)) + losses.gram_loss(fake, real) + losses.cosine_loss(mine[-1], theirs[-1])
        g = g + semantic(drawing, mine, semantic.target(photo, sketch))
        optimisers[1].zero_grad()
        g.backward()
        optimisers[1].step()
        yield d.item(), g.item()


@pytest.mark.parametrize("preset", ["edge", "vgg16"])
def test_twenty_steps_are_those_of_the_straightforward_loop(
    preset: str, data: Path, tmp_path: Path, vgg16_file: Path, tiny_model_dir: Path
) -> None:
    """What is computed once, and what gets no gradient, changes nothing, at the paper's rate and with all its losses.

    In one memory layout: another one rounds otherwise, and on untrained networks a change in a weight's last digit grows about
    ten-fold a step, whatever its cause.
    """
    if preset == "edge":
        model, clip = FedGAI.load(tiny_model_dir), None
    else:
        torch.manual_seed(24)
        model = FedGAI("vgg16")
        load_vgg16(model.encoder, str(vgg16_file))
        torchvision_ops.declare_missing()
        from open_clip.transformer import VisionTransformer

        clip = losses.ClipSemantic(
            VisionTransformer(image_size=32, patch_size=16, width=32, layers=6, heads=2, mlp_ratio=2.0, output_dim=16)
        )
    plain = copy.deepcopy(model).train().to(memory_format=torch.channels_last)
    side = 64 if preset == "edge" else 32
    pairs, config = PairFolder(data, side), replace(SMALL, size=side, cache_mb=2)  # too few MB for all pairs: both ways are gone
    trainer = LocalTrainer(model, pairs, config, tmp_path, semantic=clip or losses.PairedSemantic(model.encoder))
    order = [trainer._rows(step, config.decorr_rows) for step in range(20)]
    loop = straightforward(plain, clip or losses.PairedSemantic(plain.encoder), pairs, config, order, trainer.style)
    for discriminator, generator in loop:
        mine = trainer.step()
        assert mine["discriminator"] == pytest.approx(discriminator, rel=1e-4)
        assert mine["generator"] == pytest.approx(generator, rel=1e-4)
    assert 0 < len(trainer.measured._features) < len(pairs)


def test_bfloat16_trains_where_the_machine_has_it(data: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    values = []
    for bf16 in (True, False):
        trainer = LocalTrainer(FedGAI.load(tiny_model_dir), PairFolder(data, 64), replace(SMALL, bf16=bf16), tmp_path)
        values.append(trainer.step()["semantic_paired"])
    assert (values[0] != values[1]) == train_module._has_bf16(trainer.device)
    assert values[0] == pytest.approx(values[1], rel=0.05)
