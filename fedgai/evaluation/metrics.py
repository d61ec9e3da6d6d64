"""How close drawings come to a designer's own: in style, in lines, as a set.

FID and KID mean Inception's features, and are there where its weights are (``perceptual``). ``frechet_encoder`` and
``kid_encoder`` are the same distances in our frozen encoder's features; ``pixel_frechet`` is what the authors' code calls
FID (docs/method.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedgai.data.pairs import PairFolder
from fedgai.evaluation.perceptual import Inception, Lpips
from fedgai.model import FedGAI, open_checkpoint
from fedgai.networks.discriminator import gram_matrix
from fedgai.networks.style import StreamingStatistics, image_statistics, style_distance
from fedgai.public_weights import WeightsError
from fedgai.shipped import WEIGHTS
from fedgai.training.losses import gram_loss

INK = 128  # luminance below which a pixel is ink
GREYS = (64, 192)  # luminance, both included: neither ink nor paper
MANY = 2048  # pictures; with fewer than Inception has features, FID is biased upwards


@dataclass(frozen=True)
class Figure:
    """How to read one figure of ``evaluate``.

    Attributes:
        better: "lower", "higher", or "" where the figure is there to compare with.
        unit: what it counts; "" for a distance in features, which has none.
        compared: what with what.
        by: what is seen of the pictures.
    """

    better: str
    unit: str
    compared: str
    by: str


FIGURES = {
    "style_distance": Figure("lower", "", "drawings - the folder's signature", "encoder, 4 levels"),
    "style_distance_real": Figure("", "", "real sketches - the same: a perfect copy's", "encoder, 4 levels"),
    "gram_distance": Figure("lower", "", "drawing - its real sketch", "Gram matrices, 4 levels"),
    "lpips": Figure("lower", "", "drawing - its real sketch", "VGG-16, 5 levels, LPIPS 0.1"),
    "ssim": Figure("higher", "-1 to 1", "drawing - its real sketch", "luminance"),
    "boundary_fscore": Figure("higher", "0 to 1", "drawing - its real sketch", "outlines of ink, within 2 px"),
    "mid_grey_share": Figure("", "of pixels", "drawings: as the real ones is best", "luminance"),
    "mid_grey_share_real": Figure("", "of pixels", "real sketches", "luminance"),
    "fid": Figure("lower", "", "all drawings - all real sketches", "Inception-v3 of 2015, 2,048"),
    "kid": Figure("lower", "", "all drawings - all real sketches", "Inception-v3 of 2015, 2,048"),
    "frechet_encoder": Figure("lower", "", "all drawings - all real sketches", "encoder's last level, pooled"),
    "kid_encoder": Figure("lower", "", "all drawings - all real sketches", "encoder's last level, pooled"),
    "pixel_frechet": Figure("", "", "drawing - its photograph", "rows of red pixels; no FID"),
}


def luminance(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) in [0, 255] -> (H, W) float64, exactly PIL's mode L (Rec. 601); (H, W) comes back as float64."""
    if np.ndim(image) == 2:
        return np.asarray(image, np.float64)
    # in integers, because 0.299 + 0.587 + 0.114 times 128 would fall below 128
    levels = (np.rint(image).astype(np.int64) @ np.array([19595, 38470, 7471]) + 0x8000) >> 16
    exact: np.ndarray = levels.astype(np.float64)
    return exact


def boundary_fscore(drawn: np.ndarray, reference: np.ndarray, tolerance: float = 2) -> float:
    """F-score between the boundaries of the ink in two drawings. No skeleton, so line weight counts, but little.

    Ink is luminance < 128; its boundary are the ink pixels with a paper pixel above, below, left or right (the frame of
    the picture does not count). Precision is the share of the drawn boundary that lies within ``tolerance`` of the
    reference's, recall the share of the reference's within ``tolerance`` of the drawn one.

    Args:
        drawn, reference: (H, W) or (H, W, 3) uint8, of the same size.
        tolerance: Euclidean distance, px; 2 is meant for 256 px.
    Returns:
        2 P R / (P + R) in [0, 1]; 1 where both are blank, 0 where one is.
    """
    from scipy import ndimage  # scipy takes a quarter of a second, and many commands draw nothing

    a, b = (_boundary(luminance(x) < INK) for x in (drawn, reference))
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    precision = (ndimage.distance_transform_edt(~b)[a] <= tolerance).mean()
    recall = (ndimage.distance_transform_edt(~a)[b] <= tolerance).mean()
    return float(2 * precision * recall / max(precision + recall, 1e-12))


