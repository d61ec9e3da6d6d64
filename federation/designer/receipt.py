"""Receipts: what left a designer's machine in a round, for the designer and for whoever advises them.

A receipt holds names, sizes and hashes of what was sent, and the few values that are sent as they are; never a tensor's
values, so that a receipt can be shown to anybody.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import logging
import os
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from rich import box
from rich.console import Console
from rich.table import Table

log = logging.getLogger("fedgai.receipt")


@dataclass(frozen=True)
class Row:
    """A tensor that was sent: its name, shape, type, number of bytes, and the SHA-256 (hex) of those: its values one
    after the other, as numpy's ``array.tobytes()`` gives them."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Receipt:
    """What left in one round.

    Attributes:
        round: its number; 0 for a dry run.
        at: when, ISO 8601, UTC.
        server: address that it went to.
        tensors: the update.
        signature: number of bytes and SHA-256 of the style signature (float32, little-endian); None without one.
        metrics: numbers, by name.
        told: values that were sent as they are: preset, release, name and the like.
        epsilon: of local differential privacy in this round, see ``meaning``; None without it.
        bytes: of the content.
        wire_bytes: of the requests that carried it, with all that Flower adds; 0 where nothing was sent.
    """

    round: int
    at: str
    server: str
    tensors: tuple[Row, ...]
    signature: dict[str, Any] | None
    metrics: dict[str, Any]
    told: dict[str, Any]
    epsilon: float | None
    bytes: int
    wire_bytes: int = 0

    @classmethod
    def of(cls, content: RecordDict, server: str, wire_bytes: int = 0) -> Receipt:
        """Of what ``client_app.answer`` returns, now. Whatever else the content may have is named, too.

        Raises ValueError for an array that is not a plain one.
        """
        rows, metrics, told, signature = [], {}, {}, None
        for kind, record in content.items():
            before = "" if kind in ("arrays", "metrics", "designer") else f"{kind}."
            if isinstance(record, ArrayRecord):
                for name, array in record.items():
                    values = array.numpy()
                    data = values.tobytes()
                    digest = hashlib.sha256(data).hexdigest()
                    rows.append(Row(before + name, values.shape, str(values.dtype), len(data), digest))
            elif isinstance(record, MetricRecord):
                metrics |= {before + name: value for name, value in record.items()}
            else:
                told |= {before + name: noted(value) for name, value in record.items()}
        signature, number = told.pop("style", None), told.pop("round", 0)
        epsilon = metrics.get("epsilon")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(int(number), at, server, tuple(rows), signature, metrics, told,
                   None if epsilon is None else float(epsilon), content_bytes(content), wire_bytes)

    @property
    def meaning(self) -> str:
        """One sentence on ``epsilon``."""
        if self.epsilon is None:
            return "No noise was added (no local differential privacy): what was sent is what the training came to."
        return (f"Noise was added before sending (local differential privacy, epsilon {self.epsilon:g} in this round): "
                "the smaller epsilon, the less can be inferred from what was sent, and rounds add up.")

    def save(self, folder: Path) -> Path:
        """Write round-0003.json, or round-0003-2.json for a second of the same round, whole at any moment.

        Returns the file. Raises OSError.
        """
        folder.mkdir(parents=True, exist_ok=True)
        name, count = f"round-{self.round:04d}", 1
        file = folder / f"{name}.json"
        while file.exists():
            count += 1
            file = folder / f"{name}-{count}.json"
        aside = file.with_suffix(".new")
        aside.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(aside, file)
        return file


def noted(value: Any) -> Any:
    """A value as a receipt has it: bytes by their number and hash, others as they are."""
    return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()} if isinstance(value, bytes) else value


def content_bytes(content: RecordDict) -> int:
    """As Flower counts, but it refuses to count an empty text."""
    full = {kind: ConfigRecord({k: v for k, v in r.items() if v != ""}) if isinstance(r, ConfigRecord) else r
            for kind, r in content.items()}
    return sum(record.count_bytes() for record in full.values())


def read_all(folder: Path) -> list[Receipt]:
    """All receipts there, the earliest first. A broken file is named in the log and left out."""
    receipts, known = [], {f.name for f in fields(Receipt)}
    for file in sorted(folder.glob("round-*.json")):
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            rows = tuple(Row(**row | {"shape": tuple(row["shape"])}) for row in told["tensors"])
            receipt = Receipt(**{k: v for k, v in told.items() if k in known} | {"tensors": rows})
            lines_of(receipt)  # everything in it can be shown
            receipts.append(receipt)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s is damaged (%s): left out", file, type(error).__name__)
    return sorted(receipts, key=lambda r: (r.round, r.at))


