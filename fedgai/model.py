"""FedGAI as one model: a frozen encoder, a Generator, a Discriminator and the style bank, in two presets, on disk or Hub."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelHubMixin
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fedgai.draughtsman import Draughtsman, DraughtsmanError
from fedgai.errors import FedGAIError
from fedgai.hub_files import fetch_folder, reason
from fedgai.line_choice import EVERY_LINE, LineChoice
from fedgai.measure import DrawingSource, measure
from fedgai.networks.adapter import adapter_size
from fedgai.networks.discriminator import Discriminator, gram_matrix
from fedgai.networks.encoder import Encoder, VGG16Encoder, sha256
from fedgai.networks.generator import Generator
from fedgai.networks.layers import ConvBlock, channels_last
from fedgai.networks.style import LINES, Signature
from fedgai.networks.style_bounds import StyleBounds, bounds_of
from fedgai.shipped import WEIGHTS

MODEL_FILE, STYLES_FILE, CONFIG_FILE = "model.safetensors", "styles.safetensors", "config.json"
ENCODER_FILE = "encoder.safetensors"  # of vgg16 alone
ORIGIN = "\n"  # the neutral hand's place in the style file: no designer's name has a line break
ADAPTER = "\nadapter\n"  # before the name of the hand that an adapter in the style file belongs to
DRAUGHTSMAN_FILE = "draughtsman.safetensors"  # where the checkpoint has one
_draughtsmen: dict[str, Draughtsman] = {}  # by their files' SHA-256, the last one that was read: the next checkpoint has it, too


@dataclass(frozen=True)
class Preset:
    """The dimensions of one architecture.

    Attributes:
        name: "edge" or "vgg16".
        channels: the encoder's four widths, finest first.
        separable: depthwise-separable Generator (edge) or full convolutions (the paper).
        spectral: spectral norm in the Generator (the paper); the Discriminator always has it.
        pen: width of the Generator's pen, 0 for none (the paper).
        rows: rows that the Discriminator pools each Gram matrix to (the paper: 64).
        conditional: whether the Discriminator also judges whose hand a drawing is in (``HandJudge``); the paper's does not.
    """

    name: str
    channels: tuple[int, int, int, int]
    separable: bool
    spectral: bool
    pen: int
    rows: int
    conditional: bool

    def discriminator(self) -> Discriminator:
        """A new one, of these dimensions."""
        return Discriminator(self.rows, self.channels if self.conditional else None)


PRESETS = {
    "edge": Preset("edge", (16, 32, 64, 128), separable=True, spectral=False, pen=16, rows=16, conditional=True),
    "vgg16": Preset("vgg16", (64, 128, 256, 512), separable=False, spectral=True, pen=0, rows=64, conditional=False),
}


class CheckpointError(FedGAIError):
    """A checkpoint that cannot be used; the message says which file, what is wrong and what to do."""


class FedGAI(nn.Module, ModelHubMixin, library_name="fedgai", license="apache-2.0", tags=["fashion", "sketch"]):
    """The whole model. ``from_pretrained``, ``save_pretrained`` and ``push_to_hub`` work as in the Hugging Face libraries.

    Args:
        preset: a key of ``PRESETS``.

    Attributes:
        styles: the style bank, name -> Signature, in the order to show them.
        origin: (2 * sum C_l,) float32, the mean of round 0's bank: the neutral hand, whoever comes or goes. None where the
            model was never loaded with a bank.
        draughtsman: sees mask, lines and tone in a photograph; None where the checkpoint has none. It is not part of the
            module: no optimizer, device or state_dict knows it. Models with the same one share it.
        info: what is known about these weights (round, losses that ran, data, seed), stored in config.json.
    """

    def __init__(self, preset: str = "edge") -> None:
        super().__init__()
        if preset not in PRESETS:
            raise CheckpointError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
        self.preset = PRESETS[preset]
        p = self.preset
        self.encoder = VGG16Encoder() if p.name == "vgg16" else Encoder(p.channels)
        self.generator = Generator(p.channels, separable=p.separable, spectral=p.spectral, pen=p.pen)
        self.discriminator = p.discriminator()
        self.styles: dict[str, Signature] = {}
        self.origin: Tensor | None = None
        self.draughtsman: Draughtsman | None = None
        self.info: dict[str, Any] = {}
        self.freeze_encoder()

    def freeze_encoder(self) -> None:
        """The encoder's weights never train once they ship: every signature lives in its space."""
        self.encoder.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> FedGAI:
        super().train(mode)
        self.encoder.eval()
        return self

    @property
    def encoder_sha256(self) -> str:
        """What signatures and checkpoints name the encoder by."""
        return sha256(self.encoder)

    def grams(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The encoder's maps -> what the Discriminator judges, (B, C_l, C_l) each."""
        return [gram_matrix(f) for f in features]

    def signature(self, drawings: Iterable[DrawingSource], name: str = "", description: str = "") -> Signature:
        """Measure a hand, in the one way that there is (``fedgai.measure``).

        Args:
            drawings: as ``images.read_image`` takes them, or tensors (3, H, W) or (1, 3, H, W) in [-1, 1].
            name, description: to show with the style.
        Raises:
            ImageError: a drawing that cannot be read.
            FedGAIError: no drawing at all.
        """
        style, count = measure(self.encoder, drawings)
        return Signature(style, self.encoder_sha256, name, description, count)

    @property
    def neutral(self) -> Tensor:
        """(2 * sum C_l,): the hand that strength 0 draws in. Of round 0's bank alone, so no designer can move it.

        Raises FedGAIError for a model without any signature.
        """
        if self.origin is not None:
            return self.origin
        built_in = [s.style for s in self.styles.values() if "designer" not in s.extra]
        bank = built_in or [s.style for s in self.styles.values()]
        if not bank:
            raise FedGAIError("this checkpoint has no style bank, hence no neutral hand: leave strength at 1")
        return torch.stack(bank).mean(0)

    def settle_hand_judge(self) -> None:
        """Give the Discriminator's judge of hands the scale of the built-in signatures. Whoever makes round 0 does it once.

        Does nothing without a bank, or in the paper's Discriminator.
        """
        built_in = [s.style for s in self.styles.values() if "designer" not in s.extra]
        if self.discriminator.hand is not None and built_in:
            self.discriminator.hand.settle(torch.stack(built_in))

    @property
    def style_bounds(self) -> StyleBounds:
        """What the numbers of a signature can be, with this encoder."""
        return bounds_of(self.encoder, self.preset.channels)

    def add_style(self, signature: Signature) -> None:
        """Put a signature into the bank. Raises FedGAIError if it was measured with another encoder."""
        self.check_style(signature)
        self.styles[signature.name] = signature

    def check_style(self, signature: Signature) -> None:
        """Raises FedGAIError, naming both encoders, where a signature does not belong to this model's encoder."""
        if signature.encoder != self.encoder_sha256:
            raise FedGAIError(
                f"signature {signature.name!r} was measured with encoder {signature.encoder[:12]}, this model has "
                f"{self.encoder_sha256[:12]}: measure it again with `fedgai signature`"
            )
        if signature.style.numel() != 2 * sum(self.preset.channels):
            raise FedGAIError(f"{signature.name!r} has {signature.style.numel()} numbers: use `fedgai signature` again")
        adapter = signature.adapter
        if adapter is not None and (adapter.dtype != torch.int8 or adapter.shape != (adapter_size(self.generator),)):
            raise FedGAIError(f"{signature.name!r} has another Generator's adapter: use `fedgai signature --refine` again")

    def for_inference(self) -> FedGAI:
        """A copy in eval mode with BatchNorm folded into the convolutions, channels_last. Same output, faster."""
        model = copy.deepcopy(self, {id(self.draughtsman): self.draughtsman}).eval()  # a draughtsman never changes
        for module in list(model.encoder.modules()) + list(model.generator.modules()):
            if isinstance(module, ConvBlock):
                module.fuse()
        return channels_last(model).requires_grad_(False)

    # -- checkpoints -----------------------------------------------------------------------------------------------------

    def _save_pretrained(self, save_directory: Path) -> None:
        folder = Path(save_directory)
        tensors = {k: v.contiguous() for k, v in self.state_dict().items()}
        if self.preset.name == "vgg16":
            # 31 MB that no round changes: in a file of their own, whose bytes are always the same, the Hub takes and keeps
            # them once, and yet a checkpoint is whole and draws offline
            encoder = {k: tensors.pop(k) for k in list(tensors) if k.startswith("encoder.")}
            save_file(encoder, str(folder / ENCODER_FILE))
        save_file(tensors, str(folder / MODEL_FILE))
        bank = {name: s.style.contiguous() for name, s in self.styles.items()}
        bank |= {ADAPTER + name: s.adapter.contiguous() for name, s in self.styles.items() if s.adapter is not None}
        text = {name: signature.about() for name, signature in self.styles.items()}
        if bank:
            bank[ORIGIN] = self.neutral.contiguous()
        save_file(bank, str(folder / STYLES_FILE), {"styles": json.dumps(text), "order": json.dumps(list(self.styles))})
        config = {
            "preset": self.preset.name,
            "encoder_sha256": self.encoder_sha256,
            "architecture": asdict(self.preset),
            **self.info,
        }
        if self.draughtsman is not None:
            self.draughtsman.save(folder / DRAUGHTSMAN_FILE)
            config["draughtsman_sha256"] = self.draughtsman.sha256
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **_: object,
    ) -> FedGAI:
        folder = Path(model_id)
        if not folder.is_dir():
            folder = fetch_folder(
                model_id,
                revision=revision,
                patterns=[MODEL_FILE, ENCODER_FILE, DRAUGHTSMAN_FILE, STYLES_FILE, CONFIG_FILE],
                cache_dir=cache_dir,
                token=token,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        return cls.load(folder)

    @classmethod
    def load(cls, folder: str | Path = WEIGHTS) -> FedGAI:
        """Read a checkpoint folder. Raises CheckpointError for anything missing, damaged or not fitting."""
        folder = Path(folder)
        try:
            config = json.loads((folder / CONFIG_FILE).read_text())
            model = cls(config["preset"])
            encoder = load_file(str(folder / ENCODER_FILE)) if model.preset.name == "vgg16" else {}
            tensors = load_file(str(folder / MODEL_FILE))
            model.load_state_dict(tensors | encoder)
            model.styles = _read_bank(folder / STYLES_FILE, config["encoder_sha256"])
            if not any(name.startswith("discriminator.hand.") for name in tensors):  # from before hands were judged
                model.settle_hand_judge()
            model.origin = _read_origin(folder / STYLES_FILE)
            if "draughtsman_sha256" in config:
                model.draughtsman = _read_draughtsman(folder / DRAUGHTSMAN_FILE, str(config["draughtsman_sha256"]))
        except DraughtsmanError as error:
            raise CheckpointError(str(error)) from error
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(f"{folder} is not a FedGAI checkpoint: {reason}") from error
        if model.encoder_sha256 != config["encoder_sha256"]:
            raise CheckpointError(f"{folder}: {MODEL_FILE} and {CONFIG_FILE} name different encoders")
        known = ("preset", "encoder_sha256", "draughtsman_sha256", "architecture")
        model.info = {k: v for k, v in config.items() if k not in known}
        for signature in model.styles.values():
            model.check_style(signature)
        if model.origin is None and model.styles:  # a checkpoint from before the neutral hand was stored
            model.origin = model.neutral
        return model.eval()


def open_checkpoint(folder_or_repo: str | Path = WEIGHTS) -> FedGAI:
    """Load a checkpoint: a folder, or a repository on the Hugging Face Hub. Raises CheckpointError."""
    if Path(folder_or_repo).is_dir() or folder_or_repo == WEIGHTS:
        return FedGAI.load(folder_or_repo)
    try:
        return FedGAI.from_pretrained(str(folder_or_repo))
    except CheckpointError:
        raise
    except FedGAIError as error:  # a damaged file, or a variable of the environment
        raise CheckpointError(f"{folder_or_repo} cannot be loaded: {error}") from error
    except Exception as error:  # of a client, a network and a disk
        why = reason(error, str(folder_or_repo)).text
        raise CheckpointError(f"{folder_or_repo} is neither a folder nor a repository that can be reached: {why}") from error


def _read_draughtsman(path: Path, sha256: str) -> Draughtsman:
    """The draughtsman in a file, shared by all models that have the same one: to make it takes three quarters of a loading.

    Raises DraughtsmanError."""
    known = _draughtsmen.get(sha256)
    if known is None or not _is_file_with(path, sha256):
        known = Draughtsman.load(path, sha256)
        _draughtsmen.clear()
        _draughtsmen[sha256] = known
    return known


def _is_file_with(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _read_origin(path: Path) -> Tensor | None:
    with safe_open(str(path), "pt") as f:
        origin = f.get_tensor(ORIGIN) if ORIGIN in f.keys() else None
    if origin is not None and not torch.isfinite(origin).all():
        raise ValueError(f"{path.name} has a neutral hand that is not finite")
    return origin


def _read_bank(path: Path, encoder: str) -> dict[str, Signature]:
    with safe_open(str(path), "pt") as f:
        meta = f.metadata() or {}
        text: Mapping[str, dict[str, Any]] = json.loads(meta["styles"])
        bank = {}
        for name in json.loads(meta["order"]):
            extra = dict(text[name])
            adapter = f.get_tensor(ADAPTER + name) if ADAPTER + name in f.keys() else None
            description, sketches = extra.pop("description"), extra.pop("sketches")
            choice = LineChoice.from_json(extra.pop(LINES)) if LINES in extra else EVERY_LINE
            bank[name] = Signature(f.get_tensor(name), encoder, name, description, sketches, extra, adapter, choice)
    return bank
