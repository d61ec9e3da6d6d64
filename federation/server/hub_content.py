"""What a federation keeps on the Hub, by name, and how each of it is checked before it is used here.

model.safetensors, styles.safetensors, config.json, README.md, sheet.jpg, report.json    the round that is drawn with
encoder.safetensors of a vgg16 federation: the same in each round, so it is uploaded once
held-back/          the same files of the newest round, where it was held back
metrics.csv         a row a round
federation/         members.json, control.json, status.json, latest.json, reports/0007.json
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from federation.server.folder import REPORT_FILE
from federation.server.members import Member, members_from
from federation.server.report import RoundReport, misshapen
from fedgai.model import CONFIG_FILE, DRAUGHTSMAN_FILE, ENCODER_FILE, MODEL_FILE, STYLES_FILE, CheckpointError, FedGAI
from fedgai.text import printable

CARD_FILE, SHEET_FILE, METRICS_FILE, HELD_BACK = "README.md", "sheet.jpg", "metrics.csv", "held-back"
MEMBERS, CONTROL = "federation/members.json", "federation/control.json"
STATUS, LATEST = "federation/status.json", "federation/latest.json"
LIMITS = {  # bytes, of what is taken from the Hub; also the list of what a checkpoint may consist of
    MODEL_FILE: 2**29,
    ENCODER_FILE: 2**28,
    DRAUGHTSMAN_FILE: 2**23,
    STYLES_FILE: 2**24,
    CONFIG_FILE: 2**18,
    CARD_FILE: 2**18,
    SHEET_FILE: 2**23,
    REPORT_FILE: 2**20,
    METRICS_FILE: 2**23,
    MEMBERS: 2**21,
    CONTROL: 2**16,
    LATEST: 2**10,
}
OTHER_LIMIT = 2**20  # bytes of any other file
CHECKPOINT_FILES = (MODEL_FILE, ENCODER_FILE, DRAUGHTSMAN_FILE, STYLES_FILE, CONFIG_FILE, CARD_FILE, SHEET_FILE, REPORT_FILE)
NEEDED = (MODEL_FILE, STYLES_FILE, CONFIG_FILE)
ROUND_REPORT = re.compile(r"federation/reports/(\d{4,9})\.json")
JPEG = b"\xff\xd8\xff"
DIGITS = 400  # of a whole number in JSON; Python reads 4,300, and fails at what comes after
DEPTH = 8  # levels of lists and objects

Kind = TypeVar("Kind")


def limit_of(path: str) -> int:
    """Bytes that a file of the repository may have."""
    return LIMITS.get(path.removeprefix(f"{HELD_BACK}/"), OTHER_LIMIT)


def report_path(number: int) -> str:
    """Where a round's report lies on the Hub."""
    return f"federation/reports/{number:04d}.json"


def report_for_hub(checkpoint: Path, number: int) -> bytes:
    """What goes to ``report_path``: it also tells one attempt at a round from another. Raises OSError, ValueError."""
    file = checkpoint / REPORT_FILE
    facts = json.loads(file.read_text()) if file.exists() else {}
    model = hashlib.sha256((checkpoint / MODEL_FILE).read_bytes()).hexdigest()
    return to_json({**facts, "round": number, "model": model})


def read_members(content: bytes) -> list[Member]:
    """members.json as it lies on the Hub. Raises CheckpointError, naming the entry, for anything but members."""
    return members_from(read_json(content, MEMBERS, list), MEMBERS)


def read_report(content: bytes, number: int) -> RoundReport:
    """A round's report as it lies on the Hub: nothing in it is misshapen, texts are cut and made printable.

    Raises:
        CheckpointError: with one sentence.
    """
    name = report_path(number)
    report: dict[str, Any] = _plain(read_json(content, name, dict), name)
    if wrong := misshapen(report):
        raise CheckpointError(f"{name}: {wrong}: replace it with an undamaged report, or delete it")
    return RoundReport.read(report)


