"""A folder of garments: photographs with their ground truth as files, written by one process or several, and gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from fedgai.errors import FedGAIError
from fedgai.files import write_atomically
from fedgai.garments.garment import SIDES, make
from fedgai.garments.kinds import KINDS
from fedgai.garments.picture import dye
from fedgai.line_types import LINE_TYPES

MOST = 1_000_000  # pictures in a folder: their seeds must not meet those of the next --seed
PLANES = ("masks", *LINE_TYPES, "print_edges", "tone")  # folders of grey PNG files
PLAN = "garments.json"


def write_garments(
    count: int,
    seed: int,
    out: Path,
    size: int = 512,
    kind: str | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write pictures 0 to ``count`` - 1 of a seed into a folder; those that are there already are kept.

    Writes ``photos/000000.jpg``, ``masks/000000.png``, a PNG for each line type, ``print_edges`` and ``tone`` in folders of
    their names, and ``vectors/000000.json``: the kind, the pattern, the size in pixels and the lines as
    ``{"type", "closed", "points": [[x, y], ...]}``.

    Args:
        count: 1 to 1,000,000.
        seed: picture i is the same whatever ``count`` and ``workers`` are.
        out: folder, made if it is not there.
        size: long side of the pictures, pixels.
        kind: one of ``KINDS``; all of them if None.
        workers: processes.
        progress: called with how many of how many pictures are there.

    Returns:
        How many pictures were made now.

    Raises:
        FedGAIError: a value is out of range, or the folder holds other garments.
    """
    _check(count, seed, size, kind, workers)
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, {"seed": seed, "size": size, "kind": kind})
    for name in ("photos", *PLANES, "vectors"):
        (out / name).mkdir(exist_ok=True)
    existing = {path.stem for path in (out / "vectors").glob("*.json")}
    missing = [i for i in range(count) if f"{i:06d}" not in existing]
    done = count - len(missing)
    if progress:
        progress(done, count)
    if workers == 1:
        for index in missing:
            write_one(out, seed, index, size, kind)
            done += 1
            if progress:
                progress(done, count)
        return len(missing)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        jobs = [pool.submit(write_one, out, seed, index, size, kind) for index in missing]
        try:
            for job in as_completed(jobs):
                job.result()
                done += 1
                if progress:
                    progress(done, count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(missing)


def _check(count: int, seed: int, size: int, kind: str | None, workers: int) -> None:
    if not 1 <= count <= MOST:
        raise FedGAIError(f"the number of garments is 1 to {MOST:,}, not {count:,}")
    if not 0 <= seed < 2**32:
        raise FedGAIError(f"a seed is a whole number from 0 to {2**32 - 1}, not {seed}")
    if not SIDES[0] <= size <= SIDES[1]:
        raise FedGAIError(f"a picture's long side has {SIDES[0]} to {SIDES[1]} pixels, not {size}")
    if kind is not None and kind not in KINDS:
        raise FedGAIError(f"there is no garment {kind!r}; choose one of {', '.join(KINDS)}")
    if not 1 <= workers <= 64:
        raise FedGAIError(f"choose 1 to 64 workers, not {workers}")


def _claim(out: Path, plan: dict[str, int | str | None]) -> None:
    """Note what a folder holds, or refuse one that holds something else."""
    file = out / PLAN
    if file.exists():
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            held = None
        if held != plan:
            raise FedGAIError(f"{out} holds garments of another seed, size or kind; choose an empty folder")
    elif any(out.iterdir()):
        raise FedGAIError(f"{out} is not empty and holds no garments; choose an empty folder")
    else:
        write_atomically(file, json.dumps(plan).encode(), 0o644)


def write_one(out: Path, seed: int, index: int, size: int, kind: str | None) -> None:
    """Make one picture and write its files; the vectors come last and say that the others are whole."""
    garment = make(seed * MOST + index, size, kind)
    picture = dye(garment, np.random.default_rng([seed, index, 13]))
    name = f"{index:06d}"
    _write(out / "photos" / f"{name}.jpg", picture.photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    for folder, plane in zip(PLANES, (picture.alpha, *picture.lines, picture.print_edges, picture.tone), strict=True):
        _write(out / folder / f"{name}.png", plane, [])
    lines = [
        {"type": kind_, "closed": closed, "points": np.round(points, 2).tolist()} for kind_, points, closed in garment.vectors
    ]
    height, width = garment.alpha.shape
    facts = {
        "kind": garment.kind,
        "pose": garment.pose,
        "pattern": picture.pattern,
        "width": width,
        "height": height,
        "lines": lines,
    }
    write_atomically(out / "vectors" / f"{name}.json", json.dumps(facts).encode(), 0o644)


def _write(path: Path, image: np.ndarray, options: list[int]) -> None:
    path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())
