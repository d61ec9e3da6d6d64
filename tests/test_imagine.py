"""Garments from words: real diffusers pipelines, tiny and untrained, on disk and from a stand-in for the Hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import tiny_diffusion as tiny
from helpers.hub_server import HubServer
from helpers.studio_server import PATIENCE, ROOT
from helpers.tiny_diffusion import contents
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file

from fedgai.imagine import CHIPS, PROMPT_LIMIT, TEXT_LIMIT, Cancelled, ImagineError, Imaginer, Step, prompt

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = prompt({"category": "coat"})


@pytest.fixture(scope="module")
def imaginer(tiny_diffusion: Path) -> Imaginer:
    return Imaginer(tiny_diffusion, steps=3)


def test_the_prompt_says_what_was_chosen() -> None:
    chips = {
        "category": "dress",
        "colour": "red",
        "length": "midi",
        "fabric": "linen",
        "silhouette": "A-line",
        "neckline": "V-neck",
        "sleeve": "puff sleeves",
    }
    text = prompt(chips, "  large\npockets ")
    assert "one midi red A-line linen dress, V-neck, puff sleeves, large pockets," in text and "plain white background" in text
    assert "one red garment" in prompt({"colour": "red", "fabric": ""})
    assert "V-neck" not in prompt(chips | {"category": "skirt"})  # a skirt has none
    assert "background, a cape of felt," in prompt({}, "a cape of felt")
    longest = {name: max(words, key=len) for name, words in CHIPS.items()}
    assert len(prompt(longest, "w" * TEXT_LIMIT)) <= PROMPT_LIMIT


@pytest.mark.parametrize(
    ("chips", "text", "words"),
    [
        ({}, " \n", "at least one chip"),
        ({"category": "tank"}, "", "no category 'tank'"),
        (["dress"], "", "{name: word}"),
        ({"engine": "V8"}, "", "no chips 'engine'"),
        ({"colour": ["red"]}, "", "no colour"),
        ({}, "x" * 161, "161 characters"),
    ],
)
def test_words_that_cannot_be_used(chips: object, text: str, words: str) -> None:
    with pytest.raises(ImagineError, match=words):
        prompt(chips, text)


def test_a_picture_depends_on_its_seed_alone(imaginer: Imaginer) -> None:
    steps: list[Step] = []
    first = imaginer(WORDS, 7, steps.append)
    assert (first.size, first.mode) == ((128, 128), "RGB")
    assert [(step.number, step.total) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert imaginer(WORDS, 7).tobytes() == first.tobytes() != imaginer(WORDS, 8).tobytes()
    assert imaginer(prompt({"category": "skirt"}), 7).tobytes() != first.tobytes()  # the words are read
    for seed in (-1, 2**32):
        with pytest.raises(ImagineError, match="seed"):
            imaginer(WORDS, seed)
    with pytest.raises(ImagineError, match="characters"):
        imaginer("w" * (PROMPT_LIMIT + 1), 1)


@pytest.mark.parametrize(("scheduler", "tiny_vae", "steps"), [("LCMScheduler", True, 4), ("PNDMScheduler", False, 25)])
def test_previews_and_steps_of_other_pipelines(tmp_path: Path, scheduler: str, tiny_vae: bool, steps: int) -> None:
    folder = tiny.save(tmp_path / "other", scheduler=scheduler, tiny_vae=tiny_vae, spacing="leading")
    other, previews = Imaginer(folder), []
    assert other.steps is None

    def stop_early(step: Step) -> None:
        previews.append(step.preview())
        if step.number == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        other(WORDS, 1, stop_early)
    assert other.steps == steps and len(previews) == 4
    assert all(isinstance(picture, Image.Image) and picture.size[0] in (64, 128) for picture in previews)
    assert len({picture.tobytes() for picture in previews}) == 4


def test_a_network_that_was_not_distilled_is_guided(tiny_diffusion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two passes a step then, the other one away from people and patterned backgrounds."""
    for steps, batch in ((2, 1), (12, 2)):
        guided, seen = Imaginer(tiny_diffusion, steps=steps), []
        guided.load()
        guided._pipe.unet.register_forward_pre_hook(lambda module, arguments, seen=seen: seen.append(len(arguments[0])))
        guided(WORDS, 1)
        assert set(seen) == {batch}


