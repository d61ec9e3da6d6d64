"""A checkpoint's style bank as a file: reads the names in it, and removes the hands of designers who left."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from fedgai.files import write_atomically
from fedgai.model import ADAPTER, CheckpointError


def hand_names(file: Path) -> list[str]:
    """Names in a style bank, in the order to show them; none where the file cannot be read."""
    try:
        with safe_open(str(file), "pt") as bank:
            return [str(name) for name in json.loads(bank.metadata()["order"])]
    except (OSError, KeyError, TypeError, ValueError, SafetensorError):
        return []


def take_out(file: Path, designers: Collection[str]) -> bool:
    """Rewrite a style bank without the signatures that these designers sent; an atelier's of the same name stays.

    Args:
        file: ``styles.safetensors`` of a checkpoint.
        designers: display names.

    Returns:
        whether there were any.

    Raises:
        CheckpointError: the file cannot be read.
    """
    if not set(designers) & set(hand_names(file)):
        return False
    try:
        with safe_open(str(file), "pt") as bank:
            metadata = bank.metadata()
            texts, order = json.loads(metadata["styles"]), json.loads(metadata["order"])
            out = {name for name in order if name in designers and "designer" in texts[name]}
            # all other tensors stay: the neutral hand is among them, under a name that is nobody's
            gone = out | {ADAPTER + name for name in out}
            kept = {name: bank.get_tensor(name) for name in bank.keys() if name not in gone}
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{file} is not a style bank ({error}): replace it with an undamaged file") from error
    if not out:
        return False
    metadata |= {
        "styles": json.dumps({name: text for name, text in texts.items() if name not in out}),
        "order": json.dumps([name for name in order if name not in out]),
    }
    write_atomically(file, save(kept, metadata))
    return True
