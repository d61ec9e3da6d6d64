"""The whole federation with real parts: studio, SuperLink, eight SuperNodes, through the gateway with TLS and keys."""

from __future__ import annotations

import itertools
import ssl
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from recording_proxy import RecordingProxy

from federation.demo import Demo
from federation.supernode import free_port
from fedgai.atelier import ATELIERS
from fedgai.model import FedGAI

ROUNDS = 3
PATIENCE = 420  # s, for a busy machine


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory):
    """Eight designers, three rounds; one of the designers behind a proxy that records what leaves."""
    home = tmp_path_factory.mktemp("federation")
    demo = Demo(home, free_port(), rounds=ROUNDS, epochs=1, house_steps=2)
    proxy = RecordingProxy(demo.port, demo.tls / "server.pem", demo.tls / "server.key", demo.tls / "ca.pem")
    demo.through = {"Dara": proxy.port}
    with demo:
        until = time.monotonic() + PATIENCE
        while (demo.folder.rounds() or [0])[-1] < ROUNDS and time.monotonic() < until:
            time.sleep(1)
        yield demo, proxy
    proxy.stop()


def test_eight_designers_three_rounds_a_checkpoint_a_round(federation) -> None:
    demo, _ = federation
    assert demo.folder.rounds() == [0, 1, 2, 3], (demo.home / "studio.log").read_text()[-2000:]
    for number in (1, 2, 3):
        report = demo.folder.report(number)
        assert report["accepted"] == 8, report["designers"]
        assert {d["name"] for d in report["designers"]} == set(ATELIERS)
        FedGAI.load(demo.folder.checkpoint(number))


def test_the_discriminator_went_on_from_round_to_round(federation) -> None:
    demo, _ = federation
    shared = [FedGAI.load(demo.folder.checkpoint(n)).discriminator.shared() for n in range(4)]
    for before, after in itertools.pairwise(shared):
        assert any(not torch.equal(before[k], after[k]) for k in before)


def test_the_studio_draws_with_the_last_one_without_a_restart(federation) -> None:
    demo, _ = federation
    status = demo.get("federation/status")
    assert status["checkpoint"] == demo.folder.latest()
    assert sorted(status["designers_online"]) == sorted(ATELIERS)
    context = ssl.create_default_context(cafile=str(demo.tls / "ca.pem"))
    assert urllib.request.urlopen(demo.url, timeout=20, context=context).status == 200


def test_nothing_but_the_discriminator_leaves(federation) -> None:
    """On the recorded bytes of one designer: no BatchNorm tensor, Generator tensor, path, photograph or sketch."""
    demo, proxy = federation
    wire = b"".join(body for _, body in proxy.sent)
    model = FedGAI.load(demo.home / "Dara" / "model")
    shared = model.discriminator.shared()
    assert all(name.encode() in wire for name in shared), "the proxy did not see an upload"
    state = {**{f"g.{k}": v for k, v in model.generator.state_dict().items()},
             **{f"d.{k}": v for k, v in model.discriminator.state_dict().items()}}
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


def test_bytes_up_a_round(federation, capsys: pytest.CaptureFixture) -> None:
    """Against the whole GAN of the preset in fp32, everything that the designer's SuperNode sent counted."""
    demo, proxy = federation
    model = FedGAI.load(demo.home / "Dara" / "model")
    whole = sum(4 * p.numel() for part in (model.generator, model.discriminator) for p in part.parameters())
    up = sum(len(body) for path, body in proxy.sent if path.endswith(("push-object", "push-messages"))) / ROUNDS
    with capsys.disabled():
        print(f"\nup in a round: {up:.0f} bytes, whole GAN {whole}, {whole / up:.1f} x less")
    assert whole / up > 4