@pytest.fixture
def broken(tiny_diffusion: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_diffusion, tmp_path / "broken"))


def rewritten(folder: Path, **changes: object) -> Path:
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


def test_no_code_and_no_pickles_of_others(broken: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (broken / "unet" / "mine.py").write_text(f"open({str(ran)!r}, 'w')")
    (broken / "mine.py").write_text(f"open({str(ran)!r}, 'w')")
    part = json.loads((broken / "model_index.json").read_text())["unet"]
    for change in ({"unet": ["mine", "Mine"]}, {"_class_name": ["mine", "Mine"]}):
        with pytest.raises(ImagineError, match="its own Python code"):
            Imaginer(rewritten(broken, **change)).load()
        rewritten(broken, unet=part, _class_name="StableDiffusionPipeline")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ImagineError, match=r"cannot be read .* in safetensors") as refused:
        Imaginer(broken).load()
    assert str(tmp_path) not in str(refused.value) and not ran.exists()


def test_folders_that_are_no_text_to_image_pipeline(broken: Path, tmp_path: Path) -> None:
    with pytest.raises(ImagineError, match=r"no model_index\.json"):
        Imaginer(tmp_path).load()
    for kind in ("StableDiffusionImg2ImgPipeline", "DDPMPipeline", "os"):
        with pytest.raises(ImagineError, match="not a text-to-image pipeline"):
            Imaginer(rewritten(broken, _class_name=kind)).load()
    rewritten(broken, _class_name="StableDiffusionPipeline")
    weights = broken / "vae" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    mended = Imaginer(broken, steps=1)
    with pytest.raises(ImagineError, match="weights of broken cannot be read"):
        mended.load()
    weights.write_bytes(whole)
    mended.load()  # and it is not remembered
    assert mended.loaded


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Imaginer().name == "IDKiro/sdxs-512-dreamshaper" and len(Imaginer().revision) == 40 and Imaginer().steps == 1
    assert Imaginer("somebody/model").revision is None and Imaginer("somebody/model").licence is None
    monkeypatch.setenv("FEDGAI_IMAGINE", "somebody/model@abc")
    monkeypatch.setenv("FEDGAI_IMAGINE_STEPS", "6")
    assert (Imaginer().name, Imaginer().revision, Imaginer().steps) == ("somebody/model", "abc", 6)
    for steps in ("many", "0", "101"):
        monkeypatch.setenv("FEDGAI_IMAGINE_STEPS", steps)
        with pytest.raises(ImagineError, match="from 1 to 100"):
            Imaginer()
    with pytest.raises(ImagineError, match="neither a folder nor"):
        Imaginer("/nowhere/at/all")


# -- from the Hub ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tiny_diffusion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The stand-in in place of the Hub for this process, an empty cache, and no waiting between tries."""
    with HubServer() as server:
        files = contents(tiny_diffusion)
        extra = {"unet/diffusion_pytorch_model.bin": b"pickle", "unet/diffusion_pytorch_model.fp16.safetensors": b"half"}
        server.create("ada/garments", files | extra | {"notes/large.safetensors": b"0"})
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None, raising=False)
        yield server


def asked(hub: HubServer) -> list[str]:
    return [request.path for request in hub.requests]


def test_from_the_hub_only_what_is_needed_and_only_once(hub: HubServer) -> None:
    seen: list[tuple[int, int]] = []
    revision = hub.repos["ada/garments"].commits[-1].oid
    remote = Imaginer(f"ada/garments@{revision}", steps=1)
    remote.load(lambda done, total: seen.append((done, total)))
    assert remote(WORDS, 1).size == (128, 128)
    assert seen[0][0] == 0 and seen[-1][0] == seen[-1][1] > 4e6 and seen == sorted(seen)
    fetched = " ".join(asked(hub))
    assert "unet/diffusion_pytorch_model.safetensors" in fetched
    assert not any(word in fetched for word in (".bin", "fp16", "notes"))
    hub.requests.clear()
    Imaginer(f"ada/garments@{revision}", steps=1).load()
    assert hub.requests == []  # pinned and here: no question at all


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"pattern": "/ada", "status": 404}, "404"),
        ({"pattern": "/ada", "status": 401}, "HF_TOKEN"),
        ({"pattern": "/ada", "status": 500}, "500"),
        ({"pattern": "GET /lfs", "cut": True}, "reached"),
    ],
    ids=["404", "401", "500", "cut"],
)
def test_a_fault_is_one_line_and_the_next_try_works(hub: HubServer, fault: dict, words: str) -> None:
    remote = Imaginer("ada/garments", steps=1)
    hub.fail(**fault, times=99)
    with pytest.raises(ImagineError, match=words) as refused:
        remote.load()
    line = str(refused.value)
    assert "\n" not in line and "hf download ada/garments" in line and "FEDGAI_IMAGINE" in line, line
    assert not remote.loaded
    hub.heal()
    remote.load()
    assert remote(WORDS, 1).size == (128, 128)