def read_control(content: bytes) -> dict[str, Any]:
    """control.json as it lies on the Hub. Raises CheckpointError."""
    control: dict[str, Any] = _plain(read_json(content, CONTROL, dict), CONTROL)
    if not isinstance(control.get("paused", False), bool) or len(control) > 64:
        raise CheckpointError(f"{CONTROL} is not what an operator asks for")
    return control


def read_latest(content: bytes, where: str) -> int | None:
    """latest.json: the round that is drawn with. Raises CheckpointError."""
    latest = read_json(content, where, dict).get("latest")
    return latest if type(latest) is int else None


def round_number(value: object) -> int:
    """A round's number. Raises CheckpointError."""
    if type(value) is not int or not 0 <= value < 10**9:
        raise CheckpointError(f"{str(value)[:40]!r} is not a round's number")
    return value


def load_checkpoint(files: Mapping[str, bytes], where: str) -> FedGAI:
    """Read a checkpoint whose files come from elsewhere: whole, finite, every name fit to be shown.

    Args:
        files: by name; others than a checkpoint's are not looked at.
        where: to name in errors.

    Raises:
        CheckpointError: with one sentence.
    """
    missing = [name for name in NEEDED if name not in files]
    if missing:
        raise CheckpointError(f"{where} is not a FedGAI checkpoint: {', '.join(missing)} is not there")
    read_json(files[CONFIG_FILE], f"{where}: {CONFIG_FILE}", dict)
    with tempfile.TemporaryDirectory() as temp_path:
        for name in {*NEEDED, ENCODER_FILE, DRAUGHTSMAN_FILE} & files.keys():
            (Path(temp_path) / name).write_bytes(files[name])
        try:
            model = FedGAI.load(temp_path)
        except (ValueError, TypeError, AttributeError) as error:  # CheckpointError is a ValueError
            reason = str(error).split(" is not a FedGAI checkpoint: ")[-1].replace(temp_path, "it")
            raise CheckpointError(f"{where} is not a FedGAI checkpoint: {reason}") from error
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{where}: {name} has numbers that are not finite")
    for name, signature in model.styles.items():
        text = f"{name}{signature.description}"
        if not 1 <= len(name) <= 80 or len(text) > 1000 or not text.isprintable():
            raise CheckpointError(f"{where}: the style bank has a name that cannot be shown")
        if signature.style.dtype != torch.float32 or not signature.style.isfinite().all():
            raise CheckpointError(f"{where}: style {name!r} has numbers that are not finite")
    model.info = _plain(model.info, f"{where}: {CONFIG_FILE}")
    return model


def to_json(content: Any) -> bytes:
    """The same bytes for the same content."""
    return json.dumps(content, indent=1, sort_keys=True).encode()


def read_json(content: bytes, name: str, kind: type[Kind]) -> Kind:
    """JSON from elsewhere. Numbers that are not finite become None.

    Raises:
        CheckpointError: it is not JSON, or of another kind.
    """
    try:
        value = json.loads(content, parse_constant=lambda _: None, parse_int=_whole, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is damaged ({error}): replace it with an undamaged file, or delete it") from error
    if not isinstance(value, kind):
        raise CheckpointError(f"{name} is not what belongs there: replace it with an undamaged file, or delete it")
    return value


def _whole(text: str) -> int | None:
    """A whole number that a float can hold."""
    value = int(text) if len(text) <= DIGITS else None
    return value if value is not None and abs(value) < 1e300 else None


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _plain(value: Any, name: str, depth: int = 0) -> Any:
    """The same, with every text printable and at most 500 characters."""
    if depth > DEPTH:
        raise CheckpointError(f"{name} is nested deeper than anything that belongs there")
    if isinstance(value, dict):
        return {_plain(k, name): _plain(v, name, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v, name, depth + 1) for v in value]
    if isinstance(value, str):
        return printable(value[:500], instead=" ")
    return value
