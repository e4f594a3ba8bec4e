"""The text side of the tiny checkpoints: a byte-level BPE with Qwen-Omni's special tokens.

The vocabulary is 256 bytes, merges learnt from a page of our own sentences, and the special tokens
last, as in the real model. Any text round-trips, only less compactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast, ProcessorMixin

VOCAB_SIZE = 448
MAX_POSITIONS = 32768

END_OF_TEXT = "<|endoftext|>"
END_OF_TURN = "<|im_end|>"

#: The attribute under which transformers' and vLLM's processors look each placeholder up.
PLACEHOLDERS = {
    "audio_token": "<|AUDIO|>",
    "image_token": "<|IMAGE|>",
    "video_token": "<|VIDEO|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
}

#: In the order of the real model, which keeps the relative order of ids the same.
SPECIAL_TOKENS = (
    END_OF_TEXT,
    "<|im_start|>",
    END_OF_TURN,
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_bos|>",
    "<|vision_eos|>",
    "<|vision_pad|>",
    "<|IMAGE|>",
    "<|VIDEO|>",
)

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


def train_tokenizer(special_tokens: Sequence[str] = SPECIAL_TOKENS) -> Tokenizer:
    """The byte-level BPE: exactly VOCAB_SIZE ids, the same ones each time, special ones last."""
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
        vocab_size=VOCAB_SIZE - len(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special_tokens]
    )
    if tokenizer.get_vocab_size() != VOCAB_SIZE:
        raise RuntimeError(
            f"the corpus gives {tokenizer.get_vocab_size()} tokens, {VOCAB_SIZE} are needed: "
            "add sentences to it"
        )
    return tokenizer


def speakable_ids(tokenizer: Tokenizer) -> list[int]:
    """Ids that the model may write: readable ASCII text and the two end tokens.

    Left to itself a random model writes stray bytes and media placeholders, which no trained one
    does and which would make its captions unreadable.
    """
    ends = {tokenizer.token_to_id(END_OF_TEXT), tokenizer.token_to_id(END_OF_TURN)}
    ids = []
    for token_id in range(tokenizer.get_vocab_size()):
        text = tokenizer.decode([token_id])  # empty for a special token
        if token_id in ends or (text and text.isascii() and text.isprintable()):
            ids.append(token_id)
    return ids


def token_id(tokenizer: Tokenizer, text: str) -> int:
    """The id of a token that must be there; ``KeyError`` where it is not."""
    found = tokenizer.token_to_id(text)
    if found is None:
        raise KeyError(f"the tokenizer has no token {text!r}")
    return int(found)


def _text_side(tokenizer: Tokenizer, placeholders: Mapping[str, str]) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers' processors take it; they find ``placeholders`` by name."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        extra_special_tokens=dict(placeholders),
        model_max_length=MAX_POSITIONS,
    )


def _chat_template(placeholders: Mapping[str, str]) -> str:
    """The ChatML template, with the marks of a family of models in the place of Qwen2.5-Omni's."""
    text = files(__package__).joinpath("chat_template.jinja").read_text("utf-8")
    for name, mark in PLACEHOLDERS.items():
        text = text.replace(mark, placeholders[name])
    return text


def make_processor(
    tokenizer: Tokenizer,
    name: str = "Qwen2_5OmniProcessor",
    placeholders: Mapping[str, str] = PLACEHOLDERS,
    **pictures: Any,
) -> ProcessorMixin:
    """Return a processor: the real model's classes and sizes around our tokenizer.

    Args:
        tokenizer: ours.
        name: of the processor's class in transformers.
        placeholders: the family's.
        pictures: of the image and the video processor, where they are not the class's own.
    """
    import transformers

    return getattr(transformers, name)(
        image_processor=transformers.Qwen2VLImageProcessor(**pictures),
        video_processor=transformers.Qwen2VLVideoProcessor(**pictures),
        # The real checkpoints hear 300 seconds; Whisper's own default would cut the sound at 30.
        feature_extractor=transformers.WhisperFeatureExtractor(
            feature_size=128, chunk_length=300, return_attention_mask=True
        ),
        tokenizer=_text_side(tokenizer, placeholders),
        chat_template=_chat_template(placeholders),
    )
