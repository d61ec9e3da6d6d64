"""What a file is, by its first bytes and its name, and what to do with one that cannot be read as a picture.

Bytes say more than a name: a photograph that was renamed is still what it was. Only where many kinds share their first bytes
does the name decide, as for the raw files of cameras.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath

HEAD = 512  # bytes of a file that are looked at


class Role(Enum):
    """What a file is to somebody who brings pictures."""

    PICTURE = "picture"  # it can be read
    OTHER_PICTURE = "other picture"  # it holds one, and cannot be read as it is
    COMPANION = "companion"  # lies beside a photograph: a film, a raw file, notes of a program
    UNFINISHED = "unfinished"  # it did not arrive yet
    OTHER = "other"  # no picture


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: with its article, for a sentence: "a PDF document".
        role: see ``Role``.
        advice: what to do, as a command.
        modules: Python packages of which any one reads it; the first is the one to install.
    """

    name: str
    role: Role
    advice: str = ""
    modules: tuple[str, ...] = ()

    @property
    def refusal(self) -> str:
        """What it is, and what to do, where it cannot be read; without a full stop."""
        install = f", or pip install {self.modules[0].replace('_', '-')}" if self.modules else ""
        return f"{self.name}: {self.advice}{install}"


AS_JPEG = "save it as JPEG or PNG"
EXPORT = "export the picture as JPEG or PNG"
PICTURE = Kind("a picture", Role.PICTURE)
HEIC = Kind(
    "a HEIC photograph",
    Role.OTHER_PICTURE,
    f"{AS_JPEG} (an iPhone does so after Settings, Camera, Formats, Most Compatible)",
    ("pi_heif", "pillow_heif"),
)
RAW = Kind("a camera's raw file", Role.COMPANION, "export it as JPEG from your photo program")
FILM = Kind("a film", Role.COMPANION, "take a still of it, as JPEG or PNG")
NOTES = Kind("a program's notes on a picture", Role.COMPANION, "leave it out")
UNFINISHED = Kind("a download that has not finished", Role.UNFINISHED, "download it again")
IN_CLOUD = Kind("a file that is still in iCloud", Role.UNFINISHED, "download it first (in the Finder: Download Now)")
LINK = Kind("a link to a file", Role.OTHER, "copy the file itself")
ARCHIVE = Kind("an archive", Role.OTHER, "unpack it first")
DOCUMENT = Kind("a document", Role.OTHER, f"{EXPORT} from it")


def _program(name: str) -> Kind:
    return Kind(f"a file of {name}", Role.OTHER_PICTURE, f"{EXPORT} from {name}")


PDF = Kind("a PDF document", Role.OTHER_PICTURE, "export its pages as JPEG or PNG")
PHOTOSHOP, ILLUSTRATOR, PROCREATE = _program("Photoshop"), _program("Illustrator"), _program("Procreate")
EPS = Kind("an EPS or PostScript file", Role.OTHER_PICTURE, f"{AS_JPEG}")
SVG = Kind("an SVG drawing", Role.OTHER_PICTURE, EXPORT)
JPEG_XL = Kind("a JPEG XL picture", Role.OTHER_PICTURE, AS_JPEG)
ICON = Kind("an icon", Role.OTHER_PICTURE, AS_JPEG)
WEB_PAGE = Kind("a web page", Role.OTHER, "save the picture itself from your browser")

