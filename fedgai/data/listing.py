"""The one rule by which every command reads a folder of pictures.

Taken are regular files that are pictures by their first bytes, or by their name's ending, in the folder and in the folders
below it. Left out are hidden and system files and folders, backup copies, and what is not a picture; all are counted and
named. What may be a picture but cannot be used is bad, and is named with what to do.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedgai.errors import FedGAIError
from fedgai.text import printable
from fedgai.vision.file_kinds import HEAD, IN_CLOUD, PICTURE_ENDINGS, RAW, Role, kind_of
from fedgai.vision.images import can_read

SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon", "icon\r", "folder.htt"}
SYSTEM_FOLDERS = {
    "@eadir",
    "#recycle",
    "#snapshot",
    "@recycle",
    "@recently-snapshot",
    "$recycle.bin",
    "recycler",
    "lost+found",
    "system volume information",
    "found.000",
    "@tmp",
    "__macosx",
    "network trash folder",
    "temporary items",
    "node_modules",
    "__pycache__",
}
LIBRARIES = (".photoslibrary", ".photolibrary", ".aplibrary", ".lrdata", ".lrlibrary", ".app", ".bundle")  # they look like files
HEIC_ENDINGS = (".heic", ".heif", ".hif")
BACKUP_ENDINGS = frozenset(".bak .bck .bk .bkp .bkup .backup .copy .old .orig .original .prev .previous .sav .save .swp".split())
MOST_FILES, DEEPEST = 100_000, 16  # files and levels that are looked at
SYSTEM = "files and folders of the system, or hidden"
BESIDE = "beside a picture of the same name"
TOO_DEEP = f"folders more than {DEEPEST} levels below yours"
BACKUP = "backup copies: if you mean one of them, give it the name of a picture"
LINKED = "links to folders, which are not followed"
LIBRARY = "libraries of a photo program: export the pictures from it"


class FolderError(FedGAIError):
    """A folder that cannot be read. The message is one sentence."""


@dataclass
class Listing:
    """What lies in a folder.

    Attributes:
        pictures: files to read, sorted.
        bad: what may be a picture, but cannot be used: each with the reason, and what to do.
        left_out: reason -> the files and folders that are left out for it.
    """

    pictures: list[Path] = field(default_factory=list)
    bad: list[tuple[Path, str]] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)


def list_pictures(folder: str | Path, *, without: frozenset[str] = frozenset(), most: int = MOST_FILES) -> Listing:
    """Pictures in a folder and below it.

    Args:
        without: names of folders directly in it that are not looked into, in lower case.
        most: files that are looked at.
    Raises:
        FolderError: it cannot be opened, or holds far too much.
    """
    found, others = Listing(), []
    for path in _walk(Path(folder), found, without, most):
        reason = _reason(path)
        if _is_backup(path):
            found.left_out.setdefault(BACKUP, []).append(path)
        elif reason is None:
            found.pictures.append(path)
        else:
            others.append((path, *reason))
    beside = {_loose(path.with_suffix("")) for path in found.pictures if path.suffix.lower() not in HEIC_ENDINGS}
    twins = [path for path in found.pictures if path.suffix.lower() in HEIC_ENDINGS and _loose(path.with_suffix("")) in beside]
    if twins:  # a phone saves a photograph as HEIC and as JPEG
        found.pictures = [path for path in found.pictures if path not in set(twins)]
        found.left_out[BESIDE] = twins
    for path, why, bad in others:
        if path.suffix and _loose(path.with_suffix("")) in beside:
            found.left_out.setdefault(BESIDE, []).append(path)
        elif bad:
            found.bad.append((path, why))
        else:
            found.left_out.setdefault(why, []).append(path)
    return found


def find_images(folder: str | Path) -> list[Path]:
    """The pictures in a folder and below it, sorted. Raises FolderError where there are none."""
    found = list_pictures(folder).pictures
    if not found:
        raise FolderError(f"{printable(str(folder))} holds no pictures: name a folder with JPEG or PNG files.")
    return found


def every_file(folder: str | Path) -> list[Path]:
    """All files in a folder and below it but those of the system, sorted: to tell whether anything has changed."""
    return list(_walk(Path(folder), Listing(), frozenset(), MOST_FILES))


def subfolder(folder: Path, name: str) -> Path | None:
    """The folder of this name, in upper or lower case, as ``Photos`` for ``photos``. Returns None if there is no such folder.

    Raises FolderError where ``folder`` cannot be opened.
    """
    entries = _entries(folder)
    same = [entry for entry in entries if _plain(entry.name) == name and _is_folder(entry)]
    same.sort(key=lambda entry: entry.name != name)
    return Path(same[0].path) if same else None


def describe(left_out: dict[str, list[Path]]) -> list[str]:
    """A sentence for each reason, with how many were left out and the first one's name."""
    lines = []
    for reason, files in left_out.items():
        others = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
        lines.append(f"Left out: {printable(files[0].name)}{others} ({reason}).")
    return lines


