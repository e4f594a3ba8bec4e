"""A tiny Qwen3-Omni thinker: its marks, processor, shape and weights.

Where it differs from Qwen2.5-Omni it does as the real model does: patches of 16 pixels, 13
positions a second in interleaved M-RoPE, pictures fed to the first layers too (deep stack), a
mixture of experts, and other names for the marks of media.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from ugc_models.testing.tiny_tokenizer import (
    END_OF_TEXT,
    END_OF_TURN,
    MAX_POSITIONS,
    VOCAB_SIZE,
    chat_template,
    text_side,
    token_id,
)
from ugc_models.testing.tiny_weights import draw_weights

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import ProcessorMixin, Qwen3OmniMoeThinkerConfig

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

_HIDDEN = 64
_EXPERTS = 4
_PATCH = 16


def make_processor(tokenizer: Tokenizer) -> ProcessorMixin:
    """The checkpoint's processor: the real model's classes and sizes around our tokenizer."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
        Qwen3OmniMoeProcessor,
        WhisperFeatureExtractor,
    )

    half = [0.5, 0.5, 0.5]
    return Qwen3OmniMoeProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=_PATCH, image_mean=half, image_std=half),
        video_processor=Qwen2VLVideoProcessor(patch_size=_PATCH, image_mean=half, image_std=half),
        feature_extractor=WhisperFeatureExtractor(
            feature_size=128, chunk_length=300, return_attention_mask=True
        ),
        tokenizer=text_side(tokenizer, PLACEHOLDERS),
        chat_template=chat_template(PLACEHOLDERS),
    )


def make_thinker_config(tokenizer: Tokenizer) -> Qwen3OmniMoeThinkerConfig:
    """The thinker's configuration at 64 hidden units, two layers a tower and four experts."""
    from transformers import Qwen3OmniMoeThinkerConfig

    token = partial(token_id, tokenizer)
    audio = {
        "num_mel_bins": 128,
        "encoder_layers": 2,
        "encoder_attention_heads": 1,
        "encoder_ffn_dim": 64,
        "d_model": 32,
        "max_source_positions": 1500,
        "n_window": 50,
        "n_window_infer": 800,
        "downsample_hidden_size": 16,
        "output_dim": _HIDDEN,
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 1,
        "patch_size": _PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": _HIDDEN,
        # Two that vLLM reads and transformers does not; 768 are 48 x 48 patches.
        "image_size": 768,
        "apply_vit_abs_pos_embed": True,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [0],
    }
    text = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": _HIDDEN,
        "head_dim": 32,  # vLLM's CPU attention refuses 16
        "intermediate_size": 128,
        "moe_intermediate_size": 64,
        "num_experts": _EXPERTS,
        "num_experts_per_tok": 2,
        "norm_topk_prob": True,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": MAX_POSITIONS,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1_000_000.0,
            "mrope_interleaved": True,
            "mrope_section": [6, 5, 5],  # the real [24, 20, 20] at a quarter of the width
        },
        "tie_word_embeddings": False,
        "eos_token_id": token(END_OF_TURN),
        "pad_token_id": token(END_OF_TEXT),
    }
    return Qwen3OmniMoeThinkerConfig(
        audio_config=audio,
        vision_config=vision,
        text_config=text,
        audio_token_id=token(PLACEHOLDERS["audio_token"]),
        image_token_id=token(PLACEHOLDERS["image_token"]),
        video_token_id=token(PLACEHOLDERS["video_token"]),
        audio_start_token_id=token(PLACEHOLDERS["audio_bos_token"]),
        audio_end_token_id=token(PLACEHOLDERS["audio_eos_token"]),
        vision_start_token_id=token(PLACEHOLDERS["vision_bos_token"]),
        vision_end_token_id=token(PLACEHOLDERS["vision_eos_token"]),
        user_token_id=tokenizer.encode("user").ids[0],
        position_id_per_seconds=13,
        seconds_per_chunk=2,
        tie_word_embeddings=False,
    )


def make_config(thinker: Qwen3OmniMoeThinkerConfig) -> dict[str, Any]:
    """What config.json says; talker and vocoder are left out."""
    return {
        "architectures": ["Qwen3OmniMoeForConditionalGeneration"],
        "model_type": "qwen3_omni_moe",
        "dtype": "float32",
        "enable_audio_output": False,
        "thinker_config": thinker.to_dict(),
    }


def make_weights(
    thinker: Qwen3OmniMoeThinkerConfig, tokenizer: Tokenizer, seed: int
) -> dict[str, torch.Tensor]:
    """Every tensor of the thinker under its name in the published checkpoints, float32.

    transformers keeps the experts of a layer in two tensors, the checkpoints keep them one by one.
    """
    import torch
    from transformers import Qwen3OmniMoeThinkerForConditionalGeneration

    with torch.device("meta"):
        skeleton = Qwen3OmniMoeThinkerForConditionalGeneration(thinker)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in skeleton.state_dict().items():
        shapes |= _one_by_one(f"thinker.{name}", tuple(tensor.shape))
    return draw_weights(shapes, tokenizer, seed)


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
