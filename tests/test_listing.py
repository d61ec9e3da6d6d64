"""One rule for reading folders: what is taken, what is bad, what is left out, and which names belong together."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from helpers.garment_picture import draw_garment
from PIL import Image

from fedgai.data import listing
from fedgai.data.designer_folder import look
from fedgai.data.listing import (
    BACKUP,
    BESIDE,
    LINKED,
    SYSTEM,
    TOO_DEEP,
    FolderError,
    describe,
    find_images,
    list_pictures,
    match,
    subfolder,
)
from fedgai.data.pairs import check
from fedgai.data.scans import Layout, prepare_scans

PICTURE = draw_garment(64, 80)


def jpeg() -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, "JPEG")
    return file.getvalue()


def put(folder: Path, *names: str, content: bytes | None = None) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg() if content is None else content)
    return folder


def names(files: list[Path], folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


def test_pictures_in_folders_below_are_taken_and_the_systems_are_not(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "FW24/a.JPG", "FW24/coats/c.png", "no ending", "wrong.txt", "emoji 🧥.jpg", "dots...jpg")
    put(
        tmp_path,
        ".hidden.jpg",
        "@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg",
        ".thumbnails/x.jpg",
        ".git/x.jpg",
        "__MACOSX/._b.jpg",
        "#recycle/b.jpg",
        "$RECYCLE.BIN/b.jpg",
        "System Volume Information/b.jpg",
        ".Trash-1000/files/b.jpg",
        "Thumbs.db",
        "desktop.ini",
        "Icon\r",
        "~$drawing.jpg",
        ".picasaoriginals/b.jpg",
        "Photos Library.photoslibrary/originals/b.jpg",
        "Catalog Previews.lrdata/b.jpg",
    )
    found = list_pictures(tmp_path)
    assert names(found.pictures, tmp_path) == [
        "b.jpg",
        "dots...jpg",
        "emoji 🧥.jpg",
        "no ending",
        "wrong.txt",
        "FW24/a.JPG",
        "FW24/coats/c.png",
    ]
    assert not found.bad and len(found.left_out[SYSTEM]) == 14 and len(found.left_out[listing.LIBRARY]) == 2
    assert describe(found.left_out)[0].startswith("Left out: #recycle and 13 more (files and folders of the system")
    assert find_images(tmp_path) == found.pictures


def test_backup_copies_are_left_out_and_named(tmp_path: Path) -> None:
    """A drawing that a program kept a copy of counted twice, and a copy without its drawing counted as one."""
    drawings = put(tmp_path, "coat.png", "dress.JPG", "skirt.old.jpg", "my.copy/cape.png")
    copies = [
        "coat.png.bak",
        "coat.png.copy",
        "dress.JPG.BAK",
        "dress.JPG~",
        "lost.jpg.orig",
        "veil.png.~1~",
        "old.save",
        "note.txt~",
    ]
    put(drawings, *copies)
    found = list_pictures(drawings)
    assert names(found.pictures, drawings) == ["coat.png", "dress.JPG", "skirt.old.jpg", "my.copy/cape.png"]
    assert found.left_out == {BACKUP: [drawings / name for name in sorted(copies)]} and not found.bad
    assert describe(found.left_out) == [f"Left out: {sorted(copies)[0]} and 7 more ({BACKUP})."]
    shown = str(look(drawings))
    assert "4 good drawings" in shown and "coat.png.bak and 7 more (backup copies" in shown


def test_a_folder_that_is_too_deep_is_named(tmp_path: Path) -> None:
    """It was left out in silence."""
    deep = tmp_path.joinpath(*(f"level{number}" for number in range(1, 18)))
    deep.mkdir(parents=True)
    for folder in (deep, deep.parent):
        Image.new("RGB", (64, 64)).save(folder / "coat.png")
    found = list_pictures(tmp_path)
    assert found.pictures == [deep.parent / "coat.png"]
    assert found.left_out == {TOO_DEEP: [deep]}


def test_what_lies_beside_a_photograph_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "IMG_1.JPG", "IMG_2.jpg")
    put(
        tmp_path,
        "IMG_1.MOV",
        "img_1.AAE",
        "IMG_1.JPG.xmp",
        "IMG_2.CR2",
        "IMG_2.HEIC",
        "IMG_2.psd",
        "IMG_2.pdf",
        "IMG_2.thm",
        content=b"\0\0\0\x14ftypqt  ",
    )
    found = list_pictures(tmp_path)
    assert names(found.pictures, tmp_path) == ["IMG_1.JPG", "IMG_2.jpg"]
    assert not found.bad and list(found.left_out) == [BESIDE] and len(found.left_out[BESIDE]) == 8


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("IMG_1.HEIC", b"\0\0\0\x18ftypheic", "HEIC photograph"),
        ("a.pdf", b"%PDF-1.4", "PDF document"),
        ("a.PSD", b"8BPS\0\1", "Photoshop"),
        ("a.ai", b"%PDF-1.4", "Illustrator"),
        ("a.procreate", b"PK\3\4", "Procreate"),
        ("a.kra", b"PK\3\4", "Krita"),
        ("a.clip", b"CSFCHUNK", "Clip Studio"),
        ("a.afphoto", b"\0\xffKA", "Affinity"),
        ("a.svg", b"<svg>", "SVG"),
        ("a.eps", b"%!PS", "PostScript"),
        ("a.jxl", b"\xff\x0a", "JPEG XL"),
        ("a.cr3", b"\0\0\0\x18ftypcrx ", "raw file"),
        ("a.DNG", b"II*\0", "raw file"),
        ("a.jpg.part", b"\xff\xd8\xff", "not finished"),
        ("a.png.crdownload", b"", "not finished"),
        (".IMG_2.HEIC.icloud", b"bplist00", "still in iCloud"),
        ("a.ico", b"\0\0\1\0\1\0", "an icon"),
        ("broken.jpg", b"", "file is empty"),
        ("words.jpg", b"a skirt", "not a picture"),
        ("half.jpg", jpeg()[:-200], "cut short"),
    ],
)
def test_what_may_be_a_picture_is_bad_and_named_with_what_to_do(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    put(tmp_path, name, content=content)
    ((file, reason),) = look(tmp_path).bad
    assert file.name == name and says in reason


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("notes.txt", b"buy zips", "not pictures"),
        ("film.mp4", b"\0\0\0\x18ftypmp42", "a film"),
        ("list.docx", b"PK\3\4", "a document"),
        ("all.zip", b"PK\3\4", "an archive: unpack it"),
        ("coat.url", b"[x]", "copy the file itself"),
        ("page.html", b"<html>", "web page"),
        ("data", b"\1\2", "not pictures"),
        ("layout.json", b"{}", "notes on a picture"),
        ("a.xmp", b"<?xml?><x:xmpmeta", "notes on a picture"),
    ],
)
def test_what_is_no_picture_is_left_out_and_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    put(tmp_path, name, content=content)
    found = look(tmp_path)
    assert not found.bad and not found.drawings
    assert name in str(found) and says in str(found) and any(name in line for line in found.warnings)


def test_links_pipes_and_closed_folders(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "in/b.jpg")
    (tmp_path / "to a.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "none")
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    found = list_pictures(tmp_path)
    assert names(found.pictures, tmp_path) == ["a.jpg", "to a.jpg", "in/b.jpg"]
    lost = "it is a link that leads nowhere or in a circle"
    assert {file.name: reason for file, reason in found.bad} == {
        "nowhere.jpg": lost,
        "circle.jpg": lost,
        "pipe.jpg": "it is not a file, but a pipe or a device",
    }
    assert names(found.left_out[LINKED], tmp_path) == ["in/up"] and names(found.left_out["no files"], tmp_path) == ["pipe"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_bad(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "in/b.jpg")
    (tmp_path / "a.jpg").chmod(0)
    (tmp_path / "in").chmod(0)
    try:
        found = list_pictures(tmp_path)
    finally:
        (tmp_path / "in").chmod(0o700)
    assert [reason for _, reason in found.bad] == ["it cannot be read: Permission denied", "it is a folder that cannot be opened"]


def test_a_folder_with_far_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *(f"{i}.jpg" for i in range(12)), content=b"x")
    with pytest.raises(FolderError, match="more than 10 files"):
        list_pictures(tmp_path, most=10)
    deep = tmp_path / "deep"
    put(deep, "/".join(["d"] * 40) + "/a.jpg", "/".join(["d"] * 5) + "/b.jpg")
    assert [file.name for file in list_pictures(deep).pictures] == ["b.jpg"]


def test_no_folder_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none", put(tmp_path, "a.jpg") / "a.jpg"):
        with pytest.raises(FolderError, match="cannot be opened"):
            list_pictures(path)


# -- names that belong together --------------------------------------------------------------------------------------


def test_names_are_matched_where_they_are_not_ambiguous() -> None:
    def pairs(left: list[str], right: list[str]) -> dict[str, str]:
        found = match([("", name) for name in left], [("", name) for name in right])
        return {a[1:]: b[1:] for a, b in found.items()}

    assert pairs(["IMG_1"], ["img_1"]) == {"IMG_1": "img_1"}
    assert pairs(["coat 1 "], [" coat 1"]) == {"coat 1 ": " coat 1"}
    assert pairs(["coat.jpg"], ["coat"]) == {"coat.jpg": "coat"}
    assert pairs(["coat.jpeg.JPG"], ["Coat.PNG"]) == {"coat.jpeg.JPG": "Coat.PNG"}
    nfc, nfd = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    assert pairs([nfc], [nfd]) == {nfc: nfd}
    # equal names come first; what is left has nobody, or nobody can tell whom
    assert pairs(["a", "A"], ["a"]) == {"a": "a"}
    assert pairs(["a ", "A"], ["a"]) == {}
    assert pairs(["a", "A"], ["a", "A"]) == {"a": "a", "A": "A"}
    assert pairs(["v1.2", "v1"], ["v1.2", "v1"]) == {"v1.2": "v1.2", "v1": "v1"}  # no ending of a picture
    in_folders = match([("FW24", "a"), ("", "b")], [("fw24", "A"), ("SS25", "b")])
    assert in_folders == {"FW24/a": "fw24/A", "/b": "SS25/b"}
    assert match([("x", "a"), ("y", "a")], [("", "a")]) == {}


def test_pairs_of_a_folder(tmp_path: Path) -> None:
    put(
        tmp_path,
        "Photos/IMG_1.JPG",
        "Photos/coat 2 .jpg",
        "Photos/FW24/a.jpg",
        "Photos/b.jpg",
        "Photos/c.jpg",
        "Photos/C.jpeg",
        "SKETCHES/img_1.png",
        "SKETCHES/coat 2.png",
        "SKETCHES/fw24/A.png",
        "SKETCHES/b.jpg.png",
        "SKETCHES/c.png",
        "SKETCHES/d.png",
    )
    report = check(tmp_path)
    assert {(a.name, b.name) for a, b in report.pairs} == {
        ("IMG_1.JPG", "img_1.png"),
        ("b.jpg", "b.jpg.png"),
        ("c.jpg", "c.png"),
        ("coat 2 .jpg", "coat 2.png"),
        ("a.jpg", "A.png"),
    }
    assert {file.name for file, _ in report.bad} == {"C.jpeg", "d.png"}
    assert look(tmp_path).kind == "pairs"


def test_two_pictures_of_one_name_are_named(tmp_path: Path) -> None:
    put(tmp_path, "photos/a.jpg", "photos/a.png", "sketches/a.png")
    reasons = {f"{file.parent.name}/{file.name}": reason for file, reason in check(tmp_path).bad}
    assert all("keep one" in reasons[f"photos/a.{ending}"] for ending in ("jpg", "png"))
    assert "photos/" in reasons["sketches/a.png"]


def test_folders_in_capitals_and_with_spaces(tmp_path: Path) -> None:
    for name in ("Photos", "SKETCHES ", "Scans"):
        (tmp_path / name).mkdir()
    assert [subfolder(tmp_path, name).name for name in ("photos", "sketches", "scans")] == ["Photos", "SKETCHES ", "Scans"]
    assert subfolder(tmp_path, "guides") is None
    if sys.platform == "linux":  # where both can be
        (tmp_path / "photos").mkdir()
        assert subfolder(tmp_path, "photos").name == "photos"


def test_case_only_duplicates_are_two_drawings(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "A.jpg")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system knows no case")
    assert look(tmp_path).pages == 2


def test_a_heic_beside_its_jpeg_is_left_out_even_where_it_can_be_read(tmp_path: Path) -> None:
    put(tmp_path, "IMG_1.JPG", "IMG_1.HEIC")
    assert names(list_pictures(tmp_path).pictures, tmp_path) == ["IMG_1.JPG"]


def test_a_layout_of_a_sheet_that_was_read_larger_is_kept(tmp_path: Path) -> None:
    sheet = Image.new("RGB", (7016, 4960), "white")
    sheet.paste("black", (1000, 1000, 1050, 4000))
    sheet.paste("black", (1000, 1000, 3000, 1050))
    (tmp_path / "scans").mkdir()
    sheet.save(tmp_path / "scans" / "sheet.png")
    report = prepare_scans(tmp_path / "scans", tmp_path / "out")
    layout = Layout.from_json((tmp_path / "scans" / "sheet.json").read_text())
    assert len(report.drawings) == 1 and layout.size == (3508, 2480)
    larger = layout.scaled((7016, 4960))  # as an earlier version kept it
    text = (tmp_path / "scans" / "sheet.json").read_text()
    kept = json.loads(text) | {"size": larger.size, "boxes": [{"box": larger.boxes[0].box, "drawing": 7, "keep": True}]}
    (tmp_path / "scans" / "sheet.json").write_text(json.dumps(kept))
    again = prepare_scans(tmp_path / "scans", tmp_path / "out")
    assert not again.notes and len(again.drawings) == 1
    assert Image.open(again.drawings[0]).size == Image.open(report.drawings[0]).size
