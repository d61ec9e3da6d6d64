"""Receipts: what left a designer's machine, for the designer and for people who advise them.

A receipt is written before the first byte of an update's content leaves, and completed when the studio has confirmed the whole
update. So nothing of an update can leave without a receipt, whatever the studio answers.

A receipt holds names, sizes and hashes of what was sent, and the few values that are sent as they are. It never holds a
tensor's values, so it can be shown to anybody.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedgai.files import write_atomically

log = logging.getLogger("fedgai.receipt")

SAMPLE, BEGAN, SENT = "sample", "began", "sent"


@dataclass(frozen=True)
class TensorRow:
    """A tensor that was sent: its name, shape, type, number of bytes, and the SHA-256 (hex) of those: its values one
    after the other, as numpy's ``array.tobytes()`` gives them."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Receipt:
    """One update.

    Attributes:
        round: its number; 0 for a dry run.
        at: when it began to leave, ISO 8601, UTC.
        server: address that it went to.
        tensors: the update.
        signature: number of bytes and SHA-256 of the style signature (float32, little-endian); None without one.
        metrics: numbers, by name.
        values: what was sent as it is: preset, release, name and the like.
        epsilon: of local differential privacy in this update, see ``meaning``; None without it.
        bytes: of the content: what this receipt lists.
        wire_bytes: of the requests that carried it, with all that Flower adds.
        state: "sample" (a dry run, nothing left), "began" (it began to leave, and the studio has not confirmed all of it), or
            "sent".
    """

    round: int
    at: str
    server: str
    tensors: tuple[TensorRow, ...]
    signature: dict[str, Any] | None
    metrics: dict[str, Any]
    values: dict[str, Any]
    epsilon: float | None
    bytes: int
    wire_bytes: int = 0
    state: str = SENT

    @classmethod
    def of(cls, content: RecordDict, server: str, state: str = SAMPLE) -> Receipt:
        """Of what ``client_app.answer`` returns, now. Whatever else the content may have is named, too.

        Raises ValueError for an array that is not a plain one.
        """
        rows: list[TensorRow] = []
        metrics: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for kind, record in content.items():
            before = "" if kind in ("arrays", "metrics", "designer") else f"{kind}."
            if isinstance(record, ArrayRecord):
                for name, array in record.items():
                    numbers = array.numpy()
                    data = numbers.tobytes()
                    digest = hashlib.sha256(data).hexdigest()
                    rows.append(TensorRow(before + name, numbers.shape, str(numbers.dtype), len(data), digest))
            elif isinstance(record, MetricRecord):
                metrics |= {before + name: value for name, value in record.items()}
            else:
                values |= {before + name: noted(value) for name, value in record.items()}
        signature, number = values.pop("style", None), values.pop("round", 0)
        epsilon = metrics.get("epsilon")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(
            int(number),
            at,
            server,
            tuple(rows),
            signature,
            metrics,
            values,
            None if epsilon is None else float(epsilon),
            content_bytes(content),
            state=state,
        )

    @property
    def meaning(self) -> str:
        """What ``epsilon`` says, in a sentence or two."""
        sent = "would be sent" if self.state == SAMPLE else "was sent"
        if self.epsilon is None:
            return f"No noise was added (no local differential privacy): what {sent} is the exact result of the training."
        return (
            f"Noise was added before sending (local differential privacy, epsilon {self.epsilon:g} in this update): "
            f"the smaller epsilon is, the less people can conclude from what {sent}. The epsilons of all updates add up."
        )

    def save(self, folder: Path) -> Path:
        """Write round-0003.json, or round-0003-2.json for a second of the same round, whole at any moment.

        Returns the file. Raises OSError.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name, count = f"round-{self.round:04d}", 1
        file = folder / f"{name}.json"
        while file.exists():
            count += 1
            file = folder / f"{name}-{count}.json"
        self.write(file)
        return file

    def write(self, file: Path) -> None:
        """Replace a receipt that was begun. Raises OSError."""
        write_atomically(file, json.dumps(asdict(self), indent=1, ensure_ascii=False).encode())

    def updated(self, wire_bytes: int, whole: bool) -> Receipt:
        """The same, after so many bytes have left. ``whole``: the studio has confirmed all of it."""
        return replace(self, wire_bytes=wire_bytes, state=SENT if whole else self.state)


def noted(value: Any) -> Any:
    """A value as a receipt has it: bytes by their number and hash, others as they are."""
    return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()} if isinstance(value, bytes) else value


def content_bytes(content: RecordDict) -> int:
    """As Flower counts, but it refuses to count an empty text."""
    full = {
        kind: ConfigRecord({k: v for k, v in r.items() if v != ""}) if isinstance(r, ConfigRecord) else r
        for kind, r in content.items()
    }
    return sum(record.count_bytes() for record in full.values())


def read_all(folder: Path) -> list[Receipt]:
    """All receipts there, the earliest first. A broken file is named in the log and left out."""
    receipts = []
    for file in sorted(folder.glob("round-*.json")):
        try:
            receipts.append(_from_json(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s is damaged (%s): left out", file, type(error).__name__)
    return sorted(receipts, key=lambda r: (r.round, r.at))


def noise_spent(receipts: Sequence[Receipt]) -> float:
    """The sum of epsilon over all updates that left or began to leave: a round that was asked for twice counts twice."""
    return sum(receipt.epsilon or 0.0 for receipt in receipts if receipt.state != SAMPLE)


def _from_json(text: str) -> Receipt:
    """Raises ValueError, TypeError, KeyError or AttributeError if it is not a receipt."""
    known = {field.name for field in fields(Receipt)}
    content = json.loads(text)
    if "told" in content:  # the name that ``values`` had in release 0.1
        content["values"] = content.pop("told")
    rows = tuple(TensorRow(**row | {"shape": tuple(row["shape"])}) for row in content["tensors"])
    receipt = Receipt(**{k: v for k, v in content.items() if k in known} | {"tensors": rows})
    numbers = (receipt.round, receipt.bytes, receipt.wire_bytes, *(row.bytes for row in rows))
    words = (receipt.at, receipt.server, receipt.state, *(word for row in rows for word in (row.name, row.dtype, row.sha256)))
    signature = receipt.signature or {"bytes": 0, "sha256": ""}
    if not (
        all(isinstance(n, int) for n in (*numbers, signature["bytes"]))
        and isinstance(signature["sha256"], str)
        and all(isinstance(w, str) for w in words)
        and isinstance(receipt.epsilon, float | int | None)
        and isinstance(receipt.metrics | receipt.values, dict)
    ):
        raise ValueError("a value is of another kind")
    return receipt
