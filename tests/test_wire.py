"""A companion from end to end: asked, approved, trained, sent, with a receipt, left; and every byte that it sends meanwhile,
searched for what must not leave, as it is and unpacked."""

from __future__ import annotations

import base64
import binascii
import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import brotli
import numpy as np
import pytest
import torch
from helpers import fork_server
from helpers.join_command import JOIN, run
from helpers.quick_rounds import running_studio, two_hands
from helpers.recording_proxy import RecordingProxy
from helpers.studio_server import PATIENCE, ROOT
from PIL import Image

from federation.demo import Demo, draw_examples
from federation.designer.own_hand import REFINED_FILE
from federation.designer.receipt import read_all
from federation.designer.settings import CompanionError, Settings
from federation.designer.studio_client import StudioClient, release_hash
from federation.identity import fingerprint
from federation.operator import approve
from federation.wire import pack
from fedgai.data import kept_cutouts
from fedgai.data.pairs import PairFolder
from fedgai.model import FedGAI
from fedgai.networks.style import Signature

SIZE, PAIRS = 128, 4
USER, MACHINE = "ottilie.weaver", "ottilies-laptop"
"""As the companion's processes know them. True ones may be short, and four letters like "root" come about by chance in the
base64 of a key or a signature."""
WINDOW = 16  # bytes: a fragment is known by so many that lie as they lie in a secret
MOST = 1 << 20  # bytes of one unpacked stream that are looked at
BROKEN = 1 << 14  # of one that does not come to its end
PACKED = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"%PDF-": "PDF",
}
"""Nothing of ours is packed so: a stream that begins with one of these is a finding, whatever is in it."""
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"qoif")
CHARACTERS = {
    "base64": (re.compile(rb"[A-Za-z0-9+/]{40,}"), base64.b64decode),
    "base64url": (re.compile(rb"[A-Za-z0-9_-]{40,}"), base64.urlsafe_b64decode),
    "base32": (re.compile(rb"[A-Z2-7]{40,}"), base64.b32decode),
    "hex": (re.compile(rb"[0-9a-fA-F]{40,}"), binascii.unhexlify),
}
GROUP = {"base64": 4, "base64url": 4, "base32": 8, "hex": 2}


Ended = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Form:
    """Bytes of the wire, and how one comes to them: "raw", or "zlib at 17, base64 at 0"."""

    how: str
    content: bytes


def forms(content: bytes, how: str = "raw", depth: int = 3, looked_into: dict[bytes, int] | None = None) -> Iterator[Form]:
    """The bytes themselves, then all that can be unpacked from any place in them, and from within that.

    Args:
        looked_into: how deep each was looked into. One text read as base64 and as base64url often gives the same bytes.
    """
    looked_into = {} if looked_into is None else looked_into
    if looked_into.get(content, -1) >= depth:
        return
    looked_into[content] = depth
    yield Form(how, content)
    if depth == 0:
        return
    for name, place, inside, whole in unpacked(content):
        inner = f"{name} at {place}" + ("" if how == "raw" else f" in {how}")
        if whole:
            yield from forms(inside, inner, depth - 1, looked_into)
        elif how == "raw":  # a stream that broke off is noise more often than not: looked at, but not into
            yield Form(inner, inside)


def unpacked(content: bytes) -> Iterator[tuple[str, int, bytes, bool]]:
    """(name, place, bytes, whether the stream came to its own end) of what begins at each place."""
    view = memoryview(content)
    for place in range(len(content) - 8):  # zlib, gzip, PNG and zip hold deflate, which is found where their headers end
        for name, inside, whole in (("deflate", *inflated(view[place:])), ("brotli", *unbrotlied(view[place:]))):
            # what is only copied is in ``content`` already
            if len(inside) >= WINDOW and inside[: 4 * WINDOW] not in content[place : place + 256]:
                yield name, place, inside, whole
    for magic, name, start in (
        (b"BZh", "bz2", bz2.BZ2Decompressor),
        (b"\xfd7zXZ\0", "xz", lzma.LZMADecompressor),
        (b"\x5d\0\0", "lzma", lzma.LZMADecompressor),
    ):
        for place in places(content, magic):
            try:
                yield name, place, start().decompress(bytes(view[place:]), MOST), True
            except (OSError, lzma.LZMAError, EOFError):
                continue
    for name, (characters, decode) in CHARACTERS.items():
        for text in characters.finditer(content):
            for skip in range(GROUP[name]):
                yield name, text.start() + skip, spelled_out(text.group()[skip:], GROUP[name], decode), True