def _boundary(ink: np.ndarray) -> np.ndarray:
    from scipy import ndimage  # scipy takes a quarter of a second, and many commands draw nothing

    boundary: np.ndarray = ink & ~ndimage.binary_erosion(ink, border_value=1)
    return boundary


def mid_grey_share(image: np.ndarray) -> float:
    """Share of pixels, in [0, 1], that are neither ink nor paper: luminance 64 to 192. A grey veil makes it large."""
    grey = luminance(image)
    return float(((grey >= GREYS[0]) & (grey <= GREYS[1])).mean())


def dominant_period(patch: np.ndarray) -> tuple[float, float]:
    """The strongest periodic pattern of a patch: how far apart hatching lines are, and how they lie.

    The peak of the power spectrum of the patch, less its best plane, under a Hann window and zero-padded eightfold.
    Patterns of which the patch's shorter side holds less than three periods are left out: shading would win there.

    Args:
        patch: (H, W) or (H, W, 3), sides of at least 12 px.
    Returns:
        period in px; angle in degrees in [0, 180), as in ``strokes.stroke_code``: 0 for horizontal lines, counted
        anticlockwise. (nan, nan) for a flat patch.
    """
    grey = luminance(patch)
    height, width = grey.shape
    if min(height, width) < 12:
        raise ValueError(f"a period needs a patch of at least 12 x 12 px, not {width} x {height}")
    y, x = np.mgrid[0:height, 0:width]
    plane = np.stack([np.ones_like(x), x, y], -1).reshape(-1, 3).astype(np.float64)
    grey = grey - (plane @ np.linalg.lstsq(plane, grey.ravel(), rcond=None)[0]).reshape(grey.shape)
    if np.abs(grey).max() < 1e-6:
        return math.nan, math.nan
    side = 2 ** math.ceil(math.log2(8 * max(height, width)))
    spectrum = np.abs(np.fft.rfft2(grey * np.outer(np.hanning(height), np.hanning(width)), (side, side)))
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(fy, fx)
    spectrum[(frequency < 3 / min(height, width)) | (frequency > 0.5)] = 0
    i, j = np.unravel_index(spectrum.argmax(), spectrum.shape)
    # lines at angle a change along (x, y) = (sin a, cos a)
    return float(1 / frequency[i, j]), float(math.degrees(math.atan2(fx[0, j], fy[i, 0])) % 180)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance between Gaussians fitted to two sets: |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^1/2).

    Args:
        a, b: (N, D) and (M, D), N, M >= 2. With fewer rows than dimensions the covariances are singular: still defined
            here, but biased upwards, so compare only sets of equal size.
    Returns:
        >= 0.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    # S = R'R. Then tr (S_a S_b)^1/2 is the sum of the singular values of R_a R_b': stable where S is singular, and small
    # where there are few rows
    r_a, r_b = (_root(x) for x in (a, b))
    cross = np.linalg.svd(r_a @ r_b.T, compute_uv=False).sum()
    return float(max(np.square(a.mean(0) - b.mean(0)).sum() + np.square(r_a).sum() + np.square(r_b).sum() - 2 * cross, 0))


