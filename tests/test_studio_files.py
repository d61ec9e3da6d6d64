"""Nobody reads a file of the server, and nobody learns whether there is one: every event and route, with hostile paths."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from helpers.studio_server import ROOT, StudioServer
from helpers.studio_visitor import Answer, Visitor, file_data
from PIL import Image

pytest.importorskip("studio.without_stubs")

from studio.uploads import PhotoFile, UploadError, UploadFolder

EXAMPLE = ROOT / "examples" / "denim_jacket.jpg"
GONE = "no longer here"
CONTROLS = ({"Dara": 1}, {}, 256, True)


@pytest.fixture
def visitor(studio: StudioServer) -> Iterator[Visitor]:
    with Visitor(studio.url) as someone:
        yield someone


class Elsewhere:
    """A server that counts who asks it for something."""

    def __init__(self) -> None:
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/coat.jpg"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    there = Elsewhere()
    yield there
    there.server.shutdown()


@pytest.fixture
def hostile(visitor: Visitor, elsewhere: Elsewhere, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a visitor may write where a page writes the path of its photograph: name -> path."""
    private = tmp_path / "private.png"
    Image.open(EXAMPLE).save(private)
    sent = Path(visitor.upload(EXAMPLE.read_bytes()))
    folder = sent.parent.parent
    link, pipe = folder / "link.png", tmp_path / "pipe.png"
    link.symlink_to(private)  # no visitor can make one: it would have to be an accident of ours
    os.mkfifo(pipe)
    inside = folder / "pipe.png"
    os.mkfifo(inside)
    yield {
        "private": str(private),
        "example": str(EXAMPLE),
        "missing": str(tmp_path / "missing.png"),
        "dots": f"{sent.parent}/../../../{os.path.relpath(private, '/')}",
        "dots inside": f"{folder}/../{folder.name}x/{private.name}",
        "link": str(link),
        "device": "/dev/zero",
        "pipe": str(pipe),
        "pipe inside": str(inside),
        "folder": str(folder),
        "relative": "examples/denim_jacket.jpg",
        "process": "/proc/self/environ",
        "file address": f"file://{private}",
        "web address": elsewhere.url,
        "null byte": f"{sent}\0.png",
        "long": "/" + "x" * 5000,
        "empty": "",
    }
    link.unlink()
    inside.unlink()


def shapes(path: str) -> Iterator[Any]:
    """A file as pages of Gradio's name one: alone, in a gallery, in layers of an editor."""
    for meta in (True, False):
        file = file_data(path, meta)
        yield file
        yield {"path": path, "url": f"file://{path}", "orig_name": path, **({"meta": file["meta"]} if meta else {})}
        yield [{"image": file, "caption": None}]
        yield {"background": file, "layers": [file], "composite": file}


def test_a_photograph_that_was_sent_is_drawn(visitor: Visitor) -> None:
    """As a page does it, so that the refusals below refuse something that works."""
    path = visitor.upload(EXAMPLE.read_bytes())
    for meta in (True, False):
        taken = visitor.do("take", [file_data(path, meta), *CONTROLS])
        assert taken.ok and taken.data[-1] == ""
    drawn = visitor.do("redraw", [None, "", *CONTROLS])
    assert drawn.ok and drawn.data[0]["title"] == "Your garment"
    assert visitor.call("sketch", [file_data(path, True), {"Dara": 1}, 1, 1, 256, True, "white"]).ok


def nothing_of_it(answer: Answer, name: str) -> None:
    """No picture, and no other words than for a file that never was."""
    assert not answer.ok or GONE in answer.text, (name, answer.text[-400:])
    assert "data:image" not in answer.text and "private" not in answer.text, (name, answer.text[-400:])


def test_no_path_of_a_visitor_s_is_opened(visitor: Visitor, hostile: dict[str, str], elsewhere: Elsewhere) -> None:
    answers = {}
    for name, path in hostile.items():
        for meta in (True, False):
            answers[name] = visitor.do("take", [file_data(path, meta), *CONTROLS])
            nothing_of_it(answers[name], name)
        for endpoint, rest in (
            ("sketch", [{"Dara": 1}, 1, 1, 256, True, "white"]),
            ("contact_sheet", [256, True]),
            ("blend_row", ["Dara", "Goro", 256, True]),
        ):
            nothing_of_it(visitor.call(endpoint, [file_data(path, True), *rest]), name)
            nothing_of_it(visitor.call(endpoint, [file_data(path, False), *rest]), name)
    # the answer does not reveal whether a file exists
    assert answers["private"].text == answers["missing"].text == answers["device"].text
    drawn = visitor.do("redraw", [None, "", *CONTROLS])
    assert drawn.ok and drawn.data[0]["title"] == "Trench coat"  # what a page begins with
    assert elsewhere.asked == []


@pytest.mark.parametrize("name", ["private", "device", "web address"])
def test_no_event_takes_it_in_any_place(visitor: Visitor, hostile: dict[str, str], elsewhere: Elsewhere, name: str) -> None:
    """Every listener of the page and every endpoint, every input, every shape; and as the event's own data."""
    for event in visitor.events:
        plain = visitor.defaults(event)
        for place in [*range(len(plain)), None]:
            for shape in shapes(hostile[name]):
                data = [shape if i == place else value for i, value in enumerate(plain)]
                joined = visitor.join(event, data, shape if place is None else None)
                assert joined.status_code == 400 and GONE in joined.text, (event["api_name"], place, joined.text[:300])
    assert elsewhere.asked == []


