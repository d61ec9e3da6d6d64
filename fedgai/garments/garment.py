"""A garment without its fabric: mask, parts, light, cloth coordinates and lines, the ground truth of its pictures."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedgai.errors import FedGAIError
from fedgai.files import replacing
from fedgai.garments.kinds import BUILDERS, KINDS
from fedgai.garments.light import unit
from fedgai.garments.lines import Vector, draw
from fedgai.garments.outline import Array
from fedgai.garments.parts import PROPS, Draft
from fedgai.garments.placement import Placement
from fedgai.garments.pose import presented
from fedgai.garments.sewing import Sewing
from fedgai.line_types import LINE_TYPES

SIDES = (128, 2048)  # pixels that a picture's long side can have
LARGEST = 256 * 1024 * 1024  # bytes that a file may unpack to
ARRAYS: dict[str, tuple[type, tuple[int, ...]]] = {  # of a file: type, and the shape after height and width
    "alpha": (np.uint8, ()),
    "cover": (np.uint8, ()),
    "parts": (np.uint8, ()),
    "light": (np.float16, ()),
    "gloss": (np.float16, ()),
    "uv": (np.float16, (2,)),
    "lines": (np.uint8, ()),
    "sun": (np.float64, ()),
}


@dataclass
class Garment:
    """What is known of a garment before it gets a fabric. H x W pixels.

    Attributes:
        kind: one of ``KINDS``.
        seed: that ``make`` was given.
        pose: lying, hanging or worn (by nobody, or by a person who does not belong to it).
        alpha: uint8 (H, W), the garment's coverage.
        cover: uint8 (H, W), coverage of the garment and of hangers, tags, hands in the picture with it.
        parts: uint8 (H, W), the cloth that is seen, 0 for the background.
        roles: what each part is made of ("main" for the main cloth, "rib", "button", ...); ``roles[0]`` is "" for the background.
        light: float16 (H, W), light without print, linear, about 1 where the cloth faces it.
        gloss: float16 (H, W), light that a shiny cloth reflects, linear.
        uv: float16 (H, W, 2), place on the cloth in widths of the garment, from the middle of each piece.
        lines: uint8 (6, H, W), coverage of each of ``LINE_TYPES``, two pixels wide at 512.
        vectors: the same lines as (type, float32 points (n, 2) in pixels, closed); a pixel's centre has whole coordinates.
        sun: direction (3,) of the key light, x right, y down, z towards the camera.
        width: of the garment, in units of its pieces.
        scale: pixels a unit.
    """

    kind: str
    seed: int
    pose: str
    alpha: NDArray[np.uint8]
    cover: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    roles: tuple[str, ...]
    light: NDArray[np.float16]
    gloss: NDArray[np.float16]
    uv: NDArray[np.float16]
    lines: NDArray[np.uint8]
    vectors: list[Vector]
    sun: Array
    width: float
    scale: float

    def save(self, path: str | Path) -> None:
        """Write everything to an ``.npz`` file without pickled objects."""
        facts = {
            "kind": self.kind,
            "seed": self.seed,
            "pose": self.pose,
            "roles": self.roles,
            "width": self.width,
            "scale": self.scale,
            "vectors": [[kind, len(points), closed] for kind, points, closed in self.vectors],
        }
        lines = [points for _, points, _ in self.vectors]
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays["points"] = np.concatenate([*lines, np.zeros((0, 2))]).astype(np.float32)
        arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        with replacing(Path(path)) as temp_path, open(temp_path, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Garment:
        """Read what ``save`` wrote. Nothing is unpickled, and a file that would unpack to more than 256 MB is not read.

        Raises:
            FedGAIError: the file is something else.
            OSError: it cannot be read.
        """
        try:
            return _read(Path(path))
        except (KeyError, TypeError, ValueError, EOFError, IndexError, zipfile.BadZipFile, zlib.error) as error:
            raise FedGAIError(f"{path} is not a garment that Garment.save wrote: {error}") from error


def _read(path: Path) -> Garment:
    """A garment from a file; any of the errors that ``Garment.load`` names if it is something else."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
            raise ValueError("it is too large")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in (*ARRAYS, "points", "facts")}
    shape = arrays["alpha"].shape
    if len(shape) != 2 or not SIDES[0] <= max(shape) <= SIDES[1]:
        raise ValueError("its mask has another shape")
    for name, (dtype, rest) in ARRAYS.items():
        wanted = {"lines": (len(LINE_TYPES), *shape), "sun": (3,)}.get(name, (*shape, *rest))
        if arrays[name].shape != wanted or arrays[name].dtype != dtype:
            raise ValueError(f"{name} has another shape or type")
    facts, points, vectors, start = json.loads(arrays.pop("facts").tobytes()), arrays.pop("points"), [], 0
    for kind, count, closed in facts.pop("vectors"):
        if kind not in LINE_TYPES or not 0 < count <= len(points) - start:
            raise ValueError("a line is of no type, or has no points")
        vectors.append((kind, points[start : start + count], bool(closed)))
        start += count
    roles = tuple(str(role) for role in facts.pop("roles"))
    if int(arrays["parts"].max()) >= len(roles):
        raise ValueError("a part has no role")
    return Garment(**facts, **arrays, roles=roles, vectors=vectors)