def spelled_out(text: bytes, group: int, decode: Callable[[bytes], bytes]) -> bytes:
    """To the last character that can be: what follows a run may be anything."""
    for end in range(len(text), len(text) - group, -1):
        with contextlib.suppress(ValueError):  # binascii.Error is one
            return decode(text[:end] + b"=" * (-end % group))
    return b""


def inflated(packed: memoryview) -> tuple[bytes, bool]:
    """What raw deflate makes of it, until it breaks off, and whether it came to its end."""
    unpacker, inside = zlib.decompressobj(-15), b""
    for start in range(0, len(packed), 256):
        try:
            inside += unpacker.decompress(packed[start : start + 256], MOST)
        except zlib.error:
            return inside[:BROKEN], False
        if unpacker.eof or len(inside) > MOST:
            return inside, unpacker.eof
    return inside[:BROKEN], False


def unbrotlied(packed: memoryview) -> tuple[bytes, bool]:
    """As ``inflated``."""
    unpacker, inside = brotli.Decompressor(), b""
    try:  # most places are noise: eight bytes that are not brotli hold no window of a secret
        unpacker.process(bytes(packed[:8]))
    except brotli.error:
        return b"", False
    unpacker = brotli.Decompressor()
    for start in range(0, len(packed), 256):
        try:
            inside += unpacker.process(bytes(packed[start : start + 256]))
        except brotli.error:  # noise, or its end with something behind it: slowly now
            unpacker, inside = brotli.Decompressor(), b""
            with contextlib.suppress(brotli.error):
                for end in range(start, min(start + 256, len(packed))):
                    inside += unpacker.process(bytes(packed[end : end + 1] if end > start else packed[: end + 1]))
                    if unpacker.is_finished():
                        return inside[:MOST], True
            return inside[:BROKEN], False
        if unpacker.is_finished() or len(inside) > MOST:
            return inside[:MOST], unpacker.is_finished()
    return inside[:BROKEN], False


def places(content: bytes, word: bytes) -> Iterator[int]:
    at = content.find(word)
    while at >= 0:
        yield at
        at = content.find(word, at + 1)