def _root(x: np.ndarray) -> np.ndarray:
    """R of the covariance R'R of (N, D)."""
    root = np.linalg.qr(x - x.mean(0)).R
    return root / math.sqrt(len(x) - 1)


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """KID (Binkowski et al. 2018): unbiased squared MMD with the kernel (x.y / D + 1)^3, over the whole sets.

    Args:
        a, b: (N, D) and (M, D), N, M >= 2.
    Returns:
        about 0 for sets of one distribution, where it may be negative.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        product: np.ndarray = (x @ y.T / x.shape[1] + 1) ** 3
        return product

    def within(x: np.ndarray) -> float:  # without each row's product with itself
        k = kernel(x, x)
        return float((k.sum() - np.trace(k)) / (len(x) * (len(x) - 1)))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def fusion_gain(alone: Sequence[float], federated: Sequence[float], own: int) -> float:
    """How much nearer a designer's drawings are to the others' hands than they were without a federation (docs/fusion.md).

    With a_j and f_j the distances to hand j: the mean over all j but ``own`` of 1 - f_j / a_j. So each of the others counts
    alike, however far away their hand is.

    Args:
        alone, federated: (N,) > 0, mean ``style_distance`` of drawings to each of N hands: of the designer's Generator trained
            alone, and of the same Generator trained for as many steps in a federation, on the same garments. Either all
            asked for in the designer's own hand, or each in the hand that its distance is to.
        own: which of the N is the designer.
    Returns:
        below 1; 0 where nothing changed, 0.1 where the others' hands are a tenth nearer, negative where they are farther.
        ValueError for fewer than two hands, or distances that are not above 0.
    """
    a, f = np.asarray(alone, np.float64), np.asarray(federated, np.float64)
    if a.ndim != 1 or a.shape != f.shape or len(a) < 2 or not (a > 0).all() or not (f > 0).all():
        raise ValueError("fusion_gain compares the distances, all above 0, to the same two or more hands")
    return float(np.delete(1 - f / a, own).mean())


def pixel_frechet(sketch: np.ndarray, photo: np.ndarray) -> float:
    """What the authors' code reports as "FID": Frechet distance between pixel rows of one sketch and of its photograph.

    The rows of the red channel are taken as samples, its columns as dimensions. It says how alike two pictures are in
    brightness, not how good a sketch is; here only for comparison with the paper's 9.966 to 248.089. The scale of the
    pixels is not known; we take the networks' [-1, 1], in which values of that size come out.

    Args:
        sketch, photo: (H, W, 3) in [-1, 1].
    Returns:
        >= 0.
    """
    return frechet_distance(sketch[:, :, 0], photo[:, :, 0])


@torch.inference_mode()
def evaluate(
    data_dir: str | Path,
    model_dir: str | Path | None = None,
    *,
    size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Draw every photograph of a designer's folder in the folder's own hand, and compare with the real sketches.

    The hand is asked for by the statistics of the very squares that are compared, as in training.

    Args:
        data_dir: ``photos/`` and ``sketches/`` with equal file names.
        model_dir: checkpoint folder or Hub repository; the built-in weights by default.
        size: side in px; the boundary tolerance of 2 px is meant for 256.
        progress: called after each pair with how many of how many are done.
    Returns:
        JSON-ready. ``FIGURES``, means over the pairs where they are not of whole sets; None for what could not be computed.
        ``missing``: figure -> why, and what to do, as a sentence. ``pairs``, ``size``, ``preset``, ``encoder_sha256``.
    Raises:
        PairsError, CheckpointError.
    """
    model = open_checkpoint(WEIGHTS if model_dir is None else model_dir)
    pairs = PairFolder(data_dir, size, draughtsman=model.draughtsman)
    missing = _missing(pairs)
    inception, lpips = _network(Inception, missing, "fid", "kid"), _network(Lpips, missing, "lpips")
    style, network = _own_style(model, pairs), model.for_inference()
    rows: list[dict[str, float]] = []
    pooled: dict[str, list[np.ndarray]] = {"drawn": [], "real": []}  # (C_4,) each
    seen: dict[str, list[np.ndarray]] = {"drawn": [], "real": []}  # (2048,) each
    for i in range(len(pairs)):
        photo, real = (x[None] for x in pairs[i])
        pictures = {"drawn": network.generator(network.encoder(photo), style[None]), "real": real}
        maps = {k: network.encoder(x) for k, x in pictures.items()}
        row = _row(pictures, maps, photo, style, model.preset.channels)
        if lpips:
            row["lpips"] = lpips(pictures["drawn"].clamp(-1, 1), real).item()
        rows.append(row)
        for k, levels in maps.items():
            pooled[k].append(levels[-1].mean((2, 3))[0].double().numpy())
            if inception:
                picture = torch.from_numpy(_uint8(pictures[k])).permute(2, 0, 1)[None]
                seen[k].append(inception(picture)[0].double().numpy())
        if progress:
            progress(i + 1, len(pairs))
    figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    for names, sets in ((("frechet_encoder", "kid_encoder"), pooled), (("fid", "kid"), seen)):
        if not missing.keys() & names:
            both = np.stack(sets["drawn"]), np.stack(sets["real"])
            figures |= {names[0]: frechet_distance(*both), names[1]: kernel_distance(*both)}
    return {
        "pairs": len(pairs),
        "size": size,
        "preset": model.preset.name,
        "encoder_sha256": model.encoder_sha256,
        **{name: figures.get(name) for name in FIGURES},
        "missing": missing,
    }


