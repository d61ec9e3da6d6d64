"""A picture that costs too much is ended where it is decoded; and the next one is read as if nothing had been."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from helpers.garment_picture import draw_garment
from helpers.jpegs import many_scans
from PIL import GifImagePlugin, Image

from fedgai.vision import decoders as module
from fedgai.vision.decoders import PROGRAM, Decoders
from fedgai.vision.decoding import formats
from fedgai.vision.decoding.formats import decode
from fedgai.vision.decoding.limits import LargePictureError, PictureLimits, RefusedPictureError
from fedgai.vision.images import LOCAL, VISITOR, ImageError, read_image, read_picture

ROOT = Path(__file__).resolve().parent.parent


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def float_tiff(side: int) -> bytes:
    return encoded(Image.new("F", (side, side), 0.5), "TIFF", compression="tiff_adobe_deflate")


def answering(what: str) -> str:
    """The program of a process, with something else for an answer."""
    return PROGRAM.replace("main()", f"from decoding import process\nimport os\nprocess.answer = lambda *_: {what}\nmain()")


def gif_of_colours(side: int, count: int) -> bytes:
    """A GIF whose frames are of one colour each. Pillow takes seven times as long to write frames that have no palette."""
    frames = [Image.new("P", (side, side), number) for number in range(count)]
    for frame in frames:
        frame.putpalette(range(3 * count))
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], optimize=False)


HANGS = answering("exec('while 1: pass')")

# Each of these took seconds or gigabytes in the studio's own process.
ATTACKS = {
    "scans": lambda: many_scans(7000, 7000, 1000),  # 200 kB
    "floats": lambda: float_tiff(7000),  # 230 kB
    "webp": lambda: encoded(Image.new("RGB", (7000, 7000)), "WEBP", lossless=True),  # 300 bytes or so
    "frames": lambda: gif_of_colours(6000, 8),  # 200 kB
    "animated": lambda: encoded(
        Image.new("RGB", (4900, 4900)), "WEBP", save_all=True, append_images=[Image.new("RGB", (4900, 4900), "white")]
    ),
    "sixteen": lambda: encoded(Image.fromarray(np.zeros((7000, 7000), np.uint16)), "PNG"),
}
MEASURE = """
import json, resource, sys, threading
sys.path.insert(0, "tests")
from fedgai.vision.images import ImageError, read_image
data = open(sys.argv[1], "rb").read()
def visit():
    try:
        read_image(data)
    except ImageError:
        pass
before = resource.getrusage(resource.RUSAGE_SELF)
visitors = [threading.Thread(target=visit) for _ in range(4)]
[v.start() for v in visitors]
[v.join() for v in visitors]
from fedgai.vision.decoders import decoders
decoders().close()
own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"own_mb": (own.ru_maxrss - before.ru_maxrss) / 1024, "child_mb": children.ru_maxrss / 1024,
                  "own_s": own.ru_utime - before.ru_utime, "child_s": children.ru_utime + children.ru_stime}))
