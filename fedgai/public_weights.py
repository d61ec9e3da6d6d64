"""Public weights from the Hugging Face Hub: VGG-16's ImageNet features and CLIP's image tower, for the ``vgg16`` preset.

Nothing is fetched before it is used, and nothing at all for ``edge``. What a file holds is pinned by SHA-256: the bytes are
checked once, after the download, and used for good (``hub_files.py``). Only safetensors are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from huggingface_hub import constants
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fedgai import hub_files
from fedgai.environment import VariableError
from fedgai.errors import FedGAIError

if TYPE_CHECKING:
    from fedgai.networks.encoder import VGG16Encoder


class WeightsError(FedGAIError):
    """Public weights that cannot be downloaded. One line: which file, from where, why not, and how to put it in place."""


@dataclass(frozen=True)
class Source:
    """A file on the Hub.

    Attributes:
        what: to name it in messages.
        repo, revision, file: where it is.
        sha256: of the file; None where only the Hub's own checksum can be asked for (a repository of the user's choice).
        megabytes: its size.
        setting: the environment variable that names another place.
    """

    what: str
    repo: str
    revision: str
    file: str
    sha256: str | None
    megabytes: int
    setting: str

    @property
    def url(self) -> str:
        return f"{constants.ENDPOINT}/{self.repo}/resolve/{self.revision.replace('/', '%2F')}/{self.file}"


# torchvision's IMAGENET1K_V1 weights. SHA-256 and commit as on huggingface.co/timm/vgg16.tv_in1k/blob/main/model.safetensors
VGG16 = Source(
    "VGG-16's ImageNet weights",
    "timm/vgg16.tv_in1k",
    "3394518cba29aee1ea82a49d971be90d2dd1dab7",
    "model.safetensors",
    "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
    553,
    "FEDGAI_VGG16",
)
# OpenAI's own repository, which has safetensors on a branch of the Hub's converter only. SHA-256 as on
# huggingface.co/openai/clip-vit-base-patch16/blob/refs%2Fpr%2F10/model.safetensors (commit ebc0097). open_clip's own copy,
# timm/vit_base_patch16_clip_224.openai, holds the same numbers, but we found no page with its SHA-256.
CLIP = Source(
    "CLIP ViT-B/16's weights",
    "openai/clip-vit-base-patch16",
    "refs/pr/10",
    "model.safetensors",
    "846bf12e84b91c2a65b44833a915241443b39356f1000ac1345c61d7bf8a209e",
    599,
    "FEDGAI_CLIP",
)
# pytorch-fid's pt_inception-2015-12-05, tensor for tensor, and by its card with this SHA-256; fetched only where somebody asks
INCEPTION = Source(
    "FID's Inception-v3 weights",
    "nikhilr01/sen-bridge-weights",
    "main",
    "fid_inception.safetensors",
    "b7a528bf4051f62c057bc14657865abf180a23eb1748d00ff0933d84698202ed",
    96,
    "FEDGAI_INCEPTION",
)


def locate(source: Source, named: str | None = None) -> Path:
    """The file on this machine, fetched and checked where it is not here yet, with a progress bar.

    Args:
        source: what is wanted.
        named: a file, a folder with ``source.file`` in it, or a repository "owner/name" or "owner/name@revision", as the
            user gave it in ``source.setting``; nothing, or the source's own repository: the pinned file.
    Raises:
        WeightsError: it cannot be downloaded. Nothing is left half-written: the next try starts again.
    """
    if not named or named == source.repo:
        return _fetch(source)
    path = Path(named).expanduser()
    path = path / source.file if path.is_dir() else path
    if path.is_file():
        return path
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", named) or path.suffix == ".safetensors":
        raise WeightsError(
            f"{source.setting} names {named}, which is neither a file, nor a folder with {source.file} in it, "
            "nor a repository on the Hub (owner/name)"
        )
    repo, _, revision = named.partition("@")
    return _fetch(replace(source, repo=repo, revision=revision or "main", sha256=None))


def load_vgg16(encoder: VGG16Encoder, named: str | None = None, source: Source = VGG16) -> None:
    """Put the ImageNet weights up to relu4_3 into the encoder; block five and the classifier stay on the disk.

    Args:
        encoder: filled in place.
        named: see ``locate``.
        source: another one only in tests.
    Raises:
        WeightsError: see ``locate``; or the tensors are not VGG-16's.
    """
    path = locate(source, named)
    names: dict[str, str] = {}
    place = 0  # timm and torchvision count convolutions, ReLUs and max-pools through: 0, 2, 5, 7, 10, 12, 14, ...
    for level, layers in enumerate(encoder.levels):
        for layer in range(0, len(list(layers.children())), 2):
            names |= {f"features.{place}.{kind}": f"levels.{level}.{layer}.{kind}" for kind in ("weight", "bias")}
            place += 2
        place += 1
    try:
        tensors = read(path, lambda present: names.keys() & present)
        encoder.load_state_dict({names[name]: tensor for name, tensor in tensors.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split(":", 1)[-1].split())[:200]
        raise WeightsError(f"{path} does not hold VGG-16's weights: {reason}") from error


def clip_tensors(path: Path) -> dict[str, Tensor]:
    """CLIP's image tower in open_clip's names, float32, from a file of open_clip's or of transformers'. Text stays unread.

    Raises WeightsError where the file cannot be read; whether the tensors fit, ``load_state_dict`` says.
    """
    tensors = read(path, lambda names: [name for name in names if name.startswith(("visual", "vision_model."))] or names)
    if not any(name.startswith("vision_model.") for name in tensors):
        return {name.removeprefix("visual."): tensor for name, tensor in tensors.items()}
    open_clip_names = {
        "embeddings.class_embedding": "class_embedding",
        "embeddings.patch_embedding.weight": "conv1.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "pre_layrnorm": "ln_pre",
        "post_layernorm": "ln_post",
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
        "encoder.layers": "transformer.resblocks",
    }
    renamed = {"proj": tensors["visual_projection.weight"].t().contiguous()} if "visual_projection.weight" in tensors else {}
    for name, tensor in tensors.items():
        if not name.startswith("vision_model.") or name.endswith("position_ids"):
            continue
        name = name.removeprefix("vision_model.")
        for part, open_clip_part in open_clip_names.items():
            name = name.replace(part, open_clip_part)
        renamed[name] = tensor
    for name in [name for name in renamed if ".self_attn.q_proj." in name]:  # three projections are one matrix in open_clip
        parts = [
            renamed.pop(name.replace("q_proj", part))
            for part in ("q_proj", "k_proj", "v_proj")
            if name.replace("q_proj", part) in renamed
        ]
        renamed[name.replace("self_attn.q_proj.", "attn.in_proj_")] = torch.cat(parts)
    return renamed


def read(path: Path, choose: Callable[[list[str]], Collection[str]]) -> dict[str, Tensor]:
    """The tensors that ``choose`` takes of a file's names, float32. Raises WeightsError where it is not a safetensors file."""
    try:
        with safe_open(str(path), "pt") as f:
            return {name: f.get_tensor(name).float() for name in choose(list(f.keys()))}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is not a safetensors file ({' '.join(str(error).split())})") from error


def _fetch(source: Source) -> Path:
    try:
        pins = {"revision": source.revision, "sha256": source.sha256}
        return hub_files.cached(source.repo, source.file, **pins) or hub_files.fetch(source.repo, source.file, **pins)
    except VariableError as error:
        raise WeightsError(f"{source.what} cannot be downloaded: {error}") from error
    except Exception as error:  # of a client, a network and a disk, or an invalid repository name: the user gets one line
        raise WeightsError(
            f"{source.what} cannot be downloaded from {source.repo}: {hub_files.reason(error, source.repo).text}. To put them in "
            f"place by hand: fetch {source.url} ({source.megabytes} MB) and set {source.setting} to its path"
        ) from error