def _own_style(model: FedGAI, pairs: PairFolder) -> Tensor:
    """(D,): the statistics of the very squares that are compared."""
    statistics = StreamingStatistics()
    for i in range(len(pairs)):
        statistics.update(model.encoder(pairs.sketch(i)[None]))
    return statistics.style()


def _missing(pairs: PairFolder) -> dict[str, str]:
    """Figures that this folder cannot give, and why."""
    sets = "fid", "kid", "frechet_encoder", "kid_encoder"
    return dict.fromkeys(sets, "one picture is not enough: add pairs") if len(pairs) < 2 else {}


def _row(
    pictures: Mapping[str, Tensor],
    maps: Mapping[str, Sequence[Tensor]],
    photo: Tensor,
    style: Tensor,
    channels: Sequence[int],
) -> dict[str, float]:
    """The figures of one picture.

    Args:
        pictures: "drawn" and "real", (1, 3, H, W) in [-1, 1] each.
        maps: the encoder's maps of both.
        photo: (1, 3, H, W) in [-1, 1].
        style: (D,), the signature that was drawn in.
        channels: the encoder's widths.
    """
    from skimage.metrics import structural_similarity  # scipy takes a quarter of a second, and many commands draw nothing

    distance = {k: style_distance(image_statistics(levels), style, channels).item() for k, levels in maps.items()}
    eight_bit = {k: _uint8(x) for k, x in pictures.items()}
    grams = {k: [gram_matrix(level) for level in levels] for k, levels in maps.items()}
    return {
        "style_distance": distance["drawn"],
        "style_distance_real": distance["real"],
        "mid_grey_share": mid_grey_share(eight_bit["drawn"]),
        "mid_grey_share_real": mid_grey_share(eight_bit["real"]),
        "pixel_frechet": pixel_frechet(*(x[0].permute(1, 2, 0).double().numpy() for x in (pictures["drawn"], photo))),
        "gram_distance": gram_loss(grams["drawn"], grams["real"]).item(),
        "ssim": structural_similarity(luminance(eight_bit["drawn"]), luminance(eight_bit["real"]), data_range=255),
        "boundary_fscore": boundary_fscore(eight_bit["drawn"], eight_bit["real"]),
    }


def table(result: Mapping[str, Any]) -> str:
    """What ``evaluate`` returns, to read."""
    head = ("figure", "value", "better", "unit", "compared", "by")
    rows = [
        (name, f"{result[name]:.4g}", f.better, f.unit, f.compared, f.by)
        for name, f in FIGURES.items()
        if result[name] is not None
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        f"{result['pairs']:,} pairs at {result['size']} px, drawn in their own signature by {result['preset']} "
        f"(encoder {result['encoder_sha256'][:12]})",
        "",
    ]
    lines += [
        "  ".join(
            f"{cell:>{w}}" if i == 1 else f"{cell:<{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    if any(result[name] is not None for name in ("fid", "frechet_encoder")) and result["pairs"] < MANY:
        lines += ["", f"With fewer than {MANY:,} pictures Frechet distances come out larger: compare equal numbers of pairs."]
    reasons: dict[str, list[str]] = {}
    for name, reason in result["missing"].items():
        reasons.setdefault(reason, []).append(name)
    if reasons:
        lines += ["", *(f"Without {', '.join(names)}: {reason}" for reason, names in reasons.items())]
    return "\n".join(lines)


def _network(network: Callable[[], torch.nn.Module], missing: dict[str, str], *names: str) -> torch.nn.Module | None:
    """Inception or LPIPS for the figures named. If it cannot be loaded, returns None and puts the reason into ``missing``."""
    if missing.keys() & names:
        return None
    try:
        return network()
    except WeightsError as error:
        missing.update(dict.fromkeys(names, str(error)))
        return None


def _uint8(image: Tensor) -> np.ndarray:
    """(1, 3, H, W) in [-1, 1] -> (H, W, 3) uint8."""
    return ((image[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