"""


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="measured by POSIX")
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_four_visitors_with_a_costly_picture_take(attack: str, tmp_path: Path) -> None:
    file = tmp_path / "attack"
    file.write_bytes(ATTACKS[attack]())
    assert file.stat().st_size < 2**20
    done = subprocess.run([sys.executable, "-c", MEASURE, file], cwd=ROOT, capture_output=True, text=True, check=True)
    took = json.loads(done.stdout)
    assert took["own_mb"] < 200 and took["own_s"] < 2, took
    assert took["child_mb"] < VISITOR.memory + 100 and took["child_s"] < 4 * VISITOR.seconds, took


def pages(*sides: int) -> bytes:
    first, *others = (Image.new("1", (side, side), 1) for side in sides)
    return encoded(first, "TIFF", save_all=True, append_images=others, compression="group4")


def frames(count: int, side: int) -> bytes:
    """A white GIF of so many frames, each of which has one white pixel."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", side, side, 0x80, 0, 0) + b"\xff" * 6
    return screen + (b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00") * count + b";"


def test_a_small_first_page_hides_no_large_one() -> None:
    with pytest.raises(LargePictureError):
        decode(pages(32, 5000), VISITOR, 1536, large=False)
    with pytest.raises(LargePictureError):
        decode(pages(*[3000] * 3), VISITOR, 1536, large=False)
    with pytest.raises(LargePictureError):
        decode(frames(9, 3000), VISITOR, 1536, large=False)
    assert decode(pages(32, 3000), VISITOR, 1536, large=False).pages == 2


def test_pages_and_frames_that_are_looked_at_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    normalise = Mock(wraps=formats.normalise)
    monkeypatch.setattr(formats, "normalise", normalise)
    assert decode(pages(*[7000] * 7), VISITOR, 1536).pages == 7 and normalise.call_count == 4  # of 49 million pixels each
    normalise.reset_mock()
    decode(frames(60, 3000), VISITOR, 1536)
    assert normalise.call_count == 22


def test_a_gif_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million frames have 20 MB, and took a minute to count."""
    sought: list[int] = []
    seek = GifImagePlugin.GifImageFile._seek
    monkeypatch.setattr(GifImagePlugin.GifImageFile, "_seek", lambda *args: sought.append(args[1]) or seek(*args))
    decode(frames(1000, 64), VISITOR, 1536)
    assert max(sought) <= formats.FRAMES


def test_time_is_limited() -> None:
    limits = PictureLimits(32, 50_000_000, 250_000_000, 20_000, seconds=1, memory=640)
    decoders = Decoders(HANGS)
    with pytest.raises(RefusedPictureError, match="too long"):
        decoders.decode(encoded(draw_garment(), "PNG"), limits, 1536)
    decoders.close()


def test_time_is_limited_where_the_system_has_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: there is no module ``resource``."""
    monkeypatch.setattr(module, "PATIENCE", 1)
    absent = "import sys\nsys.modules['resource'] = sys.modules['fcntl'] = None\n"
    good = encoded(draw_garment(), "JPEG")
    decoders = Decoders(absent + PROGRAM)
    assert decoders.decode(good, VISITOR, 1536).rgb.size == (384, 480)
    decoders.close()
    hangs = Decoders(absent + HANGS)
    with pytest.raises(RefusedPictureError, match="too long"):
        hangs.decode(good, PictureLimits(32, 50_000_000, 250_000_000, 20_000, seconds=2, memory=640), 1536)
    hangs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_memory_is_limited_and_the_next_picture_is_read() -> None:
    tight = PictureLimits(32, 50_000_000, 250_000_000, 20_000, seconds=10, memory=60)
    decoders = Decoders()
    for _ in range(3):
        with pytest.raises(RefusedPictureError, match="memory"):
            decoders.decode(encoded(Image.new("RGB", (6000, 6000)), "PNG"), tight, 1536)
        assert decoders.decode(encoded(draw_garment(), "PNG"), VISITOR, 1536).rgb.size == (384, 480)
    decoders.close()


def test_a_process_that_dies_is_replaced() -> None:
    decoders = Decoders()
    good = encoded(draw_garment(), "PNG")
    decoders.decode(good, VISITOR, 1536)
    for process in list(decoders._free.queue):
        if process:
            process._process.kill()
            process._process.wait()
    assert decoders.decode(good, VISITOR, 1536).rgb.size == (384, 480)
    decoders.close()
    died = Decoders(answering("os._exit(9)"))
    with pytest.raises(RefusedPictureError, match="damaged"):
        died.decode(good, VISITOR, 1536)
    died.close()
    none = Decoders()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.subprocess, "Popen", lambda *_, **__: (_ for _ in ()).throw(OSError(11, "Resource unavailable")))
        with pytest.raises(RefusedPictureError, match="no process can be started"):
            none.decode(good, VISITOR, 1536)
    assert none.decode(good, VISITOR, 1536).rgb.size == (384, 480)  # and its place is free again
    none.close()


def test_a_small_picture_does_not_wait_for_large_ones() -> None:
    png = encoded(Image.new("RGB", (6000, 6000)), "PNG")
    done: list[str] = []
    decoders = Decoders()
    small = encoded(draw_garment(), "JPEG")
    decoders.decode(small, VISITOR, 1536)
    held = threading.Event()
    decoders._large.acquire()  # somebody's large picture is being decoded

    def bring(name: str, data: bytes) -> None:
        decoders.decode(data, LOCAL, 1536)
        done.append(name)

    visitors = [threading.Thread(target=bring, args=("large", png)) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    held.wait(0.5)
    bring("small", small)
    assert done == ["small"]
    decoders._large.release()
    for visitor in visitors:
        visitor.join()
    assert done == ["small", "large", "large", "large"]
    decoders.close()


def test_the_process_starts_without_the_library() -> None:
    program = PROGRAM.replace(
        "main()",
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'fedgai', 'numpy', 'cv2', 'flwr', 'gradio'}))",
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_nothing_is_left_when_the_process_that_asked_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal\nfrom fedgai.vision.images import read_image\nimport sys\nread_image(sys.argv[1])\n"
        "from fedgai.vision.decoders import decoders\n"
        "print([p._process.pid for p in decoders()._free.queue if p][0], flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    file = tmp_path / "shirt.jpg"
    draw_garment().save(file)
    done = subprocess.run([sys.executable, "-c", code, file], cwd=ROOT, capture_output=True, text=True)
    pid = int(done.stdout)
    for _ in range(1200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} still runs")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_its_own() -> None:
    good = encoded(draw_garment(), "JPEG")
    read_image(good)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if read_image(good).size == (384, 480) else 2
            module.decoders().close()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read_image(good).size == (384, 480)


def test_many_threads_at_once() -> None:
    pictures = {i: encoded(Image.new("RGB", (40 + i, 30), (i, 2 * i, 3 * i)), "PNG") for i in range(40)}
    wrong: list[int] = []

    def bring(i: int) -> None:
        picture = read_picture(pictures[i])
        if picture.image.size != (40 + i, 30) or picture.image.getpixel((5, 5)) != (i, 2 * i, 3 * i):
            wrong.append(i)

    threads = [threading.Thread(target=bring, args=(i,)) for i in pictures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/stdin", "/dev/null"])
def test_devices_are_not_read(name: str) -> None:
    if not os.path.exists(name):
        pytest.skip(f"there is no {name}")
    with pytest.raises(ImageError):
        read_image(name)
