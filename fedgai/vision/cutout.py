"""Cut a garment out of its photograph by classical means: no learned weights, and the same mask every time.

1. Two cues at half the working size. *Words*: each pixel's colour and roughness, as one of a small vocabulary.
   *Depth*: how many colour edges a walk in from the picture's frame has to climb (geodesic saliency, Wei et al., 2012).
2. From several first guesses, expectation-maximisation learns which words and depths are the garment's, and GrabCut
   (Rother et al., 2004) draws each outline.
3. The best outline wins: on colour edges, its two sides unlike each other, where garments lie.
4. GrabCut again at the working size, near that outline only; then a guided filter (He et al., 2010) fits the edge to
   the photo at up to 1,024 px.

A plain background needs none of this: there, whatever differs from it is garment.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from fedgai.errors import FedGAIError
from fedgai.vision.channels import brightest_channel
from fedgai.vision.grabcut import SEED, run_grabcut
from fedgai.vision.mask_pieces import Sight, border, settled
from fedgai.vision.strange_pieces import without_strange_pieces

EDGE_SIZE = 1024  # px, long side at which the edge is fitted
WORDS, DEPTHS = 32, 10  # sizes of the two vocabularies
SMALLEST, LARGEST = 0.03, 0.92  # shares of the picture between which a garment may lie
SMALL = 0.15  # share of the picture below which a mask is likelier a print on the garment than the garment
FAINTEST_EDGE = 0.6  # share of an outline's length that follows colour edges; 240 real garments had 0.79 and more
WORST_SCORE = 0.4  # outlines below this are of nothing: 240 real garments scored 0.59 and more
SURE_OUTLINE = 0.6  # mean likelihood of an outline along a mask's border, above which the slow search is left out
FAINTEST_OUTLINE = 0.12  # and below which it is of nothing: 30 real garments had 0.29 and more, noise 0.03
# Lab levels across an outline, below which it is a guess: white on white had 3.1, 180 real garments 14 and more
FAINTEST_STEP = 5.0
HOLLOW = 0.6  # share of what an outline encloses, below which it is more than what differs from the background
GAP, EMPTY = 0.02, 0.12  # of the short side: gaps in an outline that are closed, and how far strokes lie from each other
INK = 30  # Lab levels by which the lines of a drawing differ from its paper
SURER = 0.8  # likelihood below which a piece of garment is looked at once more
SURE_BACKGROUND, SURE_GARMENT = 0.2, 0.97  # likelihoods below and above which GrabCut may not decide otherwise


class NoGarment(FedGAIError):  # noqa: N818 - it is a finding, and the name says it
    """No garment could be found in a picture. The message says what to do next."""


@dataclass(frozen=True)
class View:
    """A photo as the search sees it, all of one height and width."""

    lab: np.ndarray  # (h, w, 3) float32, OpenCV's 8-bit Lab: each channel in [0, 255]
    words: np.ndarray  # (h, w) int in [0, WORDS)
    depths: np.ndarray  # (h, w) int in [0, DEPTHS), 0 nearest to the frame
    inner: np.ndarray  # (h, w) float32 log-odds in [-4, 4] of being garment, by depth alone
    light: np.ndarray  # (h, w) float32 in [0, 1]


def cut_out(photo: np.ndarray, *, size: int = 320) -> np.ndarray:
    """Tell a garment from its background.

    Args:
        photo: (H, W, 3) uint8 RGB, H and W at least 8.
        size: long side, in px, at which the garment is looked for. Smaller is faster and coarser.

    Returns:
        (H, W) float32 alpha in [0, 1]: 1 on the garment, 0 off it, feathered over 1-2 px in between.

    Raises:
        NoGarment: the photo is flat, noise or mere texture, or its garment looks just like what it lies on.
        ValueError: `photo` is not (H, W, 3) uint8 of at least 8 x 8 px.
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or min(photo.shape[:2]) < 8:
        raise ValueError(f"photo should be (H, W, 3) uint8 of at least 8 x 8 px, got {photo.shape} {photo.dtype}")
    lab = to_lab(shrink(photo, size))
    mask = on_plain(lab)
    if mask is None:
        mask = sharpen(_search(view_of(to_lab(shrink(photo, size // 2)))), lab)
    if not SMALLEST <= mask.mean() <= LARGEST:
        raise _no_garment()
    return fit_edge(mask, photo)


def cut_out_seen(
    photo: np.ndarray,
    belief: np.ndarray,
    silhouette: np.ndarray,
    *,
    size: int = 320,
    look_again: Callable[[], np.ndarray] | None = None,
) -> np.ndarray:
    """As ``cut_out``, for a photo in which the draughtsman has seen where the garment and its outline are.

    GrabCut draws the outline, given what the draughtsman is sure of. Where that outline runs where no silhouette was seen, the
    masks of ``cut_out``'s search are considered, too, and the one wins whose border is a silhouette along most of its length.
    Where it differs from the others, or from the belief, by a piece, the measures of ``mask_pieces`` decide about that piece.
    Last, pieces of the background that all of them took for garment are looked for (``strange_pieces``).

    Args:
        photo: (H, W, 3) uint8 RGB, H and W at least 8.
        belief: (h, w) float32 in [0, 1], how likely garment is, of the photo's proportions.
        silhouette: (h, w) float32 in [0, 1], how likely a garment's outline is.
        size: as for ``cut_out``.
        look_again: gives a second belief, in other pixels than the first; asked only where a piece is to be decided. None: the
            first one counts twice.

    Returns:
        (H, W) float32 alpha in [0, 1], as ``cut_out``.

    Raises:
        NoGarment: no mask's border is a garment's.
    """
    lab = to_lab(shrink(photo, size))
    height, width = lab.shape[:2]
    outline = cv2.dilate(cv2.resize(silhouette, (width, height), interpolation=cv2.INTER_AREA), np.ones((5, 5), np.uint8))
    belief = cv2.resize(belief, (width, height), interpolation=cv2.INTER_AREA)
    grabbed, others = first_masks(lab, belief)
    masks = [grabbed, *(_searched(photo, lab, size) if _on_outline(grabbed, outline) < SURE_OUTLINE else [])]
    scores = [_on_outline(mask, outline) for mask in masks]
    best = int(np.argmax(scores))
    if scores[best] < FAINTEST_OUTLINE or _step_across(masks[best], lab) < FAINTEST_STEP:
        raise _no_garment()

    def look() -> Sight:
        again = belief if look_again is None else cv2.resize(look_again(), (width, height), interpolation=cv2.INTER_AREA)
        return Sight(lab, belief, again, outline)

    mask = settled(masks[best], [*others, *masks], look, tidy)
    return fit_edge(without_strange_pieces(mask, lab, belief, tidy), photo)


def first_masks(lab: np.ndarray, belief: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """GrabCut's mask, given what the draughtsman is sure of; and the draughtsman's own, of what is likely and of what is sure.

    Args:
        lab: (h, w, 3) float32.
        belief: (h, w) float32 in [0, 1].
    Returns:
        (h, w) bool each.
    """
    labels = np.where(belief > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[belief > SURE_GARMENT] = cv2.GC_FGD
    labels[belief < SURE_BACKGROUND] = cv2.GC_BGD  # with less, it fills gaps under sleeves, and keeps hangers and shadows
    grabbed = tidy(run_grabcut(lab, labels, 1, step=4))  # it takes half as long as with all pixels
    return grabbed, [tidy(belief > 0.5), tidy(belief > SURER)]


def _step_across(mask: np.ndarray, lab: np.ndarray) -> float:
    """Median difference of the colours on both sides of an (h, w) bool mask's border, in levels of (h, w, 3) Lab."""
    edge = _border(mask)
    if not edge.any():
        return 0.0
    means = []
    for side in (mask, ~mask):
        away = cv2.distanceTransform(np.asarray(side, np.uint8), cv2.DIST_L2, 5)
        beside = ((away > 1) & (away < 6)).astype(np.float32)  # px; not the border itself, where both sides mix
        weight = cv2.blur(beside, (11, 11)) + 1e-6
        means.append(cv2.blur(lab * beside[..., None], (11, 11))[edge] / weight[edge][:, None])
    return float(np.median(np.linalg.norm(means[0] - means[1], axis=1)))


def _border(mask: np.ndarray) -> np.ndarray:
    """(h, w) bool mask -> (h, w) bool, its border; where the picture cuts a garment off, it has none."""
    return np.asarray(border(mask) & ~_frame(mask.shape, 0.01))


def _on_outline(mask: np.ndarray, outline: np.ndarray) -> float:
    """Mean of (h, w) outline along the border of (h, w) bool mask, in [0, 1]; 0 for a mask too small or large."""
    if not SMALLEST <= mask.mean() <= LARGEST:
        return 0.0
    return float(outline[edge].mean()) if (edge := _border(mask)).any() else 0.0


def _searched(photo: np.ndarray, lab: np.ndarray, size: int) -> list[np.ndarray]:
    """The masks that the search of ``cut_out`` considers, each (h, w) bool of lab's size."""
    plain = on_plain(lab)
    if plain is not None:
        return [plain]
    view = view_of(to_lab(shrink(photo, size // 2)))
    coarse = {mask.tobytes(): mask for mask in (tidy(grab(view.lab, belief)) for belief in beliefs_of(view))}
    return [sharpen(mask, lab) for mask in coarse.values()]  # two beliefs often end in one mask


def _no_garment() -> NoGarment:
    return NoGarment(
        "No garment could be found in this photograph. Lay the garment flat on a plain surface of another colour, "
        "with all of it in the picture, and photograph it again."
    )


def shrink(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) -> (h, w, 3), its long side at most `size`, its short side at least 8."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    if scale >= 1:
        return image
    width, height = max(8, round(width * scale)), max(8, round(height * scale))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB -> (h, w, 3) float32 Lab, each channel in [0, 255]."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)


def _frame(shape: tuple[int, int], share: float) -> np.ndarray:
    """(h, w) bool, true on a frame along the picture's sides, as thick as `share` of its short side."""
    frame = np.ones(shape, bool)
    thick = max(1, round(share * min(shape)))
    frame[thick:-thick, thick:-thick] = False
    return frame


# --- Plain backgrounds ---------------------------------------------------------------------------------------------


def on_plain(lab: np.ndarray) -> np.ndarray | None:
    """(h, w, 3) Lab -> (h, w) bool, what differs from the frame's one colour; None where the frame has several."""
    frame = _frame(lab.shape[:2], 0.02)
    distance = np.linalg.norm(lab - np.median(lab[frame], axis=0), axis=2)
    noise = np.percentile(distance[frame], 90)
    if noise > 3:
        return None
    differs = distance > 3 + 3 * noise
    mask, whole = tidy(differs), tidy(enclosed(differs, max(1, round(GAP * min(differs.shape)))))
    drawn = differs.any() and np.median(distance[differs]) > INK  # a pale garment's outline has too many gaps
    # in a drawing, or a picture in black and white, much of the garment is as light as what it lies on
    return whole if drawn and mask.sum() < HOLLOW * whole.sum() and _is_filled(whole, differs) else mask


def enclosed(lines: np.ndarray, reach: int) -> np.ndarray:
    """(h, w) bool -> (h, w) bool, with all that lies within its outlines, gaps of up to twice ``reach`` px closed."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    padded = np.pad(lines.astype(np.uint8), reach + 1)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)
    _, parts = cv2.connectedComponents(1 - closed, connectivity=4)
    return np.asarray((parts != parts[0, 0])[reach + 1 : -reach - 1, reach + 1 : -reach - 1])


def _is_filled(enclosed: np.ndarray, differs: np.ndarray) -> bool:
    """Whether strokes run all over a region: within a belt's ring, or a bag's handle, there are none."""
    if not enclosed.any():
        return False
    away = cv2.distanceTransform((~differs).astype(np.uint8), cv2.DIST_L2, 5)
    return float((away[enclosed] < EMPTY * min(differs.shape)).mean()) > 0.9


# --- Cues ----------------------------------------------------------------------------------------------------------


def view_of(lab: np.ndarray) -> View:
    walk = _walk(lab)
    walk = walk / max(np.percentile(walk, 98), 1e-6)
    cut, _ = cv2.threshold(np.asarray(255 * np.minimum(walk, 1), np.uint8), 0, 255, cv2.THRESH_OTSU)
    inner = np.clip(4 * (255 * walk - cut) / max(cut, 1), -4, 4).astype(np.float32)
    depths = np.digitize(walk, np.quantile(walk, np.linspace(0, 1, DEPTHS + 1)[1:-1]))
    return View(lab, _words(lab), depths, inner, lab[..., 0] / 255)


def _words(lab: np.ndarray) -> np.ndarray:
    """(h, w, 3) Lab -> (h, w) int in [0, WORDS): k-means of colour, less of its lightness, and roughness."""
    light = lab[..., 0]
    rough = cv2.GaussianBlur(np.abs(light - cv2.GaussianBlur(light, (0, 0), 1.5)), (0, 0), 2.5)
    # Light falls unevenly on a garment; its hue stays. So hue counts double.
    features = np.dstack([cv2.bilateralFilter(lab, 5, 20, 2) * (0.6, 1.3, 1.3), 1.5 * rough])
    features = features.astype(np.float32).reshape(-1, 4)
    sample = features[:: max(1, len(features) // 4000)]
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)
    cv2.setRNGSeed(SEED)
    first = np.zeros((len(sample), 1), np.int32)  # not looked at: the centres are chosen by KMEANS_PP_CENTERS
    _, _, found = cv2.kmeans(sample, min(WORDS, len(sample)), first, stop, 1, cv2.KMEANS_PP_CENTERS)
    centres = np.asarray(found)
    return np.asarray((features @ centres.T - 0.5 * (centres**2).sum(1)).argmax(1).reshape(lab.shape[:2]))


def _walk(lab: np.ndarray) -> np.ndarray:
    """(h, w, 3) Lab -> (h, w) float32 >= 0, the colour edges climbed on the cheapest walk in from the frame.

    Texture is free: steps below one and a half times the median cost next to nothing. The gap between two trouser
    legs opens on the frame, so it stays cheap however far inside it lies. A prior on places alone would call it garment.
    """
    height, width = lab.shape[:2]
    half = cv2.resize(lab, (max(4, width // 2), max(4, height // 2)), interpolation=cv2.INTER_AREA)
    half = cv2.bilateralFilter(half * np.asarray((0.7, 1.3, 1.3), np.float32), 5, 15, 2)
    down, right = (np.linalg.norm(np.diff(half, axis=axis), axis=2) for axis in (0, 1))
    free = 1.5 * np.median(np.concatenate([down.ravel(), right.ravel()]))
    down, right = np.maximum(down - free, 0) + 0.02, np.maximum(right - free, 0) + 0.02
    cost = np.where(_frame(half.shape[:2], 0), 0, np.inf).astype(np.float32)
    rows, columns = cost, cost.T
    for _ in range(3):  # raster sweeps; three rounds settle all but spirals
        for line, step in ((rows, down), (columns, right.T)):
            for i in range(1, len(line)):
                np.minimum(line[i], line[i - 1] + step[i - 1], out=line[i])
            for i in range(len(line) - 2, -1, -1):
                np.minimum(line[i], line[i + 1] + step[i], out=line[i])
    return cv2.resize(cost, (width, height))


def _place(shape: tuple[int, int], half_width: float, half_height: float) -> np.ndarray:
    """(h, w) float32 log-odds of garment before the photo is seen: a soft box in mid-picture, its extents in [0, 1]."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None]
    radius = ((x / half_width) ** 4 + (y / half_height) ** 4) ** 0.25
    belief = 0.02 + 0.93 / (1 + np.exp(8 * (radius - 1)))
    return np.log(belief / (1 - belief))


# --- Search --------------------------------------------------------------------------------------------------------


def _search(view: View) -> np.ndarray:
    """The best mask of a few: (h, w) bool. Raises NoGarment where even that one is of nothing."""
    masks = [tidy(grab(view.lab, belief)) for belief in beliefs_of(view)]
    scores = [score(mask, view) for mask in masks]
    best = int(np.argmax(scores))
    if scores[best] < WORST_SCORE:
        raise _no_garment()
    return masks[best]


def beliefs_of(view: View) -> list[np.ndarray]:
    """Several (h, w) float32 probabilities of garment, without those that repeat an earlier one."""
    shape = view.lab.shape[:2]
    middle, wide, whole = _place(shape, 0.75, 0.8), _place(shape, 0.95, 0.7), _place(shape, 0.9, 0.95)
    beliefs = [
        _learn(view, view.inner + 0.5 * middle, 0.3 * middle + 0.3 * view.inner),
        _smooth(_sigmoid(view.inner), view.light, 2),
        _learn(view, middle, 0.5 * middle),
        _learn(view, wide, 0.5 * wide),
        _learn(view, whole, 0.7 * whole),
    ]
    kept = beliefs[:1]
    for belief in beliefs[1:]:
        if all(overlap(belief > 0.5, other > 0.5) < 0.97 for other in kept):
            kept.append(belief)
    return kept


def _learn(view: View, start: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Expectation-maximisation: (h, w) log-odds, at first and a priori -> (h, w) float32 belief in [0, 1]."""
    belief = _sigmoid(start)
    for _ in range(5):
        odds = _evidence(view.words, belief, WORDS) + 0.7 * _evidence(view.depths, belief, DEPTHS) + prior
        belief = _smooth(_sigmoid(np.clip(odds, -4, 4)), view.light, 3)
    return belief


def _evidence(labels: np.ndarray, belief: np.ndarray, count: int) -> np.ndarray:
    """(h, w) labels in [0, count), (h, w) belief -> (h, w) log-odds of being inside, by label alone."""
    inside = np.bincount(labels.ravel(), belief.ravel(), count) / belief.sum()
    outside = np.bincount(labels.ravel(), 1 - belief.ravel(), count) / (1 - belief).sum()
    return np.asarray(np.log((inside + 2e-3) / (outside + 2e-3))[labels])


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def _smooth(belief: np.ndarray, light: np.ndarray, radius: int) -> np.ndarray:
    """(h, w) belief -> the same, even within edges, short of certainty so that it can still change its mind."""
    return np.asarray(np.clip(_guided(light, belief, radius, 1e-3), 0.01, 0.99))


def overlap(mask: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two (h, w) bool masks, in [0, 1]."""
    return float((mask & other).sum() / max(1, (mask | other).sum()))


def grab(lab: np.ndarray, belief: np.ndarray) -> np.ndarray:
    """(h, w, 3) Lab, (h, w) belief -> (h, w) bool: GrabCut, given only what is sure."""
    labels = np.where(belief > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[(belief < 0.08) & _frame(belief.shape, 0.05)] = cv2.GC_BGD
    labels[belief > 0.97] = cv2.GC_FGD
    return run_grabcut(lab, labels, 2)


def score(mask: np.ndarray, view: View) -> float:
    """How much an (h, w) bool mask looks like a garment's, from -2 to 1.5."""
    share = mask.mean()
    if not SMALLEST <= share <= LARGEST:
        return -2.0
    inside, outside = (np.bincount(view.words[side], minlength=WORDS) for side in (mask, ~mask))
    alike = np.minimum(inside, outside).sum() / min(inside.sum(), outside.sum())
    outline = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    steps = brightest_channel(cv2.morphologyEx(view.lab, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    on_edges = np.minimum(steps[outline] / (np.percentile(steps, 80) + 4), 1).mean()
    if on_edges < FAINTEST_EDGE:
        return -2.0
    in_place = _sigmoid(_place(mask.shape, 0.75, 0.8))
    in_place = np.where(mask, in_place, 1 - in_place).mean()
    on_frame = mask[_frame(mask.shape, 0.01)].mean()
    return float(on_edges + 0.5 * in_place - alike - on_frame - 8 * max(0.0, SMALL - share))


# --- Outline -------------------------------------------------------------------------------------------------------


def tidy(mask: np.ndarray) -> np.ndarray:
    """(h, w) bool -> (h, w) bool without specks, threads and small holes, its outline smoothed."""
    short = min(mask.shape)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, short // 100) + 1,) * 2)
    clean = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    clean = cv2.morphologyEx(clean, cv2.MORPH_CLOSE, disc)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(clean)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return np.zeros(mask.shape, bool)
    clean = np.append(False, areas >= 0.2 * areas.max())[parts].astype(np.uint8)  # a pair of shoes is two
    _, holes, stats, _ = cv2.connectedComponentsWithStats(1 - clean, connectivity=4)
    prints = stats[:, cv2.CC_STAT_AREA] < 0.02 * clean.sum()  # larger holes are between legs or arms
    clean[prints[holes]] = 1
    return np.asarray(cv2.GaussianBlur(clean.astype(np.float32), (0, 0), max(0.8, short / 150)) > 0.5)


def sharpen(mask: np.ndarray, lab: np.ndarray) -> np.ndarray:
    """(h', w') bool coarse mask, (h, w, 3) Lab -> (h, w) bool, cut again within a band along the coarse outline."""
    height, width = lab.shape[:2]
    coarse = (cv2.resize(mask.astype(np.float32), (width, height)) > 0.5).astype(np.uint8)
    reach = max(2, min(height, width) // 40)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    labels = np.where(coarse, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[cv2.erode(coarse, disc) > 0] = cv2.GC_FGD
    labels[cv2.dilate(coarse, disc) == 0] = cv2.GC_BGD
    return tidy(run_grabcut(lab, labels, 1))


def fit_edge(mask: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """(h, w) bool mask, (H, W, 3) uint8 RGB -> (H, W) float32 alpha, its edge moved onto the photo's own."""
    middle = shrink(photo, EDGE_SIZE)
    height, width = middle.shape[:2]
    rough = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    light = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    alpha = _guided(light, rough, max(2, round(2 * height / mask.shape[0])), 1e-3)
    alpha = np.clip(2 * alpha - 0.5, 0, 1)  # the filter spreads the edge; halve its width
    if middle.shape != photo.shape:
        alpha = cv2.resize(alpha, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return alpha


def _guided(guide: np.ndarray, values: np.ndarray, radius: int, noise: float) -> np.ndarray:
    """Smooth (h, w) float32 `values` within the edges of `guide`, (h, w) float32 in [0, 1] -> (h, w) float32.

    Changes of the guide whose variance is below `noise` count as no edge.
    """

    def mean(x: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.blur(x, (2 * radius + 1, 2 * radius + 1)))

    mean_guide, mean_values = mean(guide), mean(values)
    slope = (mean(guide * values) - mean_guide * mean_values) / (mean(guide * guide) - mean_guide**2 + noise)
    return np.asarray(mean(slope) * guide + mean(mean_values - slope * mean_guide))
