"""The studio as a program meets it: gradio_client against a running server."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from helpers.bad_pictures import bad_pictures, flat_picture, heavy_file, shirt_picture
from helpers.studio_server import ROOT, StudioServer
from helpers.studio_visitor import Visitor, file_data
from PIL import Image

EXAMPLE = ROOT / "examples" / "denim_jacket.jpg"


@pytest.fixture(scope="module")
def client(studio: StudioServer, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(studio.url, verbose=False, download_files=tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def names(client: Client) -> list[str]:
    return [style["name"] for style in client.predict(api_name="/styles")]


def test_documents_its_endpoints(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/sketch", "/svg", "/cutout", "/styles", "/contact_sheet", "/blend_row", "/imagine"}
    parameters = [p["parameter_name"] for p in endpoints["/sketch"]["parameters"]]
    assert parameters == ["photo", "weights", "strength", "detail", "size", "cutout", "paper", "print", "mask"]
    assert all(endpoint["description"] for endpoint in endpoints.values())


def test_styles(client: Client) -> None:
    styles = client.predict(api_name="/styles")
    assert len(styles) == 8 and all(style["name"] and style["description"] for style in styles)


def test_sketch(client: Client, names: list[str], tmp_path: Path) -> None:
    photo = handle_file(shirt_picture(tmp_path))
    path = client.predict(photo, {names[0]: 0.7, names[5]: 0.3}, size=300, api_name="/sketch")
    white = Image.open(path)
    assert white.format == "PNG" and white.mode == "RGB" and white.size == (257, 300)
    clear = Image.open(client.predict(photo, {names[0]: 1}, size=256, paper="transparent", api_name="/sketch"))
    assert clear.mode == "RGBA" and clear.getchannel("A").getextrema()[0] == 0
    striped = handle_file(ROOT / "examples" / "striped_shirt.jpg")
    plain = Image.open(client.predict(striped, {names[0]: 1}, size=512, api_name="/sketch"))
    printed = Image.open(client.predict(striped, {names[0]: 1}, size=512, print=1, api_name="/sketch"))
    assert np.mean(np.asarray(printed) < 128) > 1.5 * np.mean(np.asarray(plain) < 128)
    other = Image.open(client.predict(photo, {names[3]: 1}, 1.2, 0.5, 300, False, "white", api_name="/sketch"))
    assert other.tobytes() != white.tobytes()


def test_svg(client: Client, names: list[str], tmp_path: Path) -> None:
    photo = handle_file(shirt_picture(tmp_path))
    root = ElementTree.fromstring(client.predict(photo, {names[0]: 1}, size=300, api_name="/svg"))
    assert root.get("viewBox") == "0 0 257 300"
    layers = [group.get("id") for group in root.iter("{http://www.w3.org/2000/svg}g")]
    assert layers[0] == "paper" and "silhouette" in layers
    with pytest.raises(AppError, match="no designer"):
        client.predict(photo, {"Nobody": 1}, api_name="/svg")


def test_a_cut_out_is_repaired_and_drawn_with(client: Client, names: list[str], tmp_path: Path) -> None:
    photo = handle_file(EXAMPLE)
    found = np.asarray(Image.open(client.predict(photo, api_name="/cutout")).convert("L"))
    assert max(found.shape) == 1024 and 0.2 < (found > 127).mean() < 0.7
    collar = {"belongs": False, "radius": 72, "points": [1500, 700, 1500, 900]}  # the lining
    file = client.predict(photo, [collar], api_name="/cutout")
    repaired = np.asarray(Image.open(file).convert("L"))
    assert repaired[176:224, 372].max() == 0 < found[176:224, 372].min()
    assert np.array_equal(repaired[500:], found[500:])
    again = client.predict(photo, [], handle_file(file), api_name="/cutout")
    assert np.abs(np.asarray(Image.open(again).convert("L")).astype(int) - repaired).mean() < 1
    sketch = client.predict(photo, {names[0]: 1}, size=512, mask=handle_file(file), api_name="/sketch")
    ink = np.asarray(Image.open(sketch).convert("L"))
    assert ink[94:104, 182:190].min() > 200  # within what was taken away
    with pytest.raises(AppError, match="leave it out, or switch"):
        client.predict(photo, {names[0]: 1}, cutout=False, mask=handle_file(file), api_name="/sketch")
    with pytest.raises(AppError, match="Give strokes as a list"):
        client.predict(photo, [{"belongs": True}], api_name="/cutout")
    white = tmp_path / "white.png"
    Image.new("L", (96, 72), 255).save(white)
    with pytest.raises(AppError, match=r"marks all|proportions"):
        client.predict(photo, {names[0]: 1}, mask=handle_file(white), api_name="/sketch")


def test_the_same_request_gives_the_same_sketch(client: Client) -> None:
    twice = [Image.open(client.predict(handle_file(EXAMPLE), size=256, api_name="/sketch")) for _ in range(2)]
    assert twice[0].tobytes() == twice[1].tobytes()


def test_contact_sheet_and_blend_row(client: Client, names: list[str]) -> None:
    sheet = client.predict(handle_file(EXAMPLE), 256, api_name="/contact_sheet")
    assert [item["caption"] for item in sheet] == names
    assert all(max(Image.open(item["image"]).size) == 256 for item in sheet)
    row = client.predict(handle_file(EXAMPLE), names[1], names[2], 256, api_name="/blend_row")
    assert len(row) == 5 and row[0]["caption"] == f"{names[1]} 100%"
    assert Image.open(row[0]["image"]).tobytes() == Image.open(sheet[1]["image"]).tobytes()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": {"Nobody": 1}}, "no designer 'Nobody'"),
        ({"weights": {"/etc/passwd": 1}}, "no designer"),  # the pipeline knows files, the studio must not
        ({"weights": {}}, "at zero"),
        ({"weights": [1, 2]}, "name: number"),
        ({"size": 5000}, "Size should be"),
        ({"size": 1}, "Size should be"),
        ({"strength": -1}, "Strength should be"),
        ({"detail": 0}, "Line detail should be"),
        ({"paper": "gold"}, "gold"),
        ({"photo": None}, "Send a photograph"),
    ],
)
def test_bad_settings_get_a_sentence(client: Client, settings: dict, words: str) -> None:
    with pytest.raises(AppError, match=words):
        client.predict(**({"photo": handle_file(EXAMPLE)} | settings), api_name="/sketch")


def test_a_bad_weight_gets_a_sentence(client: Client, names: list[str]) -> None:
    for weight in (-0.5, 7, "much", None):
        with pytest.raises(AppError, match=f"The weight of {names[0]} should be"):
            client.predict(handle_file(EXAMPLE), {names[0]: weight}, api_name="/sketch")


def test_bad_pictures_get_a_sentence_and_the_next_is_drawn(client: Client, tmp_path: Path) -> None:
    for name, path in bad_pictures(tmp_path).items():
        with pytest.raises(AppError) as refused:
            client.predict(handle_file(path), size=256, api_name="/sketch")
        sentence = str(refused.value)
        assert sentence.endswith(".") and "/tmp" not in sentence, (name, sentence)
    with pytest.raises(AppError, match="No garment could be found"):
        client.predict(handle_file(flat_picture(tmp_path)), size=256, api_name="/sketch")
    with pytest.raises(Exception, match=r"(?i)size|413"):
        client.predict(handle_file(heavy_file(tmp_path)), size=256, api_name="/sketch")
    sketch = client.predict(handle_file(shirt_picture(tmp_path)), size=256, api_name="/sketch")
    assert Image.open(sketch).size == (219, 256)


def test_a_program_that_knows_fewer_settings_is_served(studio: StudioServer, names: list[str]) -> None:
    """Those that came after it was written have their defaults; of a page's own event it is a sentence."""
    with Visitor(studio.url) as program:
        photo = file_data(program.upload(EXAMPLE.read_bytes()), True)
        whole = [photo, {names[0]: 1}, 1, 1, 256, True, "white"]
        for count in range(1, len(whole) + 1):
            assert program.call("sketch", whole[:count]).ok, count
        assert "Send a photograph" in program.call("sketch", []).text
        short = program.do("redraw", [])
        assert not short.ok and "load the page again" in short.text


def test_the_page_s_own_listeners_are_no_api(studio: StudioServer) -> None:
    with urllib.request.urlopen(f"{studio.url}gradio_api/info") as answer:
        info = json.load(answer)
    assert len(info["named_endpoints"]) == 7 and info["unnamed_endpoints"] == {}


def test_ten_visitors_at_once_are_all_served(studio: StudioServer, names: list[str], tmp_path: Path) -> None:
    def visit(i: int) -> Image.Image:
        photo = shirt_picture(folders[i]) if i < 5 else EXAMPLE
        own = Client(studio.url, verbose=False, download_files=folders[i])
        return Image.open(own.predict(handle_file(photo), {names[i % 8]: 1}, size=256, api_name="/sketch")).copy()

    folders = [tmp_path / str(i) for i in range(10)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(10) as pool:
        sketches = list(pool.map(visit, range(10)))
    assert all(max(sketch.size) == 256 for sketch in sketches)
    assert len({sketch.tobytes() for sketch in sketches}) == 10
