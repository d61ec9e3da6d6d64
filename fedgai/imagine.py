"""A garment's photograph from words, by any text-to-image pipeline that diffusers knows. Loaded at its first use.

>>> imaginer = Imaginer()
>>> imaginer(prompt({"category": "dress", "fabric": "linen"}, "with large pockets"), seed=7).save("dress.png")
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from fedgai.environment import variable
from fedgai.imports import collector_paused
from fedgai.pipeline_weights import Cancelled as Cancelled
from fedgai.pipeline_weights import ImagineError as ImagineError
from fedgai.pipeline_weights import PipelineWeights
from fedgai.text import printable

log = logging.getLogger(__name__)

# The default, chosen for two cores and 16 GB: SDXS (arXiv 2403.16627), a U-Net distilled for one step beside a tiny VAE. U-Net
# 1.26 GB, text encoder 0.49 GB, VAE 10 MB, all in safetensors. Licence: CreativeML Open RAIL++-M, which allows a public
# service, and whose limits on use apply to its users, too (so the page names it). Looked at besides:
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
NEGATIVE = (
    "person, model, face, hands, legs, mannequin, hanger, several garments, cropped, text, watermark, shadow, "
    "patterned background, drawing, sketch"
)
SEEDS = 2**32
MAX_SIDE = 768  # px; the studio draws at 1,024 px from this well enough, and memory grows with its square
MAX_STEPS = 100
DISTILLED = 8  # steps; a model that wants no more was distilled
TILED_FROM = 512  # px; a VAE's decoder takes about 2 GB at this size, and beyond it goes tile by tile
PREVIEW_CELLS = 32  # latents a side, of what is decoded for a preview

# Latents of Stable Diffusion 1 and 2 to RGB in [-1, 1], for each of four channels: a linear fit by the user keturn
# (discuss.huggingface.co, "Decoding latents to RGB without upscaling").
LATENT_RGB = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))


@dataclass(frozen=True)
class Step:
    """A denoising step that is done.

    Attributes:
        number: 1 for the first.
        total: how many steps there are.
        preview: makes a small RGB picture of what is there by now, or gives None where that is not cheap.
    """

    number: int
    total: int
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
    words = " ".join(printable(str(text or ""), instead=" ").split())
    if len(words) > TEXT_LIMIT:
        raise ImagineError(f"Your words come to {len(words)} characters: keep them to {TEXT_LIMIT}.")
    if not chosen and not words:
        raise ImagineError("Choose at least one chip, or write what it should be.")
    noun = chosen.get("category", "garment")
    looks = [chosen[name] for name in ("length", "colour", "silhouette", "fabric") if name in chosen] + [noun]
    upper = [] if noun in LOWER else [chosen.get("neckline"), chosen.get("sleeve")]
    described = ["one " + " ".join(looks), *upper] if chosen else []
    return ", ".join(filter(None, ["product photo on a plain white background", *described, words, *ALWAYS]))


class Imaginer:
    """Makes garment photographs from words, one at a time; not for several threads at once.

    Args:
        model: a folder, or OWNER/NAME on the Hub, with @REVISION behind it where it is to be pinned. Left out:
            ``FEDGAI_IMAGINE``, else ``MODEL``.
        steps: denoising steps; left out: ``FEDGAI_IMAGINE_STEPS``, else what the model was distilled for (25 if it was not).
        device: where it runs, e.g. "cpu" or "cuda".

    Attributes:
        name: the folder or repository, for people.
        revision: of the repository; None for the newest.
        steps: as above; None until the model is loaded, where it depends on that.
    """

    def __init__(self, model: str | Path | None = None, steps: int | None = None, device: str = "cpu") -> None:
        self._weights = PipelineWeights(str(model or variable("FEDGAI_IMAGINE") or f"{MODEL}@{REVISION}"))
        self.name, self.revision, self.device = self._weights.name, self._weights.revision, device
        given, source = str(steps or ""), "The denoising steps are"
        if not given:
            given, source = variable("FEDGAI_IMAGINE_STEPS"), "FEDGAI_IMAGINE_STEPS is"
        if given and not (given.isdecimal() and 1 <= int(given[:9]) <= MAX_STEPS):
            raise ImagineError(f"{source} a whole number from 1 to {MAX_STEPS}, not {given[:40]!r}.")
        self.steps: int | None = None
        if given:
            self.steps = int(given)
        elif self.name == MODEL:
            self.steps = 1
        self._pipe: Any = None

    @property
    def loaded(self) -> bool:
        return self._pipe is not None

    @property
    def licence(self) -> tuple[str, str] | None:
        """(name, address) of the licence that applies to the pictures' users, if we know it."""
        return LICENCES.get(self.name)

    def load(self, on_bytes: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Fetch what is missing and read it. Does nothing where that is done; after a failure it may be called again.

        Args:
            on_bytes: called with (bytes so far, bytes to come in all) while something is fetched; may raise Cancelled.

        Raises:
            ImagineError: the weights cannot be downloaded or used; the message says which, and how to put them in place.
        """
        if self.loaded:
            return
        folder = self._weights.locate(on_bytes)
        try:
            with collector_paused(freeze=False):
                self._pipe = self._read(folder)
        except ImagineError:
            raise
        except Exception as error:  # a damaged file may raise anything
            log.warning("%s cannot be read: %s", folder, error)
            raise ImagineError(
                f"The weights of {self.name} cannot be read ({type(error).__name__}): put a whole diffusers "
                "pipeline in safetensors in their place, then try again."
            ) from error

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
        assert total is not None  # the model is loaded

        def after(pipe: Any, index: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            nonlocal steps
            steps += 1
            latents = tensors["latents"]
            on_step(Step(steps, total, lambda: self._preview(latents)))
            return {}

        side = self._side()
        options: dict[str, Any] = {"num_inference_steps": total, "height": side, "width": side}
        accepted = inspect.signature(pipe.__call__).parameters
        if total <= DISTILLED and not self._guided() and "guidance_scale" in accepted:
            options["guidance_scale"] = 0.0  # it is in the weights, and a second pass would cost as much again
        elif "negative_prompt" in accepted and not self._guided():
            options["negative_prompt"] = NEGATIVE
        made = pipe(words, generator=torch.Generator().manual_seed(seed), callback_on_step_end=after, **options)
        if any(getattr(made, "nsfw_content_detected", None) or ()):
            raise ImagineError("The model's own safety checker took this picture away: try another seed, or other words.")
        image: Image.Image = made.images[0].convert("RGB")
        return image

    def _side(self) -> int:
        """px, of the square that the model was made for, within bounds."""
        network = getattr(self._pipe, "unet", None) or getattr(self._pipe, "transformer", None)
        cells = getattr(network.config, "sample_size", None) if network is not None else None
        native = cells * int(self._pipe.vae_scale_factor) if isinstance(cells, int) else 512
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

    def _read(self, folder: Path) -> Any:
        from fedgai import torchvision_ops

        torchvision_ops.declare_missing()
        try:
            import diffusers
            import transformers
        except ImportError as error:
            raise ImagineError(
                'Imagining needs diffusers and transformers: pip install ".[imagine]" in a copy of the project'
            ) from error
        index = self._weights.index(folder)
        kind: Any = getattr(diffusers, index["_class_name"], None)
        accepted = inspect.signature(kind.__call__).parameters if isinstance(kind, type) else {}
        if not {"prompt", "callback_on_step_end", "num_inference_steps"} <= set(accepted) or "image" in accepted:
            raise ImagineError(
                f"{self.name} is not a text-to-image pipeline that reports its steps: set FEDGAI_IMAGINE to another one."
            )
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


def _steps(scheduler: Any) -> int:
    """What a model was most likely distilled for, from its scheduler; 25 where it was not distilled."""
    if type(scheduler).__name__ in ("LCMScheduler", "TCDScheduler") or scheduler.config.get("timestep_spacing") == "trailing":
        return 4
    return 25
