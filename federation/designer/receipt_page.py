"""Receipts for people: a table for the terminal, and a page to print or to show."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from rich import box
from rich.console import Console
from rich.table import Table

from federation.designer.receipt import BEGAN, SAMPLE, Receipt, noise_spent
from federation.figure_names import sent_name
from fedgai.text import printable

LABELS = {
    "epsilon": "noise: epsilon",
    "sketches": "drawings that the signature was measured on",
    "refined": "whether the signature was refined on your machine",
    "adapter": "adapter: how the studio's lines change in your hand",
    "draws-seams": "share of seams and edges that you draw",
    "draws-folds": "share of folds that you draw",
    "draws-stitches": "share of stitches that you draw",
    "draws-print": "how much of a print you draw",
    "encoder": "network that measured the drawings (SHA-256)",
    "preset": "size of the model",
    "release": "release of the software",
    "name": "your name",
    "description": "your sentence about your hand",
}
"""What designers read in place of the software's names, for what is sent besides tensors and figures."""

_PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def lines_of(receipt: Receipt) -> list[tuple[str, str, str, str, str]]:
    """Of a table: what, shape or value, type, bytes, SHA-256."""
    lines = [(r.name, " x ".join(map(str, r.shape)) or "one number", r.dtype, f"{r.bytes:,}", r.sha256) for r in receipt.tensors]
    if receipt.signature:
        lines.append(("style signature", "", "float32", f"{receipt.signature['bytes']:,}", receipt.signature["sha256"]))
    for name, value in (receipt.values | receipt.metrics).items():
        label = LABELS.get(name) or sent_name(name)
        if isinstance(value, dict) and value.keys() == {"bytes", "sha256"}:  # as ``receipt.noted`` writes bytes
            lines.append((label, "", "int8", f"{value['bytes']:,}", value["sha256"]))
        else:
            lines.append((label, f"{value:.6g}" if isinstance(value, float) else str(value), "", "", ""))
    return lines


def size(bytes_: int) -> str:
    """How much has left, for people.

    Example:
        >>> size(83490), size(1_200_000)
        ('83 kB', '1.2 MB')
    """
    return f"{bytes_ / 1e6:.1f} MB" if bytes_ >= 1e6 else f"{bytes_ / 1e3:,.0f} kB"


def title(receipt: Receipt) -> str:
    return "What would be sent" if receipt.state == SAMPLE else f"Round {receipt.round}"


def summary(receipt: Receipt) -> str:
    """When, where to, how much, and whether it arrived: one line without its full stop."""
    what = f"{receipt.bytes:,} bytes, {'with' if receipt.signature else 'without'} your style signature"
    if receipt.state == SAMPLE:
        return f"{what}; this is a sample, and nothing was sent"
    line = f"{_when(receipt.at)}, to {receipt.server}: {what}"
    if receipt.state == BEGAN:
        return f"{line}; it began to leave, and the studio did not confirm all of it: count it as sent"
    return line


def noise_line(receipts: Sequence[Receipt]) -> str:
    """What all receipts together say about noise: one sentence; "" without receipts."""
    left = [receipt for receipt in receipts if receipt.state != SAMPLE]
    noised = [receipt for receipt in left if receipt.epsilon is not None]
    if not left:
        return ""
    if not noised:
        return f"No noise was added to any of the {len(left)} updates." if len(left) > 1 else "No noise was added."
    text = f"Noise was added to {len(noised)} of {len(left)} updates; together their epsilon is {noise_spent(left):g}."
    return text if len(noised) == len(left) else f"{text} Nothing is promised about the updates without noise."


def table(receipts: Sequence[Receipt], width: int = 120) -> str:
    """For a terminal: plain text, ``width`` columns, a table an update; hashes cut to 16 digits, whole in the files."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    for receipt in receipts:
        drawn = Table("what", "shape or value", "type", "bytes", "SHA-256", box=box.SIMPLE_HEAD)
        for cells in lines_of(receipt):
            drawn.add_row(*(printable(cell) for cell in (*cells[:4], cells[4][:16])))
        console.print(title(receipt), f"{printable(summary(receipt))}.", drawn, receipt.meaning, "", sep="\n")
    if line := noise_line(receipts):
        console.print(line)
    return out.getvalue()


def page(receipts: Sequence[Receipt]) -> str:
    """One HTML page without scripts or anything from elsewhere, to show or to print."""
    rounds = [{"title": title(r), "summary": summary(r), "meaning": r.meaning, "lines": lines_of(r)} for r in receipts]
    return _PAGES.get_template("receipt.html").render(rounds=rounds, noise=noise_line(receipts))


def _when(at: str) -> str:
    """2026-11-25T21:06:56+00:00 -> 25 November 2026, 21:06 UTC; anything else stays as it is."""
    try:
        return f"{datetime.fromisoformat(at):%d %B %Y, %H:%M} UTC"
    except ValueError:
        return at
