"""A file is the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fedgai.files import replacing, write_atomically
from fedgai.text import printable


def test_writes_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    write_atomically(file, b"old")
    write_atomically(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_only_the_owner_can_read_it_unless_asked_for(tmp_path: Path) -> None:
    write_atomically(tmp_path / "private", b"x")
    write_atomically(tmp_path / "public", b"x", mode=0o644)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "public")]
    assert modes == [0o600, 0o644 & ~_umask()]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "state.json"
    write_atomically(file, b"old")
    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match="No space") as trouble:
        write_atomically(file, b"new")
    assert trouble.value.filename == str(file)  # or the reader of the message looks at another folder
    with pytest.raises(OSError, match="No space") as trouble, replacing(file) as temp_path:
        temp_path.write_bytes(b"new")
    assert trouble.value.filename == str(file)
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"somebody else's")
    (tmp_path / "link").symlink_to(target)
    write_atomically(tmp_path / "link", b"mine")
    assert target.read_bytes() == b"somebody else's"
    assert not (tmp_path / "link").is_symlink()


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def test_what_a_library_writes_by_name_is_whole_or_absent(tmp_path: Path) -> None:
    file = tmp_path / "coat.png"
    with replacing(file) as temp_path:
        temp_path.write_bytes(b"first")
        assert not file.exists()
    assert file.read_bytes() == b"first" and [f.name for f in tmp_path.iterdir()] == ["coat.png"]
    with pytest.raises(ZeroDivisionError), replacing(file) as temp_path:
        temp_path.write_bytes(b"half")
        raise ZeroDivisionError
    assert file.read_bytes() == b"first" and [f.name for f in tmp_path.iterdir()] == ["coat.png"]
    with replacing(tmp_path / "nothing"):
        pass
    assert not (tmp_path / "nothing").exists()


def test_the_file_that_cannot_be_written_is_named_not_the_temporary_one(tmp_path: Path) -> None:
    file = tmp_path / "no folder" / "coat.png"
    with pytest.raises(FileNotFoundError) as trouble:
        write_atomically(file, b"new")
    assert trouble.value.filename == str(file)
    with pytest.raises(FileNotFoundError) as trouble, replacing(file) as temp_path:
        temp_path.write_bytes(b"new")
    assert trouble.value.filename == str(file)
    with pytest.raises(FileNotFoundError) as trouble, replacing(tmp_path / "coat.png"):
        (tmp_path / "photo.png").read_bytes()
    assert trouble.value.filename == str(tmp_path / "photo.png")  # what was read is named as it was


def test_text_from_outside_is_one_printable_line() -> None:
    assert printable("été №1 裙子") == "été №1 裙子"
    assert printable("a\x1b[2J\nb\udce9") == "a?[2J?b?"
    assert printable("a\nb\x07", keep="\n") == "a\nb?"
    assert printable("x" * 9, longest=4) == "xxx…" and printable("xxxx", longest=4) == "xxxx"
    printable("caf\udce9.png").encode()
