"""Pages of ``experiments.masks_on_gpu``, laid out on the GPU: pictures turned, scaled and moved, some on other backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.mask_pictures import Shown

PAGE = (512, 384)  # px, height and width; some pages lie
LYING = 0.18  # share of pages
RIM = 165.0  # of 255, how likely the silhouette is on both sides of a mask's edge, as on rendered pages
WHOLE = 3  # px between a garment and each edge of its photograph, for it to be laid on another background
OFTEN = 3  # times as often a photograph is shown whose mask was chosen by eye


@dataclass(frozen=True)
class Shares:
    """What a step's pages are.

    Attributes:
        batch: pages.
        made: share of pictures that processes make; the rest are photographs.
        framed: share of pages that show the whole picture; the others are fitted to the garment.
        composited: share of photographs laid on another background.
    """

    batch: int = 48
    made: float = 0.42
    framed: float = 0.5
    composited: float = 0.4


class Pictures:
    """Many pictures on the device: planes uint8 (n, 7, canvas, canvas), sizes and boxes."""

    def __init__(self, count: int, canvas: int, device: str) -> None:
        self.canvas, self.device = canvas, device
        self.planes = torch.zeros((count, 7, canvas, canvas), dtype=torch.uint8, device=device)
        self.sizes = np.ones((count, 2), np.int64)  # height, width
        self.boxes = np.zeros((count, 4), np.float64)
        self.kinds = np.zeros(count, np.int64)  # 0: rendered


def fit(
    pictures: Pictures, chosen: np.ndarray, page: tuple[int, int], framed: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Ways from a page to pictures, (n, 2, 3), in pixels' corners: the whole picture, or its garment, fitted to the page."""
    n, (height, width) = len(chosen), page
    size = pictures.sizes[chosen].astype(np.float64)
    box = pictures.boxes[chosen]
    whole = np.stack([np.zeros(n), np.zeros(n), size[:, 1], size[:, 0]], 1)
    box = np.where(framed[:, None], whole, box)
    w, h = np.maximum(box[:, 2] - box[:, 0], 8), np.maximum(box[:, 3] - box[:, 1], 8)
    largest = np.where(framed, 1.12, 1.08)
    least = np.where(framed, 0.88, 0.6)
    upright = (h >= w * 0.98) == (height >= width)
    quarter = np.where(
        framed & ~upright, rng.choice([90.0, -90.0], n), rng.choice([0.0, 90, -90, 180], n, p=[0.92, 0.03, 0.03, 0.02])
    )
    turned = np.abs(quarter) == 90
    tall, wide = np.where(turned, w, h), np.where(turned, h, w)
    scale = np.minimum(height / tall, width / wide) * np.exp(rng.uniform(np.log(least), np.log(largest)))
    angle = np.radians(quarter + rng.normal(0, np.where(framed, 3.0, 5.0), n))
    flip = rng.choice([-1.0, 1.0], n)
    slack_x = np.maximum(6, 0.5 * (width - scale * wide))
    slack_y = np.maximum(6, 0.5 * (height - scale * tall))
    cx, cy = width / 2 + rng.uniform(-1, 1, n) * slack_x, height / 2 + rng.uniform(-1, 1, n) * slack_y
    px, py = (box[:, 0] + box[:, 2]) / 2, (box[:, 1] + box[:, 3]) / 2
    # picture -> page is centre + scale * turn * flip * (picture - middle); the way back:
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    a, b, c, d = flip * cos, flip * sin, -sin, cos
    return np.stack([np.stack([a, b, px - a * cx - b * cy], 1), np.stack([c, d, py - c * cx - d * cy], 1)], 1)


