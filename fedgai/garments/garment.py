"""A garment without its fabric: mask, parts, light, cloth coordinates and lines, the ground truth of its pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from fedgai.garments.drape import Grid, blur, noise
from fedgai.garments.kinds import BUILDERS, KINDS
from fedgai.garments.light import cast, occlusion, shade, unit
from fedgai.garments.lines import (
    LINE_TYPES,
    Vector,
    borders,
    closed_up,
    dense,
    draw,
    fold_lines,
    runs,
    sample,
    silhouette,
    valleys,
)
from fedgai.garments.outline import Array, fill
from fedgai.garments.parts import Piece
from fedgai.garments.placement import Placement, along, straight_down


@dataclass
class Garment:
    """What is known of a garment before it gets a fabric. H x W pixels.

    Attributes:
        kind: one of ``KINDS``.
        seed: that ``make`` was given.
        alpha: uint8 (H, W), the garment's coverage.
        parts: uint8 (H, W), the piece that is seen, 0 for the background.
        roles: whose cloth each piece is of; ``roles[0]`` is "" for the background.
        light: float16 (H, W), light without print, linear, about 1 where the cloth faces it.
        gloss: float16 (H, W), light that a shiny cloth reflects, linear.
        uv: float16 (H, W, 2), place on the cloth in widths of the garment, from the middle of each piece.
        lines: uint8 (6, H, W), coverage of each of ``LINE_TYPES``, two pixels wide at 512.
        vectors: the same lines as (type, float32 points (n, 2) in pixels, closed); a pixel's centre has whole coordinates.
        sun: direction (3,) of the key light, x right, y down, z towards the camera.
    """

    kind: str
    seed: int
    alpha: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    roles: tuple[str, ...]
    light: NDArray[np.float16]
    gloss: NDArray[np.float16]
    uv: NDArray[np.float16]
    lines: NDArray[np.uint8]
    vectors: list[Vector]
    sun: Array
    width: float

    def save(self, path: str | Path) -> None:
        """Write everything to an ``.npz`` file without pickled objects."""
        facts = {"kind": self.kind, "seed": self.seed, "roles": self.roles, "width": self.width,
                 "vectors": [[kind, len(points), closed] for kind, points, closed in self.vectors]}
        points = np.concatenate([p for _, p, _ in self.vectors]).astype(np.float32) if self.vectors else np.zeros((0, 2), np.float32)
        arrays = {name: getattr(self, name) for name in ("alpha", "parts", "light", "gloss", "uv", "lines", "sun")}
        with open(path, "wb") as file:
            np.savez_compressed(file, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), points=points, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Garment:
        """Read what ``save`` wrote.

        Raises:
            ValueError: the file is something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            facts = json.loads(arrays.pop("facts").tobytes())
            points, vectors, start = arrays.pop("points"), [], 0
            for kind, count, closed in facts.pop("vectors"):
                vectors.append((kind, points[start : start + count], closed))
                start += count
            facts["roles"] = tuple(facts["roles"])
            return cls(**facts, **arrays, vectors=vectors)
        except (KeyError, TypeError, ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a garment that Garment.save wrote: {error}") from error


def make(seed: int, long_side: int = 512, kind: str | None = None) -> Garment:
    """Cut, sew, fold and light one garment.

    Args:
        seed: the same seed gives the same garment on one machine.
        long_side: of the picture, pixels.
        kind: one of ``KINDS``; a random one if None.

    Raises:
        ValueError: there is no such kind.
    """
    rng = np.random.default_rng([seed, 12])
    chosen = str(rng.choice(KINDS))
    kind = kind or chosen
    if kind not in BUILDERS:
        raise ValueError(f"there is no garment {kind!r}; choose one of {', '.join(KINDS)}")
    pieces = BUILDERS[kind](rng)
    points = np.vstack([p.outline for p in pieces])
    box = np.stack([points.min(0), points.max(0)])
    short = round(long_side * rng.choice([0.75, 0.75, 0.75, 1.0, 0.6667]))
    tall = np.ptp(box[:, 1]) > np.ptp(box[:, 0]) * 0.85
    width, height = (short, long_side) if tall else (long_side, short)
    placement = Placement.random(rng, box, width, height)
    angle, high = np.radians(rng.normal(-130, 45)), rng.uniform(0.45, 0.8)
    sun = unit(np.cos(angle) * np.sqrt(1 - high**2), np.sin(angle) * np.sqrt(1 - high**2), high)
    return Sewing(pieces, placement, width, height, sun, rng).garment(kind, seed)


class Sewing:
    """Puts pieces on the picture, from the back to the front."""

    def __init__(self, pieces: Sequence[Piece], placement: Placement, width: int, height: int, sun: Array, rng: np.random.Generator):
        self.pieces, self.placement, self.sun, self.rng = pieces, placement, sun, rng
        self.shape = (height, width)
        self.scale = placement.scale
        self.x, self.y = placement.units(width, height)
        self.alpha = np.zeros(self.shape, np.float32)
        self.light, self.gloss = np.ones(self.shape, np.float32), np.zeros(self.shape, np.float32)
        self.folds = np.zeros(self.shape, np.float32)
        self.uv = np.zeros((*self.shape, 2), np.float32)
        self.owner = np.zeros(self.shape, np.uint8)
        self.outlines: list[Array] = []
        self.rows: list[list[Array]] = []
        self.unit = float(np.ptp(np.vstack([p.outline for p in pieces])[:, 0]))
        self.fill_share = rng.uniform(0.24, 0.42)

    def garment(self, kind: str, seed: int) -> Garment:
        for number, piece in enumerate(self.pieces, 1):
            self._lay(number, piece)
        alpha = np.round(self.alpha * 255).astype(np.uint8)
        self.owner[alpha < 128] = 0
        vectors = [*silhouette(alpha), *self._sewn_lines(alpha), *self._fold_lines(alpha)]
        lines = draw(vectors, self.shape, 2 * max(self.shape) / 512)
        return Garment(
            kind, seed, alpha, self.owner, ("", *(p.role for p in self.pieces)), self.light.astype(np.float16), self.gloss.astype(np.float16),
            self.uv.astype(np.float16), lines, vectors, self.sun, self.unit,
        )

    def _lay(self, number: int, piece: Piece) -> None:
        drift = gaussian_filter1d(self.rng.standard_normal(piece.outline.shape), 6, axis=0, mode="wrap")
        outline = self.placement(piece.outline + piece.wobble * drift * 4)
        self.outlines.append(outline)
        self.rows.append([])
        h, w = self.shape
        left, top = np.maximum(np.floor(outline.min(0)).astype(int) - 6, 0)
        right, bottom = np.minimum(np.ceil(outline.max(0)).astype(int) + 6, (w, h))
        if right - left < 3 or bottom - top < 3:
            return
        window = (slice(top, bottom), slice(left, right))
        cover = fill(outline - (left, top) + 0.5, (bottom - top, right - left), 1)
        if not (cover > 0.5).any():
            return
        x, y = self.x[window], self.y[window]
        s, t = straight_down(piece.outline, x, y) if piece.axis is None else along(piece.axis, x, y)
        grid = Grid(cover, x, y, s, t, self.rng)
        folds = np.zeros(grid.shape, np.float32)
        for fold in piece.folds:
            folds += fold(grid).astype(np.float32)
        height = self._volume(grid, piece) + folds
        down, across = np.gradient(height)
        uv = np.stack([s - 0.55 * across * self.scale, t - 0.55 * down * self.scale], -1) / self.unit
        for seam in piece.seams:
            self._sink(height, self.placement(seam.line) - (left, top), seam.groove)
        for inset in piece.topstitch:
            for ring in _inset(cover, inset * self.scale):
                self._sink(height, ring, 0.4)
                self.rows[-1].append(ring + (left, top))
        openness = occlusion(height, cover, self.sun, self.scale)
        fill_light = unit(-self.sun[0], -self.sun[1] * 0.2, 0.7)
        light, gloss = shade(height, openness, self.scale, self.sun, fill_light, (self.fill_share, 0.22, 0.9 - self.fill_share))
        self._put(number, piece, window, cover, light * piece.tone, gloss * piece.tone, uv, valleys(folds, self.scale) * (piece.tone == 1))

    def _volume(self, grid: Grid, piece: Piece) -> Array:
        def dome(rise: Array) -> Array:
            rise = np.clip(rise, 0, 1)
            return rise * (2 - rise)

        wide = blur(grid.side, 3 * self.scale) / (1.6 * piece.roundness) if piece.tube else 2 * blur(grid.mask, piece.roundness * self.scale) - 1
        return (piece.depth * dome(wide) + 1.6 * dome(2 * blur(grid.mask, max(2.2 * self.scale, 1.0)) - 1)).astype(np.float32)

    def _sink(self, height: Array, line: Array, groove: float) -> None:
        """Press a seam into the cloth, with the pucker beside it."""
        paper = np.full(height.shape, 255, np.uint8)
        cv2.polylines(paper, [np.round(line * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
        if paper.all():
            return
        away = cv2.distanceTransform(paper, cv2.DIST_L2, 5) / self.scale
        wide = max(1.5, 1.0 / self.scale)
        pucker = noise(self.rng, self.x[: height.shape[0], : height.shape[1]] / 9, self.y[: height.shape[0], : height.shape[1]] / 9)
        height += 0.35 * groove * pucker * np.exp(-((away / 6) ** 2)) - groove * np.exp(-((away / wide) ** 2))

    def _put(self, number: int, piece: Piece, window: tuple[slice, slice], cover: Array, light: Array, gloss: Array, uv: Array, folds: Array) -> None:
        reach = piece.lift * self.scale
        pad = int(4 * reach) + 4
        rows = slice(max(window[0].start - pad, 0), min(window[0].stop + pad, self.shape[0]))
        columns = slice(max(window[1].start - pad, 0), min(window[1].stop + pad, self.shape[1]))
        wide = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        wide[window[0].start - rows.start : window[0].stop - rows.start, window[1].start - columns.start : window[1].stop - columns.start] = cover
        self.light[rows, columns] *= 1 - self.alpha[rows, columns] * cast(wide, reach, self.sun)
        for whole, new in ((self.light, light), (self.gloss, gloss), (self.folds, folds)):
            whole[window] += cover * (new - whole[window])
        top = cover > 0.5
        self.uv[window][top] = uv[top]
        self.owner[window][top] = number
        self.alpha[window] = np.maximum(self.alpha[window], cover)

    def _sewn_lines(self, alpha: NDArray[np.uint8]) -> list[Vector]:
        """What is seen of the pieces' outlines, seams and rows of stitches."""
        inside = cv2.erode((alpha > 127).astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) > 0
        shortest = 7 * max(self.shape) / 512
        made: list[Vector] = []
        for number, (piece, outline, rows) in enumerate(zip(self.pieces, self.outlines, self.rows, strict=True), 1):
            own = self.owner == number
            if not own.any():
                continue
            near = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            line = dense(outline, closed=True)
            seen = closed_up(sample(near & inside, line).astype(bool), 3)
            for kind, mask in self._kinds_along(piece, line).items():
                if kind:
                    made += [(kind, p.astype(np.float32), c) for p, c in runs(line, seen & mask, True, shortest)]
            own &= inside
            for kind, sewn in [*((s.kind, self.placement(s.line)) for s in piece.seams), *(("topstitch", r) for r in rows)]:
                if kind:
                    line = dense(sewn)
                    made += [(kind, p.astype(np.float32), False) for p, _ in runs(line, closed_up(sample(own, line).astype(bool), 3), False, shortest)]
        return made

    def _kinds_along(self, piece: Piece, line: Array) -> dict[str, NDArray[np.bool_]]:
        """The line type of each point (n,) of a piece's outline."""
        kinds = np.full(len(line), piece.border, dtype="<U10")
        for name, parts in (("seam", piece.sewn), ("edge", piece.open_edges)):
            for part in parts:
                path = dense(self.placement(part))
                gap = np.hypot(line[:, None, 0] - path[None, :, 0], line[:, None, 1] - path[None, :, 1]).min(1)
                kinds[gap < max(4 * self.scale, 2.5)] = name
        return {str(k): kinds == k for k in np.unique(kinds)}

    def _fold_lines(self, alpha: NDArray[np.uint8]) -> list[Vector]:
        """Folds that are seen: sharp valleys away from outlines."""
        free = ~borders(self.owner, max(1, round(2 * max(self.shape) / 512)))
        return fold_lines(self.folds * free * (alpha > 127), 0.022, 0.05, 22 * max(self.shape) / 512)


def _inset(cover: Array, distance: float) -> list[Array]:
    """Closed lines (n, 2), pixels, at a distance inside the border of a mask."""
    far = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    rings, _ = cv2.findContours((far > distance).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    made = []
    for ring in rings:
        if len(ring) > 12:
            smooth = gaussian_filter1d(ring[:, 0].astype(float), 1.0, axis=0, mode="wrap")
            made.append(np.vstack([smooth, smooth[:1]]))
    return made


__all__ = ["LINE_TYPES", "Garment", "Vector", "make"]
