"""Real photographs as lessons: masks where several cut-outs agree, plain garments to dye, backgrounds to lay others on.

Two rules tell which masks are believed. *Without help*: every start of the cut-out's search ends at one outline; about half
of all photographs, the easy ones. *With two opinions*: the cut-out as the studio makes it, and a network that knows nothing
of clothes (``saliency``). Where they nearly agree the photograph is taken, and of its pixels those that both call the same;
where a person looked at both, the mask is the one chosen (``reviewed_masks``).

Everything is found once and kept in a work folder, so that a second run starts at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fedgai.data.listing import find_images
from fedgai.draughtsman import Draughtsman
from fedgai.line_types import LINE_TYPES
from fedgai.training.reviewed_masks import MaskReview
from fedgai.training.saliency import Saliency
from fedgai.vision import cutout
from fedgai.vision.channels import brightest_channel
from fedgai.vision.images import ImageError, read_image

LONGEST = 448  # px, long side at which photographs are kept
AGREED = 0.95  # overlap of all starts' cut-outs above which a mask is believed
GOOD_SCORE = 0.6  # of the cut-out's own measure of an outline
NEARLY = 0.85  # overlap of two opinions above which a photograph is taken
BESIDE = 5  # px around what they disagree about that counts as disagreed, too
PLAIN = 0.045  # share of a garment's inside with strong edges, below which it counts as plain
DARKEST = 0.16  # a garment's brightness (``Photograph.dark``), up to which it shows no shading, and dye looks wrong
LIGHTEST_EDGE = 26  # grey levels of 255, a strong edge


@dataclass(frozen=True)
class Photograph:
    """One photograph of the lesson.

    Attributes:
        path: the picture, at most ``LONGEST`` px on its long side; ``mask_path``, ``doubt_path``, ``label_path``: beside it.
        busy: share of the garment's inside with strong edges; small for plain garments.
        dark: the garment's brightness in [0, 1] at its 80th percentile.
        margins: px of pure background above, below, left and right of the garment.
        chosen: whether a person chose its mask: it is a hard one.
    """

    path: Path
    busy: float
    dark: float
    margins: tuple[int, int, int, int]
    chosen: bool = False

    @property
    def mask_path(self) -> Path:
        return self.path.with_suffix(".mask.png")

    @property
    def doubt_path(self) -> Path:
        return self.path.with_suffix(".doubt.png")

    @property
    def label_path(self) -> Path:
        return self.path.with_suffix(".lines.npz")

    @property
    def plain(self) -> bool:
        """Whether dyeing it looks real: no print of its own, and light enough to show its shading."""
        return self.busy < PLAIN and self.dark > DARKEST

    def photo(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return cv2.cvtColor(_read(self.path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def mask(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]."""
        return _read(self.mask_path, cv2.IMREAD_GRAYSCALE) / np.float32(255)

    def known(self) -> np.ndarray:
        """(H, W) float32: 1 where the mask is believed, 0 where two opinions differ."""
        if not self.doubt_path.exists():
            return np.ones(self.mask().shape, np.float32)
        return (_read(self.doubt_path, cv2.IMREAD_GRAYSCALE) < 128).astype(np.float32)


def _read(path: Path, flags: int) -> np.ndarray:
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise ImageError(f"{path} cannot be read")
    return picture


def agreed_mask(photo: np.ndarray) -> np.ndarray | None:
    """(H, W, 3) uint8 -> (H, W) float32 mask in [0, 1] where every start of the cut-out ends at one outline; else None."""
    lab = cutout.to_lab(cutout.shrink(photo, 320))
    mask = cutout.on_plain(lab)
    if mask is None:
        view = cutout.view_of(cutout.to_lab(cutout.shrink(photo, 160)))
        masks = [cutout.tidy(cutout.grab(view.lab, belief)) for belief in cutout.beliefs_of(view)]
        scores = [cutout.score(one, view) for one in masks]
        best = int(np.argmax(scores))
        others = [one for one, score in zip(masks, scores, strict=True) if score > -1]
        if scores[best] < GOOD_SCORE or min(cutout.overlap(masks[best], one) for one in others) < AGREED:
            return None
        mask = cutout.sharpen(masks[best], lab)
    if not cutout.SMALLEST <= mask.mean() <= cutout.LARGEST:
        return None
    return cutout.fit_edge(mask, photo)