def make(seed: int, long_side: int = 512, kind: str | None = None) -> Garment:
    """Cut, sew, fold and light one garment.

    Args:
        seed: the same seed gives the same garment on one machine.
        long_side: of the picture, pixels, 128 to 2048.
        kind: one of ``KINDS``; a random one if None.

    Raises:
        FedGAIError: there is no such kind, or the picture is too small or too large.
    """
    rng = np.random.default_rng([seed, 12])
    chosen = str(rng.choice(KINDS))
    kind = kind or chosen
    if kind not in BUILDERS:
        raise FedGAIError(f"there is no garment {kind!r}; choose one of {', '.join(KINDS)}")
    if not SIDES[0] <= long_side <= SIDES[1]:
        raise FedGAIError(f"a picture's long side has {SIDES[0]} to {SIDES[1]} pixels, not {long_side}")
    draft = Draft.random(rng)
    pieces = presented(draft, kind, BUILDERS[kind](draft))
    points = np.vstack([p.outline for p in pieces if p.role not in PROPS])
    box = np.stack([points.min(0), points.max(0)])
    short = round(long_side * rng.choice([0.75, 0.75, 0.75, 1.0, 0.6667, 0.5625]))
    upright = np.ptp(box[:, 1]) > np.ptp(box[:, 0]) * rng.uniform(0.5, 1.0)
    height, width = (long_side, short) if upright else (short, long_side)
    placement = Placement.random(rng, box, width, height, draft.pose == "lying")
    angle, high = np.radians(rng.normal(-110, 45)), rng.uniform(0.45, 0.85)
    flat = np.sqrt(1 - high**2)
    sewing = Sewing(pieces, placement, (height, width), unit(np.cos(angle) * flat, np.sin(angle) * flat, high), rng)
    vectors = sewing.vectors()
    return Garment(
        kind=kind,
        seed=seed,
        pose=draft.pose,
        alpha=_bytes(sewing.alpha),
        cover=_bytes(sewing.cover),
        parts=sewing.labels,
        roles=tuple(sewing.roles),
        light=sewing.light.astype(np.float16),
        gloss=sewing.gloss.astype(np.float16),
        uv=sewing.uv.astype(np.float16),
        lines=draw(vectors, (height, width), 2 * long_side / 512),
        vectors=vectors,
        sun=sewing.sun,
        width=sewing.width,
        scale=placement.scale,
    )


def _bytes(share: Array) -> NDArray[np.uint8]:
    """0..1 as 0..255."""
    return np.round(share * 255).astype(np.uint8)
