"""A tiny Qwen3-Omni thinker: its marks and its shape.

Where it differs from Qwen2.5-Omni it does as the real model does: patches of 16 pixels, 13
positions a second in interleaved M-RoPE, pictures fed to the first layers too (deep stack), a
mixture of experts, and other names for the marks of media.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from ugc_models.testing.tiny_tokenizer import END_OF_TEXT, END_OF_TURN, token_id
from ugc_models.testing.tiny_weights import thinker_shapes, towers

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import Qwen3OmniMoeThinkerConfig

PLACEHOLDERS = {
    "audio_token": "<|audio_pad|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}

#: In the order of the real model.
SPECIAL_TOKENS = (
    END_OF_TEXT,
    "<|im_start|>",
    END_OF_TURN,
    "<|object_ref_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|audio_start|>",
    "<|audio_end|>",
    "<|audio_pad|>",
)

PATCH = 16
"""Pixels of a patch's side."""


def make_thinker_config(tokenizer: Tokenizer) -> Qwen3OmniMoeThinkerConfig:
    """The thinker's configuration with four experts."""
    from transformers import Qwen3OmniMoeThinkerConfig

    token = partial(token_id, tokenizer)
    shared = towers(
        tokenizer,
        audio={
            "encoder_attention_heads": 1,
            "n_window": 50,
            "n_window_infer": 800,
            "downsample_hidden_size": 16,
        },
        vision={
            "num_heads": 1,
            "patch_size": PATCH,
            # Two that vLLM reads and transformers does not; 768 are 48 x 48 patches.
            "image_size": 768,
            "apply_vit_abs_pos_embed": True,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [0],
        },
        text={
            "head_dim": 32,  # vLLM's CPU attention refuses 16
            "moe_intermediate_size": 64,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "norm_topk_prob": True,
            # The real [24, 20, 20] at a quarter of the width.
            "rope_parameters": {"mrope_interleaved": True, "mrope_section": [6, 5, 5]},
        },
    )
    return Qwen3OmniMoeThinkerConfig(
        **shared,
        audio_token_id=token(PLACEHOLDERS["audio_token"]),
        image_token_id=token(PLACEHOLDERS["image_token"]),
        video_token_id=token(PLACEHOLDERS["video_token"]),
        audio_start_token_id=token(PLACEHOLDERS["audio_bos_token"]),
        audio_end_token_id=token(PLACEHOLDERS["audio_eos_token"]),
        vision_start_token_id=token(PLACEHOLDERS["vision_bos_token"]),
        vision_end_token_id=token(PLACEHOLDERS["vision_eos_token"]),
        position_id_per_seconds=13,
    )


def shapes(thinker: Qwen3OmniMoeThinkerConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor under its name in the published checkpoints.

    transformers keeps the experts of a layer in two tensors, the checkpoints keep them one by one.
    """
    joint = thinker_shapes("Qwen3OmniMoeThinkerForConditionalGeneration", thinker)
    return {name: shape for both in joint.items() for name, shape in _one_by_one(*both).items()}


def _one_by_one(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Split the joint tensor of a layer's experts; any other stays as it is."""
    joint = re.fullmatch(r"(.*\.experts)\.(gate_up|down)_proj", name)
    if joint is None:
        return {name: shape}
    count, out, into = shape
    parts = {"down": ["down_proj"], "gate_up": ["gate_proj", "up_proj"]}[joint[2]]
    return {
        f"{joint[1]}.{index}.{part}.weight": (out // len(parts), into)
        for index in range(count)
        for part in parts
    }
