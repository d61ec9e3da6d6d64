"""The first step: every photograph is cut out and studied once, then all hands draw it."""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from fedgai import ateliers as atelier
from fedgai.content import Found, find, look
from fedgai.draughtsman import Draughtsman
from fedgai.files import replacing, write_atomically
from fedgai.training.pretrain.house_config import HEIGHT, NAMED, WIDTH, HouseConfig, hands
from fedgai.vision.cutout import NoGarment
from fedgai.vision.garment_lines import PenMap
from fedgai.vision.images import ImageError

log = logging.getLogger("fedgai.training.pretrain")

PRINTED, UNCUT = 0.2, 0.06  # shares of pages whose print is drawn, too, and that are drawn with their background


def _paged(array: np.ndarray, corner: tuple[float, float], paper: float) -> np.ndarray:
    """(..., h, w) -> (..., HEIGHT, WIDTH): cut, or laid on paper, so that ``corner`` (0..1 each) of the slack lies outside."""
    (h, w), page = array.shape[-2:], np.full((*array.shape[:-2], HEIGHT, WIDTH), paper, array.dtype)
    y, x = round((HEIGHT - h) * corner[0]), round((WIDTH - w) * corner[1])
    to = np.s_[..., max(y, 0) : min(y + h, HEIGHT), max(x, 0) : min(x + w, WIDTH)]
    page[to] = array[..., max(-y, 0) : min(HEIGHT - y, h), max(-x, 0) : min(WIDTH - x, w)]
    return page


@cache
def _draughtsman(path: str) -> Draughtsman:
    torch.set_num_threads(1)
    return Draughtsman.load(path)


def _study_one(job: tuple[str, str, int, int]) -> list[dict[str, np.ndarray]]:
    """Worker: one photograph -> its pages, each studied. A photograph without a garment gives none."""
    path, draughtsman, views, seed = job
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    with Image.open(path) as photo:
        width, height = photo.size
    pages, found = list[dict[str, np.ndarray]](), dict[bool, Found]()
    for view in range(views):
        if view == 0:  # whole
            long = rng.uniform(216, 256) * min(1, WIDTH / HEIGHT * max(1, height / width))
        else:  # a part of it, about as large as the studio draws
            long = np.exp(rng.uniform(np.log(420), np.log(640)))
        amount = 1.0 if rng.random() < PRINTED else 0.0
        whole = rng.random() < UNCUT
        try:
            if whole not in found:
                found[whole] = find(path, _draughtsman(draughtsman), cutout=not whole, on_missing="raise")
            seen = look(
                found[whole],
                round(long),
                round(long),
                _draughtsman(draughtsman),
                cutout=not whole,
                detail=1.0,
                print_amount=amount,
                on_missing="raise",
            )
        except (ImageError, NoGarment):
            break
        study, corner = atelier.study_looked(seen), tuple(rng.uniform(0.2, 0.8, 2))
        if _paged(study.mask, corner, 0).mean() < 0.08:
            continue
        pen = study.pen
        pens = np.zeros((3, *study.mask.shape)) if pen is None else np.stack([pen.away, pen.sure, pen.end])
        pages.append(
            {
                "photo": np.moveaxis(_paged(np.moveaxis(seen.picture, 2, 0), corner, 255), 0, 2),
                "lines": _paged(study.lines, corner, 0).astype(np.float16),
                "tone": _paged(study.tone, corner, 0).astype(np.float16),
                "distance": _paged(study.distance, corner, -999).astype(np.float16),
                "pen": _paged(pens.clip(0, 999), corner, 999).astype(np.float16),
                "has_pen": np.array(pen is not None),
                "mask": _paged(study.mask, corner, 0).astype(np.float16),
            }
        )
    return pages


def _study_of(arrays: dict[str, np.ndarray], page: int) -> atelier.Study:
    lines, tone, distance, mask = (arrays[k][page].astype(np.float32) for k in ("lines", "tone", "distance", "mask"))
    pen = PenMap(*arrays["pen"][page].astype(np.float32)) if arrays["has_pen"][page] else None
    return atelier.Study(lines, tone, distance, mask, pen)


def _draw_one(job: tuple[str, atelier.Hand, np.ndarray]) -> np.ndarray:
    """Worker: one hand draws the pages of the given indices -> (N, HEIGHT, WIDTH, 3) uint8."""
    work, hand, pages = job
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    arrays = {k: np.load(f"{work}/{k}.npy", mmap_mode="r") for k in ("lines", "tone", "distance", "mask", "pen", "has_pen")}
    return np.stack([atelier.render(_study_of(arrays, page), hand) for page in pages])


def draw_all(photos: list[Path], draughtsman: Path, work: Path, config: HouseConfig, processes: int) -> None:
    """Stage 1: pages and drawings as arrays in ``work``; skipped where a former run finished it."""
    if (work / "drawings.json").exists():
        return
    # spawned: a fork of a process whose torch has run threads may hang
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        if not (work / "mask.npy").exists():
            jobs = [(str(p), str(draughtsman), config.views, config.seed + i) for i, p in enumerate(photos)]
            pages = [page for found in pool.map(_study_one, jobs, chunksize=8) for page in found]
            for key in pages[0]:  # mask comes last: where it lies, all lie
                np.save(work / f"{key}.npy", np.stack([p[key] for p in pages]))
            del pages
        count = len(np.load(work / "photo.npy", mmap_mode="r"))
        log.info("%d pages of %d photographs", count, len(photos))
        rng = np.random.default_rng(config.seed + 1)
        counts = [config.named_drawings if i < NAMED else config.drawings for i in range(NAMED + config.hands)]
        if max(counts) > count:
            raise SystemExit(
                f"{count} pages are too few: give more photographs, or --drawings and --named-drawings of at most {count}"
            )
        of_page = [rng.choice(count, n, replace=False) for n in counts]
        tasks = [(str(work), hand, chosen) for hand, chosen in zip(hands(config), of_page, strict=True)]
        with replacing(work / "drawings.npy") as temp_path:
            out = np.lib.format.open_memmap(temp_path, "w+", np.uint8, (sum(counts), HEIGHT, WIDTH, 3))
            at, start = 0, time.time()
            for i, drawn in enumerate(pool.map(_draw_one, tasks, chunksize=4)):
                out[at : at + len(drawn)] = drawn
                at += len(drawn)
                if i % 100 == 0:
                    log.info("hand %d of %d, %.0f s", i, len(tasks), time.time() - start)
            out.flush()
    index = {"pages": count, "counts": counts, "page": [i.tolist() for i in of_page]}
    write_atomically(work / "drawings.json", json.dumps(index).encode())
