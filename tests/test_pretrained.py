"""Public weights come from the Hub whole, checked and once, or with one line of advice; vgg16 trains and draws with them."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gradio_client import Client, handle_file
from helpers.drawn_pairs import SMALL, draw_pairs
from helpers.hub_server import HubServer
from helpers.studio_server import ROOT, StudioServer
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save, save_file

from fedgai import public_weights, torchvision_ops
from fedgai.__main__ import main
from fedgai.model import ENCODER_FILE, MODEL_FILE, FedGAI
from fedgai.networks.encoder import VGG16Encoder
from fedgai.public_weights import CLIP, VGG16, Source, WeightsError, load_vgg16, locate
from fedgai.training import losses
from fedgai.training.local import train
from fedgai.training.saved_training import STATE_FILE
from fedgai.training.train_config import TrainError

torchvision_ops.declare_missing()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The stand-in in the Hub's place, an empty cache, no token, and no settings."""
    for name in ("FEDGAI_VGG16", "FEDGAI_CLIP", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with HubServer() as server:
        point_at(server.endpoint, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        yield server


def point_at(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


def put(hub: HubServer, source: Source, content: bytes, private: bool = False) -> Source:
    """The file onto the Hub, and its pins."""
    hub.create(source.repo, private=private)
    oid = hub.commit(source.repo, {source.file: content})
    if source.revision.startswith("refs/"):
        hub.repos[source.repo].tags[source.revision] = oid
    else:
        source = replace(source, revision=oid)
    return replace(source, sha256=hashlib.sha256(content).hexdigest())


def half_written(cache: Path) -> list[Path]:
    """All that is in the cache, but for locks, the client's notes on what a revision is, and empty folders."""
    return [
        f
        for f in cache.rglob("*")
        if (f.is_file() or f.is_symlink()) and not {".locks", "refs"} & set(f.parts) and f.name != "CACHEDIR.TAG"
    ]


# -- VGG-16 and CLIP, whole ------------------------------------------------------------------------------------------


def test_the_encoder_is_torchvisions_vgg16(hub: HubServer, vgg16_file: Path) -> None:
    vgg = pytest.importorskip("torchvision.models.vgg")
    source = put(hub, VGG16, vgg16_file.read_bytes())
    encoder = VGG16Encoder()
    load_vgg16(encoder, source=source)

    published = vgg.make_layers(vgg.cfgs["D"])[:23]
    published.load_state_dict({k.removeprefix("features."): v for k, v in load_file(str(vgg16_file)).items() if v.shape != (2,)})
    image = torch.rand(2, 3, 32, 48)
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.inference_mode():
        x, maps = (image - mean) / std, []
        for index, layer in enumerate(published):
            x = layer(x)
            if index in (3, 8, 15, 22):  # relu1_2, relu2_2, relu3_3, relu4_3
                maps.append(x.clone())
        for mine, theirs in zip(encoder(image * 2 - 1), maps, strict=True):
            assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())


def test_clips_tower_agrees_with_transformers(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(24)
    config = transformers.CLIPVisionConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        patch_size=16,
        num_attention_heads=12,
        image_size=224,
        projection_dim=512,
    )
    published = transformers.CLIPVisionModelWithProjection(config).eval()
    half = {name: tensor.half().contiguous() for name, tensor in published.state_dict().items()}
    published.load_state_dict({name: tensor.float() for name, tensor in half.items()})
    source = put(hub, CLIP, save(half | {"text_model.final_layer_norm.weight": torch.zeros(2), "logit_scale": torch.ones(1)}))

    monkeypatch.setattr(public_weights, "CLIP", source)
    semantic = losses.semantic_loss(FedGAI("vgg16"))
    assert semantic.name == "clip"
    image = torch.rand(1, 3, 224, 224)
    mean, std = torch.tensor(losses.CLIP_MEAN)[:, None, None], torch.tensor(losses.CLIP_STD)[:, None, None]
    with torch.inference_mode():
        theirs = published((image - mean) / std, output_hidden_states=True)
        embedding, tokens = semantic.embed(image * 2 - 1)
    assert torch.allclose(embedding, theirs.image_embeds, rtol=1e-3, atol=1e-3)
    assert torch.allclose(tokens, theirs.hidden_states[5][:, 1:], rtol=1e-3, atol=1e-3)  # 0 is what goes into block one


# -- from the Hub, and from elsewhere --------------------------------------------------------------------------------

SMALL_FILE = save({"numbers": torch.arange(50_000, dtype=torch.float32)})
FAULTS = {
    "404": (lambda hub, monkeypatch: hub.fail("HEAD /timm", 404, times=9), "404"),
    "401": (lambda hub, monkeypatch: hub.fail("HEAD /timm", 401, times=9), "HF_TOKEN"),
    "500": (lambda hub, monkeypatch: hub.fail("HEAD /timm", 500, times=9), "500"),
    "500 from the storage": (lambda hub, monkeypatch: hub.fail("GET /lfs", 500, times=9), "500"),
    "cut in the middle": (lambda hub, monkeypatch: hub.fail("GET /lfs", torn=True), "broke off"),
    "wrong bytes": (lambda hub, monkeypatch: hub.fail("GET /lfs", spoilt=True), "wrong SHA-256"),
    "no network": (lambda hub, monkeypatch: point_at("http://127.0.0.1:9", monkeypatch), "cannot be reached"),
    "offline": (lambda hub, monkeypatch: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True), "HF_HUB_OFFLINE"),
}


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows beyond 64 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refused(source: Source, cache: Path) -> str:
    with pytest.raises(WeightsError) as refusal:
        locate(source)
    line = str(refusal.value)
    assert "\n" not in line and len(line) < 500
    assert source.repo in line and source.url in line and f"set {source.setting} to its path" in line
    assert not half_written(cache)
    return line


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_and_the_next_try_works(fault: str, hub: HubServer, tmp_path: Path) -> None:
    source = put(hub, VGG16, SMALL_FILE)
    with pytest.MonkeyPatch.context() as patch:
        strike, expected = FAULTS[fault]
        strike(hub, patch)
        patch.setattr(time, "sleep", lambda seconds: None)  # the client asks again, after ever longer pauses
        assert expected in refused(source, tmp_path / "cache")
    hub.heal()
    assert locate(source).read_bytes() == SMALL_FILE


def test_a_full_disk_is_one_line_and_the_next_try_works(hub: HubServer, tmp_path: Path) -> None:
    source = put(hub, VGG16, SMALL_FILE)
    with full_disk():
        assert "cannot be written" in refused(source, tmp_path / "cache")
    assert locate(source).read_bytes() == SMALL_FILE


def test_a_private_repository_wants_the_token(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(hub, VGG16, SMALL_FILE, private=True)
    assert "HF_TOKEN" in refused(source, tmp_path / "cache")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert locate(source).read_bytes() == SMALL_FILE


def test_what_was_fetched_and_checked_is_neither_fetched_nor_hashed_again(hub: HubServer, monkeypatch) -> None:
    source = put(hub, CLIP, SMALL_FILE)  # on a branch: the client itself would ask the Hub each time
    path = locate(source)
    count = len(hub.requests)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert locate(source) == path and len(hub.requests) == count


def test_a_file_that_went_bad_in_the_cache_is_fetched_again(hub: HubServer) -> None:
    source = put(hub, VGG16, SMALL_FILE)
    path = locate(source)
    path.resolve().write_bytes(b"\0" * len(SMALL_FILE))
    assert locate(source).read_bytes() == SMALL_FILE


def test_other_places(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / VGG16.file).write_bytes(SMALL_FILE)
    assert locate(VGG16, str(tmp_path)) == locate(VGG16, str(tmp_path / VGG16.file)) == tmp_path / VGG16.file
    assert not hub.requests
    put(hub, replace(VGG16, repo="ada/vgg"), SMALL_FILE)
    hub.fail("GET /lfs", spoilt=True)
    with pytest.raises(WeightsError, match="ada/vgg: the file that came has the wrong SHA-256"):  # than the Hub itself names
        locate(VGG16, "ada/vgg")
    assert locate(VGG16, "ada/vgg@main").read_bytes() == SMALL_FILE
    for nowhere in (tmp_path / "no" / "where", "vgg.safetensors", tmp_path / "vgg16" / "model.safetensors"):
        with pytest.raises(WeightsError, match=r"FEDGAI_VGG16 names .* neither a file"):
            locate(VGG16, str(nowhere))


def test_another_networks_file_is_refused(vgg16_file: Path, tmp_path: Path) -> None:
    tensors = load_file(str(vgg16_file))
    for name, change in {"lacks": {}, "shape": {"features.0.weight": torch.zeros(2)}}.items():
        file = tmp_path / f"{name}.safetensors"
        save_file({k: v for k, v in tensors.items() if k != "features.0.weight"} | change, str(file))
        with pytest.raises(WeightsError, match=f"{name}.safetensors does not hold VGG-16's weights: .*levels.0.0.weight"):
            load_vgg16(VGG16Encoder(), str(file))
    torch.save(tensors["features.0.bias"], tmp_path / "pickle.pt")
    with pytest.raises(WeightsError, match=r"pickle\.pt is not a safetensors file"):
        load_vgg16(VGG16Encoder(), str(tmp_path / "pickle.pt"))


def test_nothing_is_fetched_for_edge_nor_for_a_network_alone(hub: HubServer) -> None:
    assert losses.semantic_loss(FedGAI("edge")).name == "paired"
    FedGAI("vgg16")
    assert not hub.requests


# -- the vgg16 preset, by the same code as edge ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def vgg16_model(vgg16_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of ``train`` at 32 px from VGG-16's file, stopped and resumed on the way."""
    folder = tmp_path_factory.mktemp("vgg16")
    data, out, config = draw_pairs(folder / "Ada", count=2), folder / "model", replace(SMALL, size=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDGAI_VGG16", str(vgg16_file))
        patch.setenv("FEDGAI_CLIP", "off")
        options = {"preset": "vgg16", "config": config, "progress": False}
        train(data, out, epochs=1, **options)
        patch.setenv("FEDGAI_VGG16", str(folder / "gone"))  # the checkpoint has all that is needed
        train(data, out, epochs=2, resume=True, **options)
        with pytest.raises(TrainError, match="preset"):
            train(data, out, epochs=3, resume=True, **options | {"preset": "edge"})
    return out


def test_training_begins_with_vgg16s_weights_and_keeps_them(vgg16_file: Path, vgg16_model: Path) -> None:
    model = FedGAI.load(vgg16_model)
    file = load_file(str(vgg16_file))
    assert torch.equal(model.encoder.levels[0][0].weight, file["features.0.weight"])
    assert torch.equal(model.encoder.levels[3][4].weight, file["features.21.weight"])
    assert model.info["training"]["steps"] == 4


def test_a_checkpoint_keeps_the_encoder_in_a_file_that_no_round_changes(vgg16_model: Path, tmp_path: Path) -> None:
    model = FedGAI.load(vgg16_model)
    with torch.no_grad():
        model.generator.image.weight.add_(1)
    model.save_pretrained(tmp_path)
    assert (tmp_path / ENCODER_FILE).read_bytes() == (vgg16_model / ENCODER_FILE).read_bytes()
    assert not any(name.startswith("encoder.") for name in load_file(str(tmp_path / MODEL_FILE)))
    assert not any("encoder" in name for name in load_file(str(vgg16_model / STATE_FILE)))


def test_the_command_line_and_the_studio_draw_with_it(vgg16_model: Path, garment_photo: Path, tmp_path: Path) -> None:
    command = ["sketch", str(garment_photo), "--style", "Ada", "--model", str(vgg16_model), "--size", "256"]
    assert main([*command, "--out", str(tmp_path / "sketch.png")]) == 0
    assert max(Image.open(tmp_path / "sketch.png").size) == 256
    studio = StudioServer({"FEDGAI_WEIGHTS": str(vgg16_model), "HF_HUB_OFFLINE": "1"})
    try:
        client = Client(studio.url, verbose=False, download_files=tmp_path)
        drawn = client.predict(handle_file(garment_photo), {"Ada": 1}, size=256, api_name="/sketch")
        assert max(Image.open(drawn).size) == 256
    finally:
        studio.stop()


def test_without_the_weights_the_command_says_so_in_one_line(tmp_path: Path) -> None:
    """In a process of its own, whose Hub client does not pause before it asks again: that would take 23 s."""
    data = draw_pairs(tmp_path / "Ada", count=2)
    program = "import runpy, time; time.sleep = lambda seconds: None; runpy.run_module('fedgai', run_name='__main__')"
    command = [sys.executable, "-c", program, "train", str(data), "--preset", "vgg16", "--out", str(tmp_path / "out")]
    environment = {"PATH": "", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf")}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert ended.returncode == 2 and not (tmp_path / "out").exists()
    (line,) = [line for line in ended.stderr.splitlines() if "WARNING" not in line and "pairs" not in line]
    assert line.startswith("fedgai train: VGG-16's ImageNet weights cannot be downloaded from timm/vgg16.tv_in1k")
    assert "http://127.0.0.1:9/timm/vgg16.tv_in1k/resolve/3394518cba29aee1ea82a49d971be90d2dd1dab7/model.safetensors" in line
