"""The commands of ``fedgai``."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import fork_server
from helpers.commands import sketch
from helpers.drawn_pairs import draw_pairs
from helpers.garment_picture import draw_garment
from PIL import Image

from fedgai.__main__ import main
from fedgai.model import FedGAI
from fedgai.networks.style import Signature
from fedgai.training.refine_signature import Refined


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """Run a command that must be refused: exit status 2 and one line on standard error, which is returned."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse's own
        status = stop.code
    output = capsys.readouterr()
    assert status == 2 and output.err.count("\n") == 1, output.err
    return output.err


def test_sketch(tiny_model_dir: Path, garment_photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "sketch.png"
    assert sketch(garment_photo, tiny_model_dir, out, "ada line=0.3", "Coco Blot=2") == 0
    assert Image.open(out).size == (77, 96)


def test_sketch_of_a_text_file_is_refused_in_one_line(tiny_model_dir: Path, tmp_path: Path) -> None:
    text = tmp_path / "skirt.png"
    text.write_text("a skirt, pleated")
    command = [sys.executable, "-m", "fedgai", "sketch", text, "--style", "Ada Line", "--model", tiny_model_dir]
    done = fork_server.run([*command, "--out", tmp_path / "s.png"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "not a picture" in done.stderr and "Traceback" not in done.stderr


def test_sketch_with_a_signature_file_whose_path_has_an_equals_sign(
    tiny_model_dir: Path, garment_photo: Path, signature_file: Path, tmp_path: Path
) -> None:
    assert "=" in signature_file.name
    drawn = []
    for styles in ([signature_file], [f"{signature_file}=0.5"], [f"{signature_file}=1", "Ada Line=1"]):
        out = tmp_path / "s.png"
        style = [f"--style={s}" for s in styles]
        assert (
            main(
                [
                    "sketch",
                    str(garment_photo),
                    *style,
                    "--size",
                    "64",
                    "--no-cutout",
                    "--out",
                    str(out),
                    "--model",
                    str(tiny_model_dir),
                ]
            )
            == 0
        )
        drawn.append(np.asarray(Image.open(out)))
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


def test_sketch_refusals(capsys: pytest.CaptureFixture, tiny_model_dir: Path, garment_photo: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat.png"
    Image.new("RGB", (60, 60), "grey").save(flat)
    out = tmp_path / "out.png"

    def refused_sketch(photo: Path, style: str, *more: object) -> str:
        return refused(capsys, "sketch", photo, "--style", style, "--model", tiny_model_dir, "--out", out, *more)

    assert "No such file" in refused_sketch(tmp_path / "none.jpg", "Ada Line")
    assert "No garment" in refused_sketch(flat, "Ada Line")
    assert "one of Ada Line, Bruno Hatch, Coco Blot" in refused_sketch(garment_photo, "Nobody=1")
    assert "'much' is not a weight" in refused_sketch(garment_photo, "Ada Line=much")
    assert "not negative" in refused_sketch(garment_photo, "Ada Line=-1")
    assert "64 to 1024 px" in refused_sketch(garment_photo, "Ada Line", "--size", 2000)
    assert "--size" in refused_sketch(garment_photo, "Ada Line", "--size", "big")
    assert not out.exists()
    assert "give --out a name that ends so" in refused_sketch(garment_photo, "Ada Line", "--out", tmp_path / "out.xyz")
    assert "checkpoint" in refused_sketch(garment_photo, "Ada Line", "--model", tmp_path)
    assert "--style" in refused(capsys, "sketch", garment_photo, "--out", out)
    assert "invalid choice" in refused(capsys, "paint")
    assert "required" in refused(capsys)


def test_styles(capsys: pytest.CaptureFixture, tiny_model_dir: Path) -> None:
    assert main(["styles", "--json", "--model", str(tiny_model_dir)]) == 0
    bank = json.loads(capsys.readouterr().out)
    assert bank[1] == {"name": "Bruno Hatch", "description": "hatched in the dark"}
    assert main(["styles", "--model", str(tiny_model_dir)]) == 0
    assert "Coco Blot" in capsys.readouterr().out


def test_signature(capsys: pytest.CaptureFixture, tiny_model_dir: Path, tmp_path: Path) -> None:
    drawings = tmp_path / "Dee"
    drawings.mkdir()
    command = ["signature", str(drawings), "--out", str(tmp_path / "x"), "--model", str(tiny_model_dir)]
    assert main(command) == 2
    output = capsys.readouterr()
    assert "Put your drawings" in output.out and output.err.endswith("Dee holds no drawings that can be used.\n")
    for i, side in enumerate((40, 61)):
        draw_garment(side, 48).save(drawings / f"{i}.png")
    out = tmp_path / "hands" / "dee.safetensors"
    options = ["--out", str(out), "--model", str(tiny_model_dir)]
    assert main(["signature", str(drawings), *options]) == 0
    assert (Signature.load(out).name, Signature.load(out).sketches) == ("Dee", 2)
    assert main(["signature", str(drawings), *options, "--name", "D.", "--description", "in pencil"]) == 0
    assert (Signature.load(out).name, Signature.load(out).description) == ("D.", "in pencil")
    (drawings / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["signature", str(drawings), *options]) == 0
    assert "broken.png: " in capsys.readouterr().out and Signature.load(out).sketches == 2


def test_signature_refined(
    capsys: pytest.CaptureFixture, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refine(model: FedGAI, measured: Signature, pairs: list, drawings: list, **_: object) -> Refined:
        asked.append((len(pairs), len(drawings)))
        return Refined(measured, 2.0, 1.5)

    monkeypatch.setattr("fedgai.training.refine_signature.refine", refine)
    for kind in ("photos", "sketches"):
        (tmp_path / kind).mkdir()
        for i in range(3):
            draw_garment(64, 80).save(tmp_path / kind / f"{i}.png")
    options = ["--refine", "--model", str(tiny_model_dir), "--out", str(tmp_path / "hand.safetensors")]
    assert main(["signature", str(tmp_path), *options]) == 0
    assert "from 3 drawings; refined: 25% nearer" in capsys.readouterr().out
    assert main(["signature", str(tmp_path / "sketches"), *options]) == 0
    assert asked == [(3, 3), (0, 3)]


def test_info(capsys: pytest.CaptureFixture) -> None:
    assert main(["info", "--json"]) == 0
    edge = json.loads(capsys.readouterr().out)["parameters"]
    judge_of_hands = 32 * (4 * 136 + 1)
    assert edge["shared"] == 64 * 32 * 9 + 32 + 32 * 16 * 9 + 16 + 16 * 16 + 1 + judge_of_hands < edge["discriminator"]
    assert main(["info", "--preset", "vgg16", "--json"]) == 0
    paper = json.loads(capsys.readouterr().out)["parameters"]
    assert (paper["generator"], paper["discriminator"]) == (3_550_086, 370_241)  # 3.55 M and 0.37 M in the paper
    assert paper["shared"] == 256 * 128 * 9 + 128 + 128 * 64 * 9 + 64 + 64 * 16 + 1
    assert main(["info"]) == 0 and "shared" in capsys.readouterr().out


def test_pairs(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "more").mkdir(parents=True)
    draw_garment().save(photos / "shirt.jpg")
    draw_garment(300, 300).save(photos / "more" / "shirt.jpg")
    Image.new("RGB", (60, 60), "grey").save(photos / "wall.png")
    (photos / "zero.png").touch()
    arguments = ["pairs", str(photos), "--style", "aiko", "--out", str(out), "--size", "128"]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert output.startswith(f"{out}: 2 pairs") and "wall.png" in output and "zero.png" in output and "contact.jpg" in output
    stems = sorted(f.stem for f in (out / "photos").iterdir())
    assert len(stems) == 2 and stems == sorted(f.stem for f in (out / "sketches").iterdir())
    for folder in ("photos", "sketches"):
        sizes = {Image.open(f).size for f in (out / folder).iterdir()}
        assert sizes == {(102, 128), (128, 128)}
    assert Image.open(out / "contact.jpg").width > 0
    options = ["--limit", "1", "--seed", "3", "--only", "more/*", "--split", "more", "--style", "xdog"]
    assert main([*arguments, *options, "--out", str(tmp_path / "one")]) == 0
    assert "1 pairs" in capsys.readouterr().out
    begun = json.loads((tmp_path / "one" / "pairs.jsonl").read_text().splitlines()[0])
    assert begun == {"photos": "photos", "style": "xdog", "size": 128, "seed": 3, "only": "more/*", "split": "more"}
    assert "there are Aiko" in refused(capsys, "pairs", photos, "--style", "Zeno", "--out", out)
    assert "holds something else" in refused(capsys, *arguments[:4], "--out", photos)
    assert "cannot be opened" in refused(capsys, "pairs", tmp_path / "none", "--style", "Aiko", "--out", tmp_path / "new")
    (photos / "shirt.jpg").unlink()
    (photos / "more" / "shirt.jpg").unlink()
    main([*arguments[:4], "--out", str(tmp_path / "empty")])
    assert "No garment could be cut out" in capsys.readouterr().err


def test_pairs_goes_on_after_ctrl_c(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for i in range(30):
        draw_garment(90 + i, 120).save(photos / f"{i}.png")
    command = [sys.executable, "-m", "fedgai", "pairs", photos, "--style", "canny", "--out", out, "--size", "512"]
    # what runs in a shell's background, and all that it starts, is deaf to Ctrl-C
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while running.poll() is None and len(list(out.glob("photos/*.jpg"))) < 2:  # the first is whole by then
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    error = running.communicate()[1]
    assert running.returncode == 130 and "fedgai pairs: stopped" in error and "Traceback" not in error
    assert main([*map(str, command[3:])]) == 0
    assert "30 pairs, " in capsys.readouterr().out


def test_evaluate_prints_a_table(
    capsys: pytest.CaptureFixture, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDGAI_INCEPTION", "none.safetensors")
    monkeypatch.setenv("FEDGAI_VGG16", "none.safetensors")
    data = draw_pairs(tmp_path / "Ada", count=3)
    command = ["evaluate", "--data", str(data), "--model", str(tiny_model_dir), "--size", "64"]
    assert main(command) == 0
    output = capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert output.startswith("3 pairs at 64 px, drawn in their own signature by edge (encoder " + result["encoder_sha256"][:12])
    rows = {line.split()[0]: line for line in output.splitlines() if line.split()}
    assert rows["ssim"].split()[1] == f"{result['ssim']:.4g}"
    for name, words in {
        "ssim": "higher  -1 to 1  drawing - its real sketch  luminance",
        "style_distance": "lower  ",
        "frechet_encoder": "lower  ",
        "pixel_frechet": "no FID",
    }.items():
        assert " ".join(words.split()) in " ".join(rows[name].split())
    assert "fid" not in rows and "lpips" not in rows  # but said what they want
    without = [line for line in output.splitlines() if line.startswith("Without ")]
    assert len(without) == 2 and "Without fid, kid: FEDGAI_INCEPTION names" in output and "Without lpips: FEDGAI_VGG16" in output
    assert "equal numbers of pairs" in output


def test_train_and_evaluate_pass_on_what_was_given(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple] = []
    monkeypatch.setattr("fedgai.training.local.train", lambda **options: calls.append(options))

    def evaluate(*given: object, progress: object, **options: object) -> dict[str, int]:
        calls.append((given, options))
        return {"pairs": 3}

    monkeypatch.setattr("fedgai.evaluation.metrics.evaluate", evaluate)
    assert main(["train", "pairs", "--out", "run"]) == 0
    options = ["--preset", "vgg16", "--epochs", "2", "--seed", "5", "--resume"]
    assert main(["train", "pairs", "--out", "run", *options]) == 0
    assert main(["evaluate", "--data", "pairs", "--model", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"pairs": 3}
    paths = {"data_dir": Path("pairs"), "out": Path("run")}
    given = {"preset": "vgg16", "epochs": 2, "seed": 5, "resume": True}
    assert calls == [paths, {**paths, **given}, ((Path("pairs"), "run"), {"size": 256})]
    monkeypatch.undo()
    assert refused(capsys, "train", tmp_path, "--out", tmp_path / "run").startswith("fedgai train: ")
    assert refused(capsys, "evaluate", "--data", tmp_path, "--model", tmp_path).startswith("fedgai evaluate: ")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALL_PROXY", "socks4://127.0.0.1:9", "SOCKS"),
        ("HTTPS_PROXY", "ftp://proxy", "https://"),
        ("SSL_CERT_FILE", "/nowhere.pem", "no such"),
        ("FEDGAI_IMAGINE_STEPS", "many", "whole number"),
        ("FEDGAI_IMAGINE", "nothing", "neither a folder"),
    ],
)
def test_a_wrong_variable_is_named(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    output = refused(capsys, "imagine", "a coat", "--out", tmp_path / "o.png")
    assert name in output and says in output


@pytest.mark.parametrize("config", ["[1, 2]", "null", '{"preset": ["edge"]}', "{", ""])
def test_a_damaged_model_is_one_sentence(
    capsys: pytest.CaptureFixture, tiny_model_dir: Path, tmp_path: Path, config: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    (folder / "config.json").write_text(config)
    assert "not a FedGAI checkpoint" in refused(capsys, "styles", "--model", folder)
