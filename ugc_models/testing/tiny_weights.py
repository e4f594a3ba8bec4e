"""The network of the tiny Qwen2.5-Omni: its shape, and weights drawn from a seed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ugc_models.testing.tiny_tokenizer import (
    END_OF_TEXT,
    END_OF_TURN,
    MAX_POSITIONS,
    PLACEHOLDERS,
    VOCAB_SIZE,
    speakable_ids,
    token_id,
)

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import Qwen2_5OmniThinkerConfig

_HIDDEN = 64


def towers(
    tokenizer: Tokenizer, *, audio: Any = None, vision: Any = None, text: Any = None
) -> dict[str, Any]:
    """Return what both families' thinkers share: 64 hidden units, two layers in each tower.

    Args:
        tokenizer: ours.
        audio, vision, text: further entries of the three configurations, or other values.
    """
    rope = {"rope_type": "default", "rope_theta": 1_000_000.0}
    text = {"rope_parameters": {}, **(text or {})}
    return {
        "audio_config": {
            "num_mel_bins": 128,
            "encoder_layers": 2,
            "encoder_ffn_dim": 64,
            "d_model": 32,
            "max_source_positions": 1500,
            "output_dim": _HIDDEN,
        }
        | (audio or {}),
        "vision_config": {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": _HIDDEN,
        }
        | (vision or {}),
        "text_config": {
            "vocab_size": VOCAB_SIZE,
            "hidden_size": _HIDDEN,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,  # of 32 each: vLLM's CPU attention refuses 16
            "num_key_value_heads": 1,
            "max_position_embeddings": MAX_POSITIONS,
            "tie_word_embeddings": False,
            "eos_token_id": token_id(tokenizer, END_OF_TURN),
            "pad_token_id": token_id(tokenizer, END_OF_TEXT),
        }
        | text
        | {"rope_parameters": rope | text["rope_parameters"]},
        "user_token_id": tokenizer.encode("user").ids[0],
        "seconds_per_chunk": 2,
        "tie_word_embeddings": False,
    }


def make_thinker_config(tokenizer: Tokenizer) -> Qwen2_5OmniThinkerConfig:
    """Return the configuration of the thinker.

    What decides the prompt's layout (patch size, merge size, 25 positions a second, two-second
    chunks, mel bins) is as in the real model; only widths and depths are small.
    """
    from transformers import Qwen2_5OmniThinkerConfig

    token = partial(token_id, tokenizer)
    # Time, height and width: the real [16, 24, 24] at a quarter of the width.
    rope = {"mrope_section": [4, 6, 6]}
    shared = towers(
        tokenizer,
        audio={"encoder_attention_heads": 2, "n_window": 100},
        vision={
            "num_heads": 2,
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 25,
        },
        text={"rope_parameters": rope},
    )
    return Qwen2_5OmniThinkerConfig(
        **shared,
        architectures=["Qwen2OmniNaViTThinkerForConditionalGeneration"],
        audio_token_index=token(PLACEHOLDERS["audio_token"]),
        image_token_index=token(PLACEHOLDERS["image_token"]),
        video_token_index=token(PLACEHOLDERS["video_token"]),
        audio_start_token_id=token(PLACEHOLDERS["audio_bos_token"]),
        audio_end_token_id=token(PLACEHOLDERS["audio_eos_token"]),
        vision_start_token_id=token(PLACEHOLDERS["vision_bos_token"]),
        vision_end_token_id=token(PLACEHOLDERS["vision_eos_token"]),
        vision_token_id=token("<|vision_pad|>"),
        position_id_per_seconds=25,
        pad_token_id=token(END_OF_TEXT),
    )


def make_config(thinker: Any, name: str = "Qwen2_5Omni") -> dict[str, Any]:
    """Return what config.json says of the model; transformers' classes begin with ``name``.

    Talker and vocoder are left out: the libraries fill in defaults and load neither.
    """
    return {
        "architectures": [f"{name}ForConditionalGeneration"],
        "model_type": thinker.model_type.removesuffix("_thinker"),
        "dtype": "float32",
        "enable_audio_output": False,
        "thinker_config": thinker.to_dict(),
    }


def thinker_shapes(name: str, thinker: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of transformers' thinker ``name`` (``thinker.…``)."""
    import torch
    import transformers

    with torch.device("meta"):  # shapes only: nothing is allocated or drawn
        skeleton = getattr(transformers, name)(thinker)
    return {f"thinker.{name}": tuple(t.shape) for name, t in skeleton.state_dict().items()}


def draw_weights(
    shapes: Mapping[str, tuple[int, ...]], tokenizer: Tokenizer, seed: int
) -> dict[str, torch.Tensor]:
    """Draw a tensor for each name of a checkpoint (`thinker.…`), float32.

    A tensor depends on the seed and its own name alone, so neither the order in which the library
    lists its modules nor a tensor that it adds changes the others. Matrices have a standard
    deviation of 1/sqrt(fan-in): signals keep their size through the layers, so what comes out
    depends on what went in. At the customary 0.02 a network this narrow repeats one token.
    """
    import torch

    weights = {
        name: _draw(name.removeprefix("thinker."), shape, seed) for name, shape in shapes.items()
    }
    silent = torch.ones(VOCAB_SIZE, dtype=torch.bool)
    silent[speakable_ids(tokenizer)] = False
    weights["thinker.lm_head.weight"][silent] = 0.0  # a logit of 0 never wins over 200 others
    return weights


def _draw(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    import torch

    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    noise = torch.randn(shape, generator=generator)
    if len(shape) < 2:
        if name.endswith("bias"):
            return noise * 0.1
        return (1.0 + noise * 0.1) * _gain(name)  # a norm's scale
    if "embed_tokens" in name:
        return noise
    fan_in = math.prod(shape[1:])
    return noise * (_gain(name) / math.sqrt(fan_in))


def _gain(name: str) -> float:
    """What a tensor is scaled by beyond its rule; both values were found by trying."""
    if name.startswith("lm_head"):
        return 2.0  # logits far enough apart for two engines' rounding to agree on the best
    # Where queries have a norm of their own, it is that one's scale which counts.
    if name.startswith("model.layers") and ("q_proj" in name or "q_norm" in name):
        return 3.0  # attention that picks places in the prompt; a flat mean soon runs in circles
    return 1.0
