"""The whole federation with real parts: studio, SuperLink, eight SuperNodes, through the gateway with TLS and keys."""

from __future__ import annotations

import itertools
import json
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.quick_rounds import QuickDemo, one_garment, two_hands
from helpers.recording_proxy import RecordingProxy
from helpers.studio_server import PATIENCE, ROOT

from federation.demo import Demo
from federation.processes import free_port
from fedgai.ateliers import ATELIERS
from fedgai.model import FedGAI

ROUNDS = 2


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory):
    """Eight designers, two rounds; one of the designers behind a proxy that records what leaves."""
    home = tmp_path_factory.mktemp("federation")
    demo = QuickDemo(
        home,
        free_port(),
        rounds=ROUNDS,
        epochs=1,
        deadline=round(4 * PATIENCE),
        house_steps=1,
        garments=1,
        size=128,
        patience=PATIENCE,
        weights=two_hands(home),
        environment=one_garment(home),
    )
    proxy = RecordingProxy(demo.port, demo.tls / "server.pem", demo.tls / "server.key", demo.tls / "ca.pem")
    demo.through = {"Dara": proxy.port}
    with demo:
        until = time.monotonic() + 4 * PATIENCE
        while demo.folder.last_round() < ROUNDS and time.monotonic() < until:
            time.sleep(1)
        yield demo, proxy
    proxy.stop()


def test_eight_designers_two_rounds_a_checkpoint_a_round(federation) -> None:
    demo, _ = federation
    assert demo.folder.rounds() == [0, 1, 2], (demo.home / "studio.log").read_text()[-2000:]
    for number in (1, 2):
        report = demo.folder.report(number)
        assert report.accepted == 8, report.designers
        assert {d.name for d in report.designers} == set(ATELIERS)
        FedGAI.load(demo.folder.checkpoint(number))


def test_the_discriminator_went_on_from_round_to_round(federation) -> None:
    demo, _ = federation
    shared = [FedGAI.load(demo.folder.checkpoint(n)).discriminator.shared() for n in range(ROUNDS + 1)]
    for before, after in itertools.pairwise(shared):
        assert any(not torch.equal(before[k], after[k]) for k in before)


def test_the_studio_draws_with_the_last_one_without_a_restart(federation) -> None:
    demo, _ = federation
    status = demo.get("federation/status")
    assert status["checkpoint"] == demo.folder.latest()
    assert sorted(status["designers_online"]) == sorted(ATELIERS)
    context = ssl.create_default_context(cafile=str(demo.tls / "ca.pem"))
    assert urllib.request.urlopen(demo.url, timeout=PATIENCE, context=context).status == 200


def test_nothing_but_the_discriminator_leaves(federation) -> None:
    """On the recorded bytes of one designer: no BatchNorm tensor, Generator tensor, path, photograph or sketch."""
    demo, proxy = federation
    wire = b"".join(body for _, body in proxy.sent)
    model = FedGAI.load(demo.home / "Dara" / "model")
    shared = model.discriminator.shared()
    assert all(name.encode() in wire for name in shared), "the proxy did not see an upload"
    state = {
        **{f"g.{k}": v for k, v in model.generator.state_dict().items()},
        **{f"d.{k}": v for k, v in model.discriminator.state_dict().items()},
    }
    norms = {k: v for k, v in state.items() if ".running_" in k or k.startswith("g.")}
    assert len(norms) > 20
    for name, value in norms.items():
        if value.numel() < 8 or not value.is_floating_point():
            continue
        for dtype in (np.float32, np.float16, np.float64):
            assert value.numpy().astype(dtype).tobytes() not in wire, name
    for secret in (b"running_mean", b"running_var", b"num_batches", str(demo.home).encode(), b"photos", b"sketches/"):
        assert secret not in wire, secret
    for picture in (demo.home / "pairs" / "Dara").rglob("*.*"):
        content = Path(picture).read_bytes()
        assert content[200:264] not in wire and picture.name.encode() not in wire


def less_than_the_whole(demo: Demo, proxy: RecordingProxy, name: str, rounds: int) -> float:
    """How many times fewer bytes a designer sent in a round than the whole GAN of the preset has in fp32; printed, too.

    All that the SuperNode sent with its update counts: Flower's framing, metrics, signature.
    """
    model = FedGAI.load(demo.home / name / "model")
    whole = sum(4 * p.numel() for part in (model.generator, model.discriminator) for p in part.parameters())
    up = sum(len(body) for path, body in proxy.sent if path.endswith(("push-object", "push-messages"))) / rounds
    print(f"\n{model.preset.name}: up in a round {up:,.0f} bytes, whole GAN {whole:,}, {whole / up:.1f} x less")
    return whole / up


def test_bytes_up_a_round(federation, capsys: pytest.CaptureFixture) -> None:
    with capsys.disabled():
        assert less_than_the_whole(*federation, "Dara", ROUNDS) > 4


def wait(demo: Demo, condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 3 * PATIENCE
    while not condition():
        assert time.monotonic() < until, (demo.home / "studio.log").read_text()[-2000:]
        time.sleep(0.5)


@pytest.mark.long
def test_the_papers_preset_and_its_bytes(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two designers and a round with vgg16, untrained and small: what is looked at is the way, not the drawings."""
    monkeypatch.setenv("FEDGAI_CLIP", "off")  # at the designers', too: its weights would have to be fetched
    torch.manual_seed(24)
    start = FedGAI("vgg16").eval()
    for name in ("First", "Second"):
        start.add_style(start.signature([torch.rand(1, 3, 64, 64) * 2 - 1], name))
    start.save_pretrained(tmp_path / "start")
    names = ("Aiko", "Dara")
    demo = QuickDemo(
        tmp_path,
        free_port(),
        1,
        names=names,
        house_steps=1,
        deadline=round(2 * PATIENCE),
        garments=1,
        size=64,
        weights=tmp_path / "start",
        patience=PATIENCE,
    )
    proxy = RecordingProxy(demo.port, demo.tls / "server.pem", demo.tls / "server.key", demo.tls / "ca.pem")
    demo.through = {"Dara": proxy.port}
    try:
        with demo:
            wait(demo, lambda: demo.folder.status().answered == 2)
            with capsys.disabled():
                assert less_than_the_whole(demo, proxy, "Dara", 1) > 15
            wait(demo, lambda: demo.folder.rounds() == [0, 1])
            report = demo.folder.report(1)
            assert {d.name: d.reason for d in report.designers if d.accepted} == dict.fromkeys(names, "")
            assert FedGAI.load(demo.folder.checkpoint(1)).preset.name == "vgg16"
    finally:
        proxy.stop()


@pytest.mark.long
def test_the_same_on_flowers_simulation_engine(tmp_path: Path) -> None:
    """The command, with three designers; the reports name them."""
    pytest.importorskip("ray", reason="the simulation engine is not installed")
    command = "federation.simulate --designers 3 --rounds 1 --pairs 2 --size 64 --house-steps 1 --keep-signatures --json"
    words = [sys.executable, "-m", *command.split(), "--home", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (report,) = json.loads(done.stdout.splitlines()[-1])
    assert report["accepted"] == 3, report["designers"]
    assert {d["name"] for d in report["designers"]} == set(list(ATELIERS)[:3])