def laid(pictures: Pictures, chosen: np.ndarray, ways: np.ndarray, page: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Planes on pages, float (n, 7, H, W) in [0, 255], and where the picture is, bool (n, 1, H, W)."""
    device, side = pictures.device, pictures.canvas
    way = torch.from_numpy(ways.astype(np.float32)).to(device)
    size = torch.from_numpy(pictures.sizes[chosen].astype(np.float32)).to(device)
    y = torch.arange(page[0], device=device, dtype=torch.float32) + 0.5
    x = torch.arange(page[1], device=device, dtype=torch.float32) + 0.5
    at = torch.stack([x[None, :].expand(page), y[:, None].expand(page), torch.ones(page, device=device)], -1)
    where = torch.einsum("hwk,njk->nhwj", at, way)  # x, y in the picture
    limit = size.flip(1)[:, None, None, :]
    inside = ((where > 0) & (where < limit)).all(-1)[:, None]
    where = torch.minimum(where.clamp_min(0.5), limit - 0.5)
    grid = where * (2 / side) - 1
    source = pictures.planes[torch.from_numpy(chosen).to(device)].float()
    return F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False), inside


def grounds(pictures: Pictures, chosen: np.ndarray, rects: np.ndarray, page: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Backgrounds, float (n, 3, H, W): what lies in a rectangle of a photograph, mirrored until the page is full."""
    n, device, side = len(chosen), pictures.device, pictures.canvas
    scale, angle = np.exp(rng.uniform(np.log(0.9), np.log(2.6), n)), rng.normal(0, 0.15, n) + rng.choice([0, np.pi / 2], n)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    numbers = np.stack([cos, sin, rng.uniform(0, 1000, n), rng.uniform(0, 1000, n)], 1)
    k = torch.from_numpy(numbers.astype(np.float32)).to(device)[:, :, None, None]
    r = torch.from_numpy(rects.astype(np.float32)).to(device)[:, :, None, None]
    y = torch.arange(page[0], device=device, dtype=torch.float32)[None, :, None]
    x = torch.arange(page[1], device=device, dtype=torch.float32)[None, None, :]
    u = k[:, 0] * x - k[:, 1] * y + k[:, 2]
    v = k[:, 1] * x + k[:, 0] * y + k[:, 3]

    def mirror(t: Tensor, length: Tensor) -> Tensor:
        length = (length - 1).clamp_min(1)
        t = torch.remainder(t, 2 * length)
        return torch.minimum(t, 2 * length - t)

    where = torch.stack([r[:, 0] + 0.5 + mirror(u, r[:, 2] - r[:, 0]), r[:, 1] + 0.5 + mirror(v, r[:, 3] - r[:, 1])], -1)
    source = pictures.planes[torch.from_numpy(chosen).to(device), :3].float()
    return F.grid_sample(source, where * (2 / side) - 1, mode="bilinear", padding_mode="border", align_corners=False)


def composite(sheet: Tensor, inside: Tensor, behind: Tensor, rng: np.random.Generator) -> Tensor:
    """The garments of pages (n, 7, H, W) on other backgrounds (n, 3, H, W), with a soft shadow."""
    solid = sheet[:, 3:4] / 255 * inside
    alpha = ((F.avg_pool2d(solid, 3, 1, 1) - 0.4) / 0.5).clamp(0, 1)
    n = len(sheet)
    small = F.avg_pool2d(alpha, 4)
    for _ in range(2):
        small = F.avg_pool2d(small, 5, 1, 2, count_include_pad=False)
    shadow = F.interpolate(small, size=alpha.shape[2:], mode="bilinear", align_corners=False)
    shadow = torch.roll(shadow, (int(rng.integers(-9, 10)), int(rng.integers(-9, 10))), (2, 3))
    strength = torch.from_numpy(rng.uniform(0, 0.5, n).astype(np.float32) * (rng.random(n) < 0.7)).to(sheet.device)[
        :, None, None, None
    ]
    light = torch.from_numpy(np.exp(rng.normal(0, 0.12, n)).astype(np.float32)).to(sheet.device)[:, None, None, None]
    # the more a background has the garment's colour, the harder the lesson
    cloth = (alpha * sheet[:, :3]).sum((2, 3), keepdim=True) / alpha.sum((2, 3), keepdim=True).clamp_min(1)
    nearer = torch.from_numpy((rng.uniform(0, 0.85, n) * (rng.random(n) < 0.5)).astype(np.float32)).to(sheet.device)[
        :, None, None, None
    ]
    behind = behind + nearer * (cloth - behind.mean((2, 3), keepdim=True))
    behind = behind * (1 - strength * shadow) * light
    photo = (alpha * sheet[:, :3] + (1 - alpha) * behind).clamp(0, 255)
    wide = F.max_pool2d(solid, 7, 1, 3)
    wider = F.max_pool2d(wide, 9, 1, 4)
    known = torch.where(wide < 0.1, 100.0, sheet[:, 4:5] * inside)
    rim_known = torch.where(wider < 0.1, 100.0, sheet[:, 6:7] * inside)
    return torch.cat([photo, 255 * solid, known, sheet[:, 5:6] * inside, rim_known], 1)


def spread(plane: Tensor, reach: int) -> Tensor:
    """The largest within so many px, along both axes."""
    wide = F.max_pool2d(plane, (1, 2 * reach + 1), 1, (0, reach))
    return F.max_pool2d(wide, (2 * reach + 1, 1), 1, (reach, 0))


def with_thin_rims(sheet: Tensor) -> Tensor:
    """Pages (n, 7, H, W) whose silhouette is a line two px wide on the page, however much the picture was enlarged."""
    solid = (sheet[:, 3:4] > 127.5).float()
    hollow = 1 - solid
    beside = [torch.maximum(F.max_pool2d(p, (1, 3), 1, (0, 1)), F.max_pool2d(p, (3, 1), 1, (1, 0))) for p in (solid, hollow)]
    rim = beside[0] * beside[1]
    near = spread(solid, 6) * spread(hollow, 8)
    sure = (F.max_pool2d(sheet[:, 6:7], 5, 1, 2) > 50).float()
    weight = torch.where(rim > 0, 100 * sure, sheet[:, 6:7] * (1 - near))
    return torch.cat([sheet[:, :5], RIM * rim, weight], 1)


def other_light(photo: Tensor, rng: np.random.Generator) -> Tensor:
    """(n, 3, H, W) in [0, 255] -> [0, 1]: lighter or darker, warmer or colder, some a little blurred or noisy."""
    n, device = len(photo), photo.device

    def numbers(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device).reshape(n, -1, 1, 1)

    photo = (photo / 255).clamp(1e-4, 1) ** numbers(np.exp(rng.normal(0, 0.2, n))) * numbers(np.exp(rng.normal(0, 0.06, (n, 3))))
    soft = F.avg_pool2d(photo, 3, 1, 1, count_include_pad=False)
    photo = torch.lerp(photo, soft, numbers(rng.uniform(0, 1, n) * (rng.random(n) < 0.3)))
    noise = numbers(rng.uniform(0, 0.025, n) * (rng.random(n) < 0.3))
    return (photo + noise * torch.randn_like(photo)).clamp(0, 1)


class Pages:
    """Pages without end.

    Args:
        shown: photographs; store: their pictures, in the same order; held: numbers of those that are not shown.
        ring: pictures that processes made; as they come the oldest are replaced.
    """

    def __init__(
        self, shown: Sequence[Shown], held: Sequence[int], store: Pictures, ring: Pictures, shares: Shares, seed: int
    ) -> None:
        self.store, self.ring, self.shares = store, ring, shares
        self.filled, self.came = 0, 0
        self.rng = np.random.default_rng(seed)
        ours = np.setdiff1d(np.arange(len(shown)), held)
        times = np.array([OFTEN if shown[i].photograph.chosen else 1 for i in ours], np.float64)
        wide = store.sizes[ours, 1] > 1.02 * store.sizes[ours, 0]
        self.shown = {lying: (ours[wide == lying], _shares_of(times[wide == lying])) for lying in (False, True)}
        self.whole = np.array([min(one.photograph.margins) >= WHOLE for one in shown])
        found = [(i, place) for i in ours for place in shown[i].rectangles]
        self.grounds = np.array([i for i, _ in found]), np.array([place for _, place in found], np.float64)

    def batch(self) -> tuple[Tensor, Tensor]:
        """photo (n, 3, H, W) in [0, 1]; mask, where it is known, silhouette, where that is known (n, 4, H, W)."""
        rng, shares = self.rng, self.shares
        lying = bool(rng.random() < LYING)
        page = (PAGE[1], PAGE[0]) if lying else PAGE
        made = round(shares.batch * shares.made)
        count = shares.batch - made
        which, times = self.shown[lying]
        chosen = rng.choice(which, count, p=times)
        sheet, inside = laid(self.store, chosen, fit(self.store, chosen, page, rng.random(count) < shares.framed, rng), page)
        sheet[:, [4, 6]] *= inside
        again = np.flatnonzero((rng.random(count) < shares.composited) & self.whole[chosen])
        if len(again):
            ground = rng.integers(len(self.grounds[0]), size=len(again))
            behind = grounds(self.store, self.grounds[0][ground], self.grounds[1][ground], page, rng)
            there = torch.from_numpy(again).to(sheet.device)
            sheet[there] = composite(sheet[there], inside[there], behind, rng)
        sheet = with_thin_rims(sheet)
        chosen = rng.integers(self.filled, size=made)
        more, inside = laid(self.ring, chosen, fit(self.ring, chosen, page, rng.random(made) < shares.framed, rng), page)
        more[:, [4, 6]] *= inside
        drawn = torch.from_numpy(self.ring.kinds[chosen] > 0).to(more.device)[:, None, None, None]
        sheet = torch.cat([sheet, torch.where(drawn, with_thin_rims(more), more)])
        return other_light(sheet[:, :3], rng), sheet[:, 3:]


def _shares_of(times: np.ndarray) -> np.ndarray:
    return times / times.sum()