class Secrets:
    """What must not leave: fragments of arrays and files, by ``WINDOW`` bytes each, and words."""

    def __init__(self) -> None:
        self._windows: dict[bytes, str] = {}
        self._words: dict[bytes, str] = {}
        self._likely = np.zeros(1 << 24, bool)  # by a hash of a window's first 8 bytes: most places are ruled out at once

    def add(self, label: str, content: bytes, stride: int = WINDOW, least: int = 6) -> None:
        """Any ``stride + WINDOW - 1`` bytes in a row of it will be found, unless they are blank: paper, zeros, one number.

        Args:
            least: a fragment has so many different bytes.
        """
        for at in [*range(0, len(content) - WINDOW, stride), max(0, len(content) - WINDOW)]:
            window = content[at : at + WINDOW]
            if len(window) < 8 or len(set(window)) < least:
                continue
            if len(window) < WINDOW:  # of a tensor with so few numbers
                self._words[window] = label
            elif self._windows.setdefault(window, label) is label:
                self._likely[hashes(window[:8])] = True

    def add_array(self, label: str, values: np.ndarray, stride: int = WINDOW) -> None:
        """As numbers of any width, in the order of numpy and, for pictures and maps, with channels last."""
        orders = [values] if values.ndim < 3 else [values, np.moveaxis(values, -3, -1)]
        for order in orders:
            for dtype in ("<f2", "<f4", "<f8"):
                self.add(label, np.ascontiguousarray(order).astype(dtype).tobytes(), stride)

    def add_word(self, label: str, word: str) -> None:
        for written in {word, urllib.parse.quote(word), urllib.parse.quote(word, safe="")}:
            for encoding in ("utf-8", "utf-16-le"):
                self._words.setdefault(written.encode(encoding).lower(), label)

    def found(self, wire: bytes) -> list[str]:
        """A line for each thing that is in there, in any form."""
        lines = [f"a {name} stream, at {place}" for magic, name in PACKED.items() for place in places(wire, magic)]
        for form in forms(wire):
            content, small = form.content, form.content.lower()
            lines += [f"{label}, {form.how}" for word, label in self._words.items() if word in small or word in content]
            likely = np.flatnonzero(self._likely[hashes(content)]) if len(content) >= WINDOW else ()
            hits = {self._windows.get(content[i : i + WINDOW]) for i in likely} - {None}
            lines += [f"{label}, {form.how}" for label in sorted(hits)]
            lines += [
                f"a picture, {form.how}" for magic in PICTURES for place in places(content, magic) if is_picture(content[place:])
            ]
        return lines


def hashes(content: bytes) -> np.ndarray:
    """Of the 8 bytes at each place, below 2^24."""
    eights = np.lib.stride_tricks.sliding_window_view(np.frombuffer(content, np.uint8), 8)
    return (np.ascontiguousarray(eights).view(np.uint64)[:, 0] * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)