def lines_of(receipt: Receipt) -> list[tuple[str, str, str, str, str]]:
    """Of a table: what, shape, type, bytes, SHA-256."""
    lines = [(r.name, " x ".join(map(str, r.shape)) or "one number", r.dtype, f"{r.bytes:,}", r.sha256)
             for r in receipt.tensors]
    if receipt.signature:
        lines.append(("style signature", "", "float32", f"{receipt.signature['bytes']:,}", receipt.signature["sha256"]))
    for name, value in (receipt.told | receipt.metrics).items():
        lines.append((name, f"{value:.6g}" if isinstance(value, float) else str(value), "", "", ""))
    return lines


def summary(receipt: Receipt) -> str:
    """When, where to, how much: one line."""
    sent = f"{receipt.wire_bytes:,} bytes with Flower's own" if receipt.wire_bytes else "not sent: a dry run"
    return (f"{receipt.at}, to {receipt.server}: {len(receipt.tensors)} tensors, "
            f"{'with' if receipt.signature else 'without'} style signature, {receipt.bytes:,} bytes in all ({sent})")


def table(receipts: list[Receipt], width: int = 120) -> str:
    """For a terminal: plain text, ``width`` columns, a table a round; hashes cut to 16 digits, whole in the files."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    for receipt in receipts:
        drawn = Table("what", "shape or value", "type", "bytes", "SHA-256", box=box.SIMPLE_HEAD)
        for line in lines_of(receipt):
            drawn.add_row(*(printable(cell) for cell in (*line[:4], line[4][:16])))
        console.print(f"Round {receipt.round}", printable(summary(receipt)), drawn, receipt.meaning, "", sep="\n")
    return out.getvalue()


def printable(text: str) -> str:
    """Without terminal codes, whatever wrote the file."""
    return "".join(c if c.isprintable() else "?" for c in text)


def page(receipts: list[Receipt]) -> str:
    """One HTML page without scripts or anything from elsewhere, to show or to print."""
    rounds = []
    for receipt in receipts:
        cells = ["".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in lines_of(receipt)]
        rows = "".join(f"<tr>{line}</tr>" for line in cells)
        rounds.append(f"<section><h2>Round {int(receipt.round)}</h2><p>{html.escape(summary(receipt))}.</p>"
                      f"<p>{html.escape(receipt.meaning)}</p><table><thead><tr><th>What<th>Shape or value<th>Type"
                      f"<th>Bytes<th>SHA-256</thead><tbody>{rows}</tbody></table></section>")
    return PAGE.replace("ROUNDS", "\n".join(rounds) or "<p>Nothing was sent yet.</p>")


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>What left this machine</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.5 Georgia, serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #111; background: #fff }
table { border-collapse: collapse; width: 100%; font: 12px/1.4 monospace }
th, td { text-align: left; vertical-align: top; padding: .2em .6em .2em 0; border-bottom: 1px solid #ccc;
         overflow-wrap: anywhere }
thead { display: table-header-group } tr { break-inside: avoid } h2 { break-after: avoid }
@media print { body { margin: 0; max-width: none; font-size: 11pt } table { font-size: 8pt } @page { margin: 15mm } }
</style></head><body>
<h1>What left this machine</h1>
<p>A designer trains on their own drawings, on their own machine, and takes part in a federation: in each round, an
update of one part of the software, the <em>Discriminator</em>, is sent to the studio, which mixes it with those of
others. This page lists them. It was written on the designer's machine, from copies of what was sent. An update that
broke off on its way is not listed: without its end the studio cannot use it.</p>
<h2>What was sent</h2>
<ul><li>Numbers of the Discriminator, the part that judges how convincing a drawing is. It does not draw.
<li>How many pairs were trained on, average errors of the training, and which version of the software did it.
<li>Only where the designer agreed: a style signature (some thousand averages that describe a hand as a whole), and
with it the name and description that the designer chose.
<li>Where this machine could not or would not train in a round, one sentence that says so, and nothing else; no
receipt is written of that.</ul>
<h2>What was not sent</h2>
<ul><li>No photograph and no sketch, whole, in part or reduced.
<li>No name of a file or folder.
<li>Nothing of the <em>Generator</em>, the part that draws in the designer's hand.
<li>No <em>BatchNorm</em> tensor, which would hold averages over the designer's drawings.</ul>
<p>That no picture is sent does not prove that nothing about the pictures can be inferred from the numbers; each round
says below whether noise was added against that.</p>
<h2>How to check a hash</h2>
<p>A SHA-256 is a fingerprint: whoever has the same numbers gets the same fingerprint, and nobody gets the numbers
back from it. That of a tensor is over its values as they were sent (type as in the table, rows one after the other,
little-endian). In Python, with a tensor <code>array</code> in numpy:
<code>hashlib.sha256(array.tobytes()).hexdigest()</code>. If the studio shows an update that it says came from here,
its hashes must be those on this page. For the update as it would be sent today,
<code>python -m federation.join --dry-run</code> prints the same table and sends nothing.</p>
ROUNDS
</body></html>
"""