def test_an_unknown_repository_and_an_unknown_revision(hub: HubServer) -> None:
    with pytest.raises(ImagineError, match=r"ada/nothing cannot be downloaded: the Hub .*does not know the repository"):
        Imaginer("ada/nothing").load()
    with pytest.raises(ImagineError, match=r"this revision.*--revision v9"):
        Imaginer("ada/garments@v9").load()
    hub.create("ada/poems", {"poem.txt": b"roses"})
    with pytest.raises(ImagineError, match="not a diffusers pipeline"):
        Imaginer("ada/poems").load()


def test_no_network_and_offline(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ImagineError, match="HF_HUB_OFFLINE"):
        Imaginer("ada/garments").load()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    Imaginer("ada/garments").load()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    Imaginer("ada/garments").load()  # from the cache
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE"):
        monkeypatch.setattr(constants, name, getattr(constants, name).replace(hub.endpoint, "http://127.0.0.1:9"))
    Imaginer("ada/garments").load()
    with pytest.raises(ImagineError, match="cannot be reached"):
        Imaginer("ada/others").load()


def test_a_full_disk_and_damaged_files(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    remote = Imaginer("ada/garments", steps=1)
    with monkeypatch.context() as full:
        full.setattr("fedgai.pipeline_weights.shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
        with pytest.raises(ImagineError, match="no room for the weights of ada/garments"):
            remote.load()
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    name = "vae/diffusion_pytorch_model.safetensors"
    whole = hub.repo("ada/garments")[name]

    class Damaged(dict):  # under the name of its SHA-256 the storage holds something else of the same size
        def __getitem__(self, oid: str) -> bytes:
            blob = super().__getitem__(oid)
            return bytes([blob[0], *blob[1:-1], blob[-1] ^ 1]) if blob == whole else blob

    intact, hub.blobs = hub.blobs, Damaged(hub.blobs)
    with pytest.raises(ImagineError, match=f"{name} of ada/garments arrived damaged"):
        remote.load()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name == Path(name).name and path.parent.name == "vae"]
    hub.blobs = intact
    remote.load()
    assert remote.loaded


def test_a_download_can_be_cancelled(hub: HubServer) -> None:
    def impatient(done: int, total: int) -> None:
        if done:
            raise Cancelled

    remote = Imaginer("ada/garments", steps=1)
    with pytest.raises(Cancelled):
        remote.load(impatient)
    assert not remote.loaded
    remote.load()


def test_the_command(hub: HubServer, tmp_path: Path) -> None:
    """In a process of its own, where HF_ENDPOINT is read as anywhere."""
    environment = {**os.environ, **hub.environment, "HF_HOME": str(tmp_path / "home"), "FEDGAI_WEIGHTS": ""}
    command = [sys.executable, "-m", "fedgai", "imagine", "a wool trench coat", "--out", tmp_path / "new" / "coat.png"]
    options = ["--model", "ada/garments", "--steps", "2", "--seed", "5"]
    done = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "new" / "coat.png").size == (128, 128)
    options[1] = "ada/nothing"
    done = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "hf download ada/nothing" in done.stderr, done.stderr


# -- and where it is not wanted ----------------------------------------------------------------------------------------------


def test_where_there_is_no_torchvision(tiny_diffusion: Path) -> None:
    program = f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.split(".")[0] == "torchvision" else find(name, package)
sys.modules["torchvision"] = None
from fedgai.imagine import Imaginer
print(Imaginer({str(tiny_diffusion)!r}, steps=1)("a coat", 1).size)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.strip() == "(128, 128)", done.stdout + done.stderr
