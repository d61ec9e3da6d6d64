"""The studio at home, without its page: who draws, in whose hand. tests/test_window.py has the page, in a browser."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import fork_server
from helpers.studio_server import PATIENCE, ROOT

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from federation.designer.settings import CompanionError, Settings
from federation.processes import free_port
from studio.companion.home import HomePage
from studio.companion.home_studio import HomeStudio
from studio.sketching import StudioGarment
from studio.uploads import PhotoFile, UploadFolder

LINES = {"strength": 1.0, "detail": 1.0}


@pytest.fixture(scope="module")
def folder(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A companion's, with a private model; the designer is one of three."""
    home = tmp_path_factory.mktemp("companion")
    shutil.copytree(tiny_model_dir, home / "model")
    (home / "model" / "round.json").write_text('{"round": 7}')
    Settings("https://studio.example", str(home), "Bruno Hatch").save(home)
    return home


@pytest.fixture(scope="module")
def studio(folder: Path) -> HomeStudio:
    return HomeStudio(folder)


def test_from_all_me_to_all_of_us(studio: HomeStudio) -> None:
    def look(share: float, weights: dict[str, float] | None = None) -> Any:
        return studio.look(weights or studio.everybody, LINES, 256, True, {"us": share})

    assert studio.me == "Bruno Hatch" and studio.rounds == 7
    assert dict(look(0).shares) == {"Bruno Hatch": 1}
    assert dict(look(1).shares) == pytest.approx(dict.fromkeys(studio.names, 1 / 3))
    assert dict(look(0.5).shares) == pytest.approx({"Bruno Hatch": 2 / 3, "Ada Line": 1 / 6, "Coco Blot": 1 / 6})
    assert dict(look(0.5, {"Ada Line": 0.2, "Bruno Hatch": 0, "Coco Blot": 0}).shares) == {"Ada Line": 0.5, "Bruno Hatch": 0.5}
    assert dict(look(0, dict.fromkeys(studio.names, 0)).shares) == {"Bruno Hatch": 1}
    with pytest.raises(ValueError, match="All designers are at zero"):
        look(0.1, dict.fromkeys(studio.names, 0))
    for wrong in (-0.1, 1.1, "x", None):
        with pytest.raises(ValueError, match="From all me to all of us"):
            look(wrong)


def test_another_encoder_is_not_compared(studio: HomeStudio) -> None:
    with pytest.raises(ValueError, match="different encoders"):
        studio.compare(studio.first_garment, studio.first_look)


def test_a_folder_is_drawn_beside_it(studio: HomeStudio, garment_photo: Path, tmp_path: Path) -> None:
    photos = tmp_path / "Spring"
    photos.mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(garment_photo, photos / name)
    (photos / "c.jpg").write_text("no picture")
    page, controls = HomePage(studio, UploadFolder(tmp_path)), (studio.everybody, LINES, 256, True, {"us": 0.0})
    for out in ("Spring-sketches", "Spring-sketches-2"):  # what was drawn before stays
        *_, (last, _) = page.batch(None, f" '{photos}' ", *controls)
        assert "3 of 3 drawn" in last and "c.jpg" in last and out in last
        assert sorted(f.name for f in (tmp_path / out).iterdir()) == ["a.png", "b.png"]
    assert sorted(f.name for f in photos.iterdir()) == ["a.jpg", "b.jpg", "c.jpg"]


def test_what_the_training_saves_is_drawn_with(folder: Path, tiny_model_dir: Path) -> None:
    studio = HomeStudio(folder)
    before = studio.edition
    assert not studio.follow()
    file = folder / "model" / "model.safetensors"
    file.write_bytes(b"cut short")
    assert not studio.follow() and studio.edition == before
    shutil.copy(tiny_model_dir / "model.safetensors", file)
    os.utime(file, (1, 1))
    assert studio.follow() and studio.draw(studio.content(studio.first_garment, studio.first_look), studio.first_look)


def test_a_photograph_that_is_gone_is_a_sentence(studio: HomeStudio, tmp_path: Path) -> None:
    [(_, why)] = studio.draw_all([tmp_path / "gone.jpg"], tmp_path / "out", studio.first_look)
    assert "no longer here" in why
    with pytest.raises(ValueError):
        studio.content(StudioGarment(PhotoFile(tmp_path / "gone.jpg", tmp_path)), studio.first_look)


def test_without_a_generator_it_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CompanionError, match="no model of your own yet"):
        HomeStudio(tmp_path)


def test_it_listens_on_loopback_alone_and_for_its_own_page(folder: Path) -> None:
    from helpers.window_server import listening

    port, output = free_port(), folder / "output.txt"
    log = output.open("w+")
    command = [sys.executable, "-m", "studio.companion.home", "--home", str(folder), "--port", str(port), "--no-browser"]
    process = fork_server.Popen(command, libraries="studio", cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + PATIENCE
        while f"http://127.0.0.1:{port}/" not in output.read_text():
            assert process.poll() is None and time.monotonic() < until, output.read_text()
            time.sleep(0.1)
        assert listening(port) == {"0100007F"}
        for headers, status in (({}, 200), ({"Host": "evil.example"}, 403), ({"Origin": "http://evil.example"}, 403)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("GET", "/config", headers=headers)
            assert connection.getresponse().status == status, headers
            connection.close()
    finally:
        process.terminate()
        assert process.wait(60) in (0, -15)
