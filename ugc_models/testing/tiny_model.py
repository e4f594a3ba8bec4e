"""What is in a tiny checkpoint: tokenizer, processor, configuration and weights.

What decides a prompt's layout (patch and merge size, positions a second, chunks, mel bins, the
order of special tokens) is as in the real model; only widths and depths are small. Another family
of models is another :class:`Family` (the tests have a tiny Qwen3-Omni).
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

END_OF_TEXT, END_OF_TURN = "<|endoftext|>", "<|im_end|>"

# Words, single digits, punctuation runs and white space: merges never cross from one to another.
_SPLIT = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
_CORPUS = (
    "system\n user\n assistant\n",
    "Tell me in one paragraph what this short clip shows and what can be heard in it.",
    "A woman in a red apron stirs soup in a steel pot while steam rises over the stove.",
    "A young man walks through the market, talks to the camera and points at the price of a shirt.",
    "The camera moves slowly to the left, then the picture cuts to a close view of the hands.",
    "The voice sounds calm and friendly, and soft piano music plays in the background.",
    "Drums and a bright melody set a cheerful mood; near the end the crowd begins to clap.",
    "White letters at the top of the screen say what the next step is and how long it takes.",
    "The room has a wooden table, a window with green plants, and a lamp that gives warm light.",
    "Rain falls on the street, cars pass with a hiss, and thunder rolls in the distance.",
    "A small dog runs after a ball, barks twice, and the person behind the camera laughs.",
    "The purpose of the video seems to be to teach the viewer and to make the viewer smile.",
    "There is no speech here, only the sound of the wind and of footsteps on the stones.",
)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Family:
    """A family of models, as far as it is not like the others."""

    label: str  # what the checkpoint calls it
    name: str  # transformers' classes begin with it
    special_tokens: Sequence[str]  # in the order of the real model
    marks: Mapping[str, str]  # under the names by which transformers and vLLM look them up
    thinker: Mapping[str, Any]  # the configuration of the thinker
    ids: Mapping[str, str]  # further entries of it: the ids of these tokens
    pictures: Mapping[str, Any] = field(default_factory=dict)  # of the processor of pictures
    # Splits a tensor of transformers' into those of the published checkpoints.
    split: Callable[[str, Shape], dict[str, Shape]] = lambda name, shape: {name: shape}

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return int(self.thinker["text_config"]["vocab_size"])


def _packaged(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


QWEN2_5 = Family(**tomllib.loads(_packaged("qwen2_5_omni.toml")))


def train_tokenizer(family: Family = QWEN2_5) -> Tokenizer:
    """Return a byte-level BPE, the same each time, special tokens last."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=family.vocabulary - len(family.special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in family.special_tokens]
    )
    return tokenizer


def make_processor(tokenizer: Tokenizer, family: Family = QWEN2_5) -> Any:
    """Return the real model's processor, with its classes and sizes, around our tokenizer."""
    import transformers

    template = _packaged("chat_template.jinja")
    for name, mark in QWEN2_5.marks.items():
        template = template.replace(mark, family.marks[name])
    return getattr(transformers, f"{family.name}Processor")(
        image_processor=transformers.Qwen2VLImageProcessor(**family.pictures),
        video_processor=transformers.Qwen2VLVideoProcessor(**family.pictures),
        # The real checkpoints hear 300 seconds; Whisper's own default would cut the sound at 30.
        feature_extractor=transformers.WhisperFeatureExtractor(
            feature_size=128, chunk_length=300, return_attention_mask=True
        ),
        tokenizer=transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            eos_token=END_OF_TURN,
            pad_token=END_OF_TEXT,
            extra_special_tokens=dict(family.marks),
            model_max_length=family.thinker["text_config"]["max_position_embeddings"],
        ),
        chat_template=template,
    )


def make_thinker_config(tokenizer: Tokenizer, family: Family = QWEN2_5) -> Any:
    """Return the configuration of the thinker, an object of transformers."""
    import transformers

    starts = {
        f"{kind}_{config}_token_id": family.marks[f"{kind}_{mark}_token"]
        for kind in ("audio", "vision")
        for config, mark in (("start", "bos"), ("end", "eos"))
    }
    ids = {name: tokenizer.token_to_id(text) for name, text in {**family.ids, **starts}.items()}
    text = {
        **family.thinker["text_config"],
        "eos_token_id": tokenizer.token_to_id(END_OF_TURN),
        "pad_token_id": tokenizer.token_to_id(END_OF_TEXT),
    }
    return getattr(transformers, f"{family.name}ThinkerConfig")(
        **{**family.thinker, **ids, "text_config": text},
        user_token_id=tokenizer.encode("user").ids[0],
    )


def make_config(thinker: Any, family: Family = QWEN2_5) -> dict[str, Any]:
    """Return what config.json says of the model.

    Talker and vocoder are left out: the libraries fill in defaults and load neither.
    """
    return {
        "architectures": [f"{family.name}ForConditionalGeneration"],
        "model_type": thinker.model_type.removesuffix("_thinker"),
        "dtype": "float32",
        "enable_audio_output": False,
        "thinker_config": thinker.to_dict(),
    }


def draw_weights(
    thinker: Any, tokenizer: Tokenizer, seed: int, family: Family = QWEN2_5
) -> dict[str, torch.Tensor]:
    """Draw each tensor of a checkpoint (``thinker.…``), float32.

    A tensor depends on the seed and its own name alone, so neither the order in which the library
    lists its modules nor a tensor that it adds changes the others. Matrices have a standard
    deviation of 1/sqrt(fan-in): signals keep their size through the layers, so what comes out
    depends on what went in. At the customary 0.02 a network this narrow repeats one token.
    """
    import torch
    import transformers

    with torch.device("meta"):  # shapes only: nothing is allocated or drawn
        skeleton = getattr(transformers, f"{family.name}ThinkerForConditionalGeneration")(thinker)
    weights = {
        f"thinker.{name}": _draw(name, shape, seed)
        for joint, tensor in skeleton.state_dict().items()
        for name, shape in family.split(joint, tuple(tensor.shape)).items()
    }
    # Left to itself a random model writes stray bytes and placeholders, which no trained one does.
    # A logit of 0 never wins over 200 others.
    silent = [number for number in range(family.vocabulary) if not _is_speakable(tokenizer, number)]
    weights["thinker.lm_head.weight"][silent] = 0.0
    return weights


def _is_speakable(tokenizer: Tokenizer, number: int) -> bool:
    text = tokenizer.decode([number])  # empty for a special token
    ends = {tokenizer.token_to_id(END_OF_TEXT), tokenizer.token_to_id(END_OF_TURN)}
    return number in ends or (text != "" and text.isascii() and text.isprintable())


def _draw(name: str, shape: Shape, seed: int) -> torch.Tensor:
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
    return noise * (_gain(name) / math.sqrt(math.prod(shape[1:])))


def _gain(name: str) -> float:
    """What a tensor is scaled by beyond its rule; both values were found by trying."""
    if name.startswith("lm_head"):
        return 2.0  # logits far enough apart for two engines' rounding to agree on the best
    # Where queries have a norm of their own, it is that one's scale which counts.
    if name.startswith("model.layers") and ("q_proj" in name or "q_norm" in name):
        return 3.0  # attention that picks places in the prompt; a flat mean soon runs in circles
    return 1.0