BY_BYTES: tuple[tuple[bytes, Kind], ...] = (
    (rb"\xff\xd8\xff", PICTURE),
    (rb"\x89PNG\r\n\x1a\n", PICTURE),
    (rb"GIF8[79]a", PICTURE),
    (rb"RIFF....WEBPVP8", PICTURE),
    (rb"II[*+]\0|MM\0[*+]", PICTURE),
    (rb"BM....\0\0\0\0", PICTURE),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", PICTURE),
    (rb"....ftyp(avif|avis|mif1.*avif)", PICTURE),
    (rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", HEIC),
    (rb"....ftypcrx ", RAW),
    (rb"FUJIFILMCCD-RAW|II(RO|U\0)", RAW),
    (rb"....(ftyp|moov|mdat|wide|free)|\x1a\x45\xdf\xa3|RIFF....AVI ", FILM),
    (rb"%PDF-", PDF),
    (rb"8BPS", PHOTOSHOP),
    (rb"%!PS|\xc5\xd0\xd3\xc6", EPS),
    (rb"CSFCHUNK", _program("Clip Studio Paint")),
    (rb"gimp xcf", _program("GIMP")),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", JPEG_XL),
    (rb"\0\0\x01\0[\x01-\x20]\0|icns", ICON),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg\b", SVG),
    (rb"(?i)\s*<(!doctype html|html|head)\b", WEB_PAGE),
    (rb"bplist|\s*<\?xml[^>]*>.*?<(!DOCTYPE plist|plist|x:xmpmeta)", NOTES),
    (rb"\xd0\xcf\x11\xe0", DOCUMENT),
    (rb"Rar!|7z\xbc\xaf|\x1f\x8b", ARCHIVE),
    (rb"version https://git-lfs", UNFINISHED),
    (rb"L\0\0\0\x01\x14\x02\0", LINK),
)
BY_ENDING = {
    **dict.fromkeys("cr2 cr3 crw nef nrw arw srf sr2 dng raf orf rw2 pef srw 3fr iiq x3f rwl".split(), RAW),
    **dict.fromkeys(("mov", "mp4", "m4v", "avi", "mkv", "webm", "3gp", "mts"), FILM),
    **dict.fromkeys(("aae", "xmp", "thm", "dop", "pp3", "on1", "cos", "vrd", "icc", "json"), NOTES),
    **dict.fromkeys(("part", "crdownload", "download", "partial", "opdownload", "!ut", "tmp"), UNFINISHED),
    **dict.fromkeys(("lnk", "url", "webloc", "desktop", "alias"), LINK),
    **dict.fromkeys(("zip", "rar", "7z", "gz", "tar", "tgz"), ARCHIVE),
    **dict.fromkeys(("doc", "docx", "odt", "pages", "ppt", "pptx", "odp", "key", "xls", "xlsx", "rtf"), DOCUMENT),
    **dict.fromkeys(("heic", "heif", "hif"), HEIC),
    **dict.fromkeys(("psd", "psb"), PHOTOSHOP),
    **dict.fromkeys(("eps", "ps"), EPS),
    **dict.fromkeys(("svg", "svgz"), SVG),
    **dict.fromkeys(("ico", "icns", "cur"), ICON),
    **dict.fromkeys(("afphoto", "afdesign", "af"), _program("Affinity")),
    "pdf": PDF,
    "ai": ILLUSTRATOR,
    "jxl": JPEG_XL,
    "procreate": PROCREATE,
    "kra": _program("Krita"),
    "clip": _program("Clip Studio Paint"),
    "xcf": _program("GIMP"),
    "sketch": _program("Sketch"),
    "fig": _program("Figma"),
    "cdr": _program("CorelDRAW"),
    "xd": _program("Adobe XD"),
    "indd": _program("InDesign"),
    "dxf": _program("a CAD program"),
    "dwg": _program("a CAD program"),
    "icloud": IN_CLOUD,
}
PICTURE_ENDINGS = frozenset("jpg jpeg jpe jfif png apng gif webp tif tiff bmp dib avif jp2 j2k jpf jpx heic heif hif".split())
DECIDED_BY_NAME = frozenset(ending for ending, kind in BY_ENDING.items() if kind in (RAW, ILLUSTRATOR, UNFINISHED))


def kind_of(name: str, head: bytes) -> Kind | None:
    """What a file is; None where neither its name nor its bytes say so.

    Args:
        name: of the file; "" for bytes that have none.
        head: its first ``HEAD`` bytes.
    """
    ending = PurePath(name).suffix[1:].lower()
    if ending in DECIDED_BY_NAME:
        return BY_ENDING[ending]
    for pattern, kind in BY_BYTES:
        if re.match(pattern, head[:HEAD], re.DOTALL):
            return kind
    if head and head[:4] != b"PK\3\4" and ending in PICTURE_ENDINGS:
        return None  # a picture by its name alone
    return BY_ENDING.get(ending, ARCHIVE if head[:4] == b"PK\3\4" else None)