@dataclass
class Opinions:
    """Two ways to find the garment, which fail differently.

    Attributes:
        draughtsman: an earlier one, for the cut-out as the studio makes it.
        saliency: U²-Net; None: the cut-out is believed alone, for lessons that need no exact masks.
        reviewed: what a person chose, by folder and name of a photograph (``reviewed_masks``); None: not to be taken.
    """

    draughtsman: Draughtsman
    saliency: Saliency | None
    reviewed: Mapping[str, MaskReview | None] = field(default_factory=dict)

    def mask(self, photo: np.ndarray, kept: Path, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The cut-out (H, W) float32 in [0, 1], and where the other opinion differs, (H, W) bool; None for too much of that.

        Args:
            photo: (H, W, 3) uint8 RGB.
            kept: a PNG of what U²-Net sees, written where it is not there yet.
            name: folder and name, as in ``reviewed``.
        """
        if name in self.reviewed and self.reviewed[name] is None:
            return None
        if self.saliency is not None and not kept.exists():
            cv2.imwrite(str(kept), self.saliency.look(photo))
        seen = self.draughtsman.look(photo)
        verdict = self.reviewed.get(name)
        try:  # without a second look: opinions are those that lessons were trained with
            mask = cutout.cut_out_seen(photo, seen.mask, seen.lines[LINE_TYPES.index("silhouette")])
        except cutout.NoGarment:
            if verdict is None:
                return None
            mask = np.zeros(photo.shape[:2], np.float32)
        if self.saliency is None:
            return mask, np.zeros(mask.shape, bool)
        stands_out = cv2.resize(_read(kept, cv2.IMREAD_GRAYSCALE), photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        if verdict is not None:
            return verdict.mask(photo, mask, stands_out / np.float32(255))
        if cutout.overlap(mask > 0.5, stands_out > 127) < NEARLY:
            return None
        # U²-Net is unsure near every edge: what it leaves open is not what it denies
        differ = ((mask > 0.5) & (stands_out < 64)) | ((mask < 0.5) & (stands_out > 191))
        wide = cv2.morphologyEx(differ.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        return mask, cv2.dilate(wide, np.ones((2 * BESIDE + 1,) * 2, np.uint8)) > 0


def gather(
    folders: Sequence[Path],
    work: Path,
    seed: int,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    opinions: Opinions | None = None,
) -> list[Photograph]:
    """Find the photographs whose garment's mask is sure.

    Args:
        folders: of photographs, any number of folders deep.
        work: where masks are kept; a photograph that is there already is not looked at again, so each rule needs its own.
        seed: of the order.
        limit: look at so many photographs only.
        progress: called with how many of how many were looked at.
        opinions: whose masks are taken; None: where the search for one ends in one place.
    """
    work.mkdir(parents=True, exist_ok=True)
    files = [(folder, file) for folder in folders for file in find_images(folder)]
    np.random.default_rng(seed).shuffle(files)
    found = []
    for i, (folder, file) in enumerate(files[:limit]):
        known_as = f"{folder.name}/{file.relative_to(folder).as_posix()}"
        name = hashlib.sha256(known_as.encode()).hexdigest()[:16]
        facts = _look(file, work / name, known_as, opinions)
        if facts is not None:
            chosen = opinions is not None and known_as in opinions.reviewed
            found.append(Photograph(work / f"{name}.png", facts["busy"], facts["dark"], tuple(facts["margins"]), chosen))
        if progress:
            progress(i + 1, len(files[:limit]))
    return found


def _look(file: Path, stem: Path, known_as: str, opinions: Opinions | None) -> dict[str, Any] | None:
    """Facts about one photograph, from the work folder or found now; None where its mask is not sure."""
    kept = stem.with_suffix(".json")
    if kept.exists():
        read: dict[str, Any] | None = json.loads(kept.read_text())
        return read
    facts = doubt = None
    try:
        photo = np.asarray(read_image(file))
        scale = LONGEST / max(photo.shape[:2])
        if scale < 1:
            photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        kept_saliency = stem.with_suffix(".saliency.png")
        found = (agreed_mask(photo), None) if opinions is None else opinions.mask(photo, kept_saliency, known_as)
        mask, doubt = found or (None, None)
    except (ImageError, ValueError):
        mask = None
    if mask is not None and (mask > 0.5).any():
        if doubt is not None:
            cv2.imwrite(str(stem.with_suffix(".doubt.png")), 255 * doubt.astype(np.uint8))
        facts = facts_about(photo, mask)
        cv2.imwrite(str(stem.with_suffix(".png")), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(stem.with_suffix(".mask.png")), (255 * mask + 0.5).astype(np.uint8))
    kept.write_text(json.dumps(facts))
    return facts


def facts_about(photo: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    """``Photograph``'s busy, dark and margins, of (H, W, 3) uint8 RGB and its (H, W) float32 mask."""
    solid = mask > 0.5
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    margins = [rows[0], len(solid) - 1 - rows[-1], columns[0], solid.shape[1] - 1 - columns[-1]]
    strong, inner = strong_edges(photo, mask)
    busy = float(strong[inner].mean())
    dark = float(np.quantile(brightest_channel(photo)[solid], 0.8) / 255)
    return {"busy": busy, "dark": dark, "margins": [int(m) for m in margins]}


def strong_edges(photo: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a photograph has strong edges, and its garment's inside without the rim: (H, W) bool both.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], not empty.
    """
    solid = mask > 0.5
    inner = cv2.erode(solid.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
    smooth = cv2.GaussianBlur(photo, (0, 0), 1.0).astype(np.float32)
    steps = np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)]) / 4
    return brightest_channel(np.abs(steps).max(0)) > LIGHTEST_EDGE / 2, inner if inner.any() else solid


def background(photograph: Photograph, height: int, width: int, rng: np.random.Generator) -> np.ndarray | None:
    """A page of what lies around a photograph's garment: its widest margin, mirrored until the page is full.

    Returns:
        (height, width, 3) uint8, or None where no margin is wide enough.
    """
    widest = int(np.argmax(photograph.margins))
    wide = photograph.margins[widest] - 4
    if wide < 24:
        return None
    photo = photograph.photo()
    strip = (photo[:wide], photo[-wide:], photo[:, :wide], photo[:, -wide:])[widest]
    scale = rng.uniform(1.0, 2.2)
    strip = cv2.resize(strip, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    page = strip
    while page.shape[0] < height or page.shape[1] < width:
        below, right = (min(max(0, want - have), have - 1) for want, have in zip((height, width), page.shape[:2], strict=True))
        page = cv2.copyMakeBorder(page, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    top, left = (int(rng.integers(0, have - want + 1)) for want, have in zip((height, width), page.shape[:2], strict=True))
    page = page[top : top + height, left : left + width]
    return np.ascontiguousarray(page[:, ::-1] if rng.random() < 0.5 else page)
