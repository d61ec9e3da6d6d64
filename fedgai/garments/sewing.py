"""Sewing: pieces are laid on the picture from the back to the front, folded, lit, and their visible lines collected."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from fedgai.garments.drape import Grid, blur, noise
from fedgai.garments.light import cast, occlusion, shade, unit
from fedgai.garments.lines import Vector, borders, closed_up, dense, fold_lines, near_line, runs, sample, silhouette, valleys
from fedgai.garments.outline import Array, fill
from fedgai.garments.parts import PROPS, Piece
from fedgai.garments.placement import Placement, along, straight_down

Window = tuple[slice, slice]


class Sewing:
    """The picture while it is made; every array is (h, w) or (h, w, 2).

    Attributes:
        alpha: coverage of the garment.
        cover: coverage of the garment and of what is in the picture with it.
        light, gloss: as in ``Garment``.
        uv: place on the cloth, in widths of the garment.
        owner: number of the piece that is seen, from 1.
        labels: number of the cloth that is seen: a piece or a block of it; ``roles`` says whose.
    """

    def __init__(
        self, pieces: Sequence[Piece], placement: Placement, shape: tuple[int, int], sun: Array, rng: np.random.Generator
    ):
        self.pieces, self.placement, self.shape, self.sun, self.rng = pieces, placement, shape, sun, rng
        self.scale, self.line = placement.scale, max(shape) / 512  # pixels a unit; width of a thin line
        self.x, self.y = placement.units(shape[1], shape[0])
        self.alpha, self.cover = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.light, self.gloss = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        self.folds = np.zeros(shape, np.float32)
        self.uv = np.zeros((*shape, 2), np.float32)
        self.owner, self.labels = np.zeros(shape, np.int16), np.zeros(shape, np.uint8)
        self.roles = [""]
        self.outlines: list[Array] = []
        self.rows: list[list[Array]] = []
        own = np.vstack([p.outline for p in pieces if p.role not in PROPS])
        self.width = float(np.ptp(own[:, 0]))
        share = rng.uniform(0.24, 0.44)
        self.weights = (share, 0.22, 0.9 - share)
        self.thrown = -0.89 * sun[:2] / np.linalg.norm(sun[:2])
        self.from_side = unit(-sun[0], -sun[1] * 0.2, 0.7)
        for number, piece in enumerate(pieces, 1):
            self._lay(number, piece)

    def _lay(self, number: int, piece: Piece) -> None:
        """Cut, fold, sew and light one piece, and put it on what lies there."""
        drift = gaussian_filter1d(self.rng.standard_normal(piece.outline.shape), 6, axis=0, mode="wrap")
        outline = self.placement(piece.outline + piece.wobble * drift * 4)
        self.outlines.append(outline)
        self.rows.append([])
        self.roles.append(piece.role)
        label = len(self.roles) - 1
        h, w = self.shape
        left, top = np.maximum(np.floor(outline.min(0)).astype(int) - 6, 0)
        right, bottom = np.minimum(np.ceil(outline.max(0)).astype(int) + 6, (w, h))
        if right - left < 3 or bottom - top < 3:
            return
        corner, window = np.array([left, top]), (slice(top, bottom), slice(left, right))
        cover = fill(outline - corner + 0.5, (bottom - top, right - left), 1)
        if not (cover > 0.5).any():
            return
        x, y = self.x[window], self.y[window]
        s, t = straight_down(piece.outline, x, y) if piece.axis is None else along(piece.axis, x, y)
        grid = Grid(cover, x, y, s, t, self.rng)
        folds = np.zeros(grid.shape, np.float32)
        for fold in piece.folds:
            folds += fold(grid).astype(np.float32)
        height = self._volume(grid, piece) + folds
        for relief in piece.relief:
            height += relief(grid).astype(np.float32)
        down, across = np.gradient(height)
        uv = np.stack([s - 0.55 * across * self.scale, t - 0.55 * down * self.scale], -1) / self.width
        self._sew(piece, height, cover, corner, x, y)
        openness = occlusion(height, cover, self.sun, self.scale)
        light, gloss = shade(height, openness, self.scale, self.sun, self.from_side, self.weights)
        self._shadow(piece, window, cover)
        seen = valleys(folds, self.scale) * (piece.tone == 1 and piece.role not in PROPS)
        for whole, new in ((self.light, light * piece.tone), (self.gloss, gloss * piece.tone), (self.folds, seen)):
            whole[window] += cover * (new - whole[window])
        solid = cover > 0.5
        self.uv[window][solid] = uv[solid]
        self.owner[window][solid] = number
        self.labels[window][solid] = label
        self._blocks(piece, window, corner, solid)
        self.cover[window] = np.maximum(self.cover[window], cover)
        self.alpha[window] = self.alpha[window] * (1 - cover) if piece.role in PROPS else np.maximum(self.alpha[window], cover)

    def _volume(self, grid: Grid, piece: Piece) -> Array:
        """The body under the cloth, and the thickness of its edge."""

        def dome(rise: Array) -> Array:
            rise = np.clip(rise, 0, 1)
            return np.asarray(rise * (2 - rise))

        wide = (
            blur(grid.side, 3 * self.scale) / (1.6 * piece.roundness)
            if piece.tube
            else 2 * blur(grid.mask, piece.roundness * self.scale) - 1
        )
        return (piece.depth * dome(wide) + 1.6 * dome(2 * blur(grid.mask, max(2.2 * self.scale, 1.0)) - 1)).astype(np.float32)

    def _sew(self, piece: Piece, height: Array, cover: Array, corner: Array, x: Array, y: Array) -> None:
        """Press seams and rows of stitches into a piece's height, with the pucker beside them. In place."""
        lines = [(self.placement(seam.line) - corner, seam.groove) for seam in piece.seams]
        for inset in piece.topstitch:
            rings = _inset(cover, inset * self.scale)
            lines += [(ring, 0.4) for ring in rings]
            self.rows[-1] += [ring + corner for ring in rings]
        if not lines:
            return
        pucker = noise(self.rng, x / 9, y / 9)
        wide = max(1.5, 1.0 / self.scale)
        for line, groove in lines:
            paper = np.full(height.shape, 255, np.uint8)
            cv2.polylines(paper, [np.round(line * 16).astype(np.int32)], False, (0.0,), 1, cv2.LINE_8, 4)
            if not paper.all():
                away = cv2.distanceTransform(paper, cv2.DIST_L2, 5) / self.scale
                height += 0.35 * min(groove, 1.5) * pucker * np.exp(-((away / 6) ** 2)) - groove * np.exp(-((away / wide) ** 2))

    def _shadow(self, piece: Piece, window: Window, cover: Array) -> None:
        """Darken what lies under a piece."""
        reach = piece.lift * self.scale
        pad = int(4 * reach) + 4
        rows = slice(max(window[0].start - pad, 0), min(window[0].stop + pad, self.shape[0]))
        columns = slice(max(window[1].start - pad, 0), min(window[1].stop + pad, self.shape[1]))
        wide = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        inner = (
            slice(window[0].start - rows.start, window[0].stop - rows.start),
            slice(window[1].start - columns.start, window[1].stop - columns.start),
        )
        wide[inner] = cover
        self.light[rows, columns] *= 1 - self.cover[rows, columns] * cast(wide, reach, *self.thrown)

    def _blocks(self, piece: Piece, window: Window, corner: Array, solid: NDArray[np.bool_]) -> None:
        """Give blocks of a piece labels of their own."""
        for block in piece.blocks:
            self.roles.append(block.role)
            region = fill(self.placement(dense(block.outline, 12.0, closed=True)) - corner + 0.5, solid.shape, 1) > 0.5
            self.labels[window][solid & region] = len(self.roles) - 1

    def vectors(self) -> list[Vector]:
        """Every line that is seen."""
        alpha = np.round(self.alpha * 255).astype(np.uint8)
        return [*silhouette(alpha), *self._sewn_lines(alpha), *self._fold_lines(alpha)]

    def _sewn_lines(self, alpha: NDArray[np.uint8]) -> list[Vector]:
        """What is seen of the pieces' outlines, seams and rows of stitches."""
        inside = (
            cv2.erode(
                (alpha > 127).astype(np.uint8), np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,)
            )
            > 0
        )
        shortest = 7 * self.line
        made: list[Vector] = []
        for number, (piece, outline, rows) in enumerate(zip(self.pieces, self.outlines, self.rows, strict=True), 1):
            own = self.owner == number
            if piece.role in PROPS or not own.any():
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
                    made += [
                        (kind, p.astype(np.float32), False)
                        for p, _ in runs(line, closed_up(sample(own, line).astype(bool), 3), False, shortest)
                    ]
        return made

    def _kinds_along(self, piece: Piece, line: Array) -> dict[str, NDArray[np.bool_]]:
        """The line type of each point (n,) of a piece's outline."""
        sewn = np.zeros(len(line), bool)
        for part in piece.sewn:
            sewn |= near_line(line, dense(self.placement(part), 2.0), max(4 * self.scale, 2.5))
        sewn = closed_up(sewn, round(8 * self.line))
        return {piece.border: ~sewn, "seam": sewn} if piece.border != "seam" else {"seam": np.ones(len(line), bool)}

    def _fold_lines(self, alpha: NDArray[np.uint8]) -> list[Vector]:
        """Folds that are seen: sharp valleys away from outlines."""
        free = ~borders(self.owner, max(1, round(2 * self.line)))
        return fold_lines(self.folds * free * (alpha > 127), 0.022, 0.05, 22 * self.line)


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
