"""A tiny Gemma-3n, beside the tiny Qwen-Omnis: random weights, under two megabytes.

What decides a prompt's layout is as in the real model: 256 tokens for an image of one size, 188 for
a sound, marks that have embeddings of their own beside the text's, runs of line breaks that are one
token, a sliding window, layers that share keys and values, sparse activations. Widths and depths
are small, images are scaled to 256 pixels instead of 768, and every character is a token.
"""

from __future__ import annotations

import hashlib
import math
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SIDE = 256  # pixels that images are scaled to
_CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
_BREAKS = ["\n" * count for count in range(1, 32)]
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_CHARACTERS = [c for c in string.printable if c.isprintable() and c != " "] + ["▁"]
_TEXT = [*_CONTROL, *_BREAKS, *_BYTES, *_CHARACTERS, "<start_of_image>", "<start_of_audio>"]
# The last two have no keys and values of their own; vLLM looks for them in the two before.
_LAYERS = ("sliding", "sliding", "full", "sliding", "full")
_OWN = 8  # tokens that have embeddings of their own, of each kind of medium
_PICTURE = ["<end_of_image>", "<image_soft_token>", *(f"<unused{i}>" for i in range(_OWN - 2))]
_SOUND = [
    "<end_of_audio>",
    "<audio_soft_token>",
    *(f"<unused{i}>" for i in range(_OWN, 2 * _OWN - 2)),
]
_VOCABULARY = {token: number for number, token in enumerate([*_TEXT, *_PICTURE, *_SOUND])}
_MARKS = {
    "image_token": "<image_soft_token>",
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "audio_token": "<audio_soft_token>",
    "boa_token": "<start_of_audio>",
    "eoa_token": "<end_of_audio>",
}
# Turns of user and model; a system message is the beginning of the first turn.
_TEMPLATE = """\
{{ bos_token }}
{%- if messages[0].role == "system" %}
{%- set start = messages[0].content[0].text + "\n\n" %}{% set turns = messages[1:] %}
{%- else %}{% set start = "" %}{% set turns = messages %}{% endif %}
{%- for turn in turns %}
{{- "<start_of_turn>" + ("model" if turn.role == "assistant" else turn.role) + "\n" }}
{{- start if loop.first }}
{%- for part in turn.content %}
{%- if part.type == "text" %}{{ part.text | trim }}
{%- elif part.type in ("image", "audio") %}{{ "<" + part.type + "_soft_token>" }}{% endif %}
{%- endfor %}{{ "<end_of_turn>\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{ "<start_of_turn>model\n" }}{% endif %}"""


def _blocks() -> list[list[dict[str, Any]]]:
    """Return four stages of the vision tower, one block of each kind that the real one has."""
    from timm.models._efficientnet_builder import decode_arch_def

    stages = [
        ["er_r1_k3_s2_e2_c8"],
        ["uir_r1_a3_k5_s2_e2_c8"],
        ["uir_r1_a5_k5_s2_e2_c16", "mqa_r1_k3_h2_v2_s1_d8_c16", "uir_r1_a0_k0_s1_e2_c16"],
        ["uir_r1_a5_k5_s2_e2_c16", "mqa_r1_k3_h2_s1_d8_c16", "uir_r1_a0_k0_s1_e2_c16"],
    ]
    blocks: list[list[dict[str, Any]]] = decode_arch_def(stages, group_size=None)
    return blocks


def _config() -> Any:
    from transformers import Gemma3nConfig

    text = len(_TEXT)
    return Gemma3nConfig(
        architectures=["Gemma3nForConditionalGeneration"],
        dtype="float32",
        text_config={
            "vocab_size": len(_VOCABULARY),
            "vocab_size_per_layer_input": text,
            "hidden_size": 64,
            "hidden_size_per_layer_input": 16,
            "intermediate_size": 128,
            "num_hidden_layers": len(_LAYERS),
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "layer_types": [f"{kind}_attention" for kind in _LAYERS],
            "sliding_window": 512,
            "num_kv_shared_layers": 2,
            "laurel_rank": 8,
            "activation_sparsity_pattern": [0.95, *[0.0] * (len(_LAYERS) - 1)],
            "max_position_embeddings": 32_768,
        },
        vision_config={
            "hidden_size": 2048,  # the tower's, whatever its blocks are
            "vocab_size": _OWN,
            "vocab_offset": text,
            "model_args": {"block_args": _blocks(), "stem_size": 8, "fix_stem": True},
        },
        audio_config={
            "vocab_size": _OWN,
            "vocab_offset": text + _OWN,
            "hidden_size": 32,
            "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 2,
            "sscp_conv_channel_size": [8, 4],
        },
        **{f"{name}_id": _VOCABULARY[token] for name, token in _MARKS.items()},
    )


def _processor() -> Any:
    from tokenizers import AddedToken
    from transformers import (
        Gemma3nAudioFeatureExtractor,
        Gemma3nProcessor,
        GemmaTokenizer,
        SiglipImageProcessor,
    )

    tokenizer = GemmaTokenizer(
        vocab=_VOCABULARY, merges=[], extra_special_tokens=dict(_MARKS), model_max_length=32_768
    )
    tokenizer.add_tokens([AddedToken(each, normalized=False) for each in _BREAKS])
    special = [AddedToken(each, special=True, normalized=False) for each in _CONTROL]
    tokenizer.add_tokens(special, special_tokens=True)
    images = SiglipImageProcessor(
        size={"height": SIDE, "width": SIDE}, do_normalize=False, do_convert_rgb=None
    )
    return Gemma3nProcessor(
        Gemma3nAudioFeatureExtractor(), images, tokenizer, chat_template=_TEMPLATE
    )


def _draw(name: str, like: torch.Tensor) -> torch.Tensor:
    """Return random values for a tensor: the same for the same name, of about the size 1."""
    import torch

    digest = hashlib.sha256(name.encode()).digest()
    dice = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    noise = torch.randn(like.shape, generator=dice)
    if "correct_output_scale" in name:
        return noise
    if like.ndim < 2:
        if name.endswith("bias") or "per_dim" in name:
            return 0.1 * noise
        # What the layers add must outweigh the token itself, which it would repeat otherwise.
        return (1 + 0.1 * noise) * (4.0 if "post_" in name else 1.0)
    if "embed_tokens" in name:
        return noise / math.sqrt(like.shape[1])  # the model multiplies by it
    if "embedding.weight" in name:
        return noise
    gain = 3.0 if "language_model" in name and "q_proj" in name else 1.0
    return gain * noise / math.sqrt(math.prod(like.shape[1:]))


def build_tiny_gemma3n(folder: Path) -> Path:
    """Write the checkpoint into ``folder`` and return it."""
    import torch
    from safetensors.torch import save_file
    from transformers import Gemma3nForConditionalGeneration, GenerationConfig

    model = Gemma3nForConditionalGeneration(_config())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_draw(name, parameter))
        # Logits of these tokens near 0: a trained model writes no marks and no bytes.
        table = model.model.language_model.embed_tokens.weight
        spoken = {_VOCABULARY[each] for each in (*_CHARACTERS, "\n")}
        for number in set(range(len(_VOCABULARY))) - spoken:
            table[number] *= 0.1
    weights = model.state_dict()
    del weights["lm_head.weight"]  # tied
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _config().save_pretrained(folder)  # timm has changed that of the model
    _processor().save_pretrained(folder)
    ends = [_VOCABULARY["<eos>"], _VOCABULARY["<end_of_turn>"]]
    GenerationConfig(
        do_sample=False, eos_token_id=ends, pad_token_id=0, bos_token_id=2
    ).save_pretrained(folder)
    return folder
