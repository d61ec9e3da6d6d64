"""A garment's photograph from words, by any text-to-image pipeline that diffusers knows. Loaded at its first use.

>>> imaginer = Imaginer()
>>> imaginer(prompt({"category": "dress", "fabric": "linen"}, "with large pockets"), seed=7).save("dress.png")
"""

from __future__ import annotations

import errno
import hashlib
import inspect
import io
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from fedgai.errors import FedGAIError

log = logging.getLogger(__name__)

# The default, chosen for two cores and 16 GB: SDXS (arXiv 2403.16627), a U-Net distilled for one step beside a tiny VAE. U-Net
# 1.26 GB, text encoder 0.49 GB, VAE 10 MB, all in safetensors. Licence: CreativeML Open RAIL++-M, which allows a public
# service, and whose restrictions on use go on to whoever uses it (so the page names it). Looked at besides:
# stabilityai/sd-turbo (one step; its research licence excludes commercial use), SimianLuo/LCM_Dreamshaper_v7 (MIT; four steps,
# each of a U-Net of 3.44 GB), nota-ai/bk-sdm-tiny and segmind/tiny-sd (small, Open RAIL-M, but made for 25 steps).
MODEL, REVISION = "IDKiro/sdxs-512-dreamshaper", "76f720262bb051da75666b22c902a78c8e16c763"
LICENCES = {MODEL: ("CreativeML Open RAIL++-M", f"https://huggingface.co/{MODEL}")}

CHIPS = {
    "category": ("coat", "jacket", "blazer", "shirt", "T-shirt", "jumper", "dress", "skirt", "trousers"),
    "silhouette": ("fitted", "straight", "A-line", "boxy", "oversized", "wrap"),
    "fabric": ("cotton", "linen", "wool", "denim", "silk", "leather", "chunky knit"),
    "neckline": ("crew neck", "V-neck", "boat neck", "turtleneck", "shirt collar", "lapels"),
    "sleeve": ("sleeveless", "short sleeves", "long sleeves", "puff sleeves", "bell sleeves"),
    "length": ("cropped", "hip-length", "knee-length", "midi", "floor-length"),
    "colour": ("black", "grey", "navy", "blue", "green", "red", "rose", "mustard", "camel", "brown"),
}
ALWAYS = ("whole garment", "front view", "even light", "nobody")
LOWER = {"skirt", "trousers"}  # without neckline and sleeves
TEXT_LIMIT, PROMPT_LIMIT = 160, 400  # characters; CLIP reads 77 pieces of words, and the person's come before the last of ours
NEGATIVE = ("person, model, face, hands, legs, mannequin, hanger, several garments, cropped, text, watermark, shadow, "
            "patterned background, drawing, sketch")  # fmt: skip
OWN = (None, "diffusers", "transformers", "stable_diffusion")  # where a pipeline's parts may come from; the last is diffusers'
SEEDS = 2**32
MAX_SIDE = 768  # px; the studio draws at 1,024 px from this well enough, and memory grows with its square
MAX_STEPS = 100
DISTILLED = 8  # steps; a model that wants no more was distilled
TILED_FROM = 512  # px; a VAE's decoder takes about 2 GB at this size, and beyond it goes tile by tile
PREVIEW_CELLS = 32  # latents a side, of what is decoded for a preview

# Latents of Stable Diffusion 1 and 2 to RGB in [-1, 1], for each of four channels: a linear fit by the user keturn
# (discuss.huggingface.co, "Decoding latents to RGB without upscaling").
LATENT_RGB = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))


class ImagineError(FedGAIError):
    """Words or weights that cannot be used. One sentence that says what to do."""


class Cancelled(Exception):  # noqa: N818  not an error
    """Raised by a callback that wants no more; it comes out of whatever was called."""


@dataclass(frozen=True)
class Step:
    """A denoising step that is done.

    Attributes:
        number, of: 1 for the first of ``of``.
        preview: makes a small RGB picture of what is there by now, or gives None where that is not cheap.
    """

    number: int
    of: int
    preview: Callable[[], Image.Image | None]


