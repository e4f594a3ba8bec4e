"""A tiny Qwen3-Omni, beside the tiny Qwen2.5-Omni of ``ugc_models/testing/``.

Where it differs it does as the real model does: patches of 16 pixels, 13 positions a second in
interleaved M-RoPE, pictures fed to the first layers too (deep stack), a mixture of experts, and
other names for the marks of media.
"""

from __future__ import annotations

import re

from ugc_models.testing.tiny_model import END_OF_TEXT, END_OF_TURN, QWEN2_5, Family, Shape


def _one_by_one(name: str, shape: Shape) -> dict[str, Shape]:
    """Split the joint tensor in which transformers keeps a layer's experts."""
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


QWEN3 = Family(
    "qwen3-omni",
    "Qwen3OmniMoe",
    special_tokens=(
        *(END_OF_TEXT, "<|im_start|>", END_OF_TURN, "<|object_ref_start|>", "<|box_end|>"),
        *("<|quad_start|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
        *("<|image_pad|>", "<|video_pad|>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>"),
    ),
    marks={
        "audio_token": "<|audio_pad|>",
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "audio_bos_token": "<|audio_start|>",
        "audio_eos_token": "<|audio_end|>",
        "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
    },
    thinker={
        "position_id_per_seconds": 13,
        "seconds_per_chunk": 2,
        "tie_word_embeddings": False,
        "audio_config": {
            "num_mel_bins": 128,
            "encoder_layers": 2,
            "encoder_attention_heads": 1,
            "encoder_ffn_dim": 64,
            "d_model": 32,
            "max_source_positions": 1500,
            "n_window": 50,
            "n_window_infer": 800,
            "downsample_hidden_size": 16,
            "output_dim": 64,
        },
        "vision_config": {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 1,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            # Two that vLLM reads and transformers does not; 768 are 48 x 48 patches.
            "image_size": 768,
            "apply_vit_abs_pos_embed": True,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [0],  # pictures are fed to the first layers too
            "out_hidden_size": 64,
        },
        "text_config": {
            **QWEN2_5.thinker["text_config"],
            "head_dim": 32,  # vLLM's CPU attention refuses 16
            "moe_intermediate_size": 64,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "norm_topk_prob": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_interleaved": True,
                # The real [24, 20, 20] at a quarter of the width.
                "mrope_section": [6, 5, 5],
            },
        },
    },
    ids={
        "audio_token_id": "<|audio_pad|>",
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
    },
    pictures={"patch_size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    split=_one_by_one,
)