def test_an_address_instead_of_a_file_is_a_sentence(visitor: Visitor, elsewhere: Elsewhere) -> None:
    for url in (elsewhere.url, "data:image/png;base64,iVBORw0KGgo=", "file:///etc/hostname"):
        answer = visitor.do("take", [{"path": None, "url": url, "meta": {"_type": "gradio.FileData"}}, *CONTROLS])
        assert GONE in answer.text
        answer = visitor.call("sketch", [{"url": url}, {"Dara": 1}, 1, 1, 256, True, "white"])
        assert not answer.ok and GONE in answer.text
    assert elsewhere.asked == []


def test_devices_hold_nothing_up(visitor: Visitor, studio: StudioServer) -> None:
    for path in ("/dev/zero", "/dev/random", "/dev/stdin") * 4:
        for meta in (True, False):
            with Visitor(studio.url) as other:
                other.do("take", [file_data(path, meta), *CONTROLS])
    path = visitor.upload(EXAMPLE.read_bytes())
    assert visitor.call("sketch", [file_data(path, True), {"Dara": 1}, 1, 1, 256, True, "white"]).ok


ROUTES = [
    ("GET", "gradio_api/proxy={url}"),
    ("GET", "gradio_api/file={url}"),
    ("GET", "gradio_api/file={private}"),
    ("GET", "gradio_api/file=/dev/zero"),
    ("GET", "gradio_api/file/{private}"),
    ("GET", "gradio_api/file={example}"),
    ("POST", "gradio_api/process_recording"),
    ("POST", "gradio_api/component_server"),
    ("POST", "gradio_api/run/take"),
    ("POST", "gradio_api/api/sketch"),
    ("GET", "gradio_api/deep_link?session_hash=x"),
    ("GET", "?deep_link=x"),
    ("GET", "monitoring"),
    ("GET", "monitoring/summary"),
    ("POST", "gradio_api/vibe-edit"),
    ("GET", "gradio_api/vibe-code"),
    ("GET", "gradio_api/custom_component/x/client/component/index.js"),
    ("POST", "gradio_api/stream/x"),
    ("GET", "gradio_api/runs"),
    ("POST", "login"),
    ("GET", "gradio_api/token"),
    ("GET", "gradio_api/mcp/"),
    ("GET", "docs"),
    ("DELETE", "config"),
]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_what_gradio_has_besides_is_shut(
    visitor: Visitor, hostile: dict[str, str], elsewhere: Elsewhere, method: str, route: str
) -> None:
    path = route.format(url=elsewhere.url, private=hostile["private"], example=EXAMPLE)
    answer = visitor.http.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == 404, answer.text[:200]
    assert elsewhere.asked == []


def test_what_a_visitor_sent_never_runs_as_our_page(visitor: Visitor) -> None:
    path = visitor.upload(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "evil.svg")
    visitor.do("take", [file_data(path, True), *CONTROLS])  # Gradio takes some files for safe once they were named
    answer = visitor.http.get(f"gradio_api/file={path}")
    assert answer.status_code == 200 and answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-disposition"].startswith("attachment")


# -- the one place where bytes are read ------------------------------------------------------------------------------------


def test_read_only_inside_and_only_regular_files(tmp_path: Path) -> None:
    folder, outside = tmp_path / "uploads", tmp_path / "secret.jpg"
    folder.mkdir()
    outside.write_bytes(b"secret")
    good = folder / "photo.jpg"
    good.write_bytes(b"photo")
    assert PhotoFile(good, folder).read() == b"photo"
    (folder / "link.jpg").symlink_to(outside)
    (folder / "own.jpg").symlink_to(good)
    (tmp_path / "alias").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    with (folder / "heavy.jpg").open("wb") as heavy:
        heavy.truncate(32 * 2**20 + 1)
    for path in (
        outside,
        folder / "link.jpg",
        folder,
        folder / "pipe",
        folder / "heavy.jpg",
        folder / "missing.jpg",
        folder / ".." / "secret.jpg",
        Path("/dev/zero"),
        Path("photo.jpg"),
        folder / "a\0b",
    ):
        for act in (PhotoFile(path, folder).read, PhotoFile(path, folder).sha256, PhotoFile(path, folder).check):
            with pytest.raises(UploadError, match=GONE):
                act()
    assert PhotoFile(tmp_path / "alias" / "photo.jpg", tmp_path / "alias").read() == b"photo"  # /tmp itself may be a link
    assert PhotoFile(folder / "own.jpg", folder).read() == b"photo"


def test_a_photograph_added_again_is_the_same_one(tmp_path: Path) -> None:
    """The network's reading of it is kept by its bytes, wherever they lie; what was written over is another photograph."""
    first, again = PhotoFile(tmp_path / "a.jpg", tmp_path), PhotoFile(tmp_path / "b.jpg", tmp_path)
    first.path.write_bytes(b"one")
    again.path.write_bytes(b"one")
    before = again.sha256()
    assert first.sha256() == before
    again.path.write_bytes(b"two!")
    assert again.sha256() != before
    again.path.unlink()
    with pytest.raises(UploadError, match="add it again"):
        again.sha256()


def test_what_a_client_may_say(tmp_path: Path) -> None:
    uploads = UploadFolder(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    assert uploads.photo(str(tmp_path / "photo.jpg")).read() == b"photo"
    values: list[Any] = [None, 7, "", b"x", ["x"], {"path": str(tmp_path / "photo.jpg")}, "x" * 2000, str(tmp_path)]
    for value in values:
        with pytest.raises(UploadError, match=GONE):
            uploads.photo(value)