def prompt(chips: Mapping[str, str], text: str = "") -> str:
    """What the model reads.

    Args:
        chips: a key of ``CHIPS`` -> one of its words; "" and what is left out mean anything.
        text: the person's own words, at most ``TEXT_LIMIT`` characters.

    Raises:
        ImagineError: an unknown chip, too long a text, or nothing at all.
    """
    if not isinstance(chips, Mapping):
        raise ImagineError(f"Give the chips as {{name: word}}, with names of {', '.join(CHIPS)}.")
    chosen = {name: word for name, word in chips.items() if word}
    for name, word in chosen.items():
        if name not in CHIPS:
            raise ImagineError(f"There are no chips {str(name)[:40]!r}; there are {', '.join(CHIPS)}.")
        if word not in CHIPS[name]:
            raise ImagineError(f"There is no {name} {str(word)[:40]!r}; there are {', '.join(CHIPS[name])}.")
    words = " ".join("".join(c if c.isprintable() else " " for c in str(text or "")).split())
    if len(words) > TEXT_LIMIT:
        raise ImagineError(f"Your words come to {len(words)} characters: keep them to {TEXT_LIMIT}.")
    if not chosen and not words:
        raise ImagineError("Choose at least one chip, or write what it should be.")
    noun = chosen.get("category", "garment")
    looks = [chosen[name] for name in ("length", "colour", "silhouette", "fabric") if name in chosen] + [noun]
    upper = [] if noun in LOWER else [chosen.get("neckline"), chosen.get("sleeve")]
    said = ["one " + " ".join(looks), *upper] if chosen else []
    return ", ".join(filter(None, ["product photo on a plain white background", *said, words, *ALWAYS]))


