"""What the server asks for in a round, read once and checked; and the same without a server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flwr.app import ConfigRecord
from numpy.typing import NDArray

from fedgai import __version__
from fedgai.errors import FedGAIError
from fedgai.model import FedGAI

MOST_EPOCHS, MOST_BETA = 100, 10.0


class RoundRefusedError(FedGAIError):
    """This machine refuses what the server asks. The server gets the message, so it says nothing about this machine."""


@dataclass(frozen=True)
class RoundConfig:
    """A round's config record, without what is not needed here, such as its nonce.

    Attributes:
        round: its number.
        epochs: times that training goes through the designer's pairs, 1 to 100.
        beta: weight of FedDecorr, 0 to 10.
        preset, encoder, release: of the federation.
        names: of the designers whose signatures ``bank`` holds, in its order.
        bank: the signatures one after the other, float32, finite.
    """

    round: int
    epochs: int
    beta: float
    preset: str
    encoder: str
    release: str
    names: tuple[str, ...]
    bank: NDArray[np.float32]

    @classmethod
    def read(cls, record: ConfigRecord) -> RoundConfig:
        """Raises RoundRefusedError where a value is missing, of another kind, or out of bounds."""
        number, epochs, beta = record.get("round"), record.get("epochs"), record.get("beta")
        words = [record.get(key) for key in ("preset", "encoder", "release")]
        names, bank = record.get("bank-names", []), record.get("bank", b"")
        if (
            not isinstance(number, int)
            or not isinstance(epochs, int)
            or not isinstance(beta, int | float)
            or not all(isinstance(word, str) for word in words)
            or not isinstance(names, list)
            or not isinstance(bank, bytes)
            or len(bank) % 4
        ):
            raise RoundRefusedError("the server asks something that this release does not understand")
        if not 1 <= epochs <= MOST_EPOCHS or not 0 <= beta <= MOST_BETA:
            raise RoundRefusedError(f"the server asks for {epochs} epochs and beta {beta}: refused")
        signatures = np.frombuffer(bank, "<f4").astype(np.float32)
        if not np.isfinite(signatures).all():
            raise RoundRefusedError("the server's style bank does not fit this encoder")
        preset, encoder, release = (str(word) for word in words)
        return cls(number, epochs, float(beta), preset, encoder, release, tuple(str(name) for name in names), signatures)


def round_record(model: FedGAI, number: int = 1, epochs: int = 1, beta: float = 0.1) -> ConfigRecord:
    """The config record of a round that starts from this model, for programs that train at home without a server.

    Args:
        model: the federation's; its style bank goes into the record.
        number: of the round.
        epochs, beta: see ``RoundConfig``.
    """
    bank = list(model.styles.values())
    return ConfigRecord(
        {
            "round": number,
            "epochs": epochs,
            "beta": beta,
            "preset": model.preset.name,
            "encoder": model.encoder_sha256,
            "release": __version__,
            "bank-names": [signature.name for signature in bank],
            "bank": b"".join(signature.style.numpy().astype("<f4").tobytes() for signature in bank),
        }
    )