def is_picture(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return min(picture.size) > 0
    except Exception:  # whatever a decoder makes of bytes that only begin like a picture
        return False


@dataclass(frozen=True)
class Recording:
    """One round of one designer, from the first command to the last.

    Attributes:
        dry, second, shown, left, again: commands that ended: --dry-run, a second companion while the first runs, --receipt,
            --leave, and once more --leave.
        untouched: whether --dry-run left nothing of a round behind.
        waiting, output: what the companion had printed before it was approved, and in the end.
        status: that it ended with.
        cutouts: how many photographs' cut-outs it kept.
        arrived: the designer's signature in the checkpoint.
    """

    wire: bytes
    secrets: Secrets
    home: Path
    data: Path
    dry: Ended
    untouched: bool
    waiting: str
    second: Ended
    status: int
    output: str
    shown: Ended
    cutouts: int
    arrived: Signature
    left: Ended
    again: Ended


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A studio with its federation, which waits for one designer."""
    folder = tmp_path_factory.mktemp("studio")
    with running_studio(folder, ["Aiko"], weights=two_hands(folder)) as demo:
        yield demo


@pytest.fixture(scope="module")
def recording(studio: Demo, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A proxy that records before the studio, and a real companion with its own proxy, SuperNode and ClientApp."""
    drawn, home = tmp_path_factory.mktemp("drawn"), tmp_path_factory.mktemp("companion")
    draw_examples(drawn, ["Aiko"], SIZE, garments=PAIRS // 2)
    data = tmp_path_factory.mktemp("Atelier Ödmark") / "Unshown Winter Collection"
    for kind in ("photos", "sketches"):
        (data / kind).mkdir(parents=True)
        for i, file in enumerate(sorted((drawn / "Aiko" / kind).iterdir())[:PAIRS]):
            shutil.copy(file, data / kind / f"velvet coat {i}{file.suffix}")
    named = tmp_path_factory.mktemp("named")
    (named / "sitecustomize.py").write_text(
        f"import platform, socket\nsocket.gethostname = socket.getfqdn = platform.node = lambda *name: {MACHINE!r}\n"
    )
    proxy = RecordingProxy(studio.port, studio.tls / "server.pem", studio.tls / "server.key", studio.tls / "ca.pem")
    patch = pytest.MonkeyPatch()
    try:
        for name, value in {"PYTHONPATH": str(named), "LOGNAME": USER, "USER": USER}.items():
            patch.setenv(name, value)
        names = "import getpass, platform, socket; print(getpass.getuser(), socket.gethostname(), platform.node())"
        for start in (subprocess.run, fork_server.run):
            done = start([sys.executable, "-c", names], capture_output=True, text=True, check=True)
            assert done.stdout.split() == [USER, MACHINE, MACHINE]
        dry = run(
            "--dry-run",
            *("--server", f"https://127.0.0.1:{proxy.port}", "--certificate", str(studio.tls / "ca.pem")),
            *("--data", str(data), "--name", "Chloé", "--share-style", "--description", "Even lines.", "--rounds", "1"),
            folder=home,
        )
        untouched = not (home / "receipts").exists() and not (home / "model").exists()
        settings = Settings.load(home)
        assert settings is not None, dry.stdout + dry.stderr
        replace(settings, size=SIZE).save(home)  # else it would be 256
        waiting, second, status = join_and_approve(studio, home)
        shown, cutouts = run("--receipt", folder=home), len(list((home / "model" / kept_cutouts.FOLDER).iterdir()))
        until = time.monotonic() + PATIENCE
        while 1 not in studio.folder.rounds():  # the update has arrived; the round still ends
            assert time.monotonic() < until
            time.sleep(0.2)
        arrived = FedGAI.load(studio.folder.checkpoint(1)).styles["Chloé"]
        left, again = (run("--leave", folder=home) for _ in range(2))
        output = (home / "output.txt").read_text()
        secrets = secrets_of(home, data)
        return Recording(
            proxy.wire, secrets, home, data, dry, untouched, waiting, second, status, output, shown, cutouts, arrived, left, again
        )
    finally:
        patch.undo()
        proxy.stop()


def join_and_approve(studio: Demo, home: Path) -> tuple[str, Ended, int]:
    """A companion, until it ends -> what it had printed before it was approved, a second one that was started meanwhile, and the
    status that it ended with."""
    with (home / "output.txt").open("w+") as output:
        process = fork_server.Popen(
            [*JOIN, "--home", str(home)],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"COLUMNS": "300", "HTTPS_PROXY": "http://127.0.0.1:9"},
        )
        try:
            until = time.monotonic() + PATIENCE
            while "the operator" not in (waiting := (home / "output.txt").read_text()):
                assert process.poll() is None and time.monotonic() < until, waiting
                time.sleep(0.3)
            second = run(folder=home)
            approve(studio.folder, str(home / "key.pub"), "Chloé")
            return waiting, second, process.wait(2 * PATIENCE)
        finally:
            process.kill()
            process.wait()


def secrets_of(home: Path, data: Path) -> Secrets:
    secrets = Secrets()
    model = FedGAI.load(home / "model")
    shared = set(model.discriminator.shared())
    state = {f"generator.{k}": v for k, v in model.generator.state_dict().items()}
    for name, module in model.discriminator.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            state |= {f"discriminator.{name}.{k}": v for k, v in module.state_dict().items()}
    for name, value in state.items():
        secrets.add_array(f"tensor {name}", value.numpy())
        key = name.split(".", 1)[1]
        if key not in shared and len(key) > 8:
            secrets.add_word(f"name of tensor {name}", key)
    pairs = PairFolder(data, SIZE)
    for i, files in enumerate(pairs.report.pairs):
        for kind, file, tensor in zip(("photograph", "sketch"), files, pairs[i], strict=True):
            label = f"{kind} {file.name}"
            secrets.add(f"{label}, the file", file.read_bytes())
            square = ((tensor.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()  # (S, S, 3)
            whole = Image.open(file).convert("RGB")
            for picture in (np.asarray(whole), square):
                grey = np.asarray(Image.fromarray(picture).convert("L"))
                for pixels in (picture, picture[:, :, ::-1], np.moveaxis(picture, 2, 0), grey):
                    secrets.add(f"{label}, pixels", np.ascontiguousarray(pixels).tobytes(), 48, 4)
            secrets.add_array(f"{label}, network's input", tensor.numpy(), 256)
            with torch.no_grad():
                maps = model.encoder(tensor[None])
            for level, (features, gram) in enumerate(zip(maps, model.grams(maps), strict=True)):
                secrets.add_array(f"{label}, features of level {level}", features[0].numpy(), 500)
                secrets.add_array(f"{label}, Gram matrix of level {level}", gram[0].numpy())
            secrets.add_array(f"{label}, the Discriminator's input", model.discriminator.pool(model.grams(maps))[0].numpy(), 64)
            secrets.add_word("file name", file.name)
            secrets.add_word("file name's stem", file.stem)
    for label, word in (
        ("folder name", data.name),
        ("folder name", data.parent.name),
        ("folder name", home.name),
        ("path", str(data)),
        ("path", str(home)),
        ("path", str(Path.home()) + "/"),
        ("folder name", "sketches/"),
        ("folder name", "photos/"),
        ("path", str(home.parent)),
        ("module's tensor", "running_mean"),
        ("module's tensor", "running_var"),
        ("module's tensor", "num_batches"),
    ):
        secrets.add_word(label, word)
    secrets.add_word("name of the user", USER)
    secrets.add_word("name of the machine", MACHINE)
    return secrets


def test_a_designer_joins_is_approved_sends_a_round_and_leaves(studio: Demo, recording: Recording) -> None:
    home, dry, waiting = recording.home, recording.dry, recording.waiting
    assert dry.returncode == 0 and "Nothing is sent" in dry.stdout and "style signature" in dry.stdout, dry.stdout + dry.stderr
    assert recording.untouched
    assert (home / "key.pub").read_text().strip() in waiting
    assert fingerprint((home / "key.pub").read_text()) in waiting and "connected" not in waiting
    assert recording.second.returncode == 1 and "already running" in recording.second.stdout
    assert recording.status == 0, recording.output

    [receipt] = read_all(home / "receipts")
    arrays = pack(FedGAI.load(home / "model").discriminator.shared())
    assert {t.name: t.sha256 for t in receipt.tensors} == {
        name: hashlib.sha256(array.numpy().tobytes()).hexdigest() for name, array in arrays.items()
    }
    assert receipt.signature and receipt.round == 1 and receipt.wire_bytes > receipt.bytes - 1000
    assert recording.shown.returncode == 0 and receipt.tensors[0].name in recording.shown.stdout
    assert all(t.sha256 in (home / "receipts" / "receipt.html").read_text(encoding="utf-8") for t in receipt.tensors)
    assert recording.arrived.name == "Chloé" and recording.cutouts == PAIRS

    left = recording.left
    assert left.returncode == 0 and "You have left" in left.stdout and "Chloé" in left.stdout
    assert "checkpoints of earlier rounds" in left.stdout
    assert all(m.revoked for m in studio.folder.members())
    assert (home / "model" / "config.json").exists() and not (home / "model" / kept_cutouts.FOLDER).exists()
    assert "not a member" in recording.again.stdout


def test_another_release_is_refused_before_anything_is_sent(studio: Demo, tmp_path: Path) -> None:
    settings = Settings(studio.url, str(tmp_path), "Zoë", certificate=str(studio.tls / "ca.pem")).checked()
    assert StudioClient(settings).check()["app_hash"] == release_hash()
    file = studio.folder.path / "app.json"
    was = file.read_text()
    file.write_text(json.dumps(json.loads(was) | {"fab_hash": "0" * 64}))
    try:
        time.sleep(1.1)  # the status may be a second old
        with pytest.raises(CompanionError, match="Only the same program runs here"):
            StudioClient(settings).check()
    finally:
        file.write_text(was)


def test_none_of_it_is_in_any_byte_that_was_sent(recording: Recording) -> None:
    arrays = pack(FedGAI.load(recording.home / "model").discriminator.shared())
    assert all(array.numpy().tobytes() in recording.wire for array in arrays.values()), "the upload was not recorded"
    [receipt] = read_all(recording.home / "receipts")
    assert len(recording.wire) > receipt.wire_bytes > receipt.bytes - 1000
    assert b"GET /federation/status" in recording.wire and "Chloé".encode() in recording.wire
    assert recording.secrets.found(recording.wire) == []


def test_the_signature_and_its_adapter_arrive_as_the_receipt_says(recording: Recording) -> None:
    own = Signature.load(recording.home / "model" / REFINED_FILE)
    arrived, [receipt] = recording.arrived, read_all(recording.home / "receipts")
    assert torch.equal(arrived.style, own.style) and arrived.extra["refined"] is receipt.values["refined"] is True
    assert own.adapter is not None and arrived.adapter is not None and torch.equal(arrived.adapter, own.adapter)
    content = own.adapter.numpy().tobytes()
    assert receipt.values["adapter"] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert content in recording.wire


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", content)
    return file.getvalue()


WRAPPED: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "deflate": lambda b: zlib.compress(b)[2:-4],
    "brotli": brotli.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "lzma": lambda b: lzma.compress(b, lzma.FORMAT_ALONE),
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
    "base32": base64.b32encode,
    "hex": lambda b: b.hex().encode(),
    "base64 of zlib": lambda b: base64.b64encode(zlib.compress(b)),
    "zlib of gzip": lambda b: zlib.compress(gzip.compress(b, 0)),
    "zlib cut short": lambda b: zlib.compress(b + os.urandom(300))[:-200],
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_what_is_planted_is_found(wrap: str, recording: Recording) -> None:
    """Else the test above could not fail: a piece of each kind of secret, among bytes that were sent."""
    model, pairs = FedGAI.load(recording.home / "model"), PairFolder(recording.data, SIZE)
    photo, sketch = pairs.report.pairs[1]
    whole = np.asarray(Image.open(sketch).convert("RGB"))
    most_ink = int(np.argmin(whole.mean((1, 2), dtype=float)))
    rows = whole[most_ink : most_ink + 3]  # more of them would be looked through at every place, and again in each form of these
    name, weight = next((k, v) for k, v in model.generator.state_dict().items() if v.numel() > 500)
    features = model.encoder(pairs[1][0][None])[2][0, 4:6]
    planted = {
        "tensor discriminator.body.1.running_mean": model.discriminator.body[1].running_mean.numpy().astype("<f2").tobytes(),
        f"tensor generator.{name}": weight.double().numpy().tobytes()[1003:1203],
        f"sketch {sketch.name}, the file": sketch.read_bytes()[300:500],
        f"sketch {sketch.name}, pixels": rows.tobytes(),
        f"photograph {photo.name}, features of level 2": features.half().numpy().tobytes(),
        "file name": str(sketch).encode(),
        "path": str(recording.home).encode(),
    }
    content = WRAPPED[wrap](b"...".join(planted.values()))
    found = recording.secrets.found(recording.wire[:2001] + content + recording.wire[2001:3000])
    for label in planted:
        assert any(line.startswith(label) for line in found), f"{label}: {found}"


def test_a_planted_picture_is_found_however_small(recording: Recording) -> None:
    """A JPEG shares no byte with the drawing's file: that it is a picture is enough."""
    drawing = Image.open(PairFolder(recording.data, SIZE).report.pairs[0][1]).convert("L").resize((48, 48))
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"):
        file = io.BytesIO()
        drawing.save(file, kind)
        for content in (file.getvalue(), base64.b64encode(file.getvalue())):
            found = recording.secrets.found(recording.wire[:2001] + content)
            assert any(line.startswith("a picture") for line in found), kind
    assert recording.secrets.found(b"\x28\xb5\x2f\xfd" + recording.wire[:100]) == ["a zstd stream, at 0"]
