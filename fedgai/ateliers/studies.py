"""What an atelier sees in a photograph before it draws.

Either what the studio's network is shown (``study_looked``): cloth without print, and the draughtsman's lines. Or the bare
photograph (``study``): then lines come from flow-based difference of Gaussians along the smoothed structure tensor (Kang, Lee
& Chui 2007), and a print is drawn like seams and folds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fedgai.content import Looked
from fedgai.vision.flow import across, along, tangents
from fedgai.vision.garment_lines import PenMap, pen_map

LINE_SCALES = (0.55, 0.95, 1.6)  # sigma of the centre Gaussian, pixels, for fine to broad lines
FLOWS = (1.5, 3.0, 5.0)  # sigma of the smoothing of the flow, pixels


@dataclass(frozen=True)
class Study:
    """What is seen in a photograph before a hand draws it; the same for every hand, so computed once.

    Attributes:
        lines: (3, 3, H, W) float32: flow-based DoG response by ``LINE_SCALES`` (first axis) and by flow smoothing 1.5, 3,
            5 (second), >= 0 on a line, about 1 at the photograph's strong lines.
        tone: (H, W) float32 darkness in [0, 1], relative within the garment.
        distance: (H, W) float32 signed distance to the silhouette in pixels, positive inside.
        mask: (H, W) float32 in [0, 1].
        pen: the draughtsman's lines; None: inner lines are drawn after ``lines``.
    """

    lines: np.ndarray
    tone: np.ndarray
    distance: np.ndarray
    mask: np.ndarray
    pen: PenMap | None = None


def _luminance(photo: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed lightness on white paper, and a version with local contrast evened out; both (H, W) float32 in [0, 1]."""
    smooth = cv2.bilateralFilter(photo, 5, 22, 2.5)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
    light = lab[..., 0] + 0.25 * (np.abs(lab[..., 1] - 0.5) - np.abs(lab[..., 2] - 0.5))
    inside = mask > 0.5
    fill = float(np.median(light[inside]))
    light = np.where(inside, light, fill).astype(np.float32)  # the silhouette is drawn from the mask, not from a step
    low, high = np.percentile(light[inside], (2, 98))
    relative = np.clip((light - low) / max(high - low, 0.08), 0, 1)
    mean = cv2.GaussianBlur(relative, (0, 0), 12)
    deviation = np.sqrt(cv2.GaussianBlur((relative - mean) ** 2, (0, 0), 16))
    return relative.astype(np.float32), (0.5 + (relative - mean) / (deviation + 0.07) * 0.18).astype(np.float32)


def _flow_dog(light: np.ndarray, tx: np.ndarray, ty: np.ndarray, sigma: float, reach: float) -> np.ndarray:
    """Difference of Gaussians across the flow, averaged along it: (H, W) float32, positive on dark lines and edges."""
    steps = np.arange(-int(np.ceil(sigma * 4)), int(np.ceil(sigma * 4)) + 1)
    centre, surround = (np.exp(-steps * steps / (2 * s * s)) / s for s in (sigma, sigma * 1.6))
    kernel = centre / centre.sum() - 0.985 * surround / surround.sum()
    response = across(light, tx, ty, dict(zip(steps.tolist(), kernel.tolist(), strict=True)))
    return np.maximum(-along(response, tx, ty, reach), 0)


def study_looked(seen: Looked) -> Study:
    """Look at a garment as the studio shows it to the network: without its print, with the draughtsman's whole lines.

    Args:
        seen: from ``content.look``.
    """
    found = study(seen.picture, None if seen.ink is None else _own_mask(seen))
    if seen.tone is None:
        return found
    height, width = found.mask.shape
    return replace(found, tone=seen.tone, pen=pen_map(seen.lines, (height, width)))


def _own_mask(seen: Looked) -> np.ndarray:
    """(h, w) float32, the mask at the size of the picture that is drawn."""
    assert seen.mask is not None
    height, width = seen.picture.shape[:2]
    mask: np.ndarray = cv2.resize(seen.mask, (width, height), interpolation=cv2.INTER_LINEAR)
    return mask


def study(photo: np.ndarray, mask: np.ndarray | None = None) -> Study:
    """Look at a garment as its photograph shows it, print and all.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], the cut-out; None draws the whole picture.
    """
    mask = np.ones(photo.shape[:2], np.float32) if mask is None else mask.astype(np.float32)
    relative, even = _luminance(photo, mask)
    solid = (cv2.GaussianBlur(mask, (0, 0), 1.2) > 0.5).astype(np.uint8)
    padded = cv2.copyMakeBorder(solid, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    outside = cv2.distanceTransform(1 - padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    # without any background (or garment) the transform has no bound
    distance: np.ndarray = np.where(solid > 0, inside - 0.5, 0.5 - outside).clip(-999, 999).astype(np.float32)
    distance = cv2.GaussianBlur(distance, (0, 0), 1.0)
    within = np.clip(distance / 2, 0, 1)  # inner lines fade before they meet the silhouette
    lines = np.empty((len(LINE_SCALES), len(FLOWS), *mask.shape), np.float32)
    for j, flow in enumerate(FLOWS):
        tx, ty = tangents(even, flow)
        for i, sigma in enumerate(LINE_SCALES):
            response = _flow_dog(even, tx, ty, sigma, 1.0 + flow)
            strong = np.percentile(response[mask > 0.5], 97.5)
            lines[i, j] = response / max(float(strong), 0.012) * within
    tone = cv2.GaussianBlur(1 - relative, (0, 0), 1.2)
    return Study(lines, np.clip(tone, 0, 1), distance, mask)
