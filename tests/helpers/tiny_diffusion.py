"""A text-to-image pipeline of diffusers, whole but tiny: real CLIP text encoder and tokenizer, U-Net, VAE and scheduler, with
random weights, in safetensors. 4 MB; a picture is 128 px."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch

from fedgai import torchvision_ops

ENDS = ("<|startoftext|>", "<|endoftext|>")


def save(folder: Path, *, scheduler: str = "EulerDiscreteScheduler", spacing: str = "trailing", tiny_vae: bool = False) -> Path:
    """Write it, as ``save_pretrained`` does, and return the folder.

    Args:
        scheduler: a name of diffusers; spacing: of its steps, "trailing" where a network was distilled.
        tiny_vae: an AutoencoderTiny, as SDXS has, in place of an AutoencoderKL.
    """
    torchvision_ops.declare_missing()
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    letters = string.ascii_lowercase + string.digits + ",.:'-"
    words = [*letters, *(letter + "</w>" for letter in letters), *ENDS]
    vocabulary = {word: number for number, word in enumerate(words)}
    source = folder.parent / f"{folder.name}-vocabulary"
    source.mkdir(parents=True)
    (source / "vocab.json").write_text(json.dumps(vocabulary))
    (source / "merges.txt").write_text("#version: 0.2\n")
    start, end = (vocabulary[word] for word in ENDS)
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=32,
        norm_num_groups=8,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    if tiny_vae:
        vae = diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8,) * 4,
            decoder_block_out_channels=(8,) * 4,
            num_encoder_blocks=(1,) * 4,
            num_decoder_blocks=(1,) * 4,
        )
    else:
        vae = diffusers.AutoencoderKL(
            block_out_channels=(16,) * 4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=8,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
    pipeline = diffusers.StableDiffusionPipeline(
        vae,
        CLIPTextModel(text),
        CLIPTokenizer.from_pretrained(source, model_max_length=77),
        unet,
        getattr(diffusers, scheduler)(**betas, timestep_spacing=spacing),
        None,
        None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