class Imaginer:
    """Makes garment photographs from words, one at a time; not for several threads at once.

    Args:
        model: a folder, or OWNER/NAME on the Hub, with @REVISION behind it where it is to be pinned. Left out:
            ``FEDGAI_IMAGINE``, else ``MODEL``.
        steps: denoising steps; left out: ``FEDGAI_IMAGINE_STEPS``, else what the model was distilled for (25 if it was not).
        device: where it runs, e.g. "cpu" or "cuda".

    Attributes:
        name: the folder or repository, for people.
        steps: as above; None until the model is loaded, where it depends on that.
    """

    def __init__(self, model: str | Path | None = None, steps: int | None = None, device: str = "cpu") -> None:
        given = str(model or os.environ.get("FEDGAI_IMAGINE") or f"{MODEL}@{REVISION}")
        self._folder = Path(given) if Path(given).is_dir() else None
        self.name, _, revision = (self._folder.resolve().name, "", "") if self._folder else given.partition("@")
        if not self._folder and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.name):
            raise ImagineError(f"{given!r} is neither a folder nor OWNER/NAME of the Hub: set FEDGAI_IMAGINE to one.")
        self.revision, self.device = revision or None, device
        wish = str(steps or os.environ.get("FEDGAI_IMAGINE_STEPS") or (1 if self.name == MODEL else ""))
        if wish and not (wish.isdecimal() and 1 <= int(wish) <= MAX_STEPS):
            raise ImagineError(f"The denoising steps are a whole number from 1 to {MAX_STEPS}, not {wish!r}.")
        self.steps = int(wish) if wish else None
        self._pipe: Any = None

    @property
    def loaded(self) -> bool:
        return self._pipe is not None

    @property
    def licence(self) -> tuple[str, str] | None:
        """(name, address) of the licence that goes on to whoever uses the pictures, where we know it."""
        return LICENCES.get(self.name)

    def load(self, on_bytes: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Fetch what is missing and read it. Does nothing where that is done; after a failure it may be called again.

        Args:
            on_bytes: called with (bytes so far, bytes to come in all) while something is fetched; may raise Cancelled.

        Raises:
            ImagineError: the weights cannot be had or used; the message says which, and how to put them in place.
        """
        if self.loaded:
            return
        try:
            folder = self._folder or self._fetch(on_bytes)
        except (ImagineError, Cancelled):
            raise
        except Exception as error:  # of a client, a network and a disk: whatever it is, the visitor gets one line
            raise ImagineError(self._why(error)) from error
        try:
            self._pipe = self._read(folder)
        except ImagineError:
            raise
        except Exception as error:  # a damaged file may raise anything
            log.warning("%s cannot be read: %s", folder, error)
            raise ImagineError(f"The weights of {self.name} cannot be read ({type(error).__name__}): put a whole diffusers "
                               "pipeline in safetensors in their place, then try again.") from error

    def __call__(self, words: str, seed: int, on_step: Callable[[Step], None] = lambda step: None) -> Image.Image:
        """One RGB photograph; the same for the same words, seed, model and machine.

        Args:
            words: see ``prompt``; at most ``PROMPT_LIMIT`` characters.
            seed: 0 to 2**32 - 1.
            on_step: called after each denoising step; may raise Cancelled, and then there is no further one.

        Raises:
            ImagineError: see ``load``; words or seed out of range; or the model's own safety checker took the picture away.
        """
        if not 0 < len(words) <= PROMPT_LIMIT:
            raise ImagineError(f"A description has 1 to {PROMPT_LIMIT} characters.")
        if not 0 <= seed < SEEDS:
            raise ImagineError(f"A seed is a whole number from 0 to {SEEDS - 1}.")
        self.load()
        pipe, steps, total = self._pipe, 0, self.steps

        def after(pipe: Any, index: int, timestep: Tensor, tensors: dict) -> dict:
            nonlocal steps
            steps += 1
            latents = tensors["latents"]
            on_step(Step(steps, total, lambda: self._preview(latents)))
            return {}

        side = self._side()
        options = {"num_inference_steps": total, "height": side, "width": side}
        accepted = inspect.signature(pipe.__call__).parameters
        if total <= DISTILLED and not self._guided() and "guidance_scale" in accepted:
            options["guidance_scale"] = 0.0  # it is in the weights, and a second pass would cost as much again
        elif "negative_prompt" in accepted and not self._guided():
            options["negative_prompt"] = NEGATIVE
        made = pipe(words, generator=torch.Generator().manual_seed(seed), callback_on_step_end=after, **options)
        if any(getattr(made, "nsfw_content_detected", None) or ()):
            raise ImagineError("The model's own safety checker took this picture away: try another seed, or other words.")
        return made.images[0].convert("RGB")

    def _side(self) -> int:
        """px, of the square that the model was made for, within bounds."""
        network = getattr(self._pipe, "unet", None) or getattr(self._pipe, "transformer", None)
        cells = getattr(network.config, "sample_size", None) if network is not None else None
        native = cells * self._pipe.vae_scale_factor if isinstance(cells, int) else 512
        return min(native, MAX_SIDE)

    def _guided(self) -> bool:
        """Whether the guidance is an input of the network (latent consistency models)."""
        return bool(getattr(getattr(getattr(self._pipe, "unet", None), "config", None), "time_cond_proj_dim", None))

    @torch.inference_mode()
    def _preview(self, latents: Tensor) -> Image.Image | None:
        """(1, C, h, w) latents -> an RGB picture, by the tiny VAE where the model has one, else by a linear map."""
        if latents.ndim != 4:
            return None
        small = latents.float()
        if max(small.shape[2:]) > PREVIEW_CELLS:
            small = F.interpolate(small, PREVIEW_CELLS, mode="area")
        vae = self._pipe.vae
        if type(vae).__name__ == "AutoencoderTiny":
            rgb = vae.decode(small.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0][0].float()
        elif small.shape[1] == len(LATENT_RGB):
            rgb = torch.einsum("chw,cr->rhw", small[0], torch.tensor(LATENT_RGB, device=small.device))
            rgb = F.interpolate(rgb[None], scale_factor=4, mode="bicubic")[0]
        else:
            return None
        levels = rgb.add(1).mul(127.5).clamp(0, 255).byte()
        return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())

    # -- weights ---------------------------------------------------------------------------------------------------------

    def _fetch(self, on_bytes: Callable[[int, int], None]) -> Path:
        """From the cache if it is whole, without a question to the Hub where the revision is pinned; else from the Hub."""
        index = Path(hf_hub_download(self.name, "model_index.json", revision=self.revision))
        wanted = {"revision": index.parent.name, "allow_patterns": _files(self._index(index.parent)),
                  "ignore_patterns": ["*.fp16.*", "*.bf16.*", "*.non_ema.*"]}  # fmt: skip
        try:
            folder = Path(snapshot_download(self.name, local_files_only=True, **wanted))
            if all((folder / pattern).parent.is_dir() for pattern in wanted["allow_patterns"]):
                return folder
        except LocalEntryNotFoundError:
            pass  # not all of it
        listed = snapshot_download(self.name, dry_run=True, tqdm_class=_bars(lambda done: None), **wanted)
        missing = [file for file in listed if file.will_download]
        total = sum(file.file_size or 0 for file in missing)
        free = shutil.disk_usage(_existing(Path(constants.HF_HUB_CACHE))).free
        if total > free:
            raise OSError(errno.ENOSPC, f"{total / 1e9:.1f} GB are to come and {free / 1e9:.1f} GB are free")
        on_bytes(0, total)
        bars = _bars(lambda done: on_bytes(min(done, total), total))
        folder = Path(snapshot_download(self.name, tqdm_class=bars, **wanted))
        for file in missing:  # huggingface_hub looks at sizes only
            blob = (folder / file.filename).resolve()
            if re.fullmatch("[0-9a-f]{64}", blob.name) and _sha256(blob) != blob.name:
                blob.unlink()
                (folder / file.filename).unlink()
                raise ImagineError(f"{file.filename} of {self.name} arrived damaged (wrong SHA-256) and is gone: try again.")
        return folder

    def _index(self, folder: Path) -> dict[str, Any]:
        """model_index.json, where every part of the pipeline is of diffusers or transformers themselves."""
        try:
            index = json.loads((folder / "model_index.json").read_text())
            parts = {name: part for name, part in index.items() if isinstance(part, list)}
            foreign = [name for name, part in parts.items() if part[0] not in OWN]
        except (OSError, ValueError, AttributeError, IndexError) as error:
            raise ImagineError(f"{self.name} is no diffusers pipeline: it has no model_index.json that can be read.") from error
        if foreign or not isinstance(index.get("_class_name"), str):
            what = ", ".join(sorted(foreign)) or "the pipeline"
            raise ImagineError(f"{self.name} brings code of its own ({what}), which is never run: set FEDGAI_IMAGINE to another.")
        return index

    def _read(self, folder: Path) -> Any:
        from fedgai import torchvision_ops

        torchvision_ops.declare_missing()
        try:
            import diffusers
            import transformers
        except ImportError as error:
            raise ImagineError("Imagining needs diffusers and transformers: pip install -e .[imagine]") from error
        index = self._index(folder)
        kind = getattr(diffusers, index["_class_name"], None)
        accepted = inspect.signature(kind.__call__).parameters if isinstance(kind, type) else {}
        if not {"prompt", "callback_on_step_end", "num_inference_steps"} <= set(accepted) or "image" in accepted:
            raise ImagineError(f"{self.name} is no text-to-image pipeline that can be watched: set FEDGAI_IMAGINE to another.")
        diffusers.utils.logging.set_verbosity_error()
        diffusers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        pipe = kind.from_pretrained(str(folder), use_safetensors=True, trust_remote_code=False, local_files_only=True)
        pipe = pipe.to(self.device)
        pipe.set_progress_bar_config(disable=True)
        if self.steps is None:
            self.steps = _steps(pipe.scheduler)
        self._pipe = pipe
        if self._side() > TILED_FROM and hasattr(pipe.vae, "enable_tiling"):
            pipe.vae.enable_tiling()
        return pipe

    def _why(self, error: BaseException) -> str:
        """One line: what is missing, why, and what to do."""
        causes = list(_causes(error))

        def any_of(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in causes)

        status = next((c.response.status_code for c in causes if isinstance(c, HfHubHTTPError) and c.response is not None), None)
        if any(isinstance(cause, OSError) and cause.errno == errno.ENOSPC for cause in causes):
            return (f"There is no room for the weights of {self.name} in {constants.HF_HUB_CACHE}: make room, or set HF_HOME to "
                    "another disk, then try again.")
        if any_of(GatedRepoError) or status in (401, 403):
            reason = "the Hub wants a token (HF_TOKEN), or does not know the repository"
        elif any_of(RevisionNotFoundError):
            reason = "the Hub does not have this revision"
        elif any_of(RepositoryNotFoundError):
            reason = "the Hub does not know the repository"
        elif any_of(RemoteEntryNotFoundError):
            reason = "the repository is no diffusers pipeline"
        elif constants.HF_HUB_OFFLINE or any_of(OfflineModeIsEnabled):
            reason = "HF_HUB_OFFLINE forbids to ask the Hub"
        elif status:
            reason = f"the Hub answered with {status}"
        elif any_of(LocalEntryNotFoundError) or any(type(cause).__module__.startswith("httpx") for cause in causes):
            reason = "the Hub cannot be reached"
        else:
            reason = " ".join(str(error).split())[:160] or type(error).__name__
        revision = f" --revision {self.revision}" if self.revision else ""
        return (f"The weights of {self.name} cannot be had: {reason}. Put them in place with `hf download {self.name}{revision}` "
                "or set FEDGAI_IMAGINE to the folder of a diffusers pipeline, then try again.")


def _steps(scheduler: Any) -> int:
    """What a model was most likely distilled for, told by its scheduler; 25 where it was not distilled."""
    if type(scheduler).__name__ in ("LCMScheduler", "TCDScheduler") or scheduler.config.get("timestep_spacing") == "trailing":
        return 4
    return 25


def _files(index: Mapping[str, Any]) -> list[str]:
    """Patterns of what a pipeline needs: configuration, vocabulary and safetensors of each of its parts."""
    parts = [name for name, part in index.items() if isinstance(part, list) and part[0]]
    return ["model_index.json", *(f"{part}/*.{ending}" for part in parts for ending in ("json", "txt", "model", "safetensors"))]


def _bars(report: Callable[[int], None]) -> type[tqdm]:
    """Progress bars for huggingface_hub that show nothing, and say how many bytes have come in all."""

    class Silent(tqdm):
        def __init__(self, *args: Any, name: str = "", **options: Any) -> None:
            self.bytes = options.get("unit") == "B"
            super().__init__(*args, **{**options, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            if self.bytes:
                report(int(self.n))
            return shown

    return Silent


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