def match(left: list[tuple[str, str]], right: list[tuple[str, str]]) -> dict[str, str]:
    """Which names of two folders belong together.

    Equal names do. Of those that are left, names that are equal but for upper and lower case, outer spaces and a doubled
    ending do, and after that names in other folders; always only where no other name could be meant.

    Args:
        left, right: (folder, stem) of each file, relative to the two folders; no pair twice within one.
    Returns:
        "folder/stem" of the left -> "folder/stem" of the right.
    """
    pairs: dict[str, str] = {}
    rest = [{f"{folder}/{stem}": (folder, stem) for folder, stem in side} for side in (left, right)]
    for rule in (_exact, _loosely, _by_stem):
        keyed: list[dict[object, list[str]]] = [{}, {}]
        for number, side in enumerate(rest):
            for name, (folder, stem) in side.items():
                keyed[number].setdefault(rule(folder, stem), []).append(name)
        for key, first in keyed[0].items():
            second = keyed[1].get(key, [])
            if len(first) == len(second) == 1:
                pairs[first[0]] = second[0]
                del rest[0][first[0]], rest[1][second[0]]
    return pairs


def _exact(folder: str, stem: str) -> object:
    return unicodedata.normalize("NFC", folder), unicodedata.normalize("NFC", stem)


def _loosely(folder: str, stem: str) -> object:
    return _plain(folder), _bare(stem)


def _by_stem(folder: str, stem: str) -> object:
    return _bare(stem)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip(" .\t\xa0")


def _bare(stem: str) -> str:
    """A stem without outer spaces and endings of pictures, as in "coat.jpg.png"."""
    name = _plain(stem)
    while "." in name and name.rpartition(".")[2] in PICTURE_ENDINGS:
        name = name.rpartition(".")[0].strip(" .\t\xa0")
    return name


def _loose(path: Path) -> tuple[Path, str]:
    return path.parent, _bare(path.name)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise FolderError(f"{printable(str(folder))} cannot be opened ({error.strerror})") from error


def _walk(folder: Path, found: Listing, without: frozenset[str], most: int) -> Iterator[Path]:
    """Files of a folder and below it that are not the system's, those of a folder before those of its folders."""
    waiting, seen = [(folder, 0)], 0
    while waiting:
        inside, depth = waiting.pop()
        try:
            entries = _entries(inside)
        except FolderError:
            if depth == 0:
                raise
            found.bad.append((inside, "it is a folder that cannot be opened"))
            continue
        folders = []
        for entry in entries:
            path, name = Path(entry.path), entry.name.lower()
            seen += 1
            if seen > most:
                raise FolderError(
                    f"{printable(str(folder))} holds more than {most:,} files: name a folder with your pictures only."
                )
            if name.endswith(".icloud") and name.startswith("."):
                found.bad.append((path, f"it is {IN_CLOUD.refusal}"))
            elif _is_hidden(entry) or name in SYSTEM_FILES or name in SYSTEM_FOLDERS or name.startswith("~$"):
                found.left_out.setdefault(SYSTEM, []).append(path)
            elif not _is_folder(entry):
                yield path
            elif entry.is_symlink():
                found.left_out.setdefault(LINKED, []).append(path)
            elif name.endswith(LIBRARIES):
                found.left_out.setdefault(LIBRARY, []).append(path)
            elif depth == DEEPEST:
                found.left_out.setdefault(TOO_DEEP, []).append(path)
            elif not (depth == 0 and _plain(entry.name) in without):
                folders.append((path, depth + 1))
        waiting += folders[::-1]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        return True
    if os.name != "nt":
        return False
    try:
        return bool(getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0) & 6)  # hidden, or of the system
    except OSError:
        return False


def _is_backup(path: Path) -> bool:
    """Whether a file's name says that a program or a person kept it as a copy of another: coat.png.bak, coat.png~."""
    return path.suffix.lower() in BACKUP_ENDINGS or path.name.endswith("~")


def _reason(path: Path) -> tuple[str, bool] | None:
    """Why a file is not taken, and whether that is bad; None for a picture, or what its name says is one."""
    named = path.suffix[1:].lower() in PICTURE_ENDINGS
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return ("it is not a file, but a pipe or a device", True) if named else ("no files", False)
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        if path.is_symlink():
            return "it is a link that leads nowhere or in a circle", True
        return f"it cannot be read: {error.strerror}", True
    kind = kind_of(path.name, head)
    if kind is None:
        return None if named else ("not pictures", False)
    if can_read(kind):
        return None
    if kind.role in (Role.OTHER_PICTURE, Role.UNFINISHED) or kind is RAW:
        return f"it is {kind.refusal}", True
    return kind.refusal, False
