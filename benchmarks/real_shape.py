"""A checkpoint of the true size of Qwen2.5-Omni-3B with random weights, for measurements of speed.

What an engine computes has the same shapes as with the trained weights, and nothing is downloaded.
Only the thinker is in it, which is all that captioning uses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ugc_models.testing import tiny_tokenizer, tiny_weights

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import Qwen2_5OmniThinkerConfig

_SHARD = 2 << 30
"""Bytes of a file of weights."""


@dataclass(frozen=True)
class Dimensions:
    """Widths and depths; the defaults are those of ``Qwen/Qwen2.5-Omni-3B``'s ``config.json``."""

    dtype: str = "bfloat16"
    vocabulary: int = 151_936
    hidden: int = 2048
    layers: int = 36
    heads: int = 16
    key_value_heads: int = 2
    intermediate: int = 11_008
    mrope_section: tuple[int, int, int] = (16, 24, 24)
    vision_hidden: int = 1280
    vision_layers: int = 32
    vision_heads: int = 16
    vision_intermediate: int = 3420
    vision_full_attention: tuple[int, ...] = (7, 15, 23, 31)
    audio_hidden: int = 1280
    audio_layers: int = 32
    audio_heads: int = 20
    audio_intermediate: int = 5120


SMALL = replace(
    Dimensions(),
    dtype="float32",
    vocabulary=1000,
    hidden=64,
    layers=2,
    heads=2,
    key_value_heads=1,
    intermediate=128,
    mrope_section=(4, 6, 6),
    vision_hidden=32,
    vision_layers=2,
    vision_heads=2,
    vision_intermediate=64,
    vision_full_attention=(1,),
    audio_hidden=32,
    audio_layers=2,
    audio_heads=2,
    audio_intermediate=64,
)
"""The same in little, to try the way there on a processor."""


def write_checkpoint(folder: Path, size: Dimensions) -> Path:
    """Write a checkpoint into an empty folder and return it; weights are drawn on a GPU if any."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _padded(tiny_tokenizer.train_tokenizer(), size.vocabulary)
    thinker = _thinker(tokenizer, size)
    tiny_tokenizer.make_processor(tokenizer).save_pretrained(folder)
    config = {**tiny_weights.make_config(thinker), "dtype": size.dtype}
    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    _write_weights(folder, _shapes(thinker), size.dtype)
    return folder


def _padded(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """Fill the vocabulary up with words that no text has, the special tokens still last."""
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.to_str())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    special = content["added_tokens"]
    for at in range(len(vocabulary), size - len(special)):
        vocabulary[f"<filler {at}>"] = at
    for at, token in enumerate(special, start=size - len(special)):
        token["id"] = at
    return Tokenizer.from_str(json.dumps(content))


def _thinker(tokenizer: Tokenizer, size: Dimensions) -> Qwen2_5OmniThinkerConfig:
    from transformers import Qwen2_5OmniThinkerConfig

    config = tiny_weights.make_thinker_config(tokenizer).to_dict()
    text = config["text_config"]
    text.pop("layer_types", None)  # one for each layer: made anew
    text |= {
        "vocab_size": size.vocabulary,
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.key_value_heads,
        "intermediate_size": size.intermediate,
        "max_window_layers": size.layers,
    }
    text["rope_parameters"] = {
        **text["rope_parameters"],
        "mrope_section": list(size.mrope_section),
    }
    config["vision_config"] |= {
        "hidden_size": size.vision_hidden,
        "depth": size.vision_layers,
        "num_heads": size.vision_heads,
        "intermediate_size": size.vision_intermediate,
        "fullatt_block_indexes": list(size.vision_full_attention),
        "out_hidden_size": size.hidden,
    }
    config["audio_config"] |= {
        "d_model": size.audio_hidden,
        "encoder_layers": size.audio_layers,
        "encoder_attention_heads": size.audio_heads,
        "encoder_ffn_dim": size.audio_intermediate,
        "output_dim": size.hidden,
    }
    return Qwen2_5OmniThinkerConfig(**config)


def _shapes(thinker: Qwen2_5OmniThinkerConfig) -> dict[str, tuple[int, ...]]:
    import torch
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration

    with torch.device("meta"):
        skeleton = Qwen2_5OmniThinkerForConditionalGeneration(thinker)
    return {f"thinker.{name}": tuple(t.shape) for name, t in skeleton.state_dict().items()}


def _write_weights(folder: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str) -> None:
    import torch
    from safetensors.torch import save_file

    kind = getattr(torch, dtype)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = torch.Generator(device).manual_seed(0)
    shards = list(_shards(shapes, kind.itemsize))
    places: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        tensors = {name: _draw(name, shapes[name], kind, random).cpu() for name in names}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(names, file)
    total = sum(math.prod(shape) for shape in shapes.values()) * kind.itemsize
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")


def _shards(shapes: Mapping[str, tuple[int, ...]], itemsize: int) -> Iterator[list[str]]:
    names: list[str] = []
    held = 0
    for name, shape in shapes.items():
        names.append(name)
        held += math.prod(shape) * itemsize
        if held >= _SHARD:
            yield names
            names, held = [], 0
    if names:
        yield names


def _draw(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, random: torch.Generator
) -> torch.Tensor:
    """Draw a tensor whose numbers are of a trained one's size: a GPU is faster on zeros."""
    import torch

    if len(shape) < 2:
        fill = torch.zeros if name.endswith("bias") else torch.ones
        return fill(shape, dtype=dtype)
    noise = torch.randn(shape, generator=random, device=random.device, dtype=dtype)
    return noise if "embed_tokens" in name else noise / math.sqrt(math.prod(shape[1:]))
