"""A training on disk: its state, its checkpoint and its log. A kill at any moment leaves each file whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from fedgai.data.pairs import PairFolder
from fedgai.files import put_in_place, replacing, write_atomically
from fedgai.model import CONFIG_FILE, FedGAI
from fedgai.networks.style import Signature
from fedgai.training.optimisers import SGD
from fedgai.training.train_config import TrainConfig, TrainError

STATE_FILE, LOG_FILE = "training.safetensors", "log.jsonl"
# what an optimiser remembers of a parameter -> its name in the file
REMEMBERED = {"momentum_buffer": "momentum", "step": "adam_step", "exp_avg": "adam_mean", "exp_avg_sq": "adam_square"}
SIGNATURE_FILE = "signature.safetensors"  # the designer's, kept so that the drawings are measured once


def own_signature(model: FedGAI, pairs: PairFolder, name: str, out: Path) -> Signature:
    """Of the drawings; from ``out`` where they were measured before, in an earlier round."""
    try:
        kept = Signature.load(out / SIGNATURE_FILE)
        model.check_style(kept)
        if kept.extra.get("drawings") == pairs.sha256:
            return replace(kept, name=name)
    except ValueError:  # not there, damaged, or of another encoder
        pass
    measured: Signature = model.signature((sketch for _, sketch in pairs.report.pairs), name)
    return replace(measured, extra={"drawings": pairs.sha256})


def check_same(out: Path, meta: dict[str, Any], now: dict[str, Any]) -> None:
    """Whether a saved training is the one that is to go on.

    Args:
        out: where it lies.
        meta: as ``read_state`` gives it.
        now: settings and identity that must be the same.
    Raises:
        TrainError: they differ; names each.
    """
    then = {**asdict(TrainConfig()), **meta, **meta["config"]}  # a setting that was not there yet had its default's effect
    changed = [f"{k} ({then.get(k)!r} then, {v!r} now)" for k, v in now.items() if then.get(k) != v]
    if changed:
        raise TrainError(
            f"{out} was trained otherwise: {', '.join(changed)}. Train into another folder, or give what was given then"
        )


def state_tensors(model: FedGAI, optimisers: dict[str, Optimizer]) -> dict[str, Tensor]:
    """Weights and what the optimisers remember. The encoder is left out: it never changes, and its SHA-256 is kept."""
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items() if not k.startswith("encoder.")}
    for part, name, parameter in _parameters(model, optimisers):
        for key, value in optimisers[part].state[parameter].items():
            if isinstance(value, Tensor):
                tensors[f"{REMEMBERED[key]}.{part}.{name}"] = value.contiguous()
    return tensors


def load_state(out: Path, tensors: dict[str, Tensor], model: FedGAI, optimisers: dict[str, Optimizer]) -> Tensor:
    """Put a state in place. An optimiser of another kind than the one that was saved starts with an empty memory.

    Returns the state of the random numbers. Raises TrainError where the state does not fit the model."""
    try:
        weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        encoder = {k: v for k, v in model.state_dict().items() if k.startswith("encoder.")}
        model.load_state_dict(encoder | weights)
        for part, name, parameter in _parameters(model, optimisers):
            wanted = ("momentum_buffer",) if isinstance(optimisers[part], SGD) else ("step", "exp_avg", "exp_avg_sq")
            saved = {key: tensors.get(f"{REMEMBERED[key]}.{part}.{name}") for key in wanted}
            kept = {key: value for key, value in saved.items() if value is not None}
            if len(kept) == len(wanted):
                optimisers[part].state[parameter] = {key: _in_place(value, parameter) for key, value in kept.items()}
        return tensors["rng"]
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise TrainError(f"{out / STATE_FILE} does not fit this model: {reason}") from error


def _in_place(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """On the parameter's device and in its shape; a count of steps stays the single number that it is, on the processor."""
    return value.to(parameter.device).view_as(parameter) if value.ndim else value


def _parameters(model: FedGAI, optimisers: dict[str, Optimizer]) -> list[tuple[str, str, nn.Parameter]]:
    return [(part, name, p) for part in optimisers for name, p in getattr(model, part).named_parameters()]


def write_state(out: Path, tensors: dict[str, Tensor], meta: dict[str, Any], signature: Signature) -> None:
    """All that a resumed training needs, in one file, so that there is never half of it; and the signature."""
    with replacing(out / STATE_FILE) as temp_path:
        save_file(tensors, str(temp_path), {"training": json.dumps(meta)})
    with replacing(out / SIGNATURE_FILE) as temp_path:
        signature.save(temp_path)


def write_checkpoint(out: Path, model: FedGAI) -> None:
    """The model, file by file. Whichever of them a kill lets through, the folder loads: only the step differs, and the state
    has it right."""
    folder = out / ".new"
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    for file in sorted(folder.iterdir(), key=lambda f: f.name == CONFIG_FILE):
        put_in_place(file, out / file.name)
    folder.rmdir()


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Its tensors, and what was written beside them. Raises TrainError where it is not there, or damaged.

    In states without ``trained_before``, ``freeze_batchnorm`` stood for both.
    """
    try:
        with safe_open(str(folder / STATE_FILE), "pt") as f:
            meta = json.loads((f.metadata() or {})["training"])
            meta["config"].setdefault("trained_before", meta["config"]["freeze_batchnorm"])
            return {key: f.get_tensor(key) for key in f.keys()}, meta
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise TrainError(f"{folder / STATE_FILE} is not the state of a training ({error})") from error


def forget_lines_after(out: Path, step: int) -> None:
    """Steps after the last saving are about to be done again; a kill may have cut the last line short."""
    path = out / LOG_FILE
    kept = []
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except ValueError:
            continue
    write_atomically(path, "".join(kept).encode())
